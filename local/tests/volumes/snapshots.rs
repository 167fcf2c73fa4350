//! Snapshots of volumes that machines write to, and what is made of them.

use crate::{
    endpoint::{Server, eventually},
    machine::{Place, attach, can_be_had, create, loops, until_volume},
};
use std::fs;

/// What is to be found again: more than stays in memory, and the last of it not written to the volume yet.
const WRITE: &str = "head -c 30M /dev/urandom >/mnt/big; sync; echo last >/mnt/last; cat /mnt/big /mnt/last | md5sum";
const READ: &str = "cat /mnt/big /mnt/last | md5sum";

fn snapshot(server: &Server, volume: &str) -> String {
    server.door.ok(&format!("Action=CreateSnapshot&VolumeId={volume}")).one("snapshotId")
}

fn until_snapshot(server: &Server, snapshot: &str, state: &str) {
    let request = format!("Action=DescribeSnapshots&SnapshotId.1={snapshot}");
    eventually(state, || server.door.ok(&request).one("status") == state);
}

fn until_image(server: &Server, image: &str) {
    let request = format!("Action=DescribeImages&ImageId.1={image}");
    eventually("the image is available", || server.door.ok(&request).one("imageState") == "available");
}

/// A volume of a snapshot; it may still have to get its bytes.
fn restore(server: &Server, snapshot: &str, gib: u32) -> String {
    let request = "Action=CreateVolume&AvailabilityZone=us-east-1a&VolumeType=gp3";
    server.door.ok(&format!("{request}&Size={gib}&SnapshotId={snapshot}")).one("volumeId")
}

fn launch_of(place: &Place, server: &Server, image: &str, more: &str) -> String {
    let request = "Action=RunInstances&InstanceType=t3.nano&MinCount=1&MaxCount=1&KeyName=k";
    let request = format!("{request}&ImageId={image}&Placement.AvailabilityZone=us-east-1a{more}");
    let instance = server.door.ok(&request).one("instanceId");
    server.until_state(&instance, "running");
    eventually("it answers", || place.run(&instance, "true").0);
    instance
}

/// Ends all that there is, and sees that nothing is left.
fn end(place: &Place, server: Server, instances: &[&String], volumes: &[&String], snapshots: &[&String]) {
    let files = place.files();
    for instance in instances {
        server.door.ok(&format!("Action=TerminateInstances&InstanceId.1={instance}"));
        server.until_state(instance, "terminated");
    }
    for volume in volumes {
        until_volume(&server, volume, "available");
        server.door.ok(&format!("Action=DeleteVolume&VolumeId={volume}"));
    }
    for snapshot in snapshots {
        server.door.ok(&format!("Action=DeleteSnapshot&SnapshotId={snapshot}"));
    }
    eventually("no device, no disk and no snapshot is left", || {
        loops(&files) == 0 && place.files().is_empty() && layers(place).is_empty()
    });
    server.end();
    place.state.assert_clean();
}

/// What is kept of snapshots.
fn layers(place: &Place) -> Vec<String> {
    let names = place.state.runs().into_iter().flat_map(|run| fs::read_dir(run.join("layers")).into_iter().flatten());
    names.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).filter(|name| !name.starts_with('.')).collect()
}

#[test]
fn a_mounted_volume_is_taken_as_it_is_and_found_again_elsewhere() {
    if !can_be_had() {
        return;
    }
    let place = Place::new();
    let server = Server::start(&place.state);
    place.prepare(&server);
    let (one, other, volume) = (place.launch(&server, ""), place.launch(&server, ""), create(&server, 1));
    attach(&server, &volume, &one, "/dev/sdf");
    eventually("it is there", || place.run(&one, "test -b /dev/sdf").0);
    place.ok(&one, "mkfs.ext4 -q /dev/sdf && mount /dev/sdf /mnt");
    let written = place.ok(&one, WRITE);
    let first = snapshot(&server, &volume);
    until_snapshot(&server, &first, "completed");
    // The machine goes on, and what it does from now on is in the next one.
    place.ok(&one, "echo later >/mnt/later");
    let begun = snapshot(&server, &volume);
    // Its holes are none of it.
    let kept = place.state.runs()[0].join("layers").join(&first).join("volume");
    let found = fs::metadata(kept).unwrap();
    assert!(std::os::unix::fs::MetadataExt::blocks(&found) * 512 < 200 << 20, "{found:?}");

    // Whatever the endpoint was at when it was killed, the next one ends it.
    let restored = restore(&server, &first, 2);
    server.kill();
    let server = Server::start(&place.state);
    until_volume(&server, &restored, "available");
    until_snapshot(&server, &begun, "completed");
    server.until_state(&other, "running");
    attach(&server, &restored, &other, "/dev/sdg");
    eventually("it is there", || place.run(&other, "test -b /dev/sdg").0);
    assert_eq!(place.ok(&other, &format!("mount /dev/sdg /mnt && {READ}")), written);
    place.ok(
        &other,
        "test ! -e /mnt/later && resize2fs /dev/sdg 2>/dev/null; blockdev --getsize64 /dev/sdg | grep -q 2147483648",
    );
    place.ok(&other, "umount /mnt");

    // The snapshot may go; another one of its volume has all that was written till then.
    server.door.ok(&format!("Action=DeleteSnapshot&SnapshotId={first}"));
    let last = restore(&server, &begun, 1);
    until_volume(&server, &last, "available");
    attach(&server, &last, &other, "/dev/sdh");
    eventually("it is there", || place.run(&other, "test -b /dev/sdh").0);
    place.ok(&other, "mount /dev/sdh /mnt && grep -q later /mnt/later");
    end(&place, server, &[&one, &other], &[&volume, &restored, &last], &[&begun]);
}

#[test]
fn an_image_has_the_data_volumes_of_its_machine() {
    if !can_be_had() {
        return;
    }
    let place = Place::new();
    let server = Server::start(&place.state);
    place.prepare(&server);
    let data = "&BlockDeviceMapping.1.DeviceName=/dev/sdf&BlockDeviceMapping.1.Ebs.VolumeSize";
    let one = place.launch(&server, &format!("{data}=1"));
    eventually("it is there", || place.run(&one, "test -b /dev/sdf").0);
    place.ok(&one, "mkfs.ext4 -q /dev/sdf && mount /dev/sdf /mnt");
    let written = place.ok(&one, &format!("echo root >/root/file; {WRITE}"));
    let image =
        server.door.ok(&format!("Action=CreateImage&InstanceId={one}&Name=golden&NoReboot=true")).one("imageId");
    let rebooted = server.door.ok(&format!("Action=CreateImage&InstanceId={one}&Name=silver")).one("imageId");
    server.kill();
    let server = Server::start(&place.state);
    for image in [&image, &rebooted] {
        until_image(&server, image);
    }
    // It was taken before the machine had booted again, and has all that was in its volumes by then.
    let larger = launch_of(&place, &server, &rebooted, &format!("{data}=2"));
    place.ok(&larger, "blockdev --getsize64 /dev/sdf | grep -q 2147483648 && grep -q root /root/file");
    place.ok(&larger, "mount /dev/sdf /mnt && test -s /mnt/big");
    server.until_state(&one, "running");
    eventually("it answers", || place.run(&one, "mount /dev/sdf /mnt").0);
    let again = format!("Action=CreateImage&InstanceId={one}&Name=bronze&NoReboot=true");
    let again = server.door.ok(&again).one("imageId");
    until_image(&server, &again);
    let written_now = place.ok(&one, READ);
    let second = launch_of(&place, &server, &again, "");
    assert_eq!(place.ok(&second, &format!("mount /dev/sdf /mnt && {READ}")), written_now);
    assert!(written_now == written || place.ok(&one, "ls -l /mnt").contains("big"), "{written_now} {written}");
    let without = "&BlockDeviceMapping.1.DeviceName=/dev/sdf&BlockDeviceMapping.1.NoDevice=";
    let third = launch_of(&place, &server, &again, without);
    assert!(!place.run(&third, "test -e /dev/sdf").0);

    // Its machines go on without it, over a stop and a start.
    for image in [&image, &rebooted, &again] {
        let request = format!("Action=DeregisterImage&ImageId={image}&DeleteAssociatedSnapshots=true");
        assert_eq!(server.door.ok(&request).all("returnCode"), ["success", "success"]);
    }
    for (action, state) in [("StopInstances", "stopped"), ("StartInstances", "running")] {
        server.door.ok(&format!("Action={action}&InstanceId.1={second}"));
        server.until_state(&second, state);
    }
    eventually("it is back", || {
        place.run(&second, &format!("mount /dev/sdf /mnt && {READ}")) == (true, written_now.clone())
    });
    end(&place, server, &[&one, &larger, &second, &third], &[], &[]);
}

#[test]
fn other_machines_start_while_much_is_taken() {
    if !can_be_had() {
        return;
    }
    let place = Place::new();
    let server = Server::start(&place.state);
    place.prepare(&server);
    let (one, volume) = (place.launch(&server, ""), create(&server, 2));
    attach(&server, &volume, &one, "/dev/sdf");
    eventually("it is there", || place.run(&one, "test -b /dev/sdf").0);
    place.ok(&one, "dd if=/dev/zero of=/dev/sdf bs=1M count=1500 conv=fsync status=none");
    let taken = snapshot(&server, &volume);
    let other = place.launch(&server, "");
    let request = format!("Action=DescribeSnapshots&SnapshotId.1={taken}");
    assert_eq!(server.door.ok(&request).one("status"), "pending", "it was taken before another machine ran");
    until_snapshot(&server, &taken, "completed");
    end(&place, server, &[&one, &other], &[&volume], &[&taken]);
}

#[test]
fn a_root_volume_is_read_elsewhere_while_another_takes_its_place() {
    if !can_be_had() {
        return;
    }
    let place = Place::new();
    let server = Server::start(&place.state);
    place.prepare(&server);
    let (one, other) = (place.launch(&server, ""), place.launch(&server, ""));
    eventually("it answers", || place.run(&one, "mkdir -p /opt && echo first >/opt/file").0);
    let of = format!("Action=DescribeVolumes&Filter.1.Name=attachment.instance-id&Filter.1.Value.1={one}");
    let root = server.door.ok(&of).one("volumeId");
    let taken = snapshot(&server, &root);
    until_snapshot(&server, &taken, "completed");
    server.door.ok(&format!("Action=StopInstances&InstanceId.1={one}"));
    server.until_state(&one, "stopped");
    server.door.ok(&format!("Action=DetachVolume&VolumeId={root}"));
    until_volume(&server, &root, "available");
    // The instance boots from a volume of the snapshot meanwhile.
    let made = restore(&server, &taken, 8);
    until_volume(&server, &made, "available");
    attach(&server, &made, &one, "/dev/sda1");
    server.door.ok(&format!("Action=StartInstances&InstanceId.1={one}"));
    server.until_state(&one, "running");
    eventually("it is as it was", || place.run(&one, "grep -q first /opt/file && echo other >/opt/file").0);
    attach(&server, &root, &other, "/dev/sdf");
    eventually("it is there", || place.run(&other, "test -b /dev/sdf").0);
    // Its files are the former machine's, so they can be read as by anybody.
    place.ok(&other, "mount -r /dev/sdf /mnt && grep -q first /mnt/root/opt/file && umount /mnt");
    server.door.ok(&format!("Action=DetachVolume&VolumeId={root}"));
    until_volume(&server, &root, "available");
    server.door.ok(&format!("Action=StopInstances&InstanceId.1={one}"));
    server.until_state(&one, "stopped");
    server.door.ok(&format!("Action=DetachVolume&VolumeId={made}"));
    until_volume(&server, &made, "available");
    attach(&server, &root, &one, "/dev/sda1");
    server.door.ok(&format!("Action=StartInstances&InstanceId.1={one}"));
    server.until_state(&one, "running");
    eventually("it has its own again", || place.run(&one, "grep -q first /opt/file").0);
    // What is attached by hand outlives its instance.
    end(&place, server, &[&one, &other], &[&root, &made], &[&taken]);
}
