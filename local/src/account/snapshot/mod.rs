//! Snapshots of volumes: the resource, and by files how they are made, copied, shared and shown.

mod actions;
mod attribute;
mod copy;
mod create;
mod describe;

pub(super) use actions::ACTIONS;

pub(super) use attribute::{describe as describe_attribute, modify as modify_attribute, reset as reset_attribute};
pub(super) use copy::{copied, copy};
pub(super) use create::{Wanted, check_room, create, create_many, description, take};
pub(super) use describe::{describe, describe_tiers};

use super::{
    Content, Context, Effect, Part, Shared,
    ids::{Id, ImageId, SnapshotId, VolumeId},
    permission::Permissions,
    region::Region,
    request::required,
    system::System,
};
use crate::{
    error::{ApiError, Code},
    machine::Event,
    wire::Structure,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use time::OffsetDateTime;

/// How long AWS takes for one, as far as that can be said at all.
pub(super) const DURATION: Duration = Duration::from_secs(30);

/// A snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub(super) volume: VolumeId,
    pub(super) gib: i64,
    pub(super) encrypted: bool,
    pub(super) description: String,
    pub(super) started: OffsetDateTime,
    /// When it is completed at the earliest.
    pub(super) completes: OffsetDateTime,
    pub(super) taking: Taking,
    /// Whether it is to be taken once its instance's machine is off.
    #[serde(default)]
    pub(super) waits_for_power_off: bool,
    /// What boots from it; none where it is of a volume that nothing boots from.
    pub(super) system: Option<System>,
    /// The snapshot that has its bytes: itself, or the one that it is a copy of. None where it has a layer, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<SnapshotId>,
    /// The ARN of the key that it is encrypted with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kms_key: Option<String>,
    #[serde(default)]
    pub(super) permissions: Permissions,
}

/// Whether what is in it was taken from the volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Taking {
    Due,
    Done,
    /// It couldn't be, for this reason.
    Failed(String),
}

/// The state of a snapshot.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Snapshot.html>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Pending,
    Completed,
    Error,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Completed => "completed",
            Self::Error => "error",
        }
    }
}

impl Snapshot {
    pub(super) fn state(&self, now: OffsetDateTime) -> State {
        match self.taking {
            Taking::Failed(_) => State::Error,
            Taking::Done if now >= self.completes => State::Completed,
            _ => State::Pending,
        }
    }

    /// How much of it is done, in percent; all of it is only once it is completed.
    fn progress(&self, now: OffsetDateTime) -> i64 {
        if self.state(now) == State::Completed {
            return 100;
        }
        let (passed, whole) = (now - self.started, self.completes - self.started);
        let part = if whole.is_positive() { passed / whole } else { 1.0 };
        // As a number it is between 0 and 99.
        #[allow(clippy::cast_possible_truncation)]
        let percent = (part * 100.0).clamp(0.0, 99.0) as i64;
        percent
    }

    /// What has to happen so that it has its contents, and the instance that has the volume.
    fn part(&self, id: &SnapshotId, region: &Region) -> Option<(Option<String>, Part)> {
        let volume = region.volumes.get(&self.volume);
        let content = match &self.system {
            Some(system) if system.kind.has_machine() => {
                Content::Layer { kind: system.kind, root: system.root.clone() }
            }
            _ if self.bytes.as_ref() == Some(id) => {
                Content::Bytes { filling: volume.and_then(|volume| volume.to_be_filled(&self.volume)) }
            }
            _ => return None,
        };
        let holder = volume.and_then(|volume| volume.attachment.as_ref()).map(|it| it.instance.to_string());
        Some((holder, Part { snapshot: id.to_string(), volume: self.volume.to_string(), content }))
    }
}

impl Shared {
    /// Has the contents of a snapshot taken, at once with those of the same instance that were last asked for.
    pub(super) fn take_snapshot(&mut self, id: &SnapshotId, region: &Region) {
        let part = region.snapshots.get(id).and_then(|snapshot| snapshot.part(id, region));
        let Some((instance, part)) = part else { return };
        match self.effects.last_mut() {
            Some(Effect::Take { instance: last, parts }) if last.is_some() && *last == instance => parts.push(part),
            _ => self.effects.push(Effect::Take { instance, parts: vec![part] }),
        }
    }
}

/// The snapshot of a request, which must be completed to be of use.
pub(super) fn usable<'a>(context: &'a Context<'_>, id: &str) -> Result<(SnapshotId, &'a Snapshot), ApiError> {
    let id = context.region.snapshots.parse(id)?;
    let snapshot = context.region.snapshots.require(&id)?;
    check_completed(&id, snapshot, context.now)?;
    Ok((id, snapshot))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>.
pub(super) fn check_completed(id: &SnapshotId, snapshot: &Snapshot, now: OffsetDateTime) -> Result<(), ApiError> {
    match snapshot.state(now) {
        State::Completed => Ok(()),
        state => {
            let message = format!("Snapshot is in invalid state - {}: '{id}'", state.name());
            Err(ApiError::new(Code::IncorrectState, message))
        }
    }
}

/// Something came of taking one.
pub(super) fn event(context: &mut Context<'_>, id: &SnapshotId, event: Event) {
    let Some(snapshot) = context.region.snapshots.get_mut(id) else { return };
    match event {
        Event::Taken => snapshot.taking = Taking::Done,
        Event::Failed(why) => snapshot.taking = Taking::Failed(why),
        _ => {}
    }
}

/// The power of an instance's machine is off: what waited for it is taken from its volumes.
pub(super) fn take_waiting(context: &mut Context<'_>, volumes: &[VolumeId]) {
    let waits = |snapshot: &Snapshot| snapshot.waits_for_power_off && volumes.contains(&snapshot.volume);
    let snapshots = context.region.snapshots.iter().filter(|(_, snapshot)| waits(snapshot));
    for id in snapshots.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
        let Some(snapshot) = context.region.snapshots.get_mut(&id) else { continue };
        snapshot.waits_for_power_off = false;
        context.shared.take_snapshot(&id, context.region);
    }
}

/// All that was to be taken when the endpoint was killed is taken from what the volumes hold now.
pub(super) fn take_again(context: &mut Context<'_>) {
    let due = context.region.snapshots.iter().filter(|(_, snapshot)| snapshot.taking == Taking::Due);
    let of = |volume: &VolumeId| context.region.volumes.get(volume)?.attachment.as_ref().map(|it| it.instance.clone());
    let mut due: Vec<_> = due.map(|(id, snapshot)| (of(&snapshot.volume), id.clone())).collect();
    due.sort();
    for (_, id) in due {
        let Some(snapshot) = context.region.snapshots.get_mut(&id) else { continue };
        snapshot.waits_for_power_off = false;
        let volume = snapshot.volume.clone();
        let is_there = context.region.volumes.get(&volume).is_some_and(|volume| volume.deleted.is_none());
        if is_there || volume == no_volume() {
            context.shared.take_snapshot(&id, context.region);
        } else {
            event(context, &id, Event::Failed("the endpoint was killed, and the volume is gone".to_owned()));
        }
    }
}

/// The image that has a snapshot, if one has.
pub(super) fn user(region: &Region, id: &SnapshotId) -> Option<ImageId> {
    region.images.iter().find(|(_, image)| image.snapshots().any(|one| one == id)).map(|(image, _)| image.clone())
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteSnapshot.html>.
pub(super) fn delete(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.region.snapshots.parse(required(input, "SnapshotId")?)?;
    if let Some(image) = user(context.region, &id) {
        let message = format!("The snapshot {id} is currently in use by {image}");
        return Err(ApiError::new(Code::InvalidSnapshotInUse, message));
    }
    end(context, &id);
    Ok(Structure::new())
}

/// A snapshot is gone; its files stay as long as something needs them.
pub(super) fn end(context: &mut Context<'_>, id: &SnapshotId) {
    let Some(snapshot) = context.region.snapshots.remove(id) else { return };
    context.region.tags.forget(id);
    context.shared.release_layers(snapshot.system.as_ref());
    context.shared.release_bytes(snapshot.bytes.as_ref());
}

/// The volume that copies name, and that never is one.
/// Source: <https://docs.aws.amazon.com/ebs/latest/userguide/ebs-copy-snapshot.html>.
pub(super) fn no_volume() -> VolumeId {
    VolumeId::new("vol-ffffffff".to_owned())
}
