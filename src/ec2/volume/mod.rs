//! Volumes: made, attached to machines, found in them, detached and deleted.
//!
//! A volume that is attached by [`Machine::add_volume`] ends with its machine, as EC2 itself sees to it. Any other has a guard.

mod attach;
mod attached;
mod launched;
mod new;
mod order;

pub(in crate::ec2) use attach::free as free_device;
pub use attached::{AttachedVolume, Prepare};
pub use new::{NewVolume, gp3};
pub(in crate::ec2) use order::forget as forget_order;

use super::{
    Ec2, Machine,
    creation::Creation,
    guard::Guard,
    made::{Made, handle_and_guard},
};
use crate::{
    connection::{
        api_error,
        patience::{LOOK_PAUSE, LOOK_PAUSE_MAX, OTHERS_VISIBLE_WITHIN, VISIBLE_WITHIN, pauses, until_visible_within},
    },
    error::{Error, ErrorKind},
    resource::VOLUME,
    task::{OnDrop, Operation},
};
use aws_sdk_ec2::types::{Volume as Description, VolumeState};
use std::{
    fmt,
    panic::Location,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a volume may take to come or to go, where nothing in a machine holds on to it.
const CHANGES_WITHIN: Duration = Duration::from_secs(5 * 60);

/// A handle on a volume; cheap to clone. It never deletes the volume by itself: [`Volume`] does, and the machine that it is attached
/// to, if it ends with that.
#[derive(Clone)]
pub struct VolumeHandle(pub(super) Arc<Made>);

/// A volume that we have made, and that is deleted with this value: at once outside of a test, after the test's outcome is known
/// within one. It derefs to [`VolumeHandle`], which has all operations.
#[must_use = "the volume is deleted when this is dropped"]
pub struct Volume {
    handle: VolumeHandle,
    guard: Guard<Arc<Made>>,
}

handle_and_guard!(VolumeHandle, Volume);

impl fmt::Display for VolumeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Ec2 {
    /// Makes a volume in a zone; returns once it is available.
    ///
    /// # Errors
    ///
    /// EC2 doesn't take its type, size or zone, or a quota is used up.
    pub fn create_volume(&self, volume: NewVolume, zone: impl Into<String>) -> Operation<Volume> {
        let (ec2, zone) = (self.clone(), zone.into());
        Operation::new("create a volume", OnDrop::Finish, async move {
            let creating = create(&ec2, &volume, &zone);
            ec2.scope.run(|| format!("create {volume} in {zone}"), creating).await
        })
    }

    /// A handle on a volume that exists already. It is never deleted by us.
    ///
    /// # Errors
    ///
    /// EC2 doesn't know the volume, for 5 s since it may be fresh, or refuses to describe it.
    pub fn volume(&self, id: impl Into<String>) -> Operation<VolumeHandle> {
        let (ec2, id) = (self.clone(), id.into());
        Operation::new("find a volume", OnDrop::Cancel, async move {
            let handle = VolumeHandle(Arc::new(Made::new(ec2, &VOLUME, id.clone(), id, None)));
            handle.described_within(OTHERS_VISIBLE_WITHIN).await.map(|_| handle)
        })
    }
}

/// Makes a volume, and waits until it is available.
async fn create(ec2: &Ec2, volume: &NewVolume, zone: &str) -> Result<Volume, Error> {
    let tried = format!("create {volume} in {zone}");
    let creation = Creation {
        ec2: ec2.clone(),
        kind: &VOLUME,
        tried: tried.clone(),
        name: volume
            .name
            .clone()
            .or_else(|| ec2.scope.test_name().map(str::to_owned))
            .unwrap_or_else(|| "ec2-harness".into()),
        tags: volume.tags.clone(),
        of_ours: false,
    };
    let call = volume.request(ec2.connection.client.create_volume(), &tried)?.availability_zone(zone);
    let trying = tried.clone();
    let guard = creation
        .send(move |attempt| {
            let (call, tried) = (call.clone(), trying.clone());
            let call = call.client_token(attempt.token).set_tag_specifications(Some(attempt.tags));
            async move {
                let answer = call.send().await.map_err(|e| api_error::failed("CreateVolume", &tried, e))?;
                answer
                    .volume_id
                    .ok_or_else(|| Error::new(ErrorKind::Internal, tried).because("EC2 answered without a volume"))
            }
        })
        .await?;
    let volume = Volume { handle: VolumeHandle(guard.owned().clone()), guard };
    volume.until(&tried, |described| described.state() == Some(&VolumeState::Available)).await?;
    Ok(volume)
}

impl Volume {
    /// A handle without the duty to delete the volume.
    pub fn handle(&self) -> VolumeHandle {
        self.handle.clone()
    }

    /// Leaves the volume beyond this guard and its test, and prints its id. Its lease begins anew: after it, `ec2-harness sweep` deletes
    /// the volume.
    ///
    /// # Errors
    ///
    /// EC2 refuses to renew the lease: the volume stays nevertheless. Or it can't be noted here that it is kept: then it goes.
    pub fn keep(self) -> Operation<VolumeHandle> {
        Operation::new("keep a volume", OnDrop::Finish, async move {
            self.guard.keep_and_tell().await?;
            Ok(self.handle)
        })
    }
}

impl VolumeHandle {
    /// The volume's id, `vol-…`.
    pub fn id(&self) -> &str {
        self.0.id()
    }

    /// Looks at the volume.
    ///
    /// # Errors
    ///
    /// EC2 refuses, or doesn't show it.
    pub fn describe(&self) -> Operation<Description> {
        let volume = self.clone();
        self.0.operation(
            "describe a volume",
            OnDrop::Cancel,
            async move { volume.described_within(VISIBLE_WITHIN).await },
        )
    }

    /// Deletes it; returns once EC2 has accepted that. Deleting what has gone already is no error.
    ///
    /// # Errors
    ///
    /// It is attached, or EC2 can't be reached.
    #[track_caller]
    pub fn delete(&self) -> Operation<()> {
        let (made, at) = (self.0.clone(), Location::caller());
        Operation::new("delete a volume", OnDrop::Finish, async move { made.end(at).await })
    }

    /// Attaches it to a machine of its zone as the machine's next free device, and waits until it is attached. It is found there
    /// by [`Machine::device_of`]. It doesn't end with the machine.
    ///
    /// # Errors
    ///
    /// It is attached already, or in another zone; the machine has no device left.
    pub fn attach(&self, machine: &Machine) -> Operation<()> {
        let (volume, machine) = (self.clone(), machine.clone());
        self.0.operation("attach a volume", OnDrop::Cancel, async move {
            attach::attach(&volume, &machine, None).await.map(drop)
        })
    }

    /// Detaches it, and waits until it is available. Unmount it before: EC2 waits for that.
    ///
    /// # Errors
    ///
    /// It isn't attached, or it stays busy because it is mounted.
    pub fn detach(&self) -> Operation<()> {
        let volume = self.clone();
        self.0.operation("detach a volume", OnDrop::Cancel, async move { attach::detach(&volume).await })
    }

    /// What EC2 shows of it, once it shows it.
    async fn described_within(&self, limit: Duration) -> Result<Description, Error> {
        let limit = self.0.ec2.connection.paced(limit);
        let described = until_visible_within(limit, || self.look()).await?;
        self.0.was_shown();
        Ok(described)
    }

    async fn look(&self) -> Result<Description, Error> {
        let tried = format!("find {self}");
        let call = self.0.ec2.connection.client.describe_volumes().volume_ids(self.id()).send().await;
        let answer = call.map_err(|e| api_error::failed("DescribeVolumes", &tried, e))?;
        answer
            .volumes
            .unwrap_or_default()
            .into_iter()
            .next()
            .ok_or_else(|| Error::new(ErrorKind::NotFound, tried).because("EC2 doesn't know it"))
    }

    /// Waits until it is as wanted.
    async fn until(&self, tried: &str, is_as_wanted: impl Fn(&Description) -> bool) -> Result<Description, Error> {
        let (since, mut pauses) = (Instant::now(), pauses(LOOK_PAUSE, LOOK_PAUSE_MAX));
        loop {
            let described = match self.described_within(VISIBLE_WITHIN).await {
                Err(error) if error.is_transient() && since.elapsed() < VISIBLE_WITHIN => {
                    pauses.next().await;
                    continue;
                }
                described => described?,
            };
            if is_as_wanted(&described) {
                return Ok(described);
            }
            let state = described.state().map_or("unknown", VolumeState::as_str);
            if described.state() == Some(&VolumeState::Error) {
                return Err(Error::new(ErrorKind::Api, tried)
                    .because("its state is `error`")
                    .advise("a KMS key that can't be used is the usual reason"));
            }
            if since.elapsed() > CHANGES_WITHIN {
                let attachments: Vec<_> =
                    described.attachments().iter().filter_map(|it| Some(it.state()?.as_str())).collect();
                return Err(Error::new(ErrorKind::TimedOut, tried)
                    .because(format!(
                        "after {} its state is `{state}`, and its attachment's `{}`",
                        humantime::format_duration(CHANGES_WITHIN),
                        attachments.join(", ")
                    ))
                    .advise("unmount it in its machine if it is `busy`"));
            }
            pauses.next().await;
        }
    }
}
