//! The guard and the handle of an image.

use super::super::{
    Ec2,
    guard::Guard,
    made::{Made, handle_and_guard},
};
use crate::{
    config::ImageQuery,
    connection::{
        api_error,
        patience::{LOOK_PAUSE_MAX, OTHERS_VISIBLE_WITHIN, VISIBLE_WITHIN, pause_at, until_visible_within},
    },
    error::{Error, ErrorKind},
    resource::IMAGE,
    task::{OnDrop, Operation},
};
use aws_sdk_ec2::types::{Image as Description, ImageState};
use std::{
    fmt,
    panic::Location,
    sync::Arc,
    time::{Duration, Instant},
};

/// A handle on an image; cheap to clone. It never deletes the image by itself: [`Image`] does. [`Ec2::launch`] takes it.
#[derive(Clone)]
pub struct ImageHandle(Arc<Made>);

/// An image that we have made, and that is deleted with this value, with all of its snapshots: at once outside of a test, after the test's
/// outcome is known within one. It derefs to [`ImageHandle`], which has all operations.
#[must_use = "the image is deleted when this is dropped"]
pub struct Image {
    handle: ImageHandle,
    guard: Guard<Arc<Made>>,
}

handle_and_guard!(ImageHandle, Image);

impl fmt::Display for ImageHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Its id, as a launch takes it.
impl From<&ImageHandle> for ImageQuery {
    fn from(image: &ImageHandle) -> Self {
        image.id().into()
    }
}

/// Its id, as a launch takes it.
impl From<&Image> for ImageQuery {
    fn from(image: &Image) -> Self {
        image.id().into()
    }
}

impl Ec2 {
    /// A handle on an image that exists already. It is never deleted by us.
    ///
    /// # Errors
    ///
    /// EC2 doesn't know the image, for 5 s since it may be fresh, or refuses to describe it.
    pub fn image(&self, id: impl Into<String>) -> Operation<ImageHandle> {
        let (ec2, id) = (self.clone(), id.into());
        Operation::new("find an image", OnDrop::Cancel, async move {
            let handle = ImageHandle::existing(&ec2, id);
            handle.described_within(OTHERS_VISIBLE_WITHIN).await.map(|_| handle)
        })
    }
}

impl Image {
    pub(super) fn into_guard(self) -> Guard<Arc<Made>> {
        self.guard
    }

    pub(super) fn new(guard: Guard<Arc<Made>>) -> Self {
        Self { handle: ImageHandle(guard.owned().clone()), guard }
    }

    /// A handle without the duty to delete the image.
    pub fn handle(&self) -> ImageHandle {
        self.handle.clone()
    }

    /// Leaves the image beyond this guard and its test, and prints its id. Its lease begins anew: after it, `ec2-harness sweep` deletes
    /// the image.
    ///
    /// # Errors
    ///
    /// EC2 refuses to renew the lease: the image stays nevertheless. Or it can't be noted here that it is kept: then it goes.
    pub fn keep(self) -> Operation<ImageHandle> {
        Operation::new("keep an image", OnDrop::Finish, async move {
            self.guard.keep_and_tell().await?;
            Ok(self.handle)
        })
    }
}

impl ImageHandle {
    /// A handle on one that somebody has made, and that we don't delete.
    pub(in crate::ec2) fn existing(ec2: &Ec2, id: String) -> Self {
        Self(Arc::new(Made::new(ec2.clone(), &IMAGE, id.clone(), id, None)))
    }

    /// The image's id, `ami-…`.
    pub fn id(&self) -> &str {
        self.0.id()
    }

    /// Looks at the image.
    ///
    /// # Errors
    ///
    /// EC2 refuses, or doesn't show it.
    pub fn describe(&self) -> Operation<Description> {
        let image = self.clone();
        let describing = async move { image.described_within(VISIBLE_WITHIN).await };
        self.0.operation("describe an image", OnDrop::Cancel, describing)
    }

    /// Deletes it, and every snapshot that was taken for it; returns once EC2 has accepted that. Machines that were launched from it
    /// go on. Deleting what has gone already is no error.
    ///
    /// # Errors
    ///
    /// EC2 refuses, as it does for one that is protected, or can't be reached.
    #[track_caller]
    pub fn delete(&self) -> Operation<()> {
        let (made, at) = (self.0.clone(), Location::caller());
        Operation::new("delete an image", OnDrop::Finish, async move { made.end(at).await })
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
        let call = self.0.ec2.connection.client.describe_images().image_ids(self.id()).include_deprecated(true);
        let answer = call.send().await.map_err(|e| api_error::failed("DescribeImages", &tried, e))?;
        answer
            .images
            .unwrap_or_default()
            .into_iter()
            .next()
            .ok_or_else(|| Error::new(ErrorKind::NotFound, tried).because("EC2 doesn't know it"))
    }

    /// Waits until it is available.
    pub(super) async fn until_available(&self, tried: &str, limit: Duration) -> Result<Description, Error> {
        self.until(tried, limit, |_| false).await
    }

    /// Waits until its snapshots are begun: from then on they don't change with their volumes.
    pub(super) async fn until_taken(&self, tried: &str, limit: Duration) -> Result<Description, Error> {
        let is_begun = |described: &Description| {
            let mut volumes = described.block_device_mappings().iter().filter_map(|mapping| mapping.ebs()).peekable();
            volumes.peek().is_some() && volumes.all(|volume| volume.snapshot_id().is_some())
        };
        self.until(tried, limit, is_begun).await
    }

    /// Waits until it is available, or is as wanted before.
    async fn until(
        &self,
        tried: &str,
        limit: Duration,
        is_as_wanted: impl Fn(&Description) -> bool,
    ) -> Result<Description, Error> {
        let since = Instant::now();
        let mut answered = Instant::now();
        loop {
            let described = match self.described_within(VISIBLE_WITHIN).await {
                // EC2 may be out of reach for a while.
                Err(error) if error.is_transient() && answered.elapsed() < VISIBLE_WITHIN => {
                    tokio::time::sleep(pause_at(answered.elapsed(), LOOK_PAUSE_MAX)).await;
                    continue;
                }
                described => described?,
            };
            answered = Instant::now();
            match described.state() {
                Some(ImageState::Available) => return Ok(described),
                Some(
                    state @ (ImageState::Failed | ImageState::Error | ImageState::Invalid | ImageState::Deregistered),
                ) => {
                    let reason = described.state_reason().and_then(|reason| reason.message());
                    return Err(Error::new(ErrorKind::Api, tried).because(format!(
                        "the state of {self} is `{state}`: {}",
                        reason.unwrap_or("EC2 gives no reason")
                    )));
                }
                _ if is_as_wanted(&described) => return Ok(described),
                state if since.elapsed() > limit => {
                    return Err(Error::new(ErrorKind::TimedOut, tried)
                        .because(format!(
                            "after {} the state of {self} is `{}`",
                            humantime::format_duration(limit),
                            state.map_or("unknown", ImageState::as_str)
                        ))
                        .advise("give it more time by `.available_within(…)`; large volumes take long"));
                }
                _ => tokio::time::sleep(pause_at(since.elapsed(), LOOK_PAUSE_MAX)).await,
            }
        }
    }
}
