//! The state directory of this user: the directories of runs, and the ledger of what exists ([`crate::caps`]).
//!
//! It, and each run's directory, bears a mark of ours ([`ec2_state_directory`]): nothing else is ever removed.

use crate::error::{Error, ErrorKind};
use ec2_state_directory::{Directory, Layout, Mark, Part};
use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Where the state of this user is: `EC2_HARNESS_STATE_DIR`, else `$XDG_STATE_HOME/ec2-harness`, else
/// `~/.local/state/ec2-harness`.
pub(crate) fn path() -> Result<PathBuf, Error> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let path = set("EC2_HARNESS_STATE_DIR")
        .or_else(|| set("XDG_STATE_HOME").filter(|path| path.is_absolute()).map(|path| path.join("ec2-harness")))
        .or_else(|| set("HOME").map(|home| home.join(".local/state/ec2-harness")))
        .ok_or_else(|| {
            Error::new(ErrorKind::Configuration, "find a state directory")
                .because("neither EC2_HARNESS_STATE_DIR nor XDG_STATE_HOME nor HOME is set")
                .advise("set one of them")
        })?;
    std::path::absolute(&path)
        .map_err(|e| Error::new(ErrorKind::Configuration, format!("find {}", path.display())).caused_by(e))
}

/// The state directory of this user, which is ours from now on.
pub(crate) fn make() -> Result<PathBuf, Error> {
    claim(&path()?).map(|state| state.path().to_owned())
}

/// The directory of all runs of this user on this host, if there is one.
pub(crate) fn runs() -> Result<Option<Directory>, Error> {
    match Directory::find(&path()?) {
        Err(error) if error.is_not_found() => Ok(None),
        state => state.and_then(|state| state.open(RUNS)).map_err(unusable),
    }
}

/// The file that names what of a run is kept.
pub(crate) const KEPT: &str = "kept";
/// The file that names the images of a run that belong to all runs now.
pub(crate) const CACHED: &str = "shared.cached-images";
/// The file that each process of a run holds locked, shared.
pub(crate) const MEMBERS: &str = "members";
/// The file that a run's watchdogs hold locked, shared, while the process that owns the run, nextest, lives.
pub(crate) const OWNED: &str = "owned";

pub(crate) const RUNS: &str = "runs";
/// A file for each image that runs have in common: who has it locked looks for it, or makes it.
pub(crate) const IMAGES: &str = "images";
/// The file that counts what exists ([`crate::caps`]).
pub(crate) const LEDGER: &str = "ledger";
const MARK: &str = ".ec2-harness";
const STATE: Mark = Mark::new(MARK, "a state directory");
pub(crate) const RUN: Layout = Layout { mark: Mark::new(MARK, "a run's directory"), part: part_of_run };
pub(crate) const ADVICE: &str = "set EC2_HARNESS_STATE_DIR to a new or an empty directory of your own on a local disk";

/// What is ours in a run's directory.
fn part_of_run(name: &str) -> Option<Part> {
    match name {
        MEMBERS | OWNED | KEPT => Some(Part::File),
        name if name.starts_with("journal.") => Some(Part::Directory(|name| name.contains('.').then_some(Part::File))),
        name if [PRIVATE_KEY, "watchdog.", SHARED].iter().any(|ours| name.starts_with(ours)) => Some(Part::File),
        _ => None,
    }
}

/// What the names of the files of a run's private keys begin with.
pub(crate) const PRIVATE_KEY: &str = "private-key";
/// What the names of files begin with in which a run's processes tell each other what they share.
pub(crate) const SHARED: &str = "shared.";

/// Makes a directory the state directory: a new one, an empty one, or one of an earlier version, which has nothing else in it.
pub(crate) fn claim(path: &Path) -> Result<Directory, Error> {
    let claimed = || {
        let state = Directory::make(path)?;
        STATE.claim_open(&state, |names| foreign(&state, names))?;
        Ok(state)
    };
    claimed().map_err(unusable)
}

/// The first thing in a directory without a mark by which it isn't the state directory of an earlier version: that has runs, and
/// each of these its members.
fn foreign(state: &Directory, names: &[OsString]) -> Result<Option<OsString>, ec2_state_directory::Error> {
    for name in names {
        let is_ours = match name.to_str() {
            Some(LEDGER) => state.file(LEDGER)?.is_some(),
            Some(RUNS) => state.open(RUNS)?.is_some_and(|runs| {
                let is_run = |name: &OsString| {
                    runs.open(name).ok().flatten().is_some_and(|run| run.file(MEMBERS).is_ok_and(|it| it.is_some()))
                };
                runs.names().is_ok_and(|names| names.iter().all(is_run))
            }),
            _ => false,
        };
        if !is_ours {
            return Ok(Some(name.clone()));
        }
    }
    Ok(None)
}

/// A run's directory, which is ours from now on. One that an earlier version has made for a run of this id has members.
pub(crate) fn claim_run(runs: &Directory, id: &str) -> Result<Directory, ec2_state_directory::Error> {
    let run = runs.ensure(id)?;
    RUN.mark.claim_open(&run, |names| {
        let is_run = run.file(MEMBERS)?.is_some();
        Ok(names.iter().find(|name| !is_run || name.to_str().and_then(part_of_run).is_none()).cloned())
    })?;
    Ok(run)
}

/// Why a directory can't be used.
pub(crate) fn unusable(error: ec2_state_directory::Error) -> Error {
    use ec2_state_directory::Error as Cause;
    let (kind, tried, because) = match error {
        Cause::Io { tried, path, source } => {
            (ErrorKind::Internal, format!("{tried} {}", path.display()), source.to_string())
        }
        Cause::Unsafe { path, reason } => {
            (ErrorKind::Configuration, format!("use {} for the state", path.display()), reason)
        }
        Cause::Foreign { directory, entry } => (
            ErrorKind::Configuration,
            format!("use {} for the state", directory.display()),
            format!("it isn't empty, and `{entry}` in it isn't ec2-harness's, which removes what it takes for its own"),
        ),
        other => (ErrorKind::Internal, "use the state directory".to_owned(), other.to_string()),
    };
    Error::new(kind, tried).because(because).advise(ADVICE)
}

/// Whether it is a run's directory: of ours, or of an earlier version.
pub(crate) fn is_run(directory: &Directory) -> bool {
    RUN.mark.is_on(directory).unwrap_or(false) || directory.file(MEMBERS).is_ok_and(|members| members.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    #[test]
    fn a_directory_with_something_else_in_it_is_not_ours() {
        let place = tempfile::tempdir().unwrap();
        for (name, entry) in [("runs/experiment/weights", "runs"), ("notes/day-1", "notes"), ("ledger/day-1", "ledger")]
        {
            let state = place.path().join(entry);
            let file = state.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "somebody's").unwrap();
            let error = claim(&state).unwrap_err().to_string();
            assert!(error.contains(&format!("`{entry}` in it isn't ec2-harness's")) || entry == "ledger", "{error}");
            assert!(!state.join(MARK).is_symlink());
            assert_eq!(fs::read_to_string(&file).unwrap(), "somebody's");
        }
        let linked = place.path().join("linked");
        fs::create_dir(&linked).unwrap();
        symlink(place.path().join("runs/runs"), linked.join("runs")).unwrap();
        assert!(claim(&linked).unwrap_err().to_string().contains("symbolic link"));
    }

    #[test]
    fn a_directory_of_an_earlier_version_is_ours() {
        let state = tempfile::tempdir().unwrap();
        fs::create_dir_all(state.path().join("runs/r")).unwrap();
        fs::write(state.path().join("runs/r/members"), "").unwrap();
        fs::write(state.path().join("ledger"), "").unwrap();
        claim(state.path()).unwrap();
        claim(state.path()).unwrap();
        assert!(state.path().join(MARK).is_symlink());
    }

    #[test]
    fn what_is_in_a_runs_directory() {
        for file in [
            "members",
            "private-key",
            "private-key.lock",
            "private-key-rsa",
            "private-key-rsa.new",
            "private-key-rsa.lock",
            "watchdog.local-1",
            "shared.key-pair.run.lock",
            "shared.security-group.vpc-1.aws",
            "journal.aws",
        ] {
            assert!(part_of_run(file).is_some(), "{file}");
        }
        for file in ["notes", "members.bak", "journal", "key-pair", ".ec2-harness", "weights.bin"] {
            assert!(part_of_run(file).is_none(), "{file}");
        }
    }
}
