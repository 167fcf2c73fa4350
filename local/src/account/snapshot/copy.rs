//! CopySnapshot.

use super::{DURATION, Snapshot, Taking, check_completed, create::description, no_volume};
use crate::{
    account::{
        Context,
        ids::{Id, SnapshotId},
        instance::later,
        permission::Permissions,
        request::{invalid, required},
        tags::{TagSet, TagSpecifications},
        volume::encryption,
    },
    error::ApiError,
    wire::Structure,
};

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CopySnapshot.html>.
pub(in crate::account) fn copy(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let from = required(input, "SourceRegion")?;
    let id = SnapshotId::parse(required(input, "SourceSnapshotId")?)?;
    let source = context.region_named(from)?.snapshots.require(&id)?.clone();
    check_completed(&id, &source, context.now)?;
    let here = context.region.place.name;
    if input.string("DestinationRegion").is_some_and(|region| region != here) {
        return Err(invalid(format!("DestinationRegion must be the region that is asked, which is {here}")));
    }
    // SDKs still sign a request to the other region, which is of no use to an account that has both.
    if input.string("PresignedUrl").is_some_and(|url| !url.contains("Action=CopySnapshot")) {
        return Err(invalid("PresignedUrl must be of the action CopySnapshot"));
    }
    let key = encryption::of_copy(context, input, source.encrypted)?;
    let tags = TagSpecifications::read(input, &["snapshot"])?.of("snapshot");
    let description = match description(input)? {
        "" => format!("[Copied {id} from {from}]"),
        text => text.to_owned(),
    };
    let copy = copied(context, &source, key, description, &tags);
    Ok(Structure::new().with("SnapshotId", &copy).with("Tags", context.region.tags.shown(&copy)))
}

/// Makes a copy, encrypted where there is a key: its contents are the same files, which are never changed.
pub(in crate::account) fn copied(
    context: &mut Context<'_>,
    source: &Snapshot,
    key: Option<String>,
    description: String,
    tags: &TagSet,
) -> SnapshotId {
    let id: SnapshotId = context.shared.source.id();
    // Of an imported image nothing is taken, but its files must stay as long as the copy does.
    let has_files = source.system.as_ref().is_some_and(|system| system.root.is_some() && system.layers.is_empty());
    let copy = Snapshot {
        volume: no_volume(),
        gib: source.gib,
        encrypted: key.is_some(),
        description,
        started: context.now,
        completes: later(later(context.now, context.settings.paced(DURATION)), context.verdict.stuck),
        taking: if has_files { Taking::Due } else { Taking::Done },
        waits_for_power_off: false,
        system: source.system.clone().map(|system| if has_files { system.under(&id) } else { system }),
        bytes: source.bytes.clone(),
        kms_key: key,
        permissions: Permissions::default(),
    };
    context.shared.hold_layers(copy.system.as_ref());
    context.shared.hold_bytes(copy.bytes.as_ref());
    context.region.tags.set(&id, tags.clone());
    context.region.snapshots.insert(id.clone(), copy);
    if has_files {
        context.shared.take_snapshot(&id, context.region);
    }
    id
}
