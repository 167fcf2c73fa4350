//! All the other tests again, as ordinary users of the host.

use crate::{
    canaries::{self, Canaries},
    private::{self, Private},
    tables,
    views::{self, Cgroups},
    volume,
};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::PathBuf,
    process::Command,
};

/// Runs all the other tests as an ordinary user, in a mount namespace in which that user exists and may use TAP devices. A user
/// of its own for each kind: what a user may have, such as processes, all of that user's machines share.
fn as_user(user: u32, delegated: bool, prepare: &str, run: &str) {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can become somebody else; the other tests ran as this user");
    }
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let executable = directory.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &executable).unwrap();
    // As what a user has built: the machines' root may be its owner.
    chown(&executable, Some(user), Some(user)).unwrap();
    let scratch = directory.path().join("tmp");
    fs::create_dir(&scratch).unwrap();
    chown(&scratch, Some(user), Some(user)).unwrap();
    let passwd =
        fs::read_to_string("/etc/passwd").unwrap() + &format!("tester:x:{user}:{user}::/nonexistent:/bin/sh\n");
    let ids = if delegated { "tester:3000000:65536\n" } else { "" };
    let script = format!(
        "set -e; mount --make-rprivate /; mount --bind {} /etc/passwd; mount --bind {} /etc/subuid; mount --bind {} /etc/subgid
         mount -t tmpfs none /dev/net; mknod -m 666 /dev/net/tun c 10 200
         executable={} TMPDIR={}
         tests() {{ setpriv --reuid {user} --regid {user} --clear-groups env TMPDIR=$TMPDIR \"$executable\" \"$@\"; }}
         {prepare}
         {run}",
        file("passwd", &passwd), file("subuid", ids), file("subgid", ids), executable.display(), scratch.display(),
    );
    let canaries = Canaries::plant();
    let private = Private::plant(user);
    let _cgroups = Cgroups::make();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]);
    command.env(canaries::VARIABLE, canaries.variable()).env(private::VARIABLE, private.variable());
    command.env(views::VARIABLE, "made");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0, "{said}");
}

/// By themselves the bomb, since all machines of a user share what processes the user may have, and those that take all of the
/// host's terminals, for which no other user's may run: so this locks a file that is there anyway.
const ALL: &str = concat!(
    "exec 9<\"",
    env!("CARGO_MANIFEST_DIR"),
    "/Cargo.toml\"; flock --shared 9; tests --skip ordinary_user --skip fork_bomb --skip terminals 9<&-; tests fork_bomb 9<&-
     flock --unlock 9; flock --exclusive 9; tests --test-threads 1 terminals 9<&-"
);

#[test]
fn works_for_an_ordinary_user_with_newuidmap() {
    as_user(4242, true, "", ALL);
}

#[test]
fn works_for_an_ordinary_user_without_newuidmap() {
    as_user(4243, false, "", ALL);
}

#[test]
fn keeps_what_is_private_on_an_overlay_from_an_ordinary_user_and_from_root() {
    let run = "tests private:: life::boots; \"$executable\" private:: life::boots";
    as_user(4244, true, private::OVERLAY, run);
}

#[test]
fn leaves_what_is_read_only_to_an_ordinary_user_as_it_is() {
    as_user(4246, false, private::DISKS_ON_OVERLAY, "tests private::what_is_read_only");
}

#[test]
fn finds_who_fills_the_disk_of_an_ordinary_user() {
    let prepare = format!("mount -t tmpfs -o size=512M,mode=0777 none /mnt; export {}=/mnt", volume::VARIABLE);
    let run =
        "for test in has_no_room took_more_before open_without_a_name mapped_without_a_name; do tests $test; done";
    as_user(4247, false, &prepare, run);
}

#[test]
fn bounds_the_cgroups_of_an_ordinary_user_who_has_their_own() {
    let Some(mount) = cgroups_of_version_2() else {
        return eprintln!("skipped: this host has no cgroups of version 2");
    };
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap();
    let cgroup = mount.join(own).join(format!("ec2-local-test-{}", std::process::id()));
    let (cgroup, above) = (cgroup.display(), mount.join(own));
    let prepare = format!(
        "mkdir {cgroup}; chown -R 4248:4248 {cgroup}; echo $$ >{cgroup}/cgroup.procs; export {}=yes",
        tables::VARIABLE
    );
    let run = format!("tests so_many_cgroups; echo $$ >{}/cgroup.procs; rmdir {cgroup}", above.display());
    as_user(4248, false, &prepare, &run);
}

/// Where they are mounted.
fn cgroups_of_version_2() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    Some(mount.split(' ').nth(4)?.into())
}
