//! CopyImage.

use super::{
    DURATION, Image, Made, Options, State, check_name,
    device::{Contents, Device},
};
use crate::{
    account::{
        Context,
        ids::{Id, ImageId, SnapshotId},
        instance::later,
        permission::Permissions,
        region::Region,
        request::required,
        settings::ImageSettings,
        snapshot::{self, Snapshot, Taking},
        tags::{TagSet, TagSpecifications},
        volume::encryption,
    },
    error::{ApiError, Code},
    wire::Structure,
};

const ACTION: &str = "CopyImage";

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CopyImage.html>.
pub(in crate::account) fn copy(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let token = match context.region.tokens.read(ACTION, input)? {
        Ok(token) => token,
        Err(made) => return Ok(Structure::new().with("ImageId", made)),
    };
    let name = required(input, "Name")?;
    check_name(context.region, name)?;
    let from = required(input, "SourceRegion")?;
    let source_id = ImageId::parse(required(input, "SourceImageId")?)?;
    let abroad = context.region_named(from)?;
    let source = abroad.images.require(&source_id)?.clone();
    if source.state(abroad, context.now) != State::Available {
        let message = format!("The image id '[{source_id}]' is not available");
        return Err(ApiError::new(Code::InvalidAmiIdUnavailable, message));
    }
    let tags = TagSpecifications::read(input, &["image", "snapshot"])?;
    let mut own_tags = tags.of("image");
    if input.boolean("CopyImageTags") == Some(true) && source.is_own() {
        let copied = abroad.tags.get(&source_id).cloned().unwrap_or_default();
        for (key, value) in copied {
            own_tags.entry(key).or_insert(value);
        }
    }
    let description = match snapshot::description(input)? {
        "" => format!("[Copied {source_id} from {from}] {}", source.description()),
        text => text.to_owned(),
    };
    let snapshots = snapshots(abroad, &source, context)?;
    let mut keys = Vec::new();
    for (_, snapshot) in &snapshots {
        keys.push(encryption::of_copy(context, input, snapshot.encrypted)?);
    }
    let root_key = keys.first().cloned().flatten();
    let id: ImageId = context.shared.source.id();
    let copies = Copies { tags: tags.of("snapshot"), id: &id, source: &source_id, from };
    let made = copies.made(context, &source, snapshots.into_iter().zip(keys).collect());
    let (root_snapshot, made) = made?;
    let root = source.root.clone().encrypted_with(root_key);
    let settings = ImageSettings::made(name, description.trim(), root.gib, context.now, &made.system);
    let options = Options { imds_v2: source.options.imds_v2, ..Options::default() };
    let image = Image { settings, root_snapshot, root, made: Some(made), options };
    context.region.tags.set(&id, own_tags);
    context.region.images.insert(id.clone(), image);
    context.region.tokens.remember(ACTION, token, input, id.as_ref(), 1);
    Ok(Structure::new().with("ImageId", &id))
}

/// The snapshots of an image, the root's first. Those of the settings' images are nobody's, and stand nowhere.
fn snapshots(region: &Region, image: &Image, context: &Context<'_>) -> Result<Vec<(SnapshotId, Snapshot)>, ApiError> {
    let implied = || Snapshot {
        volume: snapshot::no_volume(),
        gib: image.root.gib,
        encrypted: image.root.encrypted,
        bytes: None,
        kms_key: image.root.kms_key.clone(),
        description: String::new(),
        started: context.now,
        completes: context.now,
        taking: Taking::Done,
        waits_for_power_off: false,
        system: Some(image.system()),
        permissions: Permissions::default(),
    };
    let of = |id: &SnapshotId| match region.snapshots.require(id) {
        Err(_) if image.made.is_none() => Ok((id.clone(), implied())),
        found => Ok((id.clone(), found?.clone())),
    };
    image.snapshots().map(of).collect()
}

/// How the copies of an image's snapshots are made.
struct Copies<'a> {
    tags: TagSet,
    id: &'a ImageId,
    source: &'a ImageId,
    from: &'a str,
}

impl Copies<'_> {
    fn one(
        &self,
        context: &mut Context<'_>,
        (id, snapshot): (SnapshotId, Snapshot),
        key: Option<String>,
    ) -> SnapshotId {
        let description = format!(
            "Copied for DestinationAmi {} from SourceAmi {} for SourceSnapshot {id}. Task created by CopyImage.",
            self.id, self.source
        );
        snapshot::copied(context, &snapshot, key, description, &self.tags)
    }

    fn made(
        &self,
        context: &mut Context<'_>,
        source: &Image,
        snapshots: Vec<((SnapshotId, Snapshot), Option<String>)>,
    ) -> Result<(SnapshotId, Made), ApiError> {
        let mut copies = Vec::new();
        for (snapshot, key) in snapshots {
            copies.push((self.one(context, snapshot, key.clone()), key));
        }
        let mut copies = copies.into_iter();
        let (root, _) = copies.next().ok_or_else(|| ApiError::new(Code::InternalError, "an image has no root"))?;
        let mut devices = source.devices().to_vec();
        for device in &mut devices {
            if let Device { contents: Contents::Volume { shape, snapshot: Some(snapshot), .. }, .. } = device {
                let Some((copy, key)) = copies.next() else { continue };
                *shape = shape.clone().encrypted_with(key);
                *snapshot = copy;
            }
        }
        let system = context.region.snapshots.require(&root)?.system.clone().unwrap_or_else(|| source.system());
        let made = Made {
            available: later(later(context.now, context.settings.paced(DURATION)), context.verdict.stuck),
            system,
            root_device: source.root_device().to_owned(),
            keeps_root: !source.deletes_root(),
            devices,
            source_instance: None,
            source_image: Some((self.source.clone(), self.from.to_owned())),
            boot_mode: source.boot_mode().map(str::to_owned),
            ena: source.has_ena(),
            sriov: source.sriov().is_some(),
            tpm: source.made.as_ref().is_some_and(|made| made.tpm),
        };
        Ok((root, made))
    }
}
