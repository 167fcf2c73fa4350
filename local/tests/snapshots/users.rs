//! All the other tests again, as ordinary users.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    process::Command,
};

fn as_user(user: u32, ids: &str) {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can become somebody else; the other tests ran as this user");
    }
    let directory = tempfile::tempdir().unwrap();
    let copy = |from: &Path, name: &str| {
        let to = directory.path().join(name);
        fs::copy(from, &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
        to
    };
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let tests = copy(&std::env::current_exe().unwrap(), "tests");
    let program = copy(Path::new(crate::place::PROGRAM), "ec2-local");
    let scratch = directory.path().join("tmp");
    fs::create_dir(&scratch).unwrap();
    chown(&scratch, Some(user), Some(user)).unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let passwd =
        fs::read_to_string("/etc/passwd").unwrap() + &format!("tester:x:{user}:{user}::/nonexistent:/bin/sh\n");
    let script = format!(
        "set -e; mount --make-rprivate /; mount --bind {} /etc/passwd; mount --bind {} /etc/subuid; mount --bind {} /etc/subgid
         mount -t tmpfs none /dev/net; mknod -m 666 /dev/net/tun c 10 200
         exec setpriv --reuid {user} --regid {user} --clear-groups env \"$0\" --skip ordinary_user",
        file("passwd", &passwd),
        file("subuid", ids),
        file("subgid", ids),
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).arg(&tests);
    command.env("TMPDIR", &scratch).env("EC2_LOCAL_PROGRAM", program).env_remove("HOME");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0, "{said}");
}

#[test]
fn works_for_an_ordinary_user_with_newuidmap() {
    as_user(4246, "tester:3200000:65536\n");
}

#[test]
fn works_for_an_ordinary_user_without_newuidmap() {
    as_user(4247, "");
}
