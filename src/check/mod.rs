//! Checks: what a machine is expected to be, as plain data.
//!
//! A check names a subject and what is expected of it: `service("ssh").is_running().is_enabled()`. It does nothing by
//! itself: store it, share it, put it in a `Vec`, write it to a file and load it again. A check without an expectation
//! expects the obvious: `file("/etc/fstab")` that it exists, `service("ssh")` that it runs, `command("true")` that it
//! succeeds.
//!
//! A machine that is asserted to hold checks runs one script that gathers the facts for all of them in one round trip,
//! and the facts are matched here. Every check that failed is listed, with its source line and the evidence. A fact that
//! the machine cannot have (a service where there is no systemd), or that we may not see, is *unanswerable*:
//! [`ErrorKind::Unanswerable`](crate::ErrorKind::Unanswerable), never a pass or a fail.
//!
//! The script needs a POSIX shell with the usual small tools, and reads /proc; it changes nothing. It runs as the login
//! user; what that user may not see is asked again with `sudo -n` or `doas -n`. Up to 4 MiB of a file are looked at, and
//! 1 MiB of each stream of a command: a text that is longer is unanswerable, not judged by half.
//!
//! This room isn't where machines are: it knows nothing of EC2 or SSH. It makes a script, and reads what it printed.

mod answer;
mod checks;
mod fact;
mod finding;
mod kinds;
mod matcher;
mod number;
mod source;
#[cfg(test)]
mod tests;
mod unit;
mod verdict;

pub use checks::{Check, Checks};
pub use kinds::{
    CommandCheck, FileCheck, FileKind, GroupCheck, Host, MountCheck, PackageCheck, Port, PortCheck, ProcessCheck,
    ReachCheck, ServiceCheck, UserCheck, VolumeCheck, command, file, group, mount, package, port, process, reach,
    service, tcp, udp, user, volume,
};
pub use matcher::{Matcher, contains, ends_with, equals, matches, not, starts_with};
pub use number::Numbers;
pub use unit::{Durations, Size, gib, kib, mib};
