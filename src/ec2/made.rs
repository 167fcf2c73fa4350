//! What we have made, of whatever kind: what its handles share, and how it is kept.

use super::{Ec2, lease, machine::lock};
use crate::{
    error::{Error, ErrorKind},
    resource::Kind,
    task::{OnDrop, Operation},
    teardown::{
        journal::Entry,
        owned::{Identity, Owned, end_all},
    },
};
use futures_util::future::BoxFuture;
use std::{
    fmt,
    panic::Location,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

/// Something in EC2, made by us or by somebody else.
#[derive(Debug)]
pub(crate) struct Made {
    pub(super) ec2: Ec2,
    pub(super) identity: Identity,
    name: String,
    seen: AtomicBool,
    /// The id of what it ends with, by EC2's own doing.
    ends_with: Mutex<Option<String>>,
}

impl Made {
    /// What the journal has of it is `None` where somebody else has made it.
    pub(super) fn new(ec2: Ec2, kind: &'static Kind, id: String, name: String, journaled: Option<Entry>) -> Self {
        let identity = Identity::new(kind, id, ec2.connection.clone(), journaled);
        Self { ec2, identity, name, seen: AtomicBool::new(false), ends_with: Mutex::default() }
    }

    pub(super) fn id(&self) -> &str {
        &self.identity.id
    }

    /// EC2 has shown it: from now on not to be found is to be gone.
    pub(super) fn was_shown(&self) {
        self.seen.store(true, Ordering::Relaxed);
    }

    /// From here on it ends with something else, by EC2's own doing.
    pub(super) fn ends_with(&self, other: &str) {
        *lock(&self.ends_with) = Some(other.to_owned());
    }

    /// Whether it ends with something.
    pub(super) fn is_part_of(&self, other: &str) -> bool {
        lock(&self.ends_with).as_deref() == Some(other)
    }

    /// It was taken away from what it would have ended with: it is left to its test's end, as anything whose guard was dropped.
    pub(super) fn ends_by_itself(self: &Arc<Self>) {
        if lock(&self.ends_with).take().is_some() {
            // Outside of a test it is left to the end of the process.
            drop(self.ec2.scope.park(Arc::new(self.clone())));
        }
    }

    /// EC2 has accepted the end of something: this ends with it, if it does.
    pub(super) fn ended_with(&self, other: &str, name: &dyn fmt::Display) {
        if self.is_part_of(other) {
            self.identity.mark_ended(format!("with {name}"));
            self.identity.forget();
        }
    }

    /// Ends it, as was asked for at a line; returns once EC2 has accepted that.
    pub(super) async fn end(self: &Arc<Self>, at: &Location<'_>) -> Result<(), Error> {
        self.identity.mark_ended(format!("at {}:{}", at.file(), at.line()));
        end_all(vec![Arc::new(self.clone())]).await
    }

    /// An operation on it: until the test's deadline, and not after its end.
    pub(super) fn operation<T, F>(self: &Arc<Self>, name: &'static str, on_drop: OnDrop, future: F) -> Operation<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let made = self.clone();
        Operation::new(name, on_drop, async move {
            if let Some(ended) = made.identity.ended() {
                return Err(Error::new(ErrorKind::Ended, format!("{name}: {made}"))
                    .because(format!("it was ended {ended}"))
                    .advise("keep its guard for as long as it is used"));
            }
            made.ec2.scope.run(|| format!("{name}: {made}"), future).await
        })
    }
}

/// What a handle and the guard that derefs to it show of themselves: their names, and the id.
macro_rules! handle_and_guard {
    ($handle:ident, $guard:ident) => {
        impl std::fmt::Debug for $handle {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($handle)).field(&self.id()).finish()
            }
        }

        impl std::fmt::Debug for $guard {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($guard)).field(&self.id()).finish()
            }
        }

        impl std::ops::Deref for $guard {
            type Target = $handle;

            fn deref(&self) -> &$handle {
                &self.handle
            }
        }
    };
}
pub(in crate::ec2) use handle_and_guard;

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} {}", self.identity.kind.noun(), self.id())
    }
}

impl Owned for Arc<Made> {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn was_seen(&self) -> bool {
        self.seen.load(Ordering::Relaxed)
    }

    fn keep(&self) -> BoxFuture<'_, Result<String, Error>> {
        Box::pin(async move {
            let until = lease::keep(&self.ec2, &self.identity, self, || Ok(())).await?;
            Ok(format!("{self} is kept until {until}"))
        })
    }
}
