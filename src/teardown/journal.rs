//! The journal: what a run is about to make, or has made and not ended; a file each in the run's directory, there before the
//! call is sent.
//!
//! Tags alone don't do: when a process is killed, a create call of its may be on its way, or its answer lost, and what it
//! makes is seen late. The one who ends the run then waits for what the journal names, by what only that call knows: its client
//! token, or the tag of its attempt.

use crate::{
    connection::Connection,
    engine,
    error::{Error, ErrorKind},
    lock_file,
    resource::{Kind, Life, kind},
    target::Target,
};
use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

/// The journal of one run at one place.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    directory: PathBuf,
    /// Whether it must outlive this host's power: a local EC2 doesn't either.
    durable: bool,
}

/// Something that is about to be made, or may be there.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    kind: &'static Kind,
    token: String,
    /// How many of the kind the one call makes.
    count: usize,
    /// How many of them this process hasn't settled yet.
    unsettled: Arc<AtomicUsize>,
    path: PathBuf,
    /// The file, locked, shared, while the process lives that makes it: others see by that whose it still is.
    held: Option<Arc<File>>,
}

impl Journal {
    /// The journal of a connection's own run, for its place.
    pub(crate) fn of(connection: &Connection) -> Self {
        Self::of_run(connection.run.directory(), connection)
    }

    /// The journal in a run's directory for a connection's place, which may not be there yet.
    pub(crate) fn of_run(run: &Path, connection: &Connection) -> Self {
        Self::at(run, &connection.place(), connection.target != Target::Local)
    }

    /// The journal in a run's directory for a place, for one who only looks.
    pub(crate) fn of_place(run: &Path, place: &str) -> Self {
        Self::at(run, place, false)
    }

    fn at(run: &Path, place: &str, durable: bool) -> Self {
        Self { directory: run.join(format!("journal.{place}")), durable }
    }

    /// Notes what is about to be made, and what only the call that makes it knows. It is there for good before anything is sent.
    pub(crate) async fn intend(&self, kind: &'static Kind, token: &str) -> Result<Entry, Error> {
        self.intend_many(kind, token, 1).await
    }

    /// The same, of what is made by one call together.
    pub(crate) async fn intend_many(&self, kind: &'static Kind, token: &str, count: usize) -> Result<Entry, Error> {
        let (journal, token) = (self.clone(), token.to_owned());
        engine::blocking("note what is about to be made", move || journal.note(kind, &token, count)).await
    }

    fn note(&self, kind: &'static Kind, token: &str, count: usize) -> Result<Entry, Error> {
        let mut entry = self.entry(kind, token, count);
        let file = self.write(&entry.path).map_err(|e| {
            Error::new(ErrorKind::Internal, format!("note in {} what is about to be made", self.directory.display()))
                .caused_by(e)
                .advise("nothing was made; see that the state directory can be written, or set EC2_HARNESS_STATE_DIR")
        })?;
        // Anyone who looks just now has it for a moment; the next look is as good.
        entry.held = (kind.life == Life::Test && file.lock_shared().is_ok()).then(|| Arc::new(file));
        Ok(entry)
    }

    fn write(&self, path: &Path) -> io::Result<File> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        // Nothing is in it, and its age is that of the last call.
        let file = lock_file::own().write(true).create(true).truncate(false).open(path)?;
        file.set_modified(SystemTime::now())?;
        if self.durable {
            file.sync_all()?;
            File::open(&self.directory)?.sync_all()?;
        }
        Ok(file)
    }

    fn entry(&self, kind: &'static Kind, token: &str, count: usize) -> Entry {
        let counted = if count == 1 { String::new() } else { format!(".{count}") };
        let path = self.directory.join(format!("{}.{token}{counted}", kind.word));
        Entry { kind, token: token.to_owned(), count, unsettled: Arc::new(AtomicUsize::new(count)), path, held: None }
    }

    /// What lived as long as a test whose process has died.
    pub(crate) fn orphans(&self) -> Vec<Entry> {
        let mut orphans = self.entries();
        orphans.retain(|entry| entry.kind.life == Life::Test && entry.is_orphaned());
        orphans
    }

    /// All that may be there.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let files = fs::read_dir(&self.directory).into_iter().flatten().filter_map(Result::ok);
        files
            .filter_map(|file| file.file_name().into_string().ok())
            .filter_map(|file| {
                let (word, token) = file.split_once('.')?;
                let (token, count) = token.split_once('.').unwrap_or((token, "1"));
                Some(self.entry(kind(word)?, token, count.parse().ok()?))
            })
            .collect()
    }
}

impl Entry {
    pub(crate) fn kind(&self) -> &'static Kind {
        self.kind
    }

    /// What only the call that makes it knows.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// How many of the kind the one call makes.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    fn is_orphaned(&self) -> bool {
        lock_file::own().read(true).open(&self.path).is_ok_and(|file| file.try_lock().is_ok())
    }

    /// Notes that the call is sent now, again.
    pub(crate) fn sent(&self) {
        let _ = lock_file::own().write(true).open(&self.path).and_then(|file| file.set_modified(SystemTime::now()));
    }

    /// How long ago the call was sent last.
    pub(crate) fn age(&self) -> Duration {
        let sent = fs::metadata(&self.path).and_then(|metadata| metadata.modified());
        sent.ok().map_or(Duration::MAX, |at| at.elapsed().unwrap_or_default())
    }

    /// Forgets one of those that this process has made by it, and it with the last of them.
    pub(crate) fn settle_one(&self) {
        if self.unsettled.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.settle();
        }
    }

    /// Forgets it: it has ended, was never made, or is to be kept.
    pub(crate) fn settle(&self) {
        // Anyone else who settles it is as right.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{INSTANCE, KEY_PAIR, SECURITY_GROUP};

    #[test]
    fn what_is_intended_is_there_until_it_is_settled() {
        let run = tempfile::tempdir().unwrap();
        let journal = Journal::at(run.path(), "here", true);
        assert!(journal.entries().is_empty());
        let instance = journal.note(&INSTANCE, "0a1b", 1).unwrap();
        journal.note(&KEY_PAIR, "2c3d", 1).unwrap();
        journal.note(&KEY_PAIR, "2c3d", 1).unwrap();
        let other = Journal::at(run.path(), "there", false);
        other.note(&SECURITY_GROUP, "2c3d", 1).unwrap();
        let mut found: Vec<_> = journal.entries().iter().map(|it| (it.kind().word, it.token().to_owned())).collect();
        found.sort();
        assert_eq!(found, [("instance", "0a1b".into()), ("key-pair", "2c3d".into())]);
        instance.settle();
        instance.settle();
        journal.entries().iter().for_each(Entry::settle);
        assert!(journal.entries().is_empty());
        assert_eq!(other.entries().len(), 1);
    }

    #[test]
    fn what_one_call_makes_is_settled_with_the_last_of_it() {
        let run = tempfile::tempdir().unwrap();
        let journal = Journal::at(run.path(), "here", true);
        let entry = journal.note(&INSTANCE, "0a1b", 3).unwrap();
        let found = &journal.entries()[0];
        assert_eq!((found.token(), found.count()), ("0a1b", 3));
        let others = [entry.clone(), entry.clone()];
        others.iter().for_each(Entry::settle_one);
        assert_eq!(journal.entries().len(), 1);
        entry.settle_one();
        assert!(journal.entries().is_empty());
    }

    #[test]
    fn the_age_is_that_of_the_last_call() {
        let run = tempfile::tempdir().unwrap();
        let entry = Journal::at(run.path(), "here", false).note(&INSTANCE, "0a1b", 1).unwrap();
        let hour = Duration::from_secs(3600);
        File::options().write(true).open(&entry.path).unwrap().set_modified(SystemTime::now() - hour).unwrap();
        assert!(entry.age() >= hour);
        entry.sent();
        assert!(entry.age() < hour);
        entry.settle();
        assert_eq!(entry.age(), Duration::MAX, "it was settled because it is gone");
    }

    #[test]
    fn what_a_process_has_made_is_its_own_while_it_lives() {
        let run = tempfile::tempdir().unwrap();
        let journal = Journal::at(run.path(), "here", false);
        let instance = journal.note(&INSTANCE, "0a1b", 1).unwrap();
        let orphans = || journal.orphans().iter().map(|entry| entry.token().to_owned()).collect::<Vec<_>>();
        // A key pair is the run's, and no test's.
        journal.note(&KEY_PAIR, "2c3d", 1).unwrap();
        assert!(orphans().is_empty());
        let guard = instance.clone();
        drop(instance);
        assert!(orphans().is_empty());
        drop(guard);
        assert_eq!(orphans(), ["0a1b"]);
    }
}
