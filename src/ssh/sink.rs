//! Where a stream goes that isn't kept: a bounded queue, whose reader sets the pace.

use futures_util::future::LocalBoxFuture;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc::{OwnedPermit, Sender};

type Reserving = LocalBoxFuture<'static, Option<OwnedPermit<Vec<u8>>>>;

pub(super) enum Sink {
    Reserving(Reserving),
    Ready(OwnedPermit<Vec<u8>>),
    Closed,
}

impl Sink {
    pub(super) fn new(sender: Sender<Vec<u8>>) -> Self {
        Self::Reserving(Box::pin(async { sender.reserve_owned().await.ok() }))
    }

    /// Ready with true when there is room for a chunk, with false if nobody reads.
    pub(super) fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if let Self::Reserving(reserving) = self {
            *self = ready!(reserving.as_mut().poll(context)).map_or(Self::Closed, Self::Ready);
        }
        Poll::Ready(matches!(self, Self::Ready(_)))
    }

    /// Sends a chunk, for which there must be room.
    pub(super) fn send(&mut self, chunk: &[u8]) {
        if chunk.is_empty() {
            return;
        }
        match std::mem::replace(self, Self::Closed) {
            Self::Ready(permit) => *self = Self::new(permit.send(chunk.to_vec())),
            other => *self = other,
        }
    }
}
