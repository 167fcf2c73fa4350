//! What is made once per run, and shared by all its processes: the key, and a security group for each VPC.
//!
//! What they are is noted in the run's directory, under a lock; they are gone when the run is. Their names bear the run's id, so what
//! is there by that name already is either this run's, which the journal shows, or somebody else's, and none of our business.

mod group;
mod key;

pub(crate) use group::{group_of, security_groups};
pub(crate) use key::{Login, existing_key, key};

use crate::{
    connection::{
        Connection,
        patience::{OTHERS_VISIBLE_WITHIN, until_visible},
    },
    engine,
    error::{Error, ErrorKind},
    lock_file,
    resource::{Found, Kind},
    run,
    state_directory::SHARED,
    teardown::journal::Journal,
};
use std::{
    collections::HashMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

/// What of it this process knows: by kind, and by what it depends on.
#[derive(Debug, Default)]
struct Known(Mutex<HashMap<(&'static str, String), Value>>);

/// Which it is, once it was made; anyone who finds it locked waits until it is.
type Value = Arc<tokio::sync::Mutex<Option<String>>>;

impl Known {
    fn of(&self, kind: &Kind, of: &str) -> Value {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry((kind.word, of.to_owned())).or_default().clone()
    }
}

/// The name of what a run makes.
fn name(connection: &Connection) -> String {
    format!("ec2-harness-{}", connection.run.id())
}

/// Makes something once for all processes of the run, and says which it is. It depends on what it is `of`: there is one for each. Who
/// makes it is given the attempt, which what is made must bear as its tag.
async fn once_per_run<F>(
    connection: &Connection,
    kind: &'static Kind,
    of: &str,
    make: impl FnOnce(String) -> F,
) -> Result<String, Error>
where
    F: Future<Output = Result<String, Error>>,
{
    // Within the process an async lock, between processes a file's.
    let known = connection.memo.of::<Known>().of(kind, of);
    let mut known = known.lock().await;
    if let Some(value) = &*known {
        return Ok(value.clone());
    }
    let note = note(connection, kind, of);
    let lock_name = format!("{SHARED}{}.{of}.lock", kind.word);
    let run = connection.run;
    // Another process may hold it for as long as a call takes.
    let lock = engine::blocking("lock the run's directory", move || run.lock(&lock_name)).await?;
    let value = match fs::read_to_string(&note) {
        Ok(value) if !value.is_empty() => value,
        _ => {
            let attempt = run::random_id()?;
            Journal::of(connection).intend(kind, &attempt).await?;
            let value = make(attempt).await?;
            write(&note, &value)
                .map_err(|e| Error::new(ErrorKind::Internal, format!("write {}", note.display())).caused_by(e))?;
            value
        }
    };
    drop(lock);
    *known = Some(value.clone());
    Ok(value)
}

/// Writes a file whole, or not at all: we may be killed in the middle.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    lock_file::anew(&new)?.write_all(text.as_bytes())?;
    fs::rename(new, path)
}

/// Forgets what was noted: EC2 says that it isn't there any more.
pub(crate) async fn forget(connection: &Connection) {
    let known = connection.memo.of::<Known>();
    let all: Vec<_> = known.0.lock().unwrap_or_else(PoisonError::into_inner).drain().collect();
    for ((word, of), _) in all {
        let _ = fs::remove_file(note_of(connection, word, &of));
    }
}

/// Where the run's processes note for each other what was made.
fn note(connection: &Connection, kind: &Kind, of: &str) -> PathBuf {
    note_of(connection, kind.word, of)
}

fn note_of(connection: &Connection, word: &str, of: &str) -> PathBuf {
    connection.run.directory().join(format!("{SHARED}{word}.{of}.{}", connection.place()))
}

/// What EC2 has by our name already, if one of our attempts has made it: its answer was lost, or who made it was killed before it
/// could tell. A name is anybody's to choose, and so is a run's id.
async fn adopt<F>(connection: &Connection, tried: &str, find: impl Fn() -> F) -> Result<Found, Error>
where
    F: Future<Output = Result<Vec<Found>, Error>>,
{
    let since = Instant::now();
    until_visible(|| async {
        let found = find().await?;
        let entries = Journal::of(connection).entries();
        let is_ours = |found: &&Found| {
            entries.iter().any(|entry| entry.kind() == found.kind && Some(entry.token()) == found.token())
        };
        if let Some(ours) = found.iter().find(is_ours) {
            return Ok(ours.clone());
        }
        // Its tags may be seen later than itself.
        let is_anothers = found.iter().any(|found| found.token().is_some() || since.elapsed() > OTHERS_VISIBLE_WITHIN);
        let kind = if is_anothers { ErrorKind::Refused } else { ErrorKind::NotFound };
        Err(Error::new(kind, tried)
            .because("EC2 has one by that name that this run has not made")
            .advise("choose another EC2_HARNESS_RUN_ID, or delete it if nobody needs it; it was left as it is"))
    })
    .await
}
