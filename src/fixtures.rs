//! Fixtures for those who prefer plain `#[rstest]`: [`ec2()`], [`instance()`], [`instances()`] and [`vpc()`].
//!
//! There is no test around them that takes the outcome: a machine ends as soon as its value is dropped, nothing is kept
//! on failure, there is no timeout, and a launch that fails is a panic, which satisfies `#[should_panic]`. All else is as
//! in an `#[ec2_test]`. Never mark one with `#[once]`: such a value is never dropped.
//!
//! ```no_run
//! use ec2_harness::{fixtures::{ec2, instance}, prelude::*};
//!
//! #[rstest]
//! #[test_attr(tokio::test)]
//! async fn boots(instance: Instance) {
//!     println!("{}", instance.id());
//! }
//!
//! #[rstest]
//! fn two_of_a_kind(
//!     #[from(instance)] #[with("debian-12")] one: Instance,
//!     #[from(instance)] #[with("debian-12")] other: Instance,
//! ) {
//!     assert_ne!(one.id(), other.id());
//! }
//! ```

use crate::{
    Failure,
    ec2::{Ec2, ImageQuery, Instance, Launch, NewNetworkInterface, NewVolume, Vpc},
};
use rstest::fixture;

/// The account, as it is configured.
///
/// # Panics
///
/// With the report, if it can't be connected to: a fixture has no other way to fail its test.
#[fixture]
#[track_caller]
pub fn ec2() -> Ec2 {
    provide(Ec2::connect().wait())
}

/// A machine that is ready; `#[with("debian-12", vec![gp3(20)], 1)]` chooses its image (an [`ImageQuery`] is one, too), its volumes beside
/// the root, and how many network interfaces it has beside the first. Default: the configured image, and none of the others.
///
/// # Panics
///
/// With the report, if it does not come up.
#[fixture]
#[track_caller]
pub fn instance(
    #[default("")] image: impl Into<ImageQuery>,
    #[default(Vec::new())] volumes: Vec<NewVolume>,
    #[default(0)] extra_nics: u16,
    ec2: Ec2,
) -> Instance {
    let interfaces = vec![NewNetworkInterface::new(); extra_nics.into()];
    provide(launch(&ec2, image.into()).volumes(volumes).network_interfaces(interfaces).wait())
}

/// Machines that are alike and ready, launched by one call; `#[with(3, "debian-12")]` chooses how many, and their image. Default: two, of the
/// configured one.
///
/// # Panics
///
/// With the report, if one of them does not come up.
#[fixture]
#[track_caller]
pub fn instances(#[default(2)] count: u16, #[default("")] image: impl Into<ImageQuery>, ec2: Ec2) -> Vec<Instance> {
    provide(launch(&ec2, image.into()).count(count).wait())
}

/// A VPC; `#[with("10.30.0.0/16")]` chooses its range, else it is `10.20.0.0/16`. Machines are launched in it by
/// [`Launch::vpc`](crate::ec2::Launch::vpc).
///
/// # Panics
///
/// With the report, if it can't be made.
#[fixture]
#[track_caller]
pub fn vpc(#[default("10.20.0.0/16")] range: &str, ec2: Ec2) -> Vpc {
    provide(ec2.create_vpc(range).wait())
}

fn launch(ec2: &Ec2, image: ImageQuery) -> Launch {
    if image == "".into() { ec2.launch_default() } else { ec2.launch(image) }
}

#[cfg_attr(not(test), expect(clippy::panic, reason = "a fixture has no other way to fail its test"))]
#[track_caller]
fn provide<T>(result: Result<T, Failure>) -> T {
    result.unwrap_or_else(|failure| panic!("{failure:?}"))
}
