//! The bond between a volume and an instance.

use crate::account::{ids::InstanceId, instance::later, settings::Settings};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use time::OffsetDateTime;

/// How long EC2 takes until a volume is attached.
const ATTACHING: Duration = Duration::from_secs(2);
/// How long EC2 takes until a volume is detached that its instance lets go of.
pub(in crate::account) const DETACHING: Duration = Duration::from_secs(2);

/// The bond between a volume and an instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::account) struct Attachment {
    pub(in crate::account) instance: InstanceId,
    pub(in crate::account) device: String,
    pub(in crate::account) time: OffsetDateTime,
    pub(in crate::account) delete_on_termination: bool,
    /// How far its end has got, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::account) detaching: Option<Detaching>,
}

/// How far the end of an attachment has got.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(in crate::account) struct Detaching {
    /// When it ends at the earliest.
    pub(in crate::account) until: OffsetDateTime,
    /// Whether the instance's machine has let go of the volume, if it has one.
    pub(in crate::account) released: bool,
}

/// The state of an attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::account) enum State {
    Attaching,
    Attached,
    Detaching,
    /// The machine doesn't let go of it.
    Busy,
}

impl State {
    pub(in crate::account) fn name(self) -> &'static str {
        match self {
            Self::Attaching => "attaching",
            Self::Attached => "attached",
            Self::Detaching => "detaching",
            Self::Busy => "busy",
        }
    }

    /// As instances show it, which know of none that is busy.
    pub(in crate::account) fn name_in_instance(self) -> &'static str {
        if self == Self::Busy { "detaching" } else { self.name() }
    }
}

impl Attachment {
    /// A new one.
    pub(in crate::account) fn new(
        instance: InstanceId,
        device: &str,
        time: OffsetDateTime,
        delete_on_termination: bool,
    ) -> Self {
        Self { instance, device: device.to_owned(), time, delete_on_termination, detaching: None }
    }

    /// Its state at a time.
    pub(in crate::account) fn state(&self, settings: &Settings, now: OffsetDateTime) -> State {
        match self.detaching {
            Some(detaching) if now >= detaching.until && !detaching.released => State::Busy,
            Some(_) => State::Detaching,
            None if now < later(self.time, settings.paced(ATTACHING)) => State::Attaching,
            None => State::Attached,
        }
    }
}
