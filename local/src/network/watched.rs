//! A descriptor that an epoll instance watches for as long as it is held.

use rustix::{
    event::epoll::{self, EventData, EventFlags},
    io::Errno,
};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

/// A descriptor that is watched, edge-triggered, in both directions. It leaves the epoll instance on drop: closing alone
/// wouldn't do that, since somebody else may hold a duplicate.
pub(super) struct Watched {
    descriptor: OwnedFd,
    epoll: Arc<OwnedFd>,
}

impl Watched {
    /// Makes the descriptor non-blocking and watches it; events bear the id.
    pub(super) fn new(epoll: &Arc<OwnedFd>, descriptor: OwnedFd, id: u64) -> Result<Self, Errno> {
        rustix::io::ioctl_fionbio(&descriptor, true)?;
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        epoll::add(epoll, &descriptor, EventData::new_u64(id), flags)?;
        Ok(Self { descriptor, epoll: Arc::clone(epoll) })
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // It was added, and is still open, so this can't fail.
        let _ = epoll::delete(&self.epoll, &self.descriptor);
    }
}
