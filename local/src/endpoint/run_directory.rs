//! An endpoint's own directory: its lock, its socket, its volumes' disks, its journal.
//!
//! A directory whose lock nobody holds was left by an endpoint that was killed. It is taken over by the next one, of whatever
//! build, if that can read its journal. One whose lock is held is another build's that is still in use: it is left alone. So is
//! what neither bears our mark nor has a journal of ours in it.

use super::{
    BUILD, EndpointError,
    abandoned::abandoned,
    client::greet,
    disks::{Disks, end_machines},
    earlier_disks,
    images::Images,
    journal::{self, Story},
    layers::Layers,
    layout::{RUN, not_removed, stays},
    state::{StateDirectory, failed},
};
use crate::{account::RootVolume, machine::clear_files};
use ec2_state_directory::{Directory, Error, put_aside, remove};
use rustix::fs::{AtFlags, Stat, fstat, unlinkat};
use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// How long an endpoint that is ending may take to be gone: its machines have 5 s, and what it is doing has 2 s more.
const ENDING_PATIENCE: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(5);

/// The file in an endpoint's directory that it has locked as long as it lives.
pub(super) const ALIVE: &str = "endpoint";
const WAY_IN: &str = "way-in";
/// What the name of an endpoint's directory begins with that is being removed.
pub(super) const ENDED: &str = ".ended-";

/// An endpoint's own lock and files; gone when this is dropped.
pub(super) struct RunDirectory {
    state: StateDirectory,
    /// The directories of all endpoints.
    runs: Directory,
    /// This one's.
    run: Directory,
    /// Locked as long as the endpoint lives.
    alive: File,
    /// What the endpoint that was killed has written.
    story: Option<Story>,
    /// Directories of other builds whose endpoints were killed, too: for a later start.
    left: Vec<PathBuf>,
}

impl RunDirectory {
    /// Moves in: under the state directory's lock, which the caller holds. None where an endpoint of this build is here
    /// already. What others have left, and can't be removed, is named in the log, and tried again by the next one.
    ///
    /// # Errors
    ///
    /// A directory can't be used, or has an account in it that this build can't take over.
    pub(super) fn claim(state: StateDirectory) -> Result<Option<Self>, EndpointError> {
        let Some((runs, mut run, mut alive)) = lock_when_free(&state)? else { return Ok(None) };
        let mut left = abandoned(&runs)?;
        if journal::is_torn_in(&run) {
            journal::put_torn_aside(&run)?;
        }
        let mut story = Story::find(&run)?;
        let mut not_moved = Vec::new();
        while story.is_none()
            && let Some(account) = left.pop()
        {
            let found = Story::find(&account.directory)?;
            // Only what can be read is moved. What is in our own is of no account.
            let aside = put_aside(&runs, OsStr::new(BUILD), ENDED)?;
            clear_away(&runs, OsStr::new(&aside), &run);
            if let Err(error) = runs.rename(&account.name, BUILD) {
                not_removed(account.directory.path(), &error);
                not_moved.push(account);
                (run, alive) = make_anew(&runs)?;
                continue;
            }
            // What was read proves whose it is, if an earlier version made it.
            RUN.mark.put_on(&account.directory)?;
            (story, alive) = (found, account.lock);
            run = runs.open(BUILD)?.ok_or_else(|| gone(&runs))?;
        }
        state.check_way_in()?;
        let has_account = story.is_some();
        end_machines(&run)?;
        if let Err(error) = clear_left(&run, has_account) {
            // What others have planted is for somebody to see. What is left there and can't be removed is in nobody's way under another
            // name.
            if has_account || !matches!(error, EndpointError::State { .. }) {
                return Err(error);
            }
            stays(run.path(), &format!("failed to {error}; it is tried again later, under another name"));
            let aside = put_aside(&runs, OsStr::new(BUILD), ENDED)?;
            clear_away(&runs, OsStr::new(&aside), &run);
            (run, alive) = make_anew(&runs)?;
            clear_left(&run, false)?;
        }
        let left = left.into_iter().chain(not_moved).map(|account| account.directory.path().to_owned()).collect();
        Ok(Some(Self { state, runs, run, alive, story, left }))
    }

    /// What the endpoint that was killed has written, if this one takes its account over.
    pub(super) fn take_story(&mut self) -> Option<Story> {
        self.story.take()
    }

    /// The directories of other accounts whose endpoints were killed. One is taken over at a time.
    pub(super) fn left(&self) -> &[PathBuf] {
        &self.left
    }

    /// The directory itself.
    pub(super) fn run(&self) -> Result<Directory, EndpointError> {
        Ok(self.run.try_clone()?)
    }

    /// The volumes' disks.
    pub(super) fn disks(&self) -> Result<Disks, EndpointError> {
        Disks::of(&self.run)
    }

    /// The snapshots' layers.
    pub(super) fn layers(&self) -> Result<Layers, EndpointError> {
        Layers::of(&self.run)
    }

    /// Whether they are still where they are looked for. They may have been removed, and be another endpoint's by now.
    pub(super) fn is_there(&self) -> bool {
        is_at(&self.alive, &self.state.run().join(ALIVE))
    }

    /// Whether the socket is.
    pub(super) fn has_way_in(&self) -> bool {
        let socket = fs::symlink_metadata(self.state.run().join(WAY_IN));
        socket.map_or_else(|error| error.kind() != io::ErrorKind::NotFound, |_| true)
    }

    /// Gives the disks that an earlier version has kept by their instances to their volumes.
    pub(super) fn give_disks_to<'a>(&self, roots: impl Iterator<Item = RootVolume<'a>>) -> Result<(), EndpointError> {
        earlier_disks::give_to_volumes(&self.run, &Images::of(&self.state), roots)
    }

    /// Removes the disks that are of no volume.
    pub(super) fn keep_disks(&self, keep: impl Fn(&str) -> bool) -> Result<(), EndpointError> {
        self.disks()?.keep(keep)?;
        earlier_disks::remove_left(&self.run)?;
        self.sweep();
        Ok(())
    }

    /// Removes the layers that nothing needs.
    pub(super) fn keep_layers(&self, keep: impl Fn(&str) -> bool) -> Result<(), EndpointError> {
        self.layers()?.keep(keep)?;
        self.sweep();
        Ok(())
    }

    /// What no disk needs any more: removed images whose last machines these were.
    fn sweep(&self) {
        if let Err(error) = Images::of(&self.state).sweep() {
            tracing::warn!("failed to {error}");
        }
    }

    /// Gives up the account that was found: the directory goes with it.
    pub(super) fn give_up(self) -> Result<(), EndpointError> {
        Ok(self.run.remove_file(journal::NAME)?)
    }

    /// The directory goes, with all that is ours in it.
    fn move_out(&self) -> Result<(), EndpointError> {
        // An account that was found and not taken over, since something else went wrong, is for the next one.
        if self.run.look(journal::NAME)?.is_some() || !self.is_there() {
            return Ok(());
        }
        // First it is put aside at once: somebody else may wait for it.
        let aside = put_aside(&self.runs, OsStr::new(BUILD), ENDED)?;
        clear_away(&self.runs, OsStr::new(&aside), &self.run);
        self.sweep();
        // Other builds may have their directories beside ours.
        let _ = unlinkat(self.state.open()?, "run", AtFlags::REMOVEDIR);
        Ok(())
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        if let Err(error) = self.move_out() {
            tracing::warn!("failed to {error}");
        }
    }
}

/// Clears what an endpoint that was killed has left in the directory, where no machine of it runs any more: all, if no account
/// is to be taken over there.
fn clear_left(run: &Directory, has_account: bool) -> Result<(), EndpointError> {
    run.remove_file(WAY_IN)?;
    let disks = Disks::of(run)?;
    if !has_account {
        disks.keep(|_| false)?;
        Layers::of(run)?.keep(|_| false)?;
        earlier_disks::remove_left(run)?;
    }
    Ok(())
}

/// The directory of this build where there is none any more, with its lock.
fn make_anew(runs: &Directory) -> Result<(Directory, File), EndpointError> {
    let run = claim(runs)?;
    let lock = lock(runs, OsStr::new(BUILD), &run)?.ok_or_else(|| gone(runs))?;
    Ok((run, lock))
}

fn gone(runs: &Directory) -> EndpointError {
    failed("find", &runs.path().join(BUILD))(io::ErrorKind::NotFound.into())
}

/// The directories of all endpoints, and that of this build with its lock; waited for where its endpoint is just ending, and none if
/// that serves.
fn lock_when_free(state: &StateDirectory) -> Result<Option<(Directory, Directory, File)>, EndpointError> {
    let since = Instant::now();
    loop {
        let runs = state.runs()?;
        let run = match claim(&runs) {
            // The one before has just removed it, or what it lay in.
            Err(error) if error.is_not_found() => continue,
            other => other?,
        };
        if let Some(lock) = lock(&runs, OsStr::new(BUILD), &run)? {
            return Ok(Some((runs, run, lock)));
        }
        if since.elapsed() > ENDING_PATIENCE || greet(state)?.is_some() {
            return Ok(None);
        }
        thread::sleep(LOOK);
    }
}

/// The directory of this build, which is ours from now on.
fn claim(runs: &Directory) -> Result<Directory, Error> {
    let run = runs.ensure(BUILD)?;
    let foreign = |names: &[OsString]| {
        let is_proven = Story::is_in(&run);
        Ok(names.iter().find(|_| !is_proven).cloned())
    };
    RUN.mark.claim_open(&run, foreign)?;
    Ok(run)
}

/// Whether an open file is the one at a path; what can't be looked at is taken for it.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(file), Ok(there)) => (file.dev(), file.ino()) == (there.dev(), there.ino()),
        (_, Err(error)) => error.kind() != io::ErrorKind::NotFound,
        _ => true,
    }
}

/// The lock of an endpoint's directory; none if somebody holds it, or the directory is just being removed.
pub(super) fn lock(runs: &Directory, name: &OsStr, run: &Directory) -> Result<Option<File>, Error> {
    let file = match run.ensure_file(ALIVE) {
        Err(error) if error.is_not_found() => return Ok(None),
        // One that can't be written to, since somebody has made it immutable, can still be locked.
        Err(error) => run.file(ALIVE)?.ok_or(error)?,
        Ok(file) => file,
    };
    if file.try_lock().is_err() {
        return Ok(None);
    }
    let is = |one: Stat, other: Option<Stat>| {
        other.is_some_and(|other| (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
    };
    let Ok(locked) = fstat(&file) else { return Ok(None) };
    let is_there = is(locked, run.look(ALIVE)?) && is(run.stat()?, runs.look(name)?);
    Ok(is_there.then_some(file))
}

/// Whether an endpoint of this build has its directory: it runs, begins, or is just ending.
pub(super) fn is_held(state: &StateDirectory) -> Result<bool, EndpointError> {
    if !state.run().exists() {
        return Ok(false);
    }
    let Some(run) = state.open()?.open("run")?.map(|runs| runs.open(BUILD)).transpose()?.flatten() else {
        return Ok(false);
    };
    Ok(run.file(ALIVE)?.is_some_and(|lock| lock.try_lock_shared().is_err()))
}

/// Removes an endpoint's directory, whose lock is held, once nothing runs there any more. What can't be removed is named.
pub(super) fn clear_away(runs: &Directory, name: &OsStr, run: &Directory) {
    let path = runs.path().join(name);
    // It may have got that name only now.
    let ended = run.renamed(runs, name).map_err(EndpointError::from).and_then(|run| end_machines(&run));
    if let Err(error) = ended {
        return stays(&path, &format!("failed to {error}; it is tried again later"));
    }
    if let Err(error) = remove(runs, name, run, &RUN, &clear_files) {
        not_removed(&path, &error);
    }
}
