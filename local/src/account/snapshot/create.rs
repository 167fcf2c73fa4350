//! CreateSnapshot, CreateSnapshots.

use super::{DURATION, Snapshot, State, Taking, describe::shown_of_many};
use crate::{
    account::{
        Context,
        ids::{InstanceId, SnapshotId, VolumeId},
        instance::later,
        permission::Permissions,
        request::{combination, invalid, missing, one_of, only, required, unsupported},
        tags::{TagSet, TagSpecifications},
        volume::{self, Volume},
    },
    error::{ApiError, Code},
    wire::Structure,
};

/// How many snapshots of one volume may be pending; of an `st1` or `sc1` one.
/// Source: <https://docs.aws.amazon.com/ebs/latest/userguide/ebs-create-snapshot.html>.
const PENDING: usize = 5;
const PENDING_OF_SLOW: usize = 1;
/// The longest description.
const DESCRIPTION: usize = 255;

/// What a snapshot of a volume is to be.
#[derive(Debug, Clone)]
pub(in crate::account) struct Wanted {
    pub(in crate::account) description: String,
    pub(in crate::account) tags: TagSet,
    /// Whether the volume's machine goes off first.
    pub(in crate::account) after_power_off: bool,
}

/// The description of a request.
pub(in crate::account) fn description(input: &Structure) -> Result<&str, ApiError> {
    let text = input.string("Description").unwrap_or_default();
    match text.chars().count() {
        ..=DESCRIPTION => Ok(text),
        _ => Err(invalid(format!("The description can have up to {DESCRIPTION} characters"))),
    }
}

/// All volumes are in regions, and so are their snapshots.
fn check_location(input: &Structure) -> Result<(), ApiError> {
    match one_of(input, "Location", &["local", "regional"])? {
        Some("local") => Err(combination("Location 'local' is for volumes in Local Zones.")),
        _ => Ok(()),
    }
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSnapshot.html>.
pub(in crate::account) fn create(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let volume = context.region.volumes.parse(required(input, "VolumeId")?)?;
    check_location(input)?;
    let tags = TagSpecifications::read(input, &["snapshot"])?.of("snapshot");
    let wanted = Wanted { description: description(input)?.to_owned(), tags, after_power_off: false };
    check_room(context, &volume)?;
    let id = take(context, &volume, &wanted)?;
    // It has only begun, however soon it is done.
    let shown = shown_of_many(context, &id, context.region.snapshots.require(&id)?);
    Ok(shown.with("State", State::Pending.name()).with("Progress", ""))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSnapshots.html>.
pub(in crate::account) fn create_many(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let specification = input.structure("InstanceSpecification").ok_or_else(|| missing("InstanceSpecification"))?;
    let members = ["ExcludeBootVolume", "ExcludeDataVolumeIds", "InstanceId"];
    only(specification, "InstanceSpecification.", &members)?;
    check_location(input)?;
    let id = context.region.instances.parse(required(specification, "InstanceId")?)?;
    let volumes = volumes(context, &id, specification)?;
    let tags = TagSpecifications::read(input, &["snapshot"])?.of("snapshot");
    let copies_tags = one_of(input, "CopyTagsFromSource", &["volume"])?.is_some();
    let description = description(input)?;
    for volume in &volumes {
        check_room(context, volume)?;
    }
    let mut made = Vec::new();
    for volume in &volumes {
        let mut all = tags.clone();
        if copies_tags {
            let of_volume = context.region.tags.get(volume).cloned().unwrap_or_default();
            for (key, value) in of_volume {
                all.entry(key).or_insert(value);
            }
        }
        let wanted = Wanted { description: description.to_owned(), tags: all, after_power_off: false };
        made.push(take(context, volume, &wanted)?);
    }
    let shown: Vec<Structure> =
        made.iter().filter_map(|id| Some(shown_of_many(context, id, context.region.snapshots.get(id)?))).collect();
    Ok(Structure::new().with("Snapshots", shown))
}

/// The volumes of an instance that a request wants.
fn volumes(context: &Context<'_>, id: &InstanceId, wanted: &Structure) -> Result<Vec<VolumeId>, ApiError> {
    let instance = context.region.instances.require(id)?;
    let (root, data) = (instance.root(), instance.data_volumes());
    let excluded = context.region.volumes.parse_all(wanted.strings("ExcludeDataVolumeIds"))?;
    if let Some(other) = excluded.iter().find(|volume| !data.contains(volume)) {
        return Err(invalid(format!("The volume '{other}' is no data volume of the instance '{id}'")));
    }
    let root = root.filter(|_| wanted.boolean("ExcludeBootVolume") != Some(true));
    let volumes: Vec<_> =
        root.into_iter().chain(data.iter().filter(|volume| !excluded.contains(volume))).cloned().collect();
    if volumes.is_empty() {
        Err(invalid(format!("No volume of the instance '{id}' is left to be taken")))
    } else {
        Ok(volumes)
    }
}

/// Sees that a snapshot of a volume can be taken, and that one more may be pending.
pub(in crate::account) fn check_room(context: &Context<'_>, volume: &VolumeId) -> Result<(), ApiError> {
    let row = context.region.volumes.require(volume)?;
    volume::check_has_content(context, volume, row)?;
    if is_anothers_root(context, volume, row) {
        return Err(unsupported(format!(
            "A snapshot of the volume '{volume}', a root volume that another machine has beside its own,"
        )));
    }
    let pending = context.region.snapshots.iter().map(|(_, snapshot)| snapshot);
    let pending = pending.filter(|one| one.volume == *volume && one.state(context.now) == State::Pending).count();
    let is_slow = !context.region.volumes.require(volume)?.shape.bootable();
    if pending < if is_slow { PENDING_OF_SLOW } else { PENDING } {
        return Ok(());
    }
    let message = "Maximum allowed in-progress snapshots for a single volume exceeded.";
    Err(ApiError::new(Code::ConcurrentSnapshotLimitExceeded, message))
}

/// Whether a volume that a machine has booted from is beside another one's root: what that writes to it is in no layer.
fn is_anothers_root(context: &Context<'_>, id: &VolumeId, volume: &Volume) -> bool {
    let holder = volume.attachment.as_ref().and_then(|attachment| context.region.instances.get(&attachment.instance));
    let boots = volume.system.as_ref().is_some_and(|system| system.kind.has_machine());
    boots && holder.is_some_and(|holder| holder.kind.has_machine() && holder.root() != Some(id))
}

/// Takes a snapshot of a volume.
pub(in crate::account) fn take(
    context: &mut Context<'_>,
    volume_id: &VolumeId,
    wanted: &Wanted,
) -> Result<SnapshotId, ApiError> {
    let id: SnapshotId = context.shared.source.id();
    let volume = context.region.volumes.require(volume_id)?;
    let has_files = volume.system.as_ref().is_some_and(|system| system.kind.has_machine());
    let system = volume.system.as_ref().map(|system| if has_files { system.under(&id) } else { system.clone() });
    // Where there are no machines, nobody can have written to it.
    let may_have_bytes = !has_files && context.settings.images.iter().any(|image| image.kind.has_machine());
    let is_due = has_files || may_have_bytes;
    let snapshot = Snapshot {
        volume: volume_id.clone(),
        gib: volume.shape.gib,
        encrypted: volume.shape.encrypted,
        description: wanted.description.clone(),
        started: context.now,
        completes: later(later(context.now, context.settings.paced(DURATION)), context.verdict.stuck),
        taking: if is_due { Taking::Due } else { Taking::Done },
        waits_for_power_off: is_due && wanted.after_power_off,
        system,
        bytes: may_have_bytes.then(|| id.clone()),
        kms_key: volume.shape.kms_key.clone(),
        permissions: Permissions::default(),
    };
    context.shared.hold_layers(snapshot.system.as_ref());
    context.shared.hold_bytes(snapshot.bytes.as_ref());
    let waits = snapshot.waits_for_power_off;
    context.region.tags.set(&id, wanted.tags.clone());
    context.region.snapshots.insert(id.clone(), snapshot);
    if !waits {
        context.shared.take_snapshot(&id, context.region);
    }
    Ok(id)
}
