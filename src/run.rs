//! A run: what belongs together across the processes of one `cargo test` or `cargo nextest run`.
//!
//! Its id is `EC2_HARNESS_RUN_ID`, else nextest's, else one per process. Its directory holds what its processes share
//! (the key, the group), mode 0700, and is locked, shared, by each of them: so anybody can see whether it is over. Whoever
//! makes nothing has no need of it.

use crate::{
    error::{Error, ErrorKind},
    lock_file::{self, Lock, open},
};
use once_cell::sync::OnceCell;
use std::{
    collections::BTreeSet,
    env,
    ffi::OsStr,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// The longest tag value is 256 characters; names of keys and groups, which bear the id too, may have 255.
const ID_MAX: usize = 128;

static CURRENT: OnceCell<Run> = OnceCell::new();

/// The run that this process belongs to.
#[derive(Debug)]
pub(crate) struct Run {
    id: String,
    directory: PathBuf,
    // Held, shared, as long as this process lives, once it has joined; an observer never does.
    member: OnceCell<File>,
}

impl Run {
    /// The run of this process, which has not joined it yet.
    pub(crate) fn current() -> Result<&'static Self, Error> {
        CURRENT.get_or_try_init(|| {
            let id = match given_id()? {
                Some(id) => id,
                None => random_id()?,
            };
            Ok(Self::at(&runs_directory()?, id))
        })
    }

    /// The run that `EC2_HARNESS_RUN_ID` names: for its watchdog.
    pub(crate) fn observe() -> Result<&'static Self, Error> {
        CURRENT.get_or_try_init(|| {
            let id =
                given_id()?.ok_or_else(|| Error::new(ErrorKind::Internal, "observe a run").because("none is named"))?;
            Ok(Self::at(&runs_directory()?, id))
        })
    }

    fn at(runs: &Path, id: String) -> Self {
        Self { directory: runs.join(&id), id, member: OnceCell::new() }
    }

    /// Joins it, or starts it, unless this process has; before the first create call.
    pub(crate) fn join(&self) -> Result<(), Error> {
        self.member.get_or_try_init(|| self.become_member()).map(drop).map_err(|e| {
            Error::new(ErrorKind::Internal, format!("use the run directory {}", self.directory.display()))
                .caused_by(e)
                .advise("set EC2_HARNESS_STATE_DIR to a directory of your own on a local disk")
        })
    }

    fn become_member(&self) -> io::Result<File> {
        loop {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
            match lock_file::lock(&self.directory.join(MEMBERS), Lock::Shared) {
                // The last member removed the directory just now.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                member => return member,
            }
        }
    }

    /// The id; also the value of the tag `ec2-harness:run`.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Where the run keeps what its processes share.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Notes that a machine of the run is kept: its tag says so to everybody, but may be seen late.
    pub(crate) fn note_kept(&self, instance: &str) -> Result<(), Error> {
        let path = self.directory.join(KEPT);
        let noted = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(format!("{instance}\n").as_bytes()));
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

/// Where the runs of this user are: `EC2_HARNESS_STATE_DIR`, else `$XDG_STATE_HOME/ec2-harness`, else
/// `~/.local/state/ec2-harness`; and in it `runs`.
pub(crate) fn runs_directory() -> Result<PathBuf, Error> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("EC2_HARNESS_STATE_DIR")
        .or_else(|| set("XDG_STATE_HOME").filter(|path| path.is_absolute()).map(|path| path.join("ec2-harness")))
        .or_else(|| set("HOME").map(|home| home.join(".local/state/ec2-harness")))
        .map(|state| state.join("runs"))
        .ok_or_else(|| {
            Error::new(ErrorKind::Configuration, "find a state directory")
                .because("neither EC2_HARNESS_STATE_DIR nor XDG_STATE_HOME nor HOME is set")
                .advise("set one of them")
        })
}

/// Waits until no process of a run is left, then keeps others from joining it as long as the file lives.
pub(crate) fn wait_for_members(directory: &Path) -> io::Result<File> {
    let file = open(&directory.join(MEMBERS))?;
    file.lock()?;
    Ok(file)
}

/// The file that names the machines of a run that are kept.
const KEPT: &str = "kept";

/// The machines of a run of this user on this host that are kept, as far as it was noted here.
pub(crate) fn kept(run: &str) -> Result<BTreeSet<String>, Error> {
    let Some(directory) = directory_of(run)? else { return Ok(BTreeSet::new()) };
    let noted = fs::read_to_string(directory.join(KEPT)).unwrap_or_default();
    Ok(noted.lines().map(str::to_owned).collect())
}

/// The directory of a run of this user on this host, which may not be there; `None` if no run can have that id.
pub(crate) fn directory_of(run: &str) -> Result<Option<PathBuf>, Error> {
    // Tags are anybody's to write.
    let is_name = Path::new(run).file_name() == Some(OsStr::new(run));
    is_name.then(|| runs_directory().map(|runs| runs.join(run))).transpose()
}

/// The directories of all runs of this user on this host.
pub(crate) fn directories() -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(runs_directory()?).into_iter().flatten().filter_map(Result::ok);
    let runs = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with(GOING));
    Ok(runs.map(|entry| entry.path()).collect())
}

/// The file that each process of a run holds locked, shared.
const MEMBERS: &str = "members";

/// The file that a run's watchdogs hold locked, shared, while the process that owns the run, nextest, lives.
pub(crate) const OWNED: &str = "owned";

/// Whether anybody belongs to a run: one of its processes, or the one that starts them, of which there may be none for a
/// moment.
pub(crate) fn is_living(directory: &Path) -> bool {
    [OWNED, MEMBERS].iter().any(|name| is_shared(&directory.join(name)))
}

/// Whether anybody has a file locked, shared. Whoever has it locked alone shows that there are none: the watchdog that ends
/// the run, or somebody who looks, as we do.
fn is_shared(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    for _ in 0..LOOKS {
        if file.try_lock().is_ok() || file.try_lock_shared().is_err() || file.unlock().is_err() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// How often it is looked: a run's own have their file locked for long, others who look have it for a moment.
const LOOKS: u32 = 5;

/// Whether a run that is over is being ended: by its watchdog, mostly.
pub(crate) fn is_being_ended(directory: &Path) -> bool {
    !is_living(directory) && is_locked(&directory.join(MEMBERS))
}

/// Whether anybody has a file locked, in whatever way. For a moment we have it ourselves.
fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock().is_err())
}

/// What shows that no process of the run is left now, and keeps others from joining as long as it lives.
pub(crate) fn try_over(directory: &Path) -> Option<File> {
    // Not made by looking: it may just be going.
    let file = File::open(directory.join(MEMBERS)).ok()?;
    file.try_lock().is_ok().then_some(file)
}

/// Removes a run's directory; `over` shows that nobody is in it.
pub(crate) fn remove(directory: &Path, over: File) -> io::Result<()> {
    // First it is a run's no longer: whoever joins now starts it anew. No id begins with a dot.
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    let going = directory.with_file_name(format!("{GOING}{name}.{}", std::process::id()));
    fs::rename(directory, &going)?;
    drop(over);
    fs::remove_dir_all(going)
}

/// What the name of a directory begins with that is being removed.
const GOING: &str = ".going-";

/// The lock of a run's watchdog for one place.
pub(crate) fn watchdog_lock(place: &str) -> String {
    format!("watchdog.{place}")
}

/// The directories of runs that are over, were at this place alone, and have no watchdog any more; each with what shows
/// that nobody is in it.
pub(crate) fn abandoned(place: &str) -> Result<Vec<(PathBuf, File)>, Error> {
    let files = |directory: &Path| fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let was_here = |directory: &Path| {
        let mut watchdogs = files(directory).filter_map(|file| file.file_name().into_string().ok());
        watchdogs.all(|name| !name.starts_with("watchdog.") || name == watchdog_lock(place))
    };
    let watched = |directory: &Path| is_locked(&directory.join(watchdog_lock(place)));
    Ok(over()?.into_iter().filter(|(directory, _)| was_here(directory) && !watched(directory)).collect())
}

/// The directories of runs that are over, each with what shows that nobody is in it.
pub(crate) fn over() -> Result<Vec<(PathBuf, File)>, Error> {
    let over = directories()?.into_iter().filter(|directory| !is_living(directory));
    Ok(over.filter_map(|directory| try_over(&directory).map(|over| (directory, over))).collect())
}

/// Removes the directories of runs that are over and were begun this long ago: nothing of theirs can still be wanted.
pub(crate) fn remove_stale(age: Duration) -> Result<(), Error> {
    for entry in fs::read_dir(runs_directory()?).into_iter().flatten().filter_map(Result::ok) {
        let is_old = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|at| at.elapsed().is_ok_and(|since| since > age));
        if let Some(over) = is_old.then(|| try_over(&entry.path())).flatten() {
            let removed = remove(&entry.path(), over);
            removed.map_err(|e| {
                Error::new(ErrorKind::Internal, format!("remove {}", entry.path().display())).caused_by(e)
            })?;
        }
    }
    Ok(())
}

fn given_id() -> Result<Option<String>, Error> {
    for name in ["EC2_HARNESS_RUN_ID", "NEXTEST_RUN_ID"] {
        let Some(id) = env::var(name).ok().filter(|id| !id.is_empty()) else { continue };
        let valid = id.len() <= ID_MAX
            && !id.starts_with('.')
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !valid {
            return Err(Error::new(ErrorKind::Configuration, format!("use {name} as the run's id"))
                .because(format!("`{id}` is not of 1 to {ID_MAX} letters, digits, `-`, `_` and `.`")));
        }
        return Ok(Some(id));
    }
    Ok(None)
}

/// A random name; also for client tokens and attempt tags.
pub(crate) fn random_id() -> Result<String, Error> {
    let mut bytes = [0_u8; 12];
    getrandom::fill(&mut bytes)
        .map_err(|e| Error::new(ErrorKind::Internal, "draw a random id").because(e.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_is_being_ended_lives_no_more() {
        let runs = tempfile::tempdir().unwrap();
        let run = Run::at(runs.path(), "r".into());
        let directory = run.directory().to_owned();
        run.join().unwrap();
        assert!(is_living(&directory) && !is_being_ended(&directory));
        drop(run);
        assert!(!is_living(&directory) && !is_being_ended(&directory));
        let watchdog = wait_for_members(&directory).unwrap();
        assert!(!is_living(&directory) && is_being_ended(&directory));
        assert!(try_over(&directory).is_none());
        drop(watchdog);
        assert!(!is_being_ended(&directory));
    }

    #[test]
    fn a_run_is_over_when_its_last_member_is_gone() {
        let runs = tempfile::tempdir().unwrap();
        let (one, two) = (Run::at(runs.path(), "r".into()), Run::at(runs.path(), "r".into()));
        let directory = one.directory().to_owned();
        assert!(!directory.exists(), "who makes nothing needs nothing");
        one.join().unwrap();
        one.join().unwrap();
        two.join().unwrap();
        drop(one);
        assert!(try_over(&directory).is_none());
        drop(two);
        let over = try_over(&directory).unwrap();
        remove(&directory, over).unwrap();
        assert!(!directory.exists());
    }
}
