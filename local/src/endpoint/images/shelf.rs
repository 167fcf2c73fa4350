//! What a running endpoint offers of the images, which come and go while it runs.

use super::Images;
use crate::account::ImageSettings;
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

/// The kernel's clock for files stands still for some milliseconds at a time; within these a second change can't be seen.
const BLUR: Duration = Duration::from_secs(1);

/// The images as they were last seen.
pub(in crate::endpoint) struct Shelf {
    images: Images,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// When the directory was last changed, if that was long enough before it was looked at.
    changed: Option<SystemTime>,
    offered: Vec<ImageSettings>,
}

impl Shelf {
    pub(in crate::endpoint) fn new(images: Images) -> Self {
        Self { images, seen: Mutex::default() }
    }

    /// Where the images are kept.
    pub(in crate::endpoint) fn images(&self) -> &Images {
        &self.images
    }

    /// What is to be offered from now on, if that is something else than before. It costs one look at a directory.
    pub(in crate::endpoint) fn news(&self) -> Option<Vec<ImageSettings>> {
        let changed = self.images.directory.metadata().and_then(|directory| directory.modified()).ok()?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.changed == Some(changed) {
            return None;
        }
        let is_settled = SystemTime::now().duration_since(changed).is_ok_and(|age| age > BLUR);
        let images = match self.images.list() {
            Ok(images) => images,
            Err(error) => {
                tracing::warn!("failed to {error}");
                return None;
            }
        };
        seen.changed = is_settled.then_some(changed);
        let offered: Vec<_> = images.into_iter().filter_map(|(_, image)| image.ok()?.settings()).collect();
        if offered == seen.offered {
            return None;
        }
        seen.offered.clone_from(&offered);
        Some(offered)
    }
}
