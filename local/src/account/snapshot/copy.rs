//! CopySnapshot.

use super::{DURATION, Snapshot, Taking, check_completed, create::description, no_volume};
use crate::{
    account::{
        Context,
        ids::{Id, SnapshotId},
        instance::later,
        permission::Permissions,
        request::{combination, invalid, required},
        tags::{TagSet, TagSpecifications},
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
    if source.encrypted && input.boolean("Encrypted") == Some(false) {
        return Err(combination("An unencrypted copy of an encrypted snapshot can't be made."));
    }
    let tags = TagSpecifications::read(input, &["snapshot"])?.of("snapshot");
    let description = match description(input)? {
        "" => format!("[Copied {id} from {from}]"),
        text => text.to_owned(),
    };
    let encrypted = source.encrypted || input.boolean("Encrypted") == Some(true);
    let copy = copied(context, &source, encrypted, description, &tags);
    Ok(Structure::new().with("SnapshotId", &copy).with("Tags", context.region.tags.shown(&copy)))
}

/// Makes a copy: its contents are the same files, which are never changed.
pub(in crate::account) fn copied(
    context: &mut Context<'_>,
    source: &Snapshot,
    encrypted: bool,
    description: String,
    tags: &TagSet,
) -> SnapshotId {
    let id: SnapshotId = context.shared.source.id();
    // Of an imported image nothing is taken, but its files must stay as long as the copy does.
    let has_files = source.system.as_ref().is_some_and(|system| system.root.is_some() && system.layers.is_empty());
    let copy = Snapshot {
        volume: no_volume(),
        gib: source.gib,
        encrypted,
        description,
        started: context.now,
        completes: later(later(context.now, context.settings.paced(DURATION)), context.verdict.stuck),
        taking: if has_files { Taking::Due } else { Taking::Done },
        waits_for_power_off: false,
        system: source.system.clone().map(|system| if has_files { system.under(&id) } else { system }),
        permissions: Permissions::default(),
    };
    context.shared.hold_layers(copy.system.as_ref());
    let effect = has_files.then(|| copy.effect(&id, context.region)).flatten();
    context.shared.effects.extend(effect);
    context.region.tags.set(&id, tags.clone());
    context.region.snapshots.insert(id.clone(), copy);
    id
}
