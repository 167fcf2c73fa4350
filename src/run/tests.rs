use super::{
    members::try_over,
    removal::{remove, remove_stale_of},
    *,
};
use crate::state_directory::RUNS;
use ec2_state_directory::Directory;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

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
