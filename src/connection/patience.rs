//! How often a call is tried, and for how long: EC2 shows late what was made, throttles, and sometimes doesn't answer.

use super::Connection;
use crate::error::{Error, ErrorKind};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long something of ours may be invisible after its creation. AWS names no bound; mostly it is seconds.
/// <https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html>.
pub(crate) const VISIBLE_WITHIN: Duration = Duration::from_secs(60);

/// How long something that somebody else has made, or that a person has named, may be invisible: it may be as fresh as what
/// we have made, or be misspelt.
pub(crate) const OTHERS_VISIBLE_WITHIN: Duration = Duration::from_secs(5);

/// The pause after a first look that found nothing; it doubles.
pub(crate) const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between two looks.
pub(crate) const LOOK_PAUSE_MAX: Duration = Duration::from_secs(5);

/// The pause between two looks grows with the age of the wait, by this part of what is beyond [`OFTEN_FOR`]: so a look comes at
/// most this part too late, be it a start of a second or one of five minutes, and few are made.
const PAUSE_PER_AGE: f64 = 0.2;
/// The shortest such pause.
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// From which age on pauses grow: a local machine starts about then.
const OFTEN_FOR: Duration = Duration::from_millis(75);

/// The pause before the next look of a wait of this age.
pub(crate) fn pause_at(age: Duration, longest: Duration) -> Duration {
    age.saturating_sub(OFTEN_FOR).mul_f64(PAUSE_PER_AGE).clamp(PAUSE_MIN, longest)
}

/// How often a call is tried while EC2 throttles it or doesn't answer, beyond the SDK's own tries.
pub(crate) const TRIES: u32 = 6;
/// The pause after the first of them; it doubles.
pub(crate) const TRY_PAUSE: Duration = Duration::from_millis(200);

/// The pause between two tries where a quota of the account is used up, or there is no capacity.
const QUOTA_PAUSE: Duration = Duration::from_secs(15);

/// That pause at a connection: others end as much faster as all goes faster at a local EC2.
pub(crate) fn quota_pause(connection: &Connection) -> Duration {
    QUOTA_PAUSE.mul_f64(connection.pace().clamp(0.01, 1.0))
}

/// Tries a call again as long as EC2 says that something we have just made isn't there.
pub(crate) async fn until_visible<T, F>(call: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    until_visible_within(VISIBLE_WITHIN, call).await
}

/// The same, but gives up after this limit.
pub(crate) async fn until_visible_within<T, F>(limit: Duration, call: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let since = Instant::now();
    let mut pauses = pauses(LOOK_PAUSE, LOOK_PAUSE_MAX);
    loop {
        match call().await {
            Err(error) if error.kind() == ErrorKind::NotFound && since.elapsed() < limit => {
                pauses.next().await;
            }
            other => return other,
        }
    }
}

/// Tries a call again that EC2 throttles or doesn't answer, some times. It must be such that nothing is made twice.
/// A local EC2 that has ended will not answer again.
pub(crate) async fn until_answered<T, F>(connection: &Arc<Connection>, call: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut pauses = pauses(TRY_PAUSE, LOOK_PAUSE_MAX);
    for _ in 1..TRIES {
        match call().await {
            Err(error) if error.is_transient() && !connection.is_gone().await => pauses.next().await,
            other => return other,
        }
    }
    call().await
}

/// Pauses, each twice as long as the one before.
pub(crate) struct Pauses {
    next: Duration,
    longest: Duration,
}

/// Pauses from one length to another.
pub(crate) fn pauses(first: Duration, longest: Duration) -> Pauses {
    Pauses { next: first, longest }
}

impl Pauses {
    pub(crate) async fn next(&mut self) {
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(self.longest);
    }
}
