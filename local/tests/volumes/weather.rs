//! The same under what AWS does to its customers: ids that aren't known yet, throttles, lost answers, stuck instances.

use crate::{
    machine::{Place, can_be_had, loops},
    server::{PATIENCE, Server, eventually},
    wire::Reply,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// Asks until it is answered. `done` is the code that says that it was done before, though nobody heard of it.
fn insist(server: &Server, request: &str, done: &str) -> Option<Reply> {
    let deadline = Instant::now() + 2 * PATIENCE;
    loop {
        let said = match server.door.ask(request) {
            Ok(reply) if reply.status == 200 => return Some(reply),
            Ok(reply) if !done.is_empty() && reply.body.contains(done) => return None,
            Ok(reply) => reply.body,
            Err(_) => "nothing".to_owned(),
        };
        assert!(Instant::now() < deadline, "{request}: {said}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn told(server: &Server, request: &str) -> Reply {
    insist(server, request, "").unwrap()
}

fn until(server: &Server, request: &str, element: &str, value: &str) {
    eventually(value, || told(server, request).all(element).iter().any(|found| found == value));
}

/// The element of an answer, once it is there.
fn shown(server: &Server, request: &str, element: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = told(server, request).all(element).pop() {
            return found;
        }
        assert!(Instant::now() < deadline, "{request}: no {element}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Launches a machine that runs a script.
fn launch(server: &Server, image: &str, token: &str, script: &str, more: &str) -> String {
    let script = STANDARD.encode(format!("#!/bin/sh\n{script}\n"));
    let script = script.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let request =
        "Action=RunInstances&InstanceType=t3.nano&MinCount=1&MaxCount=1&Placement.AvailabilityZone=us-east-1a";
    told(server, &format!("{request}&ImageId={image}&ClientToken={token}&UserData={script}{more}")).one("instanceId")
}

fn until_console(server: &Server, instance: &str, words: &str) {
    let request = format!("Action=GetConsoleOutput&Latest=true&InstanceId={instance}");
    eventually(words, || {
        let output = told(server, &request).all("output").concat().replace("&#xA;", "").replace('\n', "");
        String::from_utf8_lossy(&STANDARD.decode(output.trim()).unwrap_or_default()).contains(words)
    });
}

/// A volume is formatted and written, taken while it is mounted, and found again in another one and in an image's.
fn comes_through(conditions: &str) {
    if !can_be_had() {
        return;
    }
    let options = ["--conditions", conditions, "--seed", "5"];
    let place = Place::new();
    let server = Server::start_with(&place.state, &options);
    let filter = |name: &str| format!("Action=DescribeImages&Filter.1.Name=name&Filter.1.Value.1={name}");
    let host = told(&server, &filter("host")).one("imageId");
    let write = "mkfs.ext4 -q /dev/sdf; mount /dev/sdf /mnt; echo bytes >/mnt/file; echo written: $((40 + 2))";
    let data = "&BlockDeviceMapping.1.DeviceName=/dev/sdf&BlockDeviceMapping.1.Ebs.VolumeSize=1";
    let one = launch(&server, &host, "one", write, data);
    until_console(&server, &one, "written: 42");
    until(&server, &format!("Action=DescribeInstances&InstanceId.1={one}"), "name", "running");
    let held = "Action=DescribeVolumes&Filter.1.Name=attachment.device&Filter.1.Value.1=/dev/sdf";
    let volume = shown(&server, held, "volumeId");
    let snapshot = told(&server, &format!("Action=CreateSnapshot&VolumeId={volume}")).one("snapshotId");
    let described = format!("Action=DescribeSnapshots&Filter.1.Name=snapshot-id&Filter.1.Value.1={snapshot}");
    until(&server, &described, "status", "completed");
    let make = "Action=CreateVolume&AvailabilityZone=us-east-1a&ClientToken=again";
    let restored = told(&server, &format!("{make}&SnapshotId={snapshot}")).one("volumeId");
    insist(
        &server,
        &format!("Action=CreateImage&InstanceId={one}&Name=golden&NoReboot=true"),
        "InvalidAMIName.Duplicate",
    );
    server.kill();

    let server = Server::start_with(&place.state, &options);
    until(&server, &filter("golden"), "imageState", "available");
    let golden = shown(&server, &filter("golden"), "imageId");
    let read = "mount /dev/sdf /mnt; echo image: $(cat /mnt/file) $((40 + 3)); umount /mnt
                until test -b /dev/sdg; do sleep 0.1; done
                mount /dev/sdg /mnt; echo volume: $(cat /mnt/file) $((40 + 4))";
    let two = launch(&server, &golden, "two", read, "");
    until_console(&server, &two, "image: bytes 43");
    let described = format!("Action=DescribeVolumes&Filter.1.Name=volume-id&Filter.1.Value.1={restored}");
    until(&server, &described, "status", "available");
    until(&server, &format!("Action=DescribeInstances&InstanceId.1={two}"), "name", "running");
    let attach = format!("Action=AttachVolume&VolumeId={restored}&InstanceId={two}&Device=/dev/sdg");
    insist(&server, &attach, "VolumeInUse");
    until_console(&server, &two, "volume: bytes 44");

    let files = place.files();
    for instance in [&one, &two] {
        told(&server, &format!("Action=TerminateInstances&InstanceId.1={instance}"));
    }
    let gone = format!("Action=DeregisterImage&ImageId={golden}&DeleteAssociatedSnapshots=true");
    insist(&server, &gone, "InvalidAMIID");
    // What was asked for twice, since nobody answered, is there twice.
    let layers = || {
        let runs = place.state.runs().into_iter();
        runs.flat_map(|run| fs::read_dir(run.join("layers")).into_iter().flatten()).count()
    };
    eventually("no device, no disk and no snapshot is left", || {
        for volume in told(&server, "Action=DescribeVolumes").all("volumeId") {
            let _ = server.door.ask(&format!("Action=DeleteVolume&VolumeId={volume}"));
        }
        for snapshot in told(&server, "Action=DescribeSnapshots&Owner.1=self").all("snapshotId") {
            let _ = server.door.ask(&format!("Action=DeleteSnapshot&SnapshotId={snapshot}"));
        }
        loops(&files) == 0 && place.files().is_empty() && layers() == 0
    });
    server.end();
    place.state.assert_clean();
}

#[test]
fn data_comes_through_typical_conditions() {
    comes_through("typical");
}

#[test]
fn data_comes_through_hostile_conditions() {
    comes_through("hostile");
}
