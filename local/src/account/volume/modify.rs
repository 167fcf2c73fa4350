//! ModifyVolume, DescribeVolumesModifications.
//!
//! Source: <https://docs.aws.amazon.com/ebs/latest/userguide/monitoring-volume-modifications.html>.

use super::{Shape, State, Volume};
use crate::{
    account::{
        Context, Effect,
        describe::{Listing, Row},
        filter::whole_second,
        ids::VolumeId,
        instance::later,
        request::{invalid, missing},
        settings::Settings,
    },
    error::{ApiError, Code},
    wire::Structure,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use time::OffsetDateTime;

/// How long EC2 takes until a volume has its new shape, at the least.
const MODIFYING: Duration = Duration::from_secs(5);
/// How long EC2 takes then until it performs so.
const OPTIMIZING: Duration = Duration::from_secs(60);
/// How many modifications a volume may have in so long a time.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyVolume.html>.
const MOST: usize = 4;
const RATE: Duration = Duration::from_secs(24 * 3600);

/// A modification of a volume.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::account) struct Modification {
    original: Shape,
    target: Shape,
    start: OffsetDateTime,
}

/// How far a modification has got, in percent, and when it ended.
struct Progress {
    state: &'static str,
    percent: i64,
    end: Option<OffsetDateTime>,
}

impl Modification {
    fn progress(&self, settings: &Settings, now: OffsetDateTime) -> Progress {
        let optimizes = later(self.start, settings.paced(MODIFYING));
        let completes = later(optimizes, settings.paced(OPTIMIZING));
        if now >= completes {
            return Progress { state: "completed", percent: 100, end: Some(completes) };
        }
        let whole = (completes - self.start).as_seconds_f64();
        // As one does that isn't over: never all.
        let percent = ((now - self.start).as_seconds_f64() / whole * 100.0).clamp(0.0, 99.0) as i64;
        Progress { state: if now < optimizes { "modifying" } else { "optimizing" }, percent, end: None }
    }

    fn shown(&self, id: &VolumeId, settings: &Settings, now: OffsetDateTime) -> Structure {
        let Progress { state, percent, end } = self.progress(settings, now);
        let Self { original, target, start } = self;
        Structure::new()
            .with("VolumeId", id)
            .with("ModificationState", state)
            .with("TargetSize", target.gib)
            .with_some("TargetIops", target.iops)
            .with("TargetVolumeType", target.volume_type.name())
            .with_some("TargetThroughput", target.throughput)
            .with("TargetMultiAttachEnabled", false)
            .with("OriginalSize", original.gib)
            .with_some("OriginalIops", original.iops)
            .with("OriginalVolumeType", original.volume_type.name())
            .with_some("OriginalThroughput", original.throughput)
            .with("OriginalMultiAttachEnabled", false)
            .with("Progress", percent)
            .with("StartTime", whole_second(*start))
            .with_some("EndTime", end.map(whole_second))
    }
}

impl Volume {
    /// Its shape, as it is shown at a time: while it is being modified, that of before.
    pub(super) fn shape_at(&self, settings: &Settings, now: OffsetDateTime) -> &Shape {
        match self.modifications.last() {
            Some(last) if last.progress(settings, now).state == "modifying" => &last.original,
            _ => &self.shape,
        }
    }
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyVolume.html>.
pub(in crate::account) fn modify(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let (settings, now) = (context.settings, context.now);
    let id = context.volume(input)?;
    if !["Size", "VolumeType", "Iops", "Throughput"].into_iter().any(|member| input.get(member).is_some()) {
        return Err(missing("size, volumeType, iops or throughput"));
    }
    let state = context.volume_state(&id)?;
    if !matches!(state, State::Available | State::InUse) {
        let message = format!("The volume '{id}' is '{}', and neither 'available' nor 'in-use'.", state.name());
        return Err(ApiError::new(Code::IncorrectState, message));
    }
    let volume = context.region.volumes.require_mut(&id)?;
    if let Some(last) = volume.modifications.last().map(|last| last.progress(settings, now).state)
        && last != "completed"
    {
        let message = format!("Volume {id} is currently in the modification state '{last}'.");
        return Err(ApiError::new(Code::IncorrectModificationState, message));
    }
    let target = target(&volume.shape, input)?;
    volume.modifications.retain(|made| later(made.start, settings.paced(RATE)) > now);
    if volume.modifications.len() >= MOST {
        let message = format!(
            "You've reached the maximum modification rate per volume limit: {MOST} modifications in 24 hours. Wait until the \
             first of them is as old."
        );
        return Err(ApiError::new(Code::VolumeModificationRateExceeded, message));
    }
    let original = std::mem::replace(&mut volume.shape, target.clone());
    let grows = target.gib > original.gib;
    let modification = Modification { original, target, start: now };
    let answer = modification.shown(&id, settings, now);
    let gib = modification.target.gib;
    volume.modifications.push(modification);
    let holder = volume.attachment.as_ref().map(|attachment| attachment.instance.to_string());
    if let Some(instance) = holder.filter(|_| grows) {
        context.shared.effects.push(Effect::Resize { instance, volume: id.to_string(), gib: gib.unsigned_abs() });
    }
    Ok(Structure::new().with("VolumeModification", answer))
}

/// What a volume is to be. What isn't said stays; of another type it is that type's default, but for 3,000 IOPS where some are to be
/// named.
fn target(present: &Shape, input: &Structure) -> Result<Shape, ApiError> {
    let name = input.string("VolumeType").unwrap_or(present.volume_type.name());
    let same_type = name == present.volume_type.name();
    let gib = input.integer("Size").unwrap_or(present.gib);
    if gib < present.gib {
        return Err(invalid("New size cannot be smaller than existing size"));
    }
    let kept = |kept: Option<i64>| kept.filter(|_| same_type);
    let default = (!same_type && matches!(name, "io1" | "io2")).then_some(3000);
    // What follows from the size is not kept.
    let iops = kept(present.iops).filter(|_| name != "gp2").or(default);
    let ebs = Structure::new()
        .with("VolumeType", name)
        .with("VolumeSize", gib)
        .with_some("Iops", input.integer("Iops").or(iops))
        .with_some("Throughput", input.integer("Throughput").or(kept(present.throughput)));
    let shape = Shape::read(&ebs, None)?;
    Ok(Shape { encrypted: present.encrypted, kms_key: present.kms_key.clone(), ..shape })
}

const LISTING: Listing = Listing {
    action: "DescribeVolumesModifications",
    ids: "VolumeIds",
    id: "VolumeId",
    sizes: 5..=500,
    filters: &[
        ("modification-state", "ModificationState"),
        ("original-iops", "OriginalIops"),
        ("original-size", "OriginalSize"),
        ("original-volume-type", "OriginalVolumeType"),
        ("originalMultiAttachEnabled", "OriginalMultiAttachEnabled"),
        ("start-time", "StartTime"),
        ("target-iops", "TargetIops"),
        ("target-size", "TargetSize"),
        ("target-volume-type", "TargetVolumeType"),
        ("targetMultiAttachEnabled", "TargetMultiAttachEnabled"),
        ("volume-id", "VolumeId"),
    ],
};

/// The last modification of each volume that had one.
pub(in crate::account) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let (settings, now, region) = (context.settings, context.now, &*context.region);
    for id in region.volumes.parse_all(input.strings("VolumeIds"))? {
        if region.volumes.require(&id)?.modifications.is_empty() {
            let message = format!("Modification for volume '{id}' does not exist.");
            return Err(ApiError::new(Code::InvalidVolumeModificationNotFound, message));
        }
    }
    let row = |id: &VolumeId, volume: &Volume| {
        let shown = volume.modifications.last().map(|last| last.shown(id, settings, now)).unwrap_or_default();
        Row { shown, hidden: Structure::new() }
    };
    let was_modified = |volume: &Volume| !volume.modifications.is_empty();
    LISTING.answer_where("VolumesModifications", input, &region.volumes, None, was_modified, row)
}
