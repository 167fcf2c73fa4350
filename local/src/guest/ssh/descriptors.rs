//! The descriptors that all clients' forwards may take together: the rest stays with those that log in, and with their sessions.

use rustix::process::{Resource, getrlimit};
use std::{io, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a connection that is forwarded takes: a socket, and a file for what nobody reads.
const PER_CONNECTION: u32 = 2;

/// Those that forwards may take; cheap to clone.
#[derive(Clone)]
pub struct Descriptors(Arc<Semaphore>);

impl Descriptors {
    /// Half of those that this process may have.
    pub fn of_this_process() -> Self {
        let most = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |most| most as usize);
        Self::half_of(most)
    }

    /// Half of so many.
    pub fn half_of(most: usize) -> Self {
        Self(Arc::new(Semaphore::new((most / 2).min(Semaphore::MAX_PERMITS))))
    }

    /// Those of a connection, if there are so many.
    pub fn for_connection(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_many_owned(PER_CONNECTION).ok()
    }

    /// Waits for those of a connection.
    pub async fn wait_for_connection(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().acquire_many_owned(PER_CONNECTION).await.ok()
    }

    /// Those of sockets that listen.
    pub fn for_listeners(&self, number: u32) -> io::Result<OwnedSemaphorePermit> {
        let taken = self.0.clone().try_acquire_many_owned(number);
        taken.map_err(|_| io::Error::other("all clients' forwards have as many open files as they may"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards_leave_half_to_others() {
        let descriptors = Descriptors::half_of(11);
        let mut taken: Vec<_> = (0..2).map(|_| descriptors.for_connection().unwrap()).collect();
        assert!(descriptors.for_connection().is_none());
        let listener = descriptors.for_listeners(1).unwrap();
        descriptors.for_listeners(1).unwrap_err();
        drop((taken.pop(), listener));
        assert!(descriptors.for_connection().is_some());
    }
}
