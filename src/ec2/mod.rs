//! The account: launching, reaching and ending what EC2 has.
//!
//! What this room isn't: tests. It knows scopes and guards, but not who opens and closes them.

mod account;
mod assert;
mod creation;
mod exec;
mod files;
mod guard;
mod image;
mod image_source;
mod imds;
mod instance;
mod key_pair;
mod launch;
mod lease;
mod machine;
mod made;
mod many;
mod network_interface;
mod ownership;
mod packages;
mod per_run;
mod power;
mod ready;
mod run_instances;
mod snapshot;
mod specification;
mod unrun;
mod volume;
mod vpc;
mod wait;

pub use crate::teardown::sweep::{Resource, Sweep, Swept};
#[cfg(test)]
pub(crate) use guard::Guard;
pub(crate) use image::image_id;
pub(crate) use image_source::{MakeImage, Source};

pub use crate::config::{Architecture, ImageQuery};
pub use account::{Connect, Ec2, Statistics};
pub use assert::Assert;
pub use exec::Exec;
pub use files::{Pull, Push};
pub use image_source::ImageSource;
pub use imds::Imds;
pub use instance::Instance;
pub use key_pair::KeyPair;
pub use launch::Launch;
pub use machine::Machine;
pub use many::LaunchMany;
pub use network_interface::{NetworkInterface, NewNetworkInterface};
pub use packages::Packages;
pub use power::PowerChange;
pub use snapshot::{Image, ImageHandle, Snapshot};
pub(crate) use snapshot::{complete, renew_lease};
pub use volume::{AttachedVolume, NewVolume, Prepare, Volume, VolumeHandle, gp3};
pub use vpc::{NewVpc, Vpc, VpcHandle};
pub use wait::Wait;
