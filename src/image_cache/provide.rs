//! The image for whoever needs it: found, or made, by one for all.

use super::{
    SetUp, age,
    build::{Built, build},
    failure::Failed,
    key::{self, Key},
    look::{self, Seen, Verdict},
    note::{Note, Noted},
};
use crate::{
    connection::patience::{LOOK_PAUSE, LOOK_PAUSE_MAX, OTHERS_VISIBLE_WITHIN, Pauses, VISIBLE_WITHIN, pauses},
    ec2::{Ec2, complete, renew_lease},
    engine,
    error::{Error, ErrorKind},
    progress,
    resource::{Ending, IMAGE},
    teardown::{signals, watchdog},
};
use aws_sdk_ec2::types::{Image, ImageState};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// The least time that an image may take: a test's own by default.
const LIMIT_MIN: Duration = Duration::from_secs(30 * 60);

/// What this process knows of images, each asked for by one at a time.
#[derive(Debug, Default)]
struct Known(Mutex<HashMap<Key, Slot>>);

/// The image, or why there is none.
type Slot = Arc<tokio::sync::Mutex<Option<Result<String, Failed>>>>;

/// One who needs an image.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) set_up: SetUp,
    pub(super) key: Key,
    pub(super) ec2: Ec2,
    pub(super) instance_types: Vec<String>,
    /// One that EC2 has said to be gone.
    gone: Option<String>,
}

/// The id of the image, which is made if there is none.
pub(super) async fn provide(
    set_up: SetUp,
    ec2: &Ec2,
    instance_types: &[String],
    gone: Option<String>,
) -> Result<String, Error> {
    let key = key::of(&set_up, ec2, instance_types).await?;
    let known = ec2.connection.memo.of::<Known>();
    let slot = known.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default().clone();
    let mut slot = slot.lock_owned().await;
    match &*slot {
        Some(Ok(image)) if Some(image) != gone.as_ref() => return Ok(image.clone()),
        Some(Err(failed)) => return Err(failed.error(&set_up)),
        _ => {}
    }
    let wanted = Wanted { set_up, key, ec2: ec2.clone(), instance_types: instance_types.to_vec(), gone };
    // A task of its own: should this test give up, the others still need it.
    let work = engine::spawn(async move {
        let provided = wanted.provide().await;
        *slot = match &provided {
            Ok(image) => Some(Ok(image.clone())),
            Err(Stopped::Failed(error)) => Some(Err(wanted.failed(error))),
            Err(_) => None,
        };
        provided.map_err(|stopped| stopped.into_error(&wanted.set_up))
    })?;
    let lost = |e| Error::new(ErrorKind::Internal, format!("use the snapshot {}", set_up.name())).caused_by(e);
    work.await.unwrap_or_else(|e| Err(lost(e)))
}

/// Why there is no image.
enum Stopped {
    /// It could not be made: so nobody else of the run is to try.
    Failed(Error),
    /// Somebody else of the run has tried already.
    FailedBefore(Failed),
    /// It isn't known whether it could be made.
    Unknown(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Unknown(error)
    }
}

impl Stopped {
    fn into_error(self, set_up: &SetUp) -> Error {
        match self {
            Self::Failed(error) | Self::Unknown(error) => error,
            Self::FailedBefore(failed) => failed.error(set_up),
        }
    }
}

impl Wanted {
    fn failed(&self, error: &Error) -> Failed {
        Failed::new(error, self.ec2.scope.test_name())
    }

    /// What a person calls the image.
    pub(super) fn called(&self) -> String {
        format!("the snapshot {} (key {})", self.set_up.name(), self.key.short())
    }

    /// How long it may take to make the image. That the first test which needs it has less time for itself must not fail all others.
    pub(super) fn limit(&self) -> Duration {
        self.ec2.config.timeout.max(LIMIT_MIN)
    }

    pub(super) fn tell(&self, text: &str) {
        progress::tell(self.ec2.config.progress, text);
    }

    async fn provide(&self) -> Result<String, Stopped> {
        signals::install()?;
        let (ec2, connection) = (&self.ec2, self.ec2.connection.clone());
        let (joined, config) = (connection.clone(), ec2.config.clone());
        engine::blocking("join the run", move || watchdog::ensure(&joined, &config)).await?;
        if let Some(gone) = &self.gone {
            // Not to be seen for a moment is not to be gone.
            let is_there = look::by_id(ec2, gone, connection.paced(VISIBLE_WITHIN) / 4).await?;
            if is_there.is_some_and(|image| image.state() == Some(&ImageState::Available)) {
                return Ok(gone.clone());
            }
            self.tell(&format!("{}, {gone}, is gone: making it again", self.called()));
        }
        if let Verdict::Usable(image, made) = self.look().await?.verdict(self.set_up.max_age) {
            return Ok(self.take(&image, made).await);
        }
        if let Some(failed) = Failed::of_run(&connection, &self.key) {
            return Err(Stopped::FailedBefore(failed));
        }
        let (locked, key) = (connection.clone(), self.key.clone());
        let mut note = engine::blocking("wait for others of this host", move || Note::lock(&locked, &key)).await?;
        if let Some(failed) = Failed::of_run(&connection, &self.key) {
            return Err(Stopped::FailedBefore(failed));
        }
        if let Some(image) = self.noted(note.read()).await? {
            return Ok(image);
        }
        let provided = self.find_or_make().await;
        match &provided {
            Ok((image, made)) => note.write(&Noted { image: image.clone(), made: *made }),
            Err(Stopped::Failed(error)) => self.failed(error).note(&connection, &self.key),
            Err(_) => {}
        }
        provided.map(|(image, _)| image)
    }

    async fn look(&self) -> Result<Seen, Error> {
        Seen::look(&self.ec2, &self.key, self.gone.as_deref()).await
    }

    /// The image that somebody on this host has found or made, which EC2 may not show to all yet.
    async fn noted(&self, noted: Option<Noted>) -> Result<Option<String>, Error> {
        let Some(Noted { image, made }) = noted.filter(|noted| Some(&noted.image) != self.gone.as_ref()) else {
            return Ok(None);
        };
        let age = made.elapsed().unwrap_or_default();
        if age > self.set_up.max_age {
            return Ok(None);
        }
        let fresh = self.ec2.connection.paced(VISIBLE_WITHIN);
        let within = if age < fresh { fresh } else { Duration::ZERO };
        let found = look::by_id(&self.ec2, &image, within).await?;
        let found = found.filter(|image| image.state() == Some(&ImageState::Available));
        match found {
            Some(found) => Ok(Some(self.take(&found, made).await)),
            None => Ok(None),
        }
    }

    /// Uses an image that is there: its lease begins anew.
    async fn take(&self, image: &Image, made: SystemTime) -> String {
        let age = age::shown(made.elapsed().unwrap_or_default());
        self.tell(&format!("using the snapshot {} (key {}, {age} old)", self.set_up.name(), self.key.short()));
        let lease = self.set_up.max_age;
        let is_due = look::expires(image).is_none_or(|until| until < SystemTime::now() + lease.mul_f64(0.75));
        if is_due && let Err(error) = renew_lease(&self.ec2, image, lease).await {
            tracing::warn!("failed to {error}");
        }
        image.image_id().unwrap_or_default().to_owned()
    }

    /// To be called with the note locked.
    async fn find_or_make(&self) -> Result<(String, SystemTime), Stopped> {
        let (ec2, limit) = (&self.ec2, self.limit());
        let since = Instant::now();
        let mut pauses = self.pauses();
        loop {
            let seen = self.look().await?;
            let number = match seen.verdict(self.set_up.max_age) {
                Verdict::Usable(image, made) => return Ok((self.take(&image, made).await, made)),
                Verdict::Unfinished(image) if image.state() == Some(&ImageState::Available) => {
                    let made = SystemTime::now();
                    match complete(ec2, &image, made, self.set_up.max_age).await {
                        Ok(()) => return Ok((self.take(&image, made).await, made)),
                        // Its maker has died, and it ends with all that was the maker's.
                        Err(error) if error.kind() == ErrorKind::NotFound => None,
                        Err(error) => return Err(error.into()),
                    }
                }
                Verdict::Unfinished(_) => None,
                Verdict::Missing(number) => (!look::is_made_elsewhere(ec2, &self.key, None).await?).then_some(number),
            };
            if let Some(number) = number {
                match build(self, number).await.map_err(stopped)? {
                    Built::Image(image) => {
                        self.end_all(seen.replaced_by(number)).await;
                        return Ok((image, SystemTime::now()));
                    }
                    // Somebody else was first.
                    Built::Elsewhere => pauses = self.pauses(),
                }
            }
            if since.elapsed() > limit {
                return Err(look::waited_too_long(&self.set_up, limit).into());
            }
            pauses.next().await;
        }
    }

    fn pauses(&self) -> Pauses {
        pauses(LOOK_PAUSE, LOOK_PAUSE_MAX.min(self.ec2.connection.paced(OTHERS_VISIBLE_WITHIN)))
    }

    /// Ends images that have been replaced; whoever is just about to launch from one makes do with the new one.
    async fn end_all(&self, replaced: Vec<String>) {
        let endings: Vec<_> = replaced.into_iter().map(|id| Ending::new(id, true)).collect();
        if !endings.is_empty()
            && let Err(left) = (IMAGE.end)(&self.ec2.connection, endings).await
        {
            tracing::warn!("failed to {}; its lease ends it", left.error);
        }
    }
}

/// What was cut off by the end of the process says nothing of the set-up.
fn stopped(error: Error) -> Stopped {
    if error.kind() == ErrorKind::Cancelled { Stopped::Unknown(error) } else { Stopped::Failed(error) }
}
