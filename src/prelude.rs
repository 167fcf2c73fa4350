//! What a file of tests imports: `use ec2_harness::prelude::*;`.
//!
//! Each name is chosen by hand: what is added to [`check`](crate::check) later clashes with nobody's own.
//!
//! With the feature `rstest`, which is on by default, rstest's `#[rstest]` and `#[fixture]` are here too; their expansions
//! want `rstest` among the dev-dependencies of the crate under test.

pub use crate::{
    Error, ErrorKind, Failure, Result,
    check::{
        Check, Checks, Durations, FileKind, Host, Matcher, Numbers, Port, Size, command, contains, ends_with, equals,
        file, gib, group, kib, matches, mib, mount, not, package, port, process, reach, service, starts_with, tcp, udp,
        user, volume,
    },
    ec2::{
        Ec2, Image, ImageHandle, ImageQuery, Imds, Instance, Machine, NetworkInterface, NewNetworkInterface, NewVolume,
        NewVpc, Volume, VolumeHandle, Vpc, VpcHandle, gp3,
    },
    ec2_snapshot, ec2_test,
    runner::TestContext,
};

#[cfg(feature = "rstest")]
pub use rstest::{fixture, rstest};
