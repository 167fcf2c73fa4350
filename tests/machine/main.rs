//! A machine's operations, each against a real one.

#[path = "../support/mod.rs"]
mod support;

mod disks;
mod exec;
mod files;
mod handles;
mod image_lookup;
mod images;
mod keys;
mod launch;
mod life;
mod many;
mod misuse;
mod network_interfaces;
mod packages;
mod placed;
mod user_data;
mod volumes;
mod vpcs;
