//! Instances: the resource, and by files its launch, life, power, description, attributes and metadata.

mod actions;
pub(super) mod attribute;
mod block_device;
pub(super) mod credits;
pub(super) mod describe;
pub(super) mod image_metadata;
mod launch;
pub(super) mod life;
pub(super) mod metadata;
pub(super) mod metadata_options;
pub(super) mod monitoring;
pub(super) mod names;
mod network;
pub(super) mod options;
pub(super) mod placement;
pub(super) mod power;
pub(super) mod run;
mod shortage;
pub(super) mod status;
mod user_data;

pub(super) use actions::ACTIONS;

use super::{
    ids::{IamInstanceProfileAssociationId, ImageId, NetworkInterfaceId, ReservationId, VolumeId},
    instance_type::InstanceType,
    place::Zone,
    settings::Architecture,
    spot::Spot,
};
use crate::{machine::Kind, wire::Structure};
pub(super) use block_device::is_device_name;
pub(super) use describe::root_device;
pub(super) use launch::{DEFAULT_TYPE, Launch, PARAMETERS};
pub(super) use life::{End, later};
use metadata_options::MetadataOptions;
pub(super) use network::{full, groups};
use placement::Placement;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use time::{OffsetDateTime, macros::format_description};

/// An instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Instance {
    pub(super) reservation: ReservationId,
    pub(super) launch_index: i64,
    pub(super) client_token: Option<String>,
    pub(super) image: ImageId,
    pub(super) image_name: String,
    pub(super) image_root: Option<String>,
    pub(super) kind: Kind,
    pub(super) login_user: String,
    pub(super) architecture: Architecture,
    pub(super) instance_type: &'static InstanceType,
    pub(super) key: Option<LaunchKey>,
    pub(super) zone: Zone,
    pub(super) launched: OffsetDateTime,
    #[serde(with = "super::stored::base64")]
    pub(super) user_data: Option<Vec<u8>>,
    pub(super) options: Options,
    pub(super) metadata_options: MetadataOptions,
    pub(super) network_interfaces: Vec<NetworkInterfaceId>,
    /// The root's comes first, if there is one.
    pub(super) volumes: Vec<VolumeId>,
    /// The name of the root device, while no volume is attached there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rootless: Option<String>,
    /// The placement group that it was launched in.
    #[serde(default)]
    pub(super) placement: Option<Placement>,
    /// What it has of a request for a Spot Instance; none on demand.
    #[serde(default)]
    pub(super) spot: Option<Spot>,
    #[serde(default)]
    pub(super) profile_association: Option<IamInstanceProfileAssociationId>,

    pub(super) state: State,
    /// When the state may change at the earliest.
    pub(super) settles: OffsetDateTime,
    pub(super) transition_reason: String,
    pub(super) state_reason: Option<StateReason>,
    /// When its machine got power for the first time since the last start.
    pub(super) powered_on: Option<OffsetDateTime>,
    pub(super) running_since: Option<OffsetDateTime>,
    /// Whether it was ever `running`.
    pub(super) was_running: bool,
    pub(super) power: Power,
}

/// The key pair of the launch. A copy: the key pair may be deleted, the instance keeps its key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LaunchKey {
    pub(super) name: String,
    pub(super) openssh: String,
}

/// What can be set and is shown, and mostly does nothing here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Options {
    pub(super) shutdown_behavior: ShutdownBehavior,
    pub(super) disable_termination: bool,
    pub(super) disable_stop: bool,
    pub(super) ebs_optimized: bool,
    pub(super) monitoring: bool,
    pub(super) auto_recovery: String,
    pub(super) capacity_preference: String,
    pub(super) cores: i64,
    pub(super) threads_per_core: i64,
    /// Whether CPU credits are unlimited; `None` for the default of the type.
    #[serde(default)]
    pub(super) unlimited_credits: Option<bool>,
    /// When monitoring was last switched on or off.
    #[serde(default)]
    pub(super) monitoring_since: Option<OffsetDateTime>,
    #[serde(default)]
    pub(super) names: names::PrivateNames,
}

/// What becomes of an instance that powers itself off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ShutdownBehavior {
    Stop,
    Terminate,
}

impl ShutdownBehavior {
    pub(super) const NAMES: &'static [&'static str] = &["stop", "terminate"];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Terminate => "terminate",
        }
    }

    /// The one of a name that was checked.
    pub(super) fn named(name: &str) -> Self {
        if name == "terminate" { Self::Terminate } else { Self::Stop }
    }
}

/// The state of an instance.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-lifecycle.html>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Pending,
    Running,
    ShuttingDown,
    Terminated,
    Stopping,
    Stopped,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }

    pub(super) fn code(self) -> i64 {
        match self {
            Self::Pending => 0,
            Self::Running => 16,
            Self::ShuttingDown => 32,
            Self::Terminated => 48,
            Self::Stopping => 64,
            Self::Stopped => 80,
        }
    }

    /// Whether there is a machine, or will be one, or still is one.
    pub(super) fn is_live(self) -> bool {
        !matches!(self, Self::Stopped | Self::Terminated)
    }

    /// As Describe shows it.
    pub(super) fn shown(self) -> Structure {
        Structure::new().with("Code", self.code()).with("Name", self.name())
    }
}

/// Why an instance is in its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StateReason {
    pub(super) code: Cow<'static, str>,
    pub(super) message: String,
}

impl StateReason {
    pub(super) fn user_shutdown() -> Self {
        Self::coded("Client.UserInitiatedShutdown", "User initiated shutdown")
    }

    pub(super) fn instance_shutdown() -> Self {
        Self::coded("Client.InstanceInitiatedShutdown", "Instance initiated shutdown")
    }

    /// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html>.
    pub(super) fn spot_termination() -> Self {
        Self::coded("Server.SpotInstanceTermination", "Spot instance termination")
    }

    pub(super) fn spot_shutdown() -> Self {
        Self::coded("Server.SpotInstanceShutdown", "Spot instance shutdown")
    }

    pub(super) fn internal(why: &str) -> Self {
        // It is shown in XML, which has no control characters.
        let why: String =
            why.chars().map(|c| if c.is_control() || c >= '\u{fffe}' { ' ' } else { c }).take(1000).collect();
        Self::coded("Server.InternalError", &format!("Internal error: {why}"))
    }

    fn coded(code: &'static str, text: &str) -> Self {
        Self { code: code.into(), message: format!("{code}: {text}") }
    }
}

/// Why an instance leaves its state, with the time.
pub(super) fn dated(what: &str, now: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] GMT");
    format!("{what} ({})", now.to_offset(time::UtcOffset::UTC).format(format).unwrap_or_default())
}

/// What the machine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Power {
    Off,
    /// Start was asked for.
    Starting,
    On,
    /// Power-off was asked for; the power is taken away at the given time.
    GoingOff {
        kill: OffsetDateTime,
        /// Start again once it is off.
        restart: bool,
    },
    /// The power was taken away; the machine has yet to say so.
    Killed {
        restart: bool,
    },
}

impl Instance {
    /// The NIC that it was launched with.
    pub(super) fn primary(&self) -> Option<&NetworkInterfaceId> {
        self.network_interfaces.first()
    }

    /// Its root volume, unless that was detached.
    pub(super) fn root(&self) -> Option<&VolumeId> {
        if self.rootless.is_some() { None } else { self.volumes.first() }
    }

    /// Its other volumes.
    pub(super) fn data_volumes(&self) -> &[VolumeId] {
        &self.volumes[usize::from(self.root().is_some())..]
    }
}
