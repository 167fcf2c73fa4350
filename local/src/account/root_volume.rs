//! Root volumes that are replaced: the instance goes on with a new one, rebooted, and keeps all else.
//!
//! Source of the rules: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/replace-root.html>.

use super::{
    Context,
    action::{Action, action},
    describe::Listing,
    ids::{ImageId, InstanceId, ReplaceRootVolumeTaskId, SnapshotId, VolumeId},
    image,
    instance::{State, power},
    region::Region,
    request::{combination, invalid, required, unsupported},
    snapshot,
    system::System,
    tags::TagSpecifications,
    volume::{self, Attachment, Shape, Volume},
};
use crate::{
    error::{ApiError, Code},
    wire::Structure,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use time::{OffsetDateTime, macros::format_description};

pub(super) const ACTIONS: &[Action] = &[
    action(
        "CreateReplaceRootVolumeTask",
        create,
        &["ClientToken", "DeleteReplacedRootVolume", "ImageId", "InstanceId", "SnapshotId", "TagSpecifications"],
    ),
    action(
        "DescribeReplaceRootVolumeTasks",
        describe,
        &["Filters", "MaxResults", "NextToken", "ReplaceRootVolumeTaskIds"],
    ),
];

/// How long a task waits before anything happens.
const PENDING: Duration = Duration::from_secs(2);
const ACTION: &str = "CreateReplaceRootVolumeTask";

/// A task to replace an instance's root volume.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Task {
    instance: InstanceId,
    started: OffsetDateTime,
    /// When the instance ran again.
    completed: Option<OffsetDateTime>,
    /// Whether the instance has the new one.
    is_replaced: bool,
    image: Option<ImageId>,
    snapshot: Option<SnapshotId>,
    deletes_replaced: bool,
    /// What is on the new one, and what it is made of.
    system: System,
    made_of: Option<SnapshotId>,
    gib: i64,
    encrypted: bool,
}

/// What the new volume is made of.
struct Origin {
    system: System,
    snapshot: Option<SnapshotId>,
    gib: i64,
    encrypted: bool,
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateReplaceRootVolumeTask.html>.
pub(super) fn create(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let token = match context.region.tokens.read(ACTION, input)? {
        Ok(token) => token,
        Err(made) => {
            let id = context.region.replace_root_volume_tasks.parse(made)?;
            let task = context.region.replace_root_volume_tasks.require(&id)?;
            return Ok(Structure::new().with("ReplaceRootVolumeTask", shown(context, &id, task)));
        }
    };
    let instance_id = context.region.instances.parse(required(input, "InstanceId")?)?;
    let instance = context.region.instances.require(&instance_id)?;
    if instance.state != State::Running {
        let message = format!("The instance '{instance_id}' is not in the 'running' state.");
        return Err(ApiError::new(Code::IncorrectInstanceState, message));
    }
    let is_busy = |task: &Task| task.instance == instance_id && task.completed.is_none();
    if context.region.replace_root_volume_tasks.iter().any(|(_, task)| is_busy(task)) {
        let message = format!("A root volume replacement task of the instance '{instance_id}' is in progress.");
        return Err(ApiError::new(Code::IncorrectState, message));
    }
    let root = instance.root().cloned();
    let root = root.ok_or_else(|| invalid(format!("The instance '{instance_id}' has no root volume")))?;
    let tags = TagSpecifications::read(input, &["replace-root-volume-task"])?.of("replace-root-volume-task");
    let (image, snapshot) = (input.string("ImageId"), input.string("SnapshotId"));
    let origin = match (image, snapshot) {
        (Some(_), Some(_)) => return Err(combination("ImageId and SnapshotId can't be used together.")),
        (Some(image), None) => of_image(context, image, &instance_id)?,
        (None, Some(snapshot)) => of_snapshot(context, snapshot, &root)?,
        (None, None) => of_launch(context, &root)?,
    };
    let image = image.map(|image| context.region.images.parse(image)).transpose()?;
    let snapshot = snapshot.map(|snapshot| context.region.snapshots.parse(snapshot)).transpose()?;
    let task = Task {
        instance: instance_id.clone(),
        started: context.now,
        completed: None,
        is_replaced: false,
        image,
        snapshot,
        deletes_replaced: input.boolean("DeleteReplacedRootVolume") == Some(true),
        system: origin.system,
        made_of: origin.snapshot,
        gib: origin.gib,
        encrypted: origin.encrypted,
    };
    let id: ReplaceRootVolumeTaskId = context.shared.source.id();
    // Its files must be there until the volume has them.
    context.shared.hold_layers(Some(&task.system));
    context.region.tags.set(&id, tags);
    context.region.tokens.remember(ACTION, token, input, id.as_ref(), 1);
    power::off(context, &instance_id, true);
    let answer = shown(context, &id, &task);
    context.region.replace_root_volume_tasks.insert(id, task);
    Ok(Structure::new().with("ReplaceRootVolumeTask", answer))
}

/// The state in which the instance was launched.
fn of_launch(context: &Context<'_>, root: &VolumeId) -> Result<Origin, ApiError> {
    let volume = context.region.volumes.require(root)?;
    let system = volume.system.clone().ok_or_else(|| unsupported("A root volume that nothing boots from"))?;
    let Shape { gib, encrypted, .. } = volume.shape;
    Ok(Origin { system, snapshot: volume.snapshot.clone(), gib, encrypted })
}

fn of_snapshot(context: &Context<'_>, id: &str, root: &VolumeId) -> Result<Origin, ApiError> {
    let (id, snapshot) = snapshot::usable(context, id)?;
    if snapshot.volume != *root {
        return Err(invalid(format!(
            "The snapshot '{id}' is not of the root volume '{root}', which is to be replaced, or is a copy"
        )));
    }
    let system = snapshot.system.clone().ok_or_else(|| unsupported("A root volume that nothing boots from"))?;
    Ok(Origin { system, gib: snapshot.gib, encrypted: snapshot.encrypted, snapshot: Some(id) })
}

fn of_image(context: &Context<'_>, id: &str, instance: &InstanceId) -> Result<Origin, ApiError> {
    let id = context.region.images.parse(id)?;
    image::check_runnable(context, &id)?;
    let image = context.region.images.require(&id)?;
    let instance = context.region.instances.require(instance)?;
    let system = image.system();
    if system.architecture != instance.architecture || system.kind != instance.kind {
        return Err(invalid(format!("The image '{id}' is of another architecture or kind than the instance's image")));
    }
    let Shape { gib, encrypted, .. } = image.root;
    Ok(Origin { system, snapshot: Some(image.root_snapshot.clone()), gib, encrypted })
}

/// The machine of an instance is off, and about to be started: if its root volume is to be replaced, it has another one now.
pub(super) fn replace(context: &mut Context<'_>, id: &InstanceId) {
    let due = |task: &Task| task.instance == *id && !task.is_replaced;
    let due = context.region.replace_root_volume_tasks.iter().find(|(_, task)| due(task)).map(|(id, _)| id.clone());
    let Some(task_id) = due else { return };
    let Some(task) = context.region.replace_root_volume_tasks.get_mut(&task_id) else { return };
    task.is_replaced = true;
    let task = task.clone();
    let root = context.region.instances.get(id).and_then(|instance| instance.root().cloned());
    let Some(root) = root else { return };
    let Some(old) = context.region.volumes.get_mut(&root) else { return };
    let Some(attachment) = old.attachment.take() else { return };
    let mut shape = old.shape.clone();
    shape.gib = shape.gib.max(task.gib);
    shape.encrypted |= task.encrypted;
    let new = Volume {
        system: Some(task.system.clone()),
        is_fresh: true,
        attachment: Some(Attachment { time: context.now, ..attachment }),
        ..Volume::new(old.zone, shape, task.made_of.clone(), context.now)
    };
    let new_id: VolumeId = context.shared.source.id();
    // The task has held the layers for it.
    context.region.volumes.insert(new_id.clone(), new);
    if let Some(instance) = context.region.instances.get_mut(id) {
        instance.volumes[0] = new_id;
        instance.image = task.image.unwrap_or_else(|| instance.image.clone());
        instance.image_name = task.system.image;
        instance.image_root = task.system.root;
        instance.login_user = task.system.login_user;
    }
    if task.deletes_replaced {
        volume::end(context, &root);
    }
}

/// The machine of an instance has power: a task is done, and the root volume has a disk.
pub(super) fn started(context: &mut Context<'_>, id: &InstanceId) {
    let now = context.now;
    let root = context.region.instances.get(id).and_then(|instance| instance.root().cloned());
    let Some(root) = root.filter(|root| context.region.volumes.get(root).is_some_and(|volume| volume.is_fresh)) else {
        return;
    };
    if let Some(volume) = context.region.volumes.get_mut(&root) {
        volume.is_fresh = false;
    }
    let done = |task: &Task| task.instance == *id && task.is_replaced && task.completed.is_none();
    let done = context.region.replace_root_volume_tasks.iter().find(|(_, task)| done(task)).map(|(id, _)| id.clone());
    if let Some(task) = done.and_then(|id| context.region.replace_root_volume_tasks.get_mut(&id)) {
        task.completed = Some(now);
    }
}

/// The systems of the volumes that are still to be made.
pub(super) fn systems(region: &Region) -> impl Iterator<Item = &System> {
    let tasks = region.replace_root_volume_tasks.iter().map(|(_, task)| task);
    tasks.filter(|task| !task.is_replaced).map(|task| &task.system)
}

/// An instance is terminated: its root volume won't be replaced any more.
pub(super) fn give_up(context: &mut Context<'_>, id: &InstanceId) {
    let due = |task: &Task| task.instance == *id && !task.is_replaced;
    let due = context.region.replace_root_volume_tasks.iter().filter(|(_, task)| due(task));
    for id in due.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
        if let Some(task) = context.region.replace_root_volume_tasks.get_mut(&id) {
            task.is_replaced = true;
            let system = task.system.clone();
            context.shared.release_layers(Some(&system));
        }
    }
}

const LISTING: Listing = Listing {
    action: "DescribeReplaceRootVolumeTasks",
    ids: "ReplaceRootVolumeTaskIds",
    id: "ReplaceRootVolumeTaskId",
    sizes: 1..=50,
    filters: &[("instance-id", "InstanceId")],
};

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeReplaceRootVolumeTasks.html>.
pub(super) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    LISTING.answer("ReplaceRootVolumeTasks", input, &region.replace_root_volume_tasks, &region.tags, |id, task| {
        shown(context, id, task)
    })
}

fn shown(context: &Context<'_>, id: &ReplaceRootVolumeTaskId, task: &Task) -> Structure {
    let is_there = |state| !matches!(state, State::ShuttingDown | State::Terminated);
    let instance = context.region.instances.get(&task.instance);
    let state = match task.completed {
        Some(_) => "succeeded",
        None if !instance.is_some_and(|instance| is_there(instance.state)) => "failed",
        None if context.now - task.started < context.settings.paced(PENDING) => "pending",
        None => "in-progress",
    };
    let text = |time: OffsetDateTime| {
        let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
        time.to_offset(time::UtcOffset::UTC).format(format).unwrap_or_default()
    };
    Structure::new()
        .with("ReplaceRootVolumeTaskId", id)
        .with("InstanceId", &task.instance)
        .with("TaskState", state)
        .with("StartTime", text(task.started))
        .with_some("CompleteTime", task.completed.map(text))
        .with_some("ImageId", task.image.as_ref())
        .with_some("SnapshotId", task.made_of.as_ref().filter(|_| task.snapshot.is_some()))
        .with("DeleteReplacedRootVolume", task.deletes_replaced)
        .with("Tags", context.region.tags.shown(id))
}
