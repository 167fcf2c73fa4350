//! An endpoint's own directory: its lock, its socket, its machines' disks, its journal.
//!
//! A directory whose lock nobody holds was left by an endpoint that was killed. It is taken over by the next one, of whatever
//! build, if that can read its journal. One whose lock is held is another build's that is still in use: it is left alone.

use super::{
    EndpointError,
    client::greet,
    images::Images,
    journal::Story,
    state::{StateDirectory, failed, make_directory},
};
use crate::machine::sandbox::{clear_remains, end_remains, remove_disk};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// How long an endpoint that is ending may take to be gone: its machines have 5 s, and what it is doing has 2 s more.
const ENDING_PATIENCE: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(5);

/// An endpoint's own lock and files; gone when this is dropped.
pub(super) struct Premises {
    state: StateDirectory,
    /// Locked as long as the endpoint lives.
    alive: File,
    /// What the endpoint that was killed has written.
    story: Option<Story>,
    /// Directories of other builds whose endpoints were killed, too: for a later start.
    left: Vec<PathBuf>,
}

impl Premises {
    /// Moves in: under the state directory's lock, which the caller holds. None where an endpoint of this build is here
    /// already.
    ///
    /// # Errors
    ///
    /// A directory can't be used, or has an account in it that this build can't take over.
    pub(super) fn move_in(state: StateDirectory) -> Result<Option<Self>, EndpointError> {
        let run = state.run();
        let Some(mut alive) = lock_when_free(&state)? else { return Ok(None) };
        let mut left = abandoned(&run)?;
        let mut story = read(&run)?;
        if story.is_none()
            && let Some((directory, lock)) = left.pop()
        {
            story = read(&directory)?;
            // Only what can be read is moved. What is in our own is of no account.
            clear(&run)?;
            remove(&run)?;
            fs::rename(&directory, &run).map_err(failed("take over", &directory))?;
            Images::of(&state).moved(&directory, &run)?;
            alive = lock;
        }
        let machines = state.machines();
        end_remains(&machines).map_err(failed("wait for the end of the machines in", &machines))?;
        let left = left.into_iter().map(|(directory, _)| directory).collect();
        let premises = Self { state, alive, story, left };
        if premises.story.is_none() {
            clear(&run)?;
        }
        let way_in = run.join("way-in");
        match fs::remove_file(&way_in) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &way_in)(e)),
            _ => {}
        }
        make_directory(&machines)?;
        Ok(Some(premises))
    }

    /// What the endpoint that was killed has written, if this one takes its account over.
    pub(super) fn take_story(&mut self) -> Option<Story> {
        self.story.take()
    }

    /// The directories of other accounts whose endpoints were killed. One is taken over at a time.
    pub(super) fn left(&self) -> &[PathBuf] {
        &self.left
    }

    /// Whether they are still where they are looked for. They may have been removed, and be another endpoint's by now.
    pub(super) fn are_there(&self) -> bool {
        is_at(&self.alive, &lock_of(&self.state.run()))
    }

    /// Whether the socket is.
    pub(super) fn have_a_way_in(&self) -> bool {
        let socket = fs::symlink_metadata(self.state.run().join("way-in"));
        socket.map_or_else(|error| error.kind() != io::ErrorKind::NotFound, |_| true)
    }

    /// Removes the disks that are of no instance.
    pub(super) fn keep_disks(&self, keep: impl Fn(&str) -> bool) -> Result<(), EndpointError> {
        clear_disks(&self.state.machines(), keep)?;
        self.sweep();
        Ok(())
    }

    /// What no disk needs any more.
    fn sweep(&self) {
        clear_remains();
        // Removed images whose last machines these were.
        if let Err(error) = Images::of(&self.state).sweep() {
            tracing::warn!("failed to {error}");
        }
    }
}

impl Drop for Premises {
    fn drop(&mut self) {
        // An account that was found and not taken over, since something else went wrong, is for the next one.
        let run = self.state.run();
        if journal_of(&run).exists() || !self.are_there() {
            return;
        }
        if let Err(error) = clear(&run).and_then(|()| remove(&run)) {
            tracing::warn!("failed to {error}");
        }
        self.sweep();
        // Other builds may have their directories beside ours.
        let _ = fs::remove_dir(self.state.path().join("run"));
    }
}

/// The lock of this build's directory; waited for where its endpoint is just ending, and none if that serves.
fn lock_when_free(state: &StateDirectory) -> Result<Option<File>, EndpointError> {
    let (run, since) = (state.run(), Instant::now());
    loop {
        make_directory(&run)?;
        if let Some(lock) = lock(&run)? {
            return Ok(Some(lock));
        }
        if since.elapsed() > ENDING_PATIENCE || greet(state)?.is_some() {
            return Ok(None);
        }
        thread::sleep(LOOK);
    }
}

fn lock_of(run: &Path) -> PathBuf {
    run.join("endpoint")
}

/// Whether an open file is the one at a path; what can't be looked at is taken for it.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(file), Ok(there)) => (file.dev(), file.ino()) == (there.dev(), there.ino()),
        (_, Err(error)) => error.kind() != io::ErrorKind::NotFound,
        _ => true,
    }
}

/// The lock of an endpoint's directory; none if somebody holds it, or the directory is just being removed.
fn lock(run: &Path) -> Result<Option<File>, EndpointError> {
    let path = lock_of(run);
    let mut options = OpenOptions::new();
    let file = match options.create(true).truncate(false).write(true).mode(0o600).open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed("open", &path))?,
    };
    Ok((file.try_lock().is_ok() && is_at(&file, &path)).then_some(file))
}

/// The directories of other builds whose endpoints were killed and have left an account, the one that was used last at the end;
/// each with its lock. Those without an account are removed: their endpoints were just ending, or kept none.
fn abandoned(run: &Path) -> Result<Vec<(PathBuf, File)>, EndpointError> {
    let mut found = Vec::new();
    let Some(all) = run.parent() else { return Ok(Vec::new()) };
    for entry in fs::read_dir(all).map_err(failed("list", all))?.filter_map(Result::ok) {
        let directory = entry.path();
        if directory == run || !directory.is_dir() {
            continue;
        }
        let Some(lock) = lock(&directory)? else { continue };
        match fs::metadata(journal_of(&directory)).and_then(|journal| journal.modified()) {
            Ok(used) => found.push((used, directory, lock)),
            Err(_) => {
                tracing::warn!("removing {}: an endpoint that kept no account has left it", directory.display());
                clear(&directory)?;
                remove(&directory)?;
            }
        }
    }
    found.sort_by_key(|(used, ..)| *used);
    Ok(found.into_iter().map(|(_, directory, lock)| (directory, lock)).collect())
}

/// The directories of accounts whose endpoints were killed. The next starts take them over, one at a time.
pub fn abandoned_accounts(state: &StateDirectory) -> Vec<PathBuf> {
    let all = fs::read_dir(state.path().join("run")).into_iter().flatten().filter_map(Result::ok);
    let is_abandoned = |run: &Path| {
        journal_of(run).exists() && File::open(lock_of(run)).is_ok_and(|lock| lock.try_lock_shared().is_ok())
    };
    all.map(|entry| entry.path()).filter(|run| is_abandoned(run)).collect()
}

/// Where the journal is.
pub(super) fn journal_of(run: &Path) -> PathBuf {
    run.join("journal")
}

fn read(run: &Path) -> Result<Option<Story>, EndpointError> {
    let journal = journal_of(run);
    if journal.exists() { Story::read(&journal).map(Some) } else { Ok(None) }
}

/// Removes all disks, once nothing runs there any more.
fn clear(run: &Path) -> Result<(), EndpointError> {
    let machines = run.join("machines");
    end_remains(&machines).map_err(failed("wait for the end of the machines in", &machines))?;
    clear_disks(&machines, |_| false)
}

fn clear_disks(machines: &Path, keep: impl Fn(&str) -> bool) -> Result<(), EndpointError> {
    let Ok(entries) = fs::read_dir(machines) else { return Ok(()) };
    for disk in entries.filter_map(Result::ok) {
        if !disk.file_name().to_str().is_some_and(&keep) {
            remove_disk(&disk.path()).map_err(failed("remove", &disk.path()))?;
        }
    }
    Ok(())
}

/// Removes an endpoint's directory, whose lock is held. First it is put aside at once: somebody else may wait for it.
fn remove(run: &Path) -> Result<(), EndpointError> {
    let aside = run.with_file_name(format!(".ended-{}", std::process::id()));
    match fs::rename(run, &aside).and_then(|()| fs::remove_dir_all(&aside)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", run)(e)),
        _ => Ok(()),
    }
}
