//! What goes, and what stays.

use crate::place::{Place, Serving, all_below};
use std::{
    fs,
    os::unix::fs::symlink,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

pub const INSTANCE: &str = "i-0123456789abcdef0";
pub const VOLUME: &str = "vol-0123456789abcdef0";

#[test]
fn what_bears_no_mark_stays() {
    let place = Place::used();
    let kept = [
        "run/results/day-1",
        "run/results/machines/i-0123456789abcdef0/files/x",
        "run/journals/journal",
        "run/.ended-77/notes",
        "run/file",
        "images/notes",
        "images/trees/x/oak",
        "images/trees/0123456789abcdef/root/bin/sh",
        "images/trees/.0123456789abcdef/root/bin/sh",
    ]
    .map(|path| place.write(path));
    place.make("run/empty");
    // Marks of another kind, and what only looks like one.
    place.mark("run/results", "a machine's disk");
    place.mark("images/trees/0123456789abcdef", "an endpoint's directory");
    place.mark("run/.ended-77", "an endpoint's director");
    place.mark("images/trees/x", "an image's tree");
    place.make("run/directory/.ec2-local/files");
    let before = all_below(&place.state());
    let said = place.serve(&[]).end();
    let mut after = all_below(&place.state());
    for (path, found) in before {
        assert_eq!(after.remove(&path), Some(found), "{}", path.display());
    }
    assert!(after.is_empty(), "{after:?}");
    for name in ["run/results", "run/journals", "run/.ended-77", "trees/x", "trees/0123456789abcdef"] {
        assert_eq!(said.matches(&format!("{name} where it is: ")).count(), 1, "{name}: {said}");
    }
    assert!(kept.iter().all(|path| path.exists()));
}

/// Leaves what endpoints and imports that were killed have left.
pub fn leave(place: &Place) {
    for run in ["run/0.0.1-older", "run/.ended-7.0"] {
        place.make(run);
        place.mark(run, "an endpoint's directory");
        place.write(&format!("{run}/endpoint"));
        // The one is of a version that kept disks by their instances.
        for disk in [format!("{run}/machines/{INSTANCE}"), format!("{run}/disks/{VOLUME}")] {
            place.write(&format!("{disk}/files/root/etc/passwd"));
            place.mark(&disk, "a machine's disk");
            place.write(&format!("{disk}/init"));
            symlink(place.outside(), place.state().join(&disk).join("files/root/out")).unwrap();
        }
    }
    for tree in ["images/trees/0123456789abcdef", "images/trees/.fedcba9876543210"] {
        place.write(&format!("{tree}/root/bin/sh"));
        place.mark(tree, "an image's tree");
        symlink(place.outside(), place.state().join(tree).join("root/out")).unwrap();
    }
}

#[test]
fn what_killed_ones_have_left_goes() {
    let place = Place::used();
    leave(&place);
    // What was killed between two steps is empty.
    for empty in ["run/.ended-8.0", "images/trees/00000000000000aa", "run/0.0.1-older/machines/i-0123456789abcdef1"] {
        place.make(empty);
    }
    let outside = all_below(&place.outside());
    place.serve(&[]).end();
    let left: Vec<_> = fs::read_dir(place.state()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name == "run"), "{left:?}: {:?}", all_below(&place.state()).keys());
    assert_eq!(fs::read_dir(place.state().join("images/trees")).unwrap().count(), 0);
    assert_eq!(all_below(&place.outside()), outside);
}

#[test]
fn a_users_notes_among_what_is_ours_stay() {
    let place = Place::used();
    leave(&place);
    let notes = [
        "run/0.0.1-older/notes".to_owned(),
        format!("run/.ended-7.0/machines/{INSTANCE}/notes/day-1"),
        "run/.ended-7.0/machines/results/day-1".to_owned(),
        "images/trees/0123456789abcdef/notes".to_owned(),
    ]
    .map(|path| place.write(&path));
    for _ in 0..2 {
        let said = place.serve(&[]).end();
        for name in ["run/0.0.1-older", "run/.ended-7.0", "images/trees/.0123456789abcdef"] {
            let name = format!("{name} where it is: `notes` in ");
            assert!(said.contains(&name), "{said}");
        }
    }
    // Under the names that they were put aside by.
    assert!(!notes[0].exists() || notes[0].is_file());
    let all = all_below(&place.state());
    let files =
        |name: &str| all.iter().filter(|(path, (.., text))| path.ends_with(name) && text == b"somebody's").count();
    assert_eq!((files("notes"), files("day-1")), (2, 2), "{:?}", all.keys());
    assert_eq!(files("passwd") + files("sh") + files("init"), 0, "{:?}", all.keys());
    // Once they are away, the rest goes.
    for (path, _) in all
        .iter()
        .filter(|(path, (.., text))| text == b"somebody's" && (path.ends_with("notes") || path.ends_with("day-1")))
    {
        fs::remove_file(path).unwrap();
        if path.ends_with("day-1") {
            fs::remove_dir(path.parent().unwrap()).unwrap();
        }
    }
    place.serve(&[]).end();
    assert!(!place.state().join("run").exists(), "{:?}", all_below(&place.state()).keys());
}

#[test]
fn notes_in_the_directory_of_a_running_endpoint_stay() {
    let place = Place::used();
    let serving = place.serve(&[]);
    let notes = place.run().join("notes");
    fs::write(&notes, "somebody's").unwrap();
    let said = serving.end();
    // Under the name that it has by now.
    let (_, at) = said.split_once("`notes` in ").unwrap_or_else(|| panic!("{said}"));
    let at = at.split_once(" isn't").unwrap().0;
    assert!(fs::exists(format!("{at}/notes")).unwrap(), "{said}");
    let found: Vec<_> = all_below(&place.state()).into_keys().filter(|path| path.ends_with("notes")).collect();
    assert_eq!(found.len(), 1);
    assert_eq!(fs::read_to_string(&found[0]).unwrap(), "somebody's");
}

#[test]
fn what_cannot_be_removed_keeps_nobody_from_starting() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root may mount");
    }
    let place = Place::used();
    leave(&place);
    let busy = [
        place.make(&format!("run/.ended-7.0/machines/{INSTANCE}/files/root/mnt")),
        place.make("images/trees/.fedcba9876543210/root/mnt"),
    ];
    let script = "mount -t tmpfs none \"$0\" && mount --bind \"$3\" \"$1\" && exec \"$2\" serve";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).args(&busy).arg(crate::endpoint::State::program()).arg(place.outside());
    let before = all_below(&place.outside());
    let said = Serving::run(command.env("EC2_LOCAL_STATE_DIR", place.state()).stdin(Stdio::null())).end();
    for part in [".ended-7.0", ".fedcba9876543210", "a file system is mounted there; unmount it", "tried again later"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(busy[0].is_dir() || !busy[0].exists());
    assert_eq!(all_below(&place.outside()), before);
    // The mounts are gone with their namespace.
    let said = place.serve(&[]).end();
    assert!(!place.state().join("run").exists(), "{said} {:?}", all_below(&place.state()).keys());
    assert_eq!(fs::read_dir(place.state().join("images/trees")).unwrap().count(), 0, "{said}");
}

#[test]
fn what_is_called_as_no_instance_is_no_disk() {
    let place = Place::used();
    leave(&place);
    let own = format!("run/{}", ec2_local::endpoint::BUILD);
    let backups =
        ["run/.ended-7.0/machines", "run/.ended-7.0/disks", &format!("{own}/machines"), &format!("{own}/disks")]
            .map(|place| format!("{place}/backup"));
    for backup in &backups {
        place.write(&format!("{backup}/files/root/etc/passwd"));
        place.write(&format!("{backup}/init"));
        place.mark(backup, "a machine's disk");
    }
    place.mark(&own, "an endpoint's directory");
    let files = |name: &str| all_below(&place.state()).keys().filter(|path| path.ends_with(name)).count();
    for round in 0..2 {
        let said = place.serve(&[]).end();
        // Where it is any endpoint's, and where it is in the way of a directory that goes.
        assert!(said.contains("backup where it is: ") || round > 0, "{said}");
        assert!(said.contains("`backup` in "), "{said}");
        assert_eq!((files("backup/files/root/etc/passwd"), files("backup/init")), (4, 4));
        assert_eq!((files(&format!("machines/{INSTANCE}")), files(&format!("disks/{VOLUME}"))), (0, 0));
    }
}

#[test]
fn killed_at_any_time_nothing_stays() {
    let place = Place::new();
    for delay in 0..40 {
        let mut process = place.command().arg("serve").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_micros(delay * 700));
        process.kill().unwrap();
        process.wait().unwrap();
    }
    // And while it ends.
    for delay in 0..20 {
        let serving = place.serve(&[]);
        assert!(Command::new("kill").args(["-INT", &serving.id()]).status().unwrap().success());
        thread::sleep(Duration::from_micros(delay * 700));
        serving.kill();
    }
    let said = place.serve(&[]).end();
    assert_eq!(said, "");
    let left: Vec<_> = all_below(&place.state()).into_keys().collect();
    assert_eq!(left, [".ec2-local", "secret"].map(|name| place.state().join(name)));
}

#[test]
fn one_starts_while_another_ends() {
    let place = Place::used();
    let mut before = place.serve(&[]);
    for _ in 0..20 {
        assert!(Command::new("kill").args(["-INT", &before.id()]).status().unwrap().success());
        // It waits for the other's end, or finds it running still.
        let next = loop {
            if let Some(next) = place.try_serve() {
                break next;
            }
        };
        before.end();
        before = next;
    }
    assert_eq!(before.end(), "");
    assert!(!place.state().join("run").exists());
}

#[test]
fn of_two_at_once_one_serves() {
    for _ in 0..10 {
        let place = Place::new();
        let mut both: Vec<_> = (0..2)
            .map(|_| place.command().arg("serve").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
            .collect();
        let since = Instant::now();
        let second = loop {
            let ended = both.iter_mut().position(|process| process.try_wait().unwrap().is_some());
            if let Some(ended) = ended {
                break both.remove(ended);
            }
            assert!(since.elapsed() < Duration::from_secs(60), "both serve");
            thread::sleep(Duration::from_millis(5));
        };
        let said = String::from_utf8(second.wait_with_output().unwrap().stderr).unwrap();
        assert!(said.contains("one of this build is running already"), "{said}");
        let first = both.remove(0);
        assert!(Command::new("kill").args(["-INT", &first.id().to_string()]).status().unwrap().success());
        let output = first.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert!(!place.state().join("run").exists());
    }
}
