//! A run: what belongs together across the processes of one `cargo test` or `cargo nextest run`.
//!
//! Its id is `EC2_HARNESS_RUN_ID`, else nextest's, else one per process. Its directory holds what its processes share
//! (the key, the group), mode 0700, and is locked, shared, by each of them: so anybody can see whether it is over. A process that
//! makes nothing has no need of it.

use crate::{
    error::{Error, ErrorKind},
    lock_file::{self, Lock, open},
    state_directory::{self, ADVICE, KEPT, MEMBERS, OWNED, RUN, RUNS, claim_run, is_run, runs, unusable},
    target::Target,
};
use ec2_state_directory::{Directory, is_leftover, put_aside, remove_contents};
use once_cell::sync::OnceCell;
use std::{
    collections::BTreeSet,
    env,
    ffi::OsStr,
    fs::{self, File},
    io::{self, Write},
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// The longest tag value is 256 characters; names of keys and groups, which bear the id too, may have 255.
const ID_MAX: usize = 128;

static CURRENT: OnceCell<Run> = OnceCell::new();

/// The run that this process belongs to.
#[derive(Debug)]
pub(crate) struct Run {
    id: String,
    state: PathBuf,
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
            Ok(Self::at(&state_directory::path()?, id))
        })
    }

    /// The run that `EC2_HARNESS_RUN_ID` names: for its watchdog.
    pub(crate) fn observe() -> Result<&'static Self, Error> {
        CURRENT.get_or_try_init(|| {
            let id =
                given_id()?.ok_or_else(|| Error::new(ErrorKind::Internal, "observe a run").because("none is named"))?;
            Ok(Self::at(&state_directory::path()?, id))
        })
    }

    fn at(state: &Path, id: String) -> Self {
        Self { directory: state.join(RUNS).join(&id), state: state.to_owned(), id, member: OnceCell::new() }
    }

    /// Joins it, or starts it, unless this process has; before the first create call.
    pub(crate) fn join(&self) -> Result<(), Error> {
        self.member.get_or_try_init(|| self.become_member()).map(drop)
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

    /// Where the run keeps what its processes share.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Notes that a machine of the run is kept: its tag says so to everybody, but may be seen late.
    pub(crate) fn note_kept(&self, instance: &str) -> Result<(), Error> {
        let path = self.directory.join(KEPT);
        let noted = lock_file::own()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(lock_file::alone)
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

/// The processes of a run, for one who waits for their end. They are found even if the run's directory is removed meanwhile.
#[derive(Debug)]
pub(crate) struct Members {
    path: PathBuf,
    file: File,
}

impl Members {
    /// Those of the run in a directory; `None` if it was removed already.
    pub(crate) fn of(directory: &Path) -> io::Result<Option<Self>> {
        let path = directory.join(MEMBERS);
        match open(&path) {
            Ok(file) => Ok(Some(Self { path, file })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits until none is left, then keeps others from joining as long as the file lives. Those who have begun the run anew after
    /// its directory was removed are waited for, too.
    pub(crate) fn wait(&mut self) -> io::Result<File> {
        loop {
            // A lock belongs to an opening of the file, and this one must outlive it.
            let over = File::options().read(true).write(true).open(in_proc(&self.file))?;
            over.lock()?;
            match lock_file::own().read(true).write(true).open(&self.path) {
                Ok(now) if inode(&now)? != inode(&over)? => self.file = now,
                _ => return Ok(over),
            }
        }
    }
}

fn inode(file: &File) -> io::Result<(u64, u64)> {
    file.metadata().map(|found| (found.dev(), found.ino()))
}

fn in_proc(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// The machines of a run of this user on this host that are kept, as far as it was noted here.
pub(crate) fn kept(run: &str) -> Result<BTreeSet<String>, Error> {
    let Some(directory) = directory_of(run)? else { return Ok(BTreeSet::new()) };
    let noted = fs::read_to_string(directory.join(KEPT)).unwrap_or_default();
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

/// Whether anybody belongs to a run: one of its processes, or the one that starts them, of which there may be none for a
/// moment.
pub(crate) fn is_living(directory: &Path) -> bool {
    [OWNED, MEMBERS].iter().any(|name| is_shared(&directory.join(name)))
}

/// Whether anybody has a file locked, shared. Anyone who has it locked alone shows that there are none: the watchdog that ends
/// the run, or somebody who looks, as we do.
fn is_shared(path: &Path) -> bool {
    let Ok(file) = lock_file::own().read(true).open(path) else { return false };
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
    lock_file::own().read(true).open(path).is_ok_and(|file| file.try_lock().is_err())
}

/// What shows that no process of the run is left now, and keeps others from joining as long as it lives.
pub(crate) fn try_over(directory: &Path) -> Option<File> {
    // Not made by looking: it may just be going.
    let file = lock_file::own().read(true).open(directory.join(MEMBERS)).ok()?;
    file.try_lock().is_ok().then_some(file)
}

/// Removes a run's directory; `over` shows that nobody is in it. What isn't ours in it stays, and is named in the log; one without
/// our mark stays as a whole.
pub(crate) fn remove(directory: &Path, over: File) -> Result<(), Error> {
    let removed = || {
        let (Some(runs), Some(name)) = (directory.parent(), directory.file_name()) else { return Ok(()) };
        let runs = Directory::find(runs)?;
        let Some(run) = runs.open(name)? else { return Ok(()) };
        // By now it may be another's of the same name.
        let is_over = run.look(MEMBERS)?.is_some_and(|members| {
            over.metadata().is_ok_and(|over| (over.dev(), over.ino()) == (members.st_dev, members.st_ino))
        });
        if !is_over {
            return Ok(());
        }
        if !RUN.mark.is_on(&run)? {
            tracing::warn!("leaving {} where it is: it bears no mark of ec2-harness's", directory.display());
            return Ok(());
        }
        // First it is a run's no longer: anyone who joins now starts it anew. No id begins with a dot.
        let going = put_aside(&runs, name, &format!("{GOING}{}.", name.to_string_lossy()))?;
        drop(over);
        clear_away(&runs, OsStr::new(&going), &run);
        Ok(())
    };
    removed().map_err(unusable)
}

/// Removes a directory that was put aside. What can't be removed is named, and tried again by a later sweep.
fn clear_away(runs: &Directory, name: &OsStr, run: &Directory) {
    if let Err(error) = ec2_state_directory::remove(runs, name, run, &RUN, &|directory| remove_contents(directory)) {
        tracing::warn!(
            "leaving {} where it is: failed to {error}; it is tried again later",
            runs.path().join(name).display()
        );
    }
}

/// What the name of a directory begins with that is being removed.
const GOING: &str = ".going-";

/// What the names of watchdogs' locks begin with.
pub(crate) const WATCHDOG: &str = "watchdog.";

/// The lock of a run's watchdog for one place.
pub(crate) fn watchdog_lock(place: &str) -> String {
    format!("{WATCHDOG}{place}")
}

/// Notes in a watchdog's lock where the run makes something.
pub(crate) fn note_region(lock: &mut File, target: &Target, region: &str) -> Result<(), Error> {
    let written = lock.set_len(0).and_then(|()| lock.write_all(format!("{} {region}\n", target.word()).as_bytes()));
    written.map_err(|e| Error::new(ErrorKind::Internal, "note the region that the run uses").caused_by(e))
}

/// The regions of a target in which there are runs, or have been whose directories are left.
pub(crate) fn used_regions(target: &Target) -> Result<BTreeSet<String>, Error> {
    let locks = directories()?.into_iter().flat_map(|run| {
        let locks = watchdogs(&run);
        locks.into_iter().map(move |lock| run.join(lock))
    });
    let noted = locks.filter_map(|lock| {
        let text = fs::read_to_string(lock).ok()?;
        let (word, region) = text.trim_end().split_once(' ')?;
        (word == target.word()).then(|| region.to_owned())
    });
    Ok(noted.collect())
}

/// The names of the locks of all watchdogs that a run has had and that haven't left it.
fn watchdogs(directory: &Path) -> Vec<String> {
    let files = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let names = files.filter_map(|file| file.file_name().into_string().ok());
    names.filter(|name| name.starts_with(WATCHDOG)).collect()
}

/// The directories of runs that are over, were at this place or at none, and have no watchdog there any more; each with what shows
/// that nobody is in it.
pub(crate) fn abandoned(place: &str) -> Result<Vec<(PathBuf, File)>, Error> {
    let lock = watchdog_lock(place);
    let is_abandoned = |directory: &Path| {
        let watchdogs = watchdogs(directory);
        watchdogs.is_empty() || watchdogs.contains(&lock) && !is_locked(&directory.join(&lock))
    };
    Ok(over()?.into_iter().filter(|(directory, _)| is_abandoned(directory)).collect())
}

/// Nothing is left of a run at a place: its directory is removed, unless it was at another one, too.
pub(crate) fn leave(directory: &Path, place: &str, over: File) -> Result<(), Error> {
    let _ = fs::remove_file(directory.join(watchdog_lock(place)));
    if watchdogs(directory).is_empty() { remove(directory, over) } else { Ok(()) }
}

/// The directories of runs that are over, each with what shows that nobody is in it.
pub(crate) fn over() -> Result<Vec<(PathBuf, File)>, Error> {
    let over = directories()?.into_iter().filter(|directory| !is_living(directory));
    Ok(over.filter_map(|directory| try_over(&directory).map(|over| (directory, over))).collect())
}

/// Removes the directories of runs that are over and were begun this long ago: nothing of theirs can still be wanted; and what
/// could not be removed before.
pub(crate) fn remove_stale(age: Duration) -> Result<(), Error> {
    runs()?.map_or(Ok(()), |runs| remove_stale_of(&runs, age))
}

fn remove_stale_of(runs: &Directory, age: Duration) -> Result<(), Error> {
    for name in runs.names().map_err(unusable)? {
        let Ok(Some(run)) = runs.open(&name) else { continue };
        if name.to_string_lossy().starts_with(GOING) {
            if is_leftover(&run, &RUN.mark, true).unwrap_or(false) {
                clear_away(runs, &name, &run);
            }
            continue;
        }
        let changed = run.as_file().metadata().and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::now());
        let is_old = changed.elapsed().is_ok_and(|since| since > age);
        if let Some(over) = is_old.then(|| try_over(run.path())).flatten() {
            remove(run.path(), over)?;
        }
    }
    Ok(())
}

fn given_id() -> Result<Option<String>, Error> {
    for name in ["EC2_HARNESS_RUN_ID", "NEXTEST_RUN_ID"] {
        let Some(id) = env::var(name).ok().filter(|id| !id.is_empty()) else { continue };
        check_id(&id, || format!("use {name} as the run's id"))?;
        return Ok(Some(id));
    }
    Ok(None)
}

/// Whether a run can have this id: no filter takes it for more than it is, and no path leads elsewhere by it.
pub(crate) fn check_id(id: &str, tried: impl FnOnce() -> String) -> Result<(), Error> {
    let is_valid = (1..=ID_MAX).contains(&id.len())
        && !id.starts_with('.')
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if is_valid {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Configuration, tried())
        .because(format!("`{id}` is not of 1 to {ID_MAX} letters, digits, `-`, `_` and `.`")))
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
        let watchdog = Members::of(&directory).unwrap().unwrap().wait().unwrap();
        assert!(!is_living(&directory) && is_being_ended(&directory));
        assert!(try_over(&directory).is_none());
        drop(watchdog);
        assert!(!is_being_ended(&directory));
    }

    #[test]
    fn a_run_is_not_over_because_its_directory_is_gone() {
        let state = tempfile::tempdir().unwrap();
        let (first, anew) = (Run::at(state.path(), "r".into()), Run::at(state.path(), "r".into()));
        first.join().unwrap();
        let mut members = Members::of(first.directory()).unwrap().unwrap();
        fs::remove_dir_all(state.path()).unwrap();
        assert!(Members::of(first.directory()).unwrap().is_none());
        let (over, overs) = std::sync::mpsc::channel();
        let waiting = std::thread::spawn(move || over.send(members.wait().unwrap()));
        let is_over = || overs.recv_timeout(Duration::from_millis(50)).is_ok();
        assert!(!is_over());
        anew.join().unwrap();
        drop(first);
        assert!(!is_over());
        drop(anew);
        waiting.join().unwrap().unwrap();
        overs.recv().unwrap();
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

    /// What is left is as it was.
    #[test]
    fn what_bears_no_mark_stays() {
        let state = tempfile::tempdir().unwrap();
        let join = |id: &str| {
            let run = Run::at(state.path(), id.into());
            run.join().unwrap();
            run.directory().to_owned()
        };
        let write = |path: PathBuf| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "somebody's").unwrap();
            path
        };
        let (stale, noted) = (join("stale"), join("noted"));
        for file in ["kept", "private-key", "journal.aws/instance.0a1b", "watchdog.aws", "key-pair.aws"] {
            write(stale.join(file));
        }
        let runs = state.path().join(RUNS);
        let outside = state.path().join("outside");
        let foreign = [
            write(noted.join("notes")),
            write(noted.join("journal.aws/notes")),
            write(runs.join("experiment/members")),
            write(runs.join(".going-x/weights")),
            write(outside.join("members")),
        ];
        std::os::unix::fs::symlink(&outside, runs.join("link")).unwrap();
        std::os::unix::fs::symlink(&outside, noted.join("owned")).unwrap();
        let listed = Directory::find(&runs).unwrap();
        for _ in 0..2 {
            remove_stale_of(&listed, Duration::ZERO).unwrap();
        }
        assert!(!stale.exists());
        let left = |name: &str| listed.names().unwrap().iter().any(|it| it.to_str().unwrap().starts_with(name));
        assert!(left(".going-noted.") && left("experiment") && left(".going-x") && left("link"));
        let going = listed.names().unwrap().into_iter().find(|it| it.to_str().unwrap().starts_with(".going-noted."));
        let going = runs.join(going.unwrap());
        let moved = |path: &Path| path.strip_prefix(&noted).map_or_else(|_| path.to_owned(), |below| going.join(below));
        assert!(foreign.iter().all(|path| fs::read_to_string(moved(path)).unwrap() == "somebody's"));
        assert!(going.join("owned").is_symlink() && !going.join("members").exists());
        // It goes once they are away.
        fs::remove_file(going.join("notes")).unwrap();
        fs::remove_file(going.join("journal.aws/notes")).unwrap();
        fs::remove_file(going.join("owned")).unwrap();
        remove_stale_of(&listed, Duration::ZERO).unwrap();
        assert!(!going.exists());
    }

    #[test]
    fn a_run_is_joined_through_no_link_and_in_nothing_of_others() {
        let state = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        Run::at(state.path(), "r".into()).join().unwrap();
        let runs = state.path().join(RUNS);
        std::os::unix::fs::symlink(outside.path(), runs.join("link")).unwrap();
        fs::create_dir(runs.join("experiment")).unwrap();
        fs::write(runs.join("experiment/weights"), "").unwrap();
        for (id, said) in [("link", "symbolic link"), ("experiment", "`weights` in it isn't ec2-harness's")] {
            let error = Run::at(state.path(), id.into()).join().unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        std::os::unix::fs::symlink(outside.path().join("made"), runs.join("r/kept")).unwrap();
        assert!(Run::at(state.path(), "r".into()).note_kept("i-1").is_err());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
