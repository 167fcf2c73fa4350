//! The same for an ordinary user of the host.

use crate::{
    attached,
    endpoint::{Endpoint, Login, Server, State},
    machines::Machines,
};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    process::Command,
};

const USER: u32 = 4252;

#[test]
fn one_comes_to_the_machine_of_an_ordinary_user_and_goes() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can become somebody else; the other tests ran as this user");
    }
    let state = State::new();
    let beside = |name: &str| state.beside().join(name);
    fs::set_permissions(state.beside(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = beside("ec2-local");
    fs::copy(env!("CARGO_BIN_EXE_ec2-local"), &program).unwrap();
    fs::create_dir(state.path()).unwrap();
    let own = |path: &Path| chown(path, Some(USER), Some(USER)).unwrap();
    [&program, &state.path()].into_iter().for_each(|path| own(path));
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let passwd =
        fs::read_to_string("/etc/passwd").unwrap() + &format!("tester:x:{USER}:{USER}::/nonexistent:/bin/sh\n");
    fs::write(beside("passwd"), passwd).unwrap();
    fs::write(beside("none"), "").unwrap();
    let as_user = format!(
        "setpriv --reuid {USER} --regid {USER} --clear-groups env EC2_LOCAL_STATE_DIR={} {}",
        state.path().display(),
        program.display()
    );
    let script = format!(
        "set -e; mount --make-rprivate /; mount --bind {} /etc/passwd
         for name in subuid subgid; do if [ -e /etc/$name ]; then mount --bind {} /etc/$name; fi; done
         mount -t tmpfs none /dev/net; mknod -m 666 /dev/net/tun c 10 200
         exec {as_user} serve --conditions calm",
        beside("passwd").display(),
        beside("none").display(),
    );
    let server = Server::run(&state, Command::new("unshare").args(["--mount", "sh", "-c", &script]));
    let login = Login::by(&state, as_user);
    attached::comes_and_goes(&Machines::of(Endpoint::of(state, server), login));
}
