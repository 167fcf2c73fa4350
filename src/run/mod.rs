//! A run: what belongs together across the processes of one `cargo test` or `cargo nextest run`.
//!
//! Its id is `EC2_HARNESS_RUN_ID`, else nextest's, else one per process. Its directory holds what its processes share
//! (the key, the group), mode 0700, and is locked, shared, by each of them: so anybody can see whether it is over. A process that
//! makes nothing has no need of it.

mod id;
mod members;
mod removal;
#[cfg(test)]
mod tests;
mod watchdogs;

pub(crate) use id::{check_id, random_id};
pub(crate) use members::{Members, incarnation_of, is_being_ended, is_living, over};
pub(crate) use removal::remove_stale;
pub(crate) use watchdogs::{WATCHDOG, abandoned, leave, note_region, used_regions, watchdog_lock};

use crate::{
    error::{Error, ErrorKind},
    lock_file::{self, Lock, open},
    state_directory::{self, ADVICE, CACHED, KEPT, MEMBERS, RUNS, claim_run, is_run, runs, unusable},
};
use id::given_id;
use members::incarnation;
use once_cell::sync::OnceCell;
use removal::GOING;
use std::{
    collections::BTreeSet,
    env,
    ffi::OsStr,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

static CURRENT: OnceCell<Run> = OnceCell::new();

/// The run that this process belongs to.
#[derive(Debug)]
pub(crate) struct Run {
    id: String,
    state: PathBuf,
    directory: PathBuf,
    // Held, shared, as long as this process lives, once it has joined; an observer never does.
    member: OnceCell<File>,
    incarnation: OnceCell<String>,
}

/// Tells a watchdog which incarnation of its run is its own: the run's directory may be gone by then.
pub(crate) const INCARNATION: &str = "EC2_HARNESS_INCARNATION";

impl Run {
    /// The run of this process, which has not joined it yet.
    pub(crate) fn current() -> Result<&'static Self, Error> {
        CURRENT.get_or_try_init(|| {
            let id = match given_id()? {
                Some(id) => id,
                None => random_id()?,
            };
            Ok(Self::at(&state_directory::path()?, id))
        })
    }

    /// The run that `EC2_HARNESS_RUN_ID` names: for its watchdog.
    pub(crate) fn observe() -> Result<&'static Self, Error> {
        CURRENT.get_or_try_init(|| {
            let id =
                given_id()?.ok_or_else(|| Error::new(ErrorKind::Internal, "observe a run").because("none is named"))?;
            let run = Self::at(&state_directory::path()?, id);
            if let Ok(incarnation) = env::var(INCARNATION) {
                let _ = run.incarnation.set(incarnation);
            }
            Ok(run)
        })
    }

    fn at(state: &Path, id: String) -> Self {
        Self {
            directory: state.join(RUNS).join(&id),
            state: state.to_owned(),
            id,
            member: OnceCell::new(),
            incarnation: OnceCell::new(),
        }
    }

    /// Joins it, or starts it, unless this process has; before the first create call.
    pub(crate) fn join(&self) -> Result<(), Error> {
        let member = self.member.get_or_try_init(|| self.become_member())?;
        let incarnation = self.incarnation.get_or_try_init(|| incarnation(member));
        incarnation.map(drop).map_err(|e| Error::new(ErrorKind::Internal, "join the run").caused_by(e))
    }

    fn become_member(&self) -> Result<File, Error> {
        let failed = |e: io::Error| {
            Error::new(ErrorKind::Internal, format!("use the run directory {}", self.directory.display()))
                .caused_by(e)
                .advise(ADVICE)
        };
        loop {
            // Anew each time: somebody may have removed all of it.
            let runs = state_directory::claim(&self.state)?.ensure(RUNS).map_err(unusable)?;
            match claim_run(&runs, &self.id) {
                // The last member removed the directory just now.
                Err(error) if error.is_not_found() => continue,
                other => other.map_err(unusable)?,
            };
            match lock_file::lock(&self.directory.join(MEMBERS), Lock::Shared) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                member => return member.map_err(failed),
            }
        }
    }

    /// The id; also the value of the tag `ec2-harness:run`.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Which of the runs of this id it is ([`incarnation_of`]); also the value of the tag `ec2-harness:incarnation`. `None` before it
    /// is joined.
    pub(crate) fn incarnation(&self) -> Option<&str> {
        self.incarnation.get().map(String::as_str)
    }

    /// Where the run keeps what its processes share.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Notes that a machine of the run is kept: its tag says so to everybody, but may be seen late.
    pub(crate) fn note_kept(&self, instance: &str) -> Result<(), Error> {
        self.note(KEPT, instance)
    }

    /// Notes that an image of the run belongs to all runs now, which its tags say, too, and may be seen late.
    pub(crate) fn note_cached(&self, image: &str) -> Result<(), Error> {
        self.note(CACHED, image)
    }

    fn note(&self, file: &str, id: &str) -> Result<(), Error> {
        let path = self.directory.join(file);
        let noted = lock_file::own()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(lock_file::alone)
            .and_then(|mut file| file.write_all(format!("{id}\n").as_bytes()));
        noted.map_err(|e| Error::new(ErrorKind::Internal, format!("write {}", path.display())).caused_by(e))
    }

    /// Locks a file of the run, so that one process at a time makes what all of them use.
    pub(crate) fn lock(&self, name: &str) -> Result<File, Error> {
        let path = self.directory.join(name);
        open(&path)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|e| Error::new(ErrorKind::Internal, format!("lock {}", path.display())).caused_by(e))
    }

    /// The same, if nobody has it locked.
    pub(crate) fn try_lock(&self, name: &str) -> Result<Option<File>, Error> {
        let path = self.directory.join(name);
        let file = open(&path)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("open {}", path.display())).caused_by(e))?;
        Ok(file.try_lock().is_ok().then_some(file))
    }
}

/// The machines of a run of this user on this host that are kept, as far as it was noted here.
pub(crate) fn kept(run: &str) -> Result<BTreeSet<String>, Error> {
    noted(run, KEPT)
}

/// The images of a run of this user on this host that belong to all runs now.
pub(crate) fn cached(run: &str) -> Result<BTreeSet<String>, Error> {
    noted(run, CACHED)
}

fn noted(run: &str, file: &str) -> Result<BTreeSet<String>, Error> {
    let Some(directory) = directory_of(run)? else { return Ok(BTreeSet::new()) };
    let noted = fs::read_to_string(directory.join(file)).unwrap_or_default();
    Ok(noted.lines().map(str::to_owned).collect())
}

/// Whether something of a run was kept so lately that EC2 may not show it yet, and is not known to have ended since.
pub(crate) fn has_kept_lately(
    directory: &Path,
    within: Duration,
    has_ended: impl Fn(&str) -> bool,
) -> Result<bool, Error> {
    let noted = fs::metadata(directory.join(KEPT)).and_then(|metadata| metadata.modified());
    let is_late = noted.is_ok_and(|at| at.elapsed().is_ok_and(|since| since < within));
    let run = directory.file_name().and_then(OsStr::to_str).unwrap_or_default();
    Ok(is_late && kept(run)?.iter().any(|id| !has_ended(id)))
}

/// The directory of a run of this user on this host, which may not be there; `None` if no run can have that id.
pub(crate) fn directory_of(run: &str) -> Result<Option<PathBuf>, Error> {
    // Tags are anybody's to write.
    let is_name = Path::new(run).file_name() == Some(OsStr::new(run));
    is_name.then(|| state_directory::path().map(|state| state.join(RUNS).join(run))).transpose()
}

/// The directories of all runs of this user on this host.
pub(crate) fn directories() -> Result<Vec<PathBuf>, Error> {
    let Some(runs) = runs()? else { return Ok(Vec::new()) };
    let names = runs.names().map_err(unusable)?;
    let names = names.into_iter().filter(|name| !name.to_string_lossy().starts_with(GOING));
    // Whatever else lies there is no run.
    let found = names.filter_map(|name| runs.open(name).ok().flatten());
    Ok(found.filter(is_run).map(|run| run.path().to_owned()).collect())
}
