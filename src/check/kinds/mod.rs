//! The kinds of checks, a file each: what can be expected, which facts that needs, and how they are judged. A kind is
//! declared by a table, see `table`.

mod command;
mod file;
mod group;
mod mount;
mod package;
mod port;
mod process;
mod reach;
mod service;
mod stat;
mod table;
mod texts;
mod user;
mod volume;

pub use command::{CommandCheck, command};
pub use file::{FileCheck, file};
pub use group::{GroupCheck, group};
pub use mount::{MountCheck, mount};
pub use package::{PackageCheck, package};
pub use port::{Port, PortCheck, port, tcp, udp};
pub use process::{ProcessCheck, process};
pub use reach::{Host, ReachCheck, reach};
pub use service::{ServiceCheck, service};
pub use stat::FileKind;
pub use user::{UserCheck, user};
pub use volume::{VolumeCheck, volume};
