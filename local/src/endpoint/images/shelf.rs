//! What a running endpoint offers of the images, which come and go while it runs.

use super::{IMAGES, Images};
use crate::{account::ImageSettings, endpoint::layout::stays};
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
    /// None before the first look.
    offered: Option<Vec<ImageSettings>>,
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
        // There may be none yet, or none that can be read; then there is nothing on offer.
        let directory = self.images.state.path().join(IMAGES).symlink_metadata();
        let changed = directory.and_then(|directory| directory.modified()).ok();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if changed.is_some() && seen.changed == changed {
            return None;
        }
        let is_settled = |changed: &SystemTime| SystemTime::now().duration_since(*changed).is_ok_and(|age| age > BLUR);
        let images = match self.images.list() {
            Ok(images) => images,
            Err(error) => {
                stays(self.images.state.path(), &format!("failed to {error}"));
                return None;
            }
        };
        seen.changed = changed.filter(is_settled);
        let offered: Vec<_> = images.into_iter().filter_map(|(_, image)| image.ok()?.settings()).collect();
        if seen.offered.as_ref() == Some(&offered) {
            return None;
        }
        seen.offered = Some(offered.clone());
        Some(offered)
    }
}
