//! Volumes that are made of snapshots: they get what is in there, and are `creating` until they have it.
//!
//! EC2 brings it when it is first read; here a volume of a launch has it before its machine boots, and any other before it can be
//! attached. Where it can't be had, the volume is in `error`, and the instance of a launch doesn't start.

use super::{Shape, State, Volume, encryption};
use crate::{
    account::{Context, Effect, Filling, ids::VolumeId, place::Zone, request::invalid, snapshot},
    error::{ApiError, Code},
    machine::Event,
    wire::Structure,
};

/// A volume of a snapshot, as a request wants it.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateVolume.html>.
pub(super) fn of_snapshot(context: &Context<'_>, zone: Zone, ebs: &Structure, id: &str) -> Result<Volume, ApiError> {
    let (id, snapshot) = snapshot::usable(context, id)?;
    let mut shape = Shape::of_snapshot(ebs, snapshot.gib, snapshot.encrypted)?;
    if shape.gib < snapshot.gib {
        return Err(invalid(format!(
            "Volume of size {}GB is smaller than snapshot '{id}', expect size >= {}GB",
            shape.gib, snapshot.gib
        )));
    }
    encryption::apply_to_restored(context, ebs, snapshot, &mut shape)?;
    let boots = snapshot.system.as_ref().is_some_and(|system| system.kind.has_machine());
    Ok(Volume {
        system: snapshot.system.clone(),
        is_fresh: boots,
        filling: snapshot.bytes.clone(),
        ..Volume::new(zone, shape, Some(id), context.now)
    })
}

impl Volume {
    /// What it has to get yet.
    pub(in crate::account) fn to_be_filled(&self, id: &VolumeId) -> Option<Filling> {
        let snapshot = self.filling.as_ref()?;
        Some(Filling { volume: id.to_string(), snapshot: snapshot.to_string(), gib: self.shape.gib.unsigned_abs() })
    }
}

/// Has a volume that nothing holds get what it is made of. Those that an instance holds get it before its machine starts.
pub(in crate::account) fn begin(context: &mut Context<'_>, id: &VolumeId) {
    let volume = context.region.volumes.get(id).filter(|volume| volume.attachment.is_none() && !volume.is_lost);
    let filling = volume.and_then(|volume| volume.to_be_filled(id));
    context.shared.effects.extend(filling.map(Effect::Fill));
}

/// Those that an endpoint was at when it was killed get it now.
pub(in crate::account) fn begin_again(context: &mut Context<'_>) {
    let due = context.region.volumes.iter().filter(|(_, volume)| volume.filling.is_some());
    for id in due.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
        begin(context, &id);
    }
}

/// Something came of it.
pub(in crate::account) fn event(context: &mut Context<'_>, id: &VolumeId, event: Event) {
    match event {
        Event::Filled => filled(context, id),
        Event::Failed(why) => {
            tracing::warn!("failed to make {id}: {why}");
            if let Some(volume) = context.region.volumes.get_mut(id).filter(|volume| volume.filling.is_some()) {
                volume.is_lost = true;
            }
        }
        _ => {}
    }
}

/// A volume has what it is made of.
pub(in crate::account) fn filled(context: &mut Context<'_>, id: &VolumeId) {
    let waits = context.region.volumes.get(id).is_some_and(|volume| volume.filling.is_some());
    if let Some(volume) = context.region.volumes.get_mut(id).filter(|_| waits) {
        let snapshot = volume.filling.take();
        context.shared.release_bytes(snapshot.as_ref());
    }
}

/// Sees that there is something on a volume that can be taken.
pub(in crate::account) fn check_has_content(
    context: &Context<'_>,
    id: &VolumeId,
    volume: &Volume,
) -> Result<(), ApiError> {
    match volume.state(context.settings, context.now) {
        State::Deleting => Err(crate::account::ids::unknown(id.as_ref())),
        State::Error => {
            let message = format!("The volume '{id}' is 'error', and neither 'available' nor 'in-use'.");
            Err(ApiError::new(Code::IncorrectState, message))
        }
        _ => Ok(()),
    }
}
