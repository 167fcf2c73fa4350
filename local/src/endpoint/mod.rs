//! The process: wires the rooms together, is started on demand, found again by later processes, and ends by itself.
//!
//! One endpoint serves one user and one build of this crate. It outlives the processes that use it, as AWS does, and is
//! gone a settable time after its last instance and its last client; its machines die with it.
//!
//! What this room isn't: a place for EC2's rules or for a machine's insides. It only carries messages between them.

mod abandoned;
mod client;
mod clock;
mod control;
mod datacenter;
mod disks;
mod earlier_disks;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod handover;
mod idle;
mod images;
mod instance_identity;
mod journal;
mod journaling;
mod lanes;
mod layers;
mod layout;
mod log;
mod machines;
mod own_state;
mod owned;
mod process;
mod public_addresses;
mod run_directory;
mod settings_diff;
mod spare_disk;
mod ssh_config;
mod state;
mod streams;
mod taking;
mod way_in;

pub use abandoned::abandoned_accounts;
pub use client::{Client, Presence, connect, ensure, look};
pub use control::Status;
pub use error::EndpointError;
pub use images::{Image, ImageName, Images, Import, Listed};
pub use journaling::{Opening, TakenOver};
pub use log::begin_log;
pub use owned::Owned;
pub(crate) use owned::role_main as owned_role_main;
pub(crate) use process::role_main;
pub use process::{LOGIN_USER, Stay, keep_files_private, run};
pub use public_addresses::describe_ssh;
pub use spare_disk::SpareDisk;
pub use ssh_config::ssh_config;
pub use state::{Credentials, StateDirectory};
pub use streams::connect_standard_streams;

use crate::{
    account::{Capacity, InstanceProfile, Quotas},
    conditions::Conditions,
    network::PrivateNetwork,
};
use serde::{Deserialize, Serialize};
use settings_diff::SettingsInForce;
use std::time::Duration;

/// The role of the endpoint's process.
pub(crate) const ROLE: &str = "endpoint";

/// The role of one that another process owns.
pub(crate) const OWNED_ROLE: &str = "owned-endpoint";

/// Which build of this crate a process runs: a client only uses an endpoint of its own build.
pub const BUILD: &str = concat!(env!("CARGO_PKG_VERSION"), "-", env!("EC2_LOCAL_BUILD"));

/// How an endpoint behaves; told by the client that starts it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Settings {
    /// How long it stays after its last instance and its last client. Default: 10 s.
    pub linger: Duration,
    /// The port on 127.0.0.1; 0 for any that is free. Default: 0.
    pub port: u16,
    /// The factor on all times that AWS takes. Default: that of an account that is taken over, else 0.01.
    pub pace: Option<f64>,
    /// What AWS does to you on top of EC2's rules. Default: that of an account that is taken over, else typical.
    pub conditions: Option<Conditions>,
    /// The seed of what the conditions draw at random, and of a new account's ids. Default: that of an account that is taken
    /// over, else drawn at random itself. It may be shown: keys follow from the endpoint's secret, too.
    pub seed: Option<u64>,
    /// Whether each region has a default VPC from the start. Default: true.
    pub default_vpc: bool,
    /// How much each region may hold.
    pub quotas: Quotas,
    /// What the zones have room for. Default: for everything.
    pub capacity: Vec<Capacity>,
    /// The IAM instance profiles that there are. Default: none is named, and every name is one, with a role of the same name.
    pub instance_profiles: Vec<InstanceProfile>,
    /// Private networks of this host's that machines may reach. Default: none.
    pub private_networks: Vec<PrivateNetwork>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            linger: Duration::from_secs(10),
            port: 0,
            pace: None,
            conditions: None,
            seed: None,
            default_vpc: true,
            quotas: Quotas::default(),
            capacity: Vec::new(),
            instance_profiles: Vec::new(),
            private_networks: Vec::new(),
        }
    }
}

/// What a client learns when it says hello.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Greeting {
    /// The process id.
    pid: u32,
    /// The URL of the Query API.
    url: String,
    /// The account's number.
    account: String,
    /// What no two accounts share, whatever their number; a new endpoint that takes an account over tells the same.
    identity: String,
    /// What it is like.
    in_force: SettingsInForce,
}
