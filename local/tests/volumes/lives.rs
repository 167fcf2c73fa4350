//! The lives of volumes.

use crate::{
    endpoint::{Server, eventually},
    machine::{Place, attach, can_be_had, create, detach, loops, until_volume},
};

#[test]
fn a_volume_is_a_block_device_that_comes_and_goes() {
    if !can_be_had() {
        return;
    }
    let place = Place::new();
    let server = Server::start(&place.state);
    place.prepare(&server);
    let (one, other, volume) = (place.launch(&server, ""), place.launch(&server, ""), create(&server, 1));
    attach(&server, &volume, &one, "/dev/sdf");
    let by_id = format!("/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{}", volume.replace('-', ""));
    eventually("it is there", || place.run(&one, "test -b /dev/nvme1n1").0);
    let said = place.ok(
        &one,
        &format!("readlink -f /dev/sdf {by_id}; stat -c \"%a %u %g\" /dev/nvme1n1; lsblk -bno NAME,SIZE,TYPE"),
    );
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    assert_eq!(lines[..3], ["/dev/nvme1n1", "/dev/nvme1n1", "660 0 6"], "{said}");
    assert!(lines[3..].iter().any(|line| line.split_whitespace().eq(["nvme1n1", "1073741824", "disk"])), "{said}");
    assert_eq!(lines[3..].len(), 2, "the root's and this one: {said}");
    assert!(place.ok(&one, "cat /proc/partitions").contains("1048576 nvme1n1"));
    let hidden = place.ok(&one, "cat /sys/block/nvme1n1/loop/backing_file || echo none");
    assert!(hidden.contains("none") && !hidden.contains(place.state.beside().to_str().unwrap()), "{hidden}");
    place.ok(&one, "mkfs.ext4 -q /dev/nvme1n1 && e2fsck -fn /dev/sdf");
    place.ok(&one, "echo these bytes | dd of=/dev/nvme1n1 bs=1M seek=500 conv=notrunc,fsync status=none");

    detach(&server, &volume, "");
    until_volume(&server, &volume, "available");
    assert!(!place.run(&one, &format!("test -e /dev/nvme1n1 || test -L /dev/sdf || test -L {by_id}")).0);
    assert_eq!(
        place
            .ok(&one, "ls /sys/block | wc -l; grep -c nvme /proc/partitions || true")
            .split_whitespace()
            .collect::<Vec<_>>(),
        ["1", "0"]
    );
    attach(&server, &volume, &other, "xvdz");
    eventually("it is there", || place.run(&other, "test -b /dev/xvdz").0);
    let read =
        place.ok(&other, "dd if=/dev/xvdz bs=1M skip=500 count=1 status=none | head -c 11; e2fsck -fn /dev/xvdz");
    assert!(read.starts_with("these bytes"), "{read}");

    // It stays over a stop and a start, grows while it is there, and ends with its instance if that is wanted.
    for (action, state) in [("StopInstances", "stopped"), ("StartInstances", "running")] {
        server.door.ok(&format!("Action={action}&InstanceId.1={other}"));
        server.until_state(&other, state);
    }
    eventually("it is back", || {
        place.run(&other, "dd if=/dev/xvdz bs=1M skip=500 count=1 status=none | grep -q these").0
    });
    server.door.ok(&format!("Action=ModifyVolume&VolumeId={volume}&Size=2"));
    eventually("it grows", || place.run(&other, "test $(blockdev --getsize64 /dev/xvdz) = 2147483648").0);
    let files = place.files();
    assert_eq!(loops(&files), 3);
    for instance in [&one, &other] {
        server.door.ok(&format!("Action=TerminateInstances&InstanceId.1={instance}"));
        server.until_state(instance, "terminated");
    }
    until_volume(&server, &volume, "available");
    eventually("no device is left", || loops(&files) == 0);
    server.door.ok(&format!("Action=DeleteVolume&VolumeId={volume}"));
    eventually("no file is left", || place.files().is_empty());
    server.end();
    place.state.assert_clean();
}

#[test]
fn a_volume_outlives_its_endpoint() {
    if !can_be_had() {
        return;
    }
    let place = Place::new();
    let server = Server::start(&place.state);
    place.prepare(&server);
    let launch = "&BlockDeviceMapping.1.DeviceName=/dev/sdg&BlockDeviceMapping.1.Ebs.VolumeSize=1";
    let (instance, volume) = (place.launch(&server, launch), create(&server, 1));
    attach(&server, &volume, &instance, "/dev/sdh");
    eventually("both are there", || place.run(&instance, "test -b /dev/sdg && test -b /dev/sdh").0);
    place.ok(&instance, "echo launched with | dd of=/dev/sdg conv=notrunc,fsync status=none");
    place.ok(&instance, "echo attached later | dd of=/dev/sdh conv=notrunc,fsync status=none");
    let files = place.files();
    assert_eq!(loops(&files), 3);
    server.kill();
    eventually("no device is left", || loops(&files) == 0);

    let server = Server::start(&place.state);
    server.until_state(&instance, "running");
    eventually("both are back", || {
        place.run(&instance, "head -c 13 /dev/sdg | grep -q with && head -c 14 /dev/sdh | grep -q later").0
    });
    server.door.ok(&format!("Action=TerminateInstances&InstanceId.1={instance}"));
    server.until_state(&instance, "terminated");
    eventually("one is left", || place.files().len() == 1);
    server.door.ok(&format!("Action=DeleteVolume&VolumeId={volume}"));
    eventually("no file and no device is left", || place.files().is_empty() && loops(&files) == 0);
    server.end();
    place.state.assert_clean();
}
