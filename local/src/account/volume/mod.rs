//! Volumes: the resource, and by files what kind each is, its key, what it is made of, its attachment, its modifications and its status.
//!
//! What becomes of a volume with time (it is `creating`, then `available`) follows from the times in its row. Where something must
//! happen at a time, as when a volume has left its instance, the instance's timer sees to that.

mod actions;
pub(super) mod attach;
pub(super) mod attachment;
pub(super) mod encryption;
pub(super) mod filling;
pub(super) mod modify;
mod shape;
pub(super) mod status;

pub(super) use actions::ACTIONS;

use super::{
    Context, Effect,
    describe::Listing,
    filter::whole_second,
    ids::{SnapshotId, VolumeId},
    instance::later,
    place::Zone,
    region::Region,
    request::{combination, given, missing, required},
    settings::Settings,
    system::System,
    tags::TagSpecifications,
};
use crate::{
    error::{ApiError, Code},
    wire::Structure,
};
pub(super) use attachment::Attachment;
pub(super) use filling::check_has_content;
use modify::Modification;
use serde::{Deserialize, Serialize};
pub(super) use shape::Shape;
use std::time::Duration;
use time::OffsetDateTime;

/// How long EC2 takes until a new volume is `available`.
const CREATING: Duration = Duration::from_secs(3);
/// How long a volume is seen that was deleted.
const DELETING: Duration = Duration::from_secs(3);

/// The action whose client tokens volumes hold.
const ACTION: &str = "CreateVolume";

/// A volume.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Volume {
    pub(super) zone: Zone,
    pub(super) shape: Shape,
    pub(super) snapshot: Option<SnapshotId>,
    /// What boots from it; none where nothing does.
    #[serde(default)]
    pub(super) system: Option<System>,
    /// Whether it has taken the place of another, and no machine has booted from it yet.
    #[serde(default)]
    pub(super) is_fresh: bool,
    /// The snapshot whose bytes it is to get, and hasn't yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) filling: Option<SnapshotId>,
    /// Whether it couldn't get them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_lost: bool,
    pub(super) created: OffsetDateTime,
    pub(super) attachment: Option<Attachment>,
    /// The token of the CreateVolume that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) client_token: Option<String>,
    /// When it was deleted; it is seen for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deleted: Option<OffsetDateTime>,
    /// Whether I/O goes on by itself where its data may be inconsistent, which it never is here.
    #[serde(default)]
    pub(super) auto_enable_io: bool,
    /// Its modifications, the last one at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) modifications: Vec<Modification>,
}

/// The state of a volume.
/// Source: <https://docs.aws.amazon.com/ebs/latest/userguide/ebs-describing-volumes.html#volume-state>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Creating,
    Available,
    InUse,
    Deleting,
    Error,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Available => "available",
            Self::InUse => "in-use",
            Self::Deleting => "deleting",
            Self::Error => "error",
        }
    }
}

impl Volume {
    /// A new one, which nothing holds.
    pub(super) fn new(zone: Zone, shape: Shape, snapshot: Option<SnapshotId>, created: OffsetDateTime) -> Self {
        Self {
            zone,
            shape,
            snapshot,
            system: None,
            is_fresh: false,
            filling: None,
            is_lost: false,
            created,
            attachment: None,
            client_token: None,
            deleted: None,
            auto_enable_io: false,
            modifications: Vec::new(),
        }
    }

    /// Its state at a time.
    pub(super) fn state(&self, settings: &Settings, now: OffsetDateTime) -> State {
        match () {
            () if self.deleted.is_some() => State::Deleting,
            () if self.attachment.is_some() => State::InUse,
            () if self.is_lost => State::Error,
            () if self.filling.is_some() => State::Creating,
            () if now < later(self.created, settings.paced(CREATING)) => State::Creating,
            () => State::Available,
        }
    }
}

impl Context<'_> {
    /// The volume that a request names, unless it is on its way out: then it is as good as gone.
    fn volume(&self, input: &Structure) -> Result<VolumeId, ApiError> {
        let id = self.region.volumes.parse(required(input, "VolumeId")?)?;
        match self.region.volumes.require(&id)?.deleted {
            None => Ok(id),
            Some(_) => Err(super::ids::unknown(id.as_ref())),
        }
    }

    fn volume_state(&self, id: &VolumeId) -> Result<State, ApiError> {
        Ok(self.region.volumes.require(id)?.state(self.settings, self.now))
    }
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateVolume.html>.
pub(super) fn create(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let token = match context.region.tokens.read(ACTION, input)? {
        Ok(token) => token,
        Err(id) => return again(context, id),
    };
    let zone = zone(context, input)?;
    let mut ebs = input.clone();
    if let Some(size) = input.integer("Size") {
        ebs.set("VolumeSize", size);
    }
    let volume = match input.string("SnapshotId") {
        Some(snapshot) => filling::of_snapshot(context, zone, &ebs, snapshot)?,
        None => {
            let mut shape = Shape::read(&ebs, None)?;
            encryption::apply(context, input, &mut shape)?;
            Volume::new(zone, shape, None, context.now)
        }
    };
    let tags = TagSpecifications::read(input, &["volume"])?;
    let id: VolumeId = context.shared.source.id();
    let volume = Volume { client_token: token.clone(), ..volume };
    context.shared.hold_layers(volume.system.as_ref());
    context.shared.hold_bytes(volume.filling.as_ref());
    context.region.volumes.insert(id.clone(), volume);
    filling::begin(context, &id);
    context.region.tags.set(&id, tags.of("volume"));
    context.region.tokens.remember(ACTION, token, input, id.as_ref(), 1);
    let volume = context.region.volumes.require(&id)?;
    Ok(shown(context.settings, context.now, context.region, &id, volume))
}

/// What came of the same request before.
fn again(context: &Context<'_>, id: &str) -> Result<Structure, ApiError> {
    let id: VolumeId = super::ids::Id::parse(id)?;
    let volume = context.region.volumes.require(&id)?;
    Ok(shown(context.settings, context.now, context.region, &id, volume))
}

fn zone(context: &Context<'_>, input: &Structure) -> Result<Zone, ApiError> {
    let (name, id) = (given(input, "AvailabilityZone"), given(input, "AvailabilityZoneId"));
    let mut zones = context.region.place.zones();
    let (named, found) = match (name, id) {
        (Some(_), Some(_)) => {
            return Err(combination("AvailabilityZone and AvailabilityZoneId cannot be used together."));
        }
        (Some(name), None) => (name, zones.find(|zone| zone.name() == name)),
        (None, Some(id)) => (id, zones.find(|zone| zone.id() == id)),
        (None, None) => return Err(missing("availabilityZone")),
    };
    found.ok_or_else(|| ApiError::new(Code::InvalidZoneNotFound, format!("The zone '{named}' does not exist.")))
}

const LISTING: Listing = Listing {
    action: "DescribeVolumes",
    ids: "VolumeIds",
    id: "VolumeId",
    sizes: 5..=1000,
    filters: &[
        ("attachment.attach-time", "Attachments.AttachTime"),
        ("attachment.delete-on-termination", "Attachments.DeleteOnTermination"),
        ("attachment.device", "Attachments.Device"),
        ("attachment.instance-id", "Attachments.InstanceId"),
        ("attachment.status", "Attachments.State"),
        ("availability-zone", "AvailabilityZone"),
        ("availability-zone-id", "AvailabilityZoneId"),
        ("create-time", "CreateTime"),
        ("encrypted", "Encrypted"),
        ("fast-restored", "FastRestored"),
        ("multi-attach-enabled", "MultiAttachEnabled"),
        ("operator.managed", "Operator.Managed"),
        ("operator.principal", ""),
        ("size", "Size"),
        ("snapshot-id", "SnapshotId"),
        ("status", "State"),
        ("volume-id", "VolumeId"),
        ("volume-type", "VolumeType"),
    ],
};

pub(super) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let (settings, now, region) = (context.settings, context.now, &*context.region);
    let row = |id: &VolumeId, volume: &Volume| shown(settings, now, region, id, volume);
    LISTING.answer("Volumes", input, &region.volumes, &region.tags, row)
}

fn shown(settings: &Settings, now: OffsetDateTime, region: &Region, id: &VolumeId, volume: &Volume) -> Structure {
    let attachments: Vec<Structure> = volume
        .attachment
        .iter()
        .map(|attachment| {
            let state = attachment.state(settings, now).name();
            attachment.shown(id, state).with("DeleteOnTermination", attachment.delete_on_termination)
        })
        .collect();
    volume
        .shape_at(settings, now)
        .shown()
        .with_some("KmsKeyId", volume.shape.kms_key.as_deref())
        .with("VolumeId", id)
        .with("Size", volume.shape_at(settings, now).gib)
        .with("SnapshotId", volume.snapshot.as_ref().map_or("", AsRef::as_ref))
        .with("AvailabilityZone", volume.zone.name())
        .with("AvailabilityZoneId", volume.zone.id())
        .with("State", volume.state(settings, now).name())
        .with("CreateTime", volume.created)
        .with("Attachments", attachments)
        .with("MultiAttachEnabled", false)
        .with("Operator", Structure::new().with("Managed", false))
        .with("Tags", region.tags.shown(id))
}

impl Attachment {
    /// As the actions that make and end it show it.
    fn shown(&self, volume: &VolumeId, state: &str) -> Structure {
        Structure::new()
            .with("VolumeId", volume)
            .with("InstanceId", &self.instance)
            .with("Device", self.device.as_str())
            .with("State", state)
            .with("AttachTime", whole_second(self.time))
    }
}

/// What earlier versions have not written down of root volumes follows from their instances and images.
pub(super) fn know_systems(region: &mut Region) {
    let of_instances = region.instances.iter().filter_map(|(_, instance)| {
        let system = System {
            kind: instance.kind,
            image: instance.image_name.clone(),
            root: instance.image_root.clone(),
            login_user: instance.login_user.clone(),
            architecture: instance.architecture,
            layers: Vec::new(),
        };
        Some((instance.root()?.clone(), system))
    });
    let made_of = |volume: &Volume| {
        let snapshot = volume.snapshot.as_ref()?;
        region.images.iter().find(|(_, image)| image.root_snapshot == *snapshot).map(|(_, image)| image.system())
    };
    let kept = region.volumes.iter().filter(|(_, volume)| volume.attachment.is_none() && volume.deleted.is_none());
    let kept = kept.filter_map(|(id, volume)| Some((id.clone(), made_of(volume)?)));
    for (id, system) in of_instances.chain(kept).collect::<Vec<_>>() {
        if region.volumes.get(&id).is_some_and(|volume| volume.system.is_none()) {
            region.volumes.derive(&id, |volume| volume.system = Some(system));
        }
    }
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteVolume.html>.
pub(super) fn delete(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.volume(input)?;
    if let Some(attachment) = &context.region.volumes.require(&id)?.attachment {
        let message = format!("Volume {id} is currently attached to {}", attachment.instance);
        return Err(ApiError::new(Code::VolumeInUse, message));
    }
    require_available(context, &id)?;
    end(context, &id);
    Ok(Structure::new())
}

fn require_available(context: &Context<'_>, id: &VolumeId) -> Result<(), ApiError> {
    match context.volume_state(id)? {
        State::Available | State::Error => Ok(()),
        state => {
            let message = format!("The volume '{id}' is '{}', and not 'available'.", state.name());
            Err(ApiError::new(Code::IncorrectState, message))
        }
    }
}

/// Deletes a volume that nothing holds. What is on it is gone at once; it is seen for a while.
pub(super) fn end(context: &mut Context<'_>, id: &VolumeId) {
    let Some(volume) = context.region.volumes.get_mut(id) else { return };
    volume.deleted = Some(context.now);
    let (at, system, filling) = (volume.vanishes(context.settings), volume.system.take(), volume.filling.take());
    context.shared.effects.push(Effect::Discard { volume: id.to_string() });
    context.shared.release_layers(system.as_ref());
    context.shared.release_bytes(filling.as_ref());
    match at {
        Some(at) if at > context.now => {
            context.shared.deleted_volumes.insert((at, context.region.place.name, id.clone()));
        }
        _ => vanish(context.region, id),
    }
}

impl Volume {
    /// When a deleted volume is seen no more.
    pub(super) fn vanishes(&self, settings: &Settings) -> Option<OffsetDateTime> {
        Some(later(self.deleted?, settings.paced(DELETING)))
    }
}

/// Forgets a volume that was deleted.
pub(super) fn vanish(region: &mut Region, id: &VolumeId) {
    if let Some(Volume { client_token: Some(token), .. }) = region.volumes.remove(id) {
        region.tokens.release(ACTION, &token);
    }
    region.tags.forget(id);
}
