//! What belongs to others; and all the other tests again, as an ordinary user.

use crate::place::{Place, Serving, refusal, set_mode};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown, lchown, symlink},
    path::Path,
    process::Command,
};

const USER: u32 = 4244;
const OTHER: u32 = 4245;

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: only root can give something to others");
    }
    is_root
}

/// A copy of the program that others can run.
fn copy(from: &Path, directory: &Path, name: &str) -> std::path::PathBuf {
    let to = directory.join(name);
    fs::copy(from, &to).unwrap();
    set_mode(&to, 0o755);
    to
}

#[test]
fn an_ordinary_user_has_the_same() {
    if !is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    set_mode(directory.path(), 0o755);
    let tests = copy(&std::env::current_exe().unwrap(), directory.path(), "tests");
    let program = copy(&crate::endpoint::State::program(), directory.path(), "ec2-local");
    let scratch = directory.path().join("tmp");
    fs::create_dir(&scratch).unwrap();
    chown(&scratch, Some(USER), Some(USER)).unwrap();
    // The device is open to everybody on the usual host.
    let script = format!(
        "set -e; mount --make-rprivate /; mount -t tmpfs none /dev/net; mknod -m 666 /dev/net/tun c 10 200
         exec setpriv --reuid {USER} --regid {USER} --clear-groups env \"$0\" --skip users::"
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).arg(&tests);
    command.env("TMPDIR", &scratch).env("EC2_LOCAL_PROGRAM", program);
    let output = command.env_remove("HOME").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0, "{said}");
}

#[test]
fn what_belongs_to_others_leads_to_no_state_directory() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let serve = |state: &Path| {
        let mut command = place.command();
        command.env("EC2_LOCAL_STATE_DIR", state).arg("serve");
        command
    };
    // Root in a directory below an ordinary user's, who could put another in its place.
    let home = place.path().join("home");
    fs::create_dir_all(home.join("deep")).unwrap();
    chown(&home, Some(USER), Some(USER)).unwrap();
    let said = refusal(&mut serve(&home.join("deep/state")));
    assert!(said.contains(&format!("{} belongs to the user {USER}, who can put another", home.display())), "{said}");
    assert_eq!(fs::read_dir(home.join("deep")).unwrap().count(), 0);
    // In a shared directory: another's link, another's directory, and a group that isn't root's alone.
    let shared = place.path().join("shared");
    fs::create_dir(&shared).unwrap();
    set_mode(&shared, 0o1777);
    fs::create_dir(place.path().join("real")).unwrap();
    symlink(place.path().join("real"), shared.join("link")).unwrap();
    lchown(shared.join("link"), Some(OTHER), Some(OTHER)).unwrap();
    fs::create_dir(shared.join("state")).unwrap();
    set_mode(&shared.join("state"), 0o700);
    chown(shared.join("state"), Some(OTHER), Some(OTHER)).unwrap();
    let group = place.path().join("group");
    fs::create_dir(&group).unwrap();
    chown(&group, None, Some(OTHER)).unwrap();
    set_mode(&group, 0o775);
    for (state, expected) in [
        (shared.join("link"), format!("is a symbolic link of the user {OTHER}")),
        (shared.join("link/state"), format!("is a symbolic link of the user {OTHER}")),
        (shared.join("state"), format!("belongs to the user {OTHER}, not to the user 0 (root)")),
        (group.join("state"), format!("has the mode 0775, so the group {OTHER}")),
    ] {
        let said = refusal(&mut serve(&state));
        assert!(said.contains(&expected), "{said}");
    }
    assert_eq!(fs::read_dir(place.path().join("real")).unwrap().count(), 0);
    // Root's own group is root's alone.
    chown(&group, None, Some(0)).unwrap();
    Serving::run(&mut serve(&group.join("state"))).end();
    // Others' files among ours.
    let place = Place::used();
    chown(place.state().join("secret"), Some(OTHER), None).unwrap();
    assert!(place.refusal().contains(&format!("belongs to the user {OTHER}, not to the user 0 (root)")));
    chown(place.state().join("secret"), Some(0), None).unwrap();
    lchown(place.state().join(".ec2-local"), Some(OTHER), None).unwrap();
    assert!(place.refusal().contains("`.ec2-local` in it isn't the local EC2's"));
    assert_eq!(fs::metadata(place.state()).unwrap().permissions().mode() & 0o777, 0o700);
}
