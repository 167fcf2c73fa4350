//! Volumes where the endpoint is an ordinary user's: EC2's API has them, their machines don't.

use crate::{
    endpoint::{Server, State, eventually},
    machine::{attach, create, detach, until_volume},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
};

const USER: u32 = 4248;

/// `ec2-local`, as an ordinary user who may use TAP devices.
fn command(state: &State, arguments: &[&str]) -> Command {
    let program = program_for_all(state.beside());
    let script = format!(
        "set -e; mount --make-rprivate /; mount -t tmpfs none /dev/net; mknod -m 666 /dev/net/tun c 10 200
         exec setpriv --reuid {USER} --regid {USER} --clear-groups \"$@\""
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(program).args(arguments);
    command.env("EC2_LOCAL_STATE_DIR", state.path()).env_remove("HOME");
    command
}

/// The program where everybody can run it, in a directory that is the user's.
fn program_for_all(directory: &Path) -> PathBuf {
    let to = directory.join("ec2-local");
    if !to.exists() {
        fs::copy(env!("CARGO_BIN_EXE_ec2-local"), &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
        chown(directory, Some(USER), Some(USER)).unwrap();
    }
    to
}

#[test]
fn an_ordinary_users_machines_have_none_and_say_why() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can become somebody else");
    }
    let state = State::new();
    let checked = command(&state, &["check"]).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(said.contains("volumes as block devices: no; only the host's root can make a block device"), "{said}");

    let server = Server::run(&state, &mut command(&state, &["serve", "--conditions", "calm"]));
    let instance = server.launch("host", 1, "&Placement.AvailabilityZone=us-east-1a").remove(0);
    server.until_state(&instance, "running");
    let volume = create(&server, 1);
    attach(&server, &volume, &instance, "/dev/sdf");
    let console = || {
        let output = server
            .door
            .ok(&format!("Action=GetConsoleOutput&Latest=true&InstanceId={instance}"))
            .all("output")
            .concat();
        String::from_utf8_lossy(&STANDARD.decode(output.replace("&#xA;", "").replace('\n', "")).unwrap()).into_owned()
    };
    let reason = format!("{volume} is not in /dev: failed to make a block device: only the host's root can");
    eventually("the console says why", || console().contains(&reason));
    // What nobody can write to is empty, in snapshots and images, too.
    let image = format!("Action=CreateImage&InstanceId={instance}&Name=golden&NoReboot=true");
    let image = server.door.ok(&image).one("imageId");
    let described = format!("Action=DescribeImages&ImageId.1={image}");
    eventually("the image is available", || server.door.ok(&described).one("imageState") == "available");
    let snapshots = server.door.ok("Action=DescribeSnapshots&Owner.1=self");
    let snapshots = snapshots.all("snapshotId").into_iter().zip(snapshots.all("volumeId"));
    let snapshot = snapshots.into_iter().find(|(_, of)| *of == volume).unwrap().0;
    let restored = format!("Action=CreateVolume&AvailabilityZone=us-east-1a&SnapshotId={snapshot}");
    let restored = server.door.ok(&restored).one("volumeId");
    until_volume(&server, &restored, "available");
    let launch = "Action=RunInstances&InstanceType=t3.nano&MinCount=1&MaxCount=1";
    let second = server.door.ok(&format!("{launch}&ImageId={image}")).one("instanceId");
    server.until_state(&second, "running");
    server.door.ok(&format!("Action=TerminateInstances&InstanceId.1={second}"));
    server.until_state(&second, "terminated");
    server.door.ok(&format!("Action=DeregisterImage&ImageId={image}&DeleteAssociatedSnapshots=true"));
    detach(&server, &volume, "");
    until_volume(&server, &volume, "available");
    for volume in [&volume, &restored] {
        server.door.ok(&format!("Action=DeleteVolume&VolumeId={volume}"));
    }
    server.door.ok(&format!("Action=TerminateInstances&InstanceId.1={instance}"));
    server.until_state(&instance, "terminated");
    server.end();
    state.assert_clean();
}
