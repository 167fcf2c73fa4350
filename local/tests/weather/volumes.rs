//! A volume beside the root's.

use crate::{
    client::start,
    endpoint::eventually,
    machine::{can_be_had, files, loops},
};
use std::fs;

/// It is formatted and written, taken while it is mounted, and found again in another one and in an image's.
fn comes_through(conditions: &'static str) {
    if !can_be_had() {
        return;
    }
    let mut endpoint = start(conditions);
    let write = "mkfs.ext4 -q /dev/sdf; mount /dev/sdf /mnt; echo bytes >/mnt/file; echo written: $((40 + 2))";
    let zone = "&Placement.AvailabilityZone=us-east-1a";
    let data = format!("{zone}&BlockDeviceMapping.1.DeviceName=/dev/sdf&BlockDeviceMapping.1.Ebs.VolumeSize=1");
    let one = endpoint.boot(&endpoint.available("host"), "one", write, &data);
    endpoint.until_console(&one, "written: 42");
    endpoint.until_state(&one, "running");
    let held = "Action=DescribeVolumes&Filter.1.Name=attachment.device&Filter.1.Value.1=/dev/sdf";
    let volume = endpoint.find(held, "volumeId");
    let snapshot = endpoint.call_twice(&format!("Action=CreateSnapshot&VolumeId={volume}")).one("snapshotId");
    let described = format!("Action=DescribeSnapshots&Filter.1.Name=snapshot-id&Filter.1.Value.1={snapshot}");
    endpoint.until(&described, "<status>completed</status>");
    let make = "Action=CreateVolume&AvailabilityZone=us-east-1a&ClientToken=again";
    let restored = endpoint.call(&format!("{make}&SnapshotId={snapshot}")).one("volumeId");
    let make = format!("Action=CreateImage&InstanceId={one}&Name=golden&NoReboot=true");
    endpoint.insist(&make, "InvalidAMIName.Duplicate");
    endpoint.succeed();

    let golden = endpoint.available("golden");
    let read = "mount /dev/sdf /mnt; echo image: $(cat /mnt/file) $((40 + 3)); umount /mnt
                until test -b /dev/sdg; do sleep 0.1; done
                mount /dev/sdg /mnt; echo volume: $(cat /mnt/file) $((40 + 4))";
    let two = endpoint.boot(&golden, "two", read, zone);
    endpoint.until_console(&two, "image: bytes 43");
    let described = format!("Action=DescribeVolumes&Filter.1.Name=volume-id&Filter.1.Value.1={restored}");
    endpoint.until(&described, "<status>available</status>");
    endpoint.until_state(&two, "running");
    let attach = format!("Action=AttachVolume&VolumeId={restored}&InstanceId={two}&Device=/dev/sdg");
    endpoint.insist(&attach, "VolumeInUse");
    endpoint.until_console(&two, "volume: bytes 44");

    let volumes = files(&endpoint.state);
    endpoint.terminate(&[&one, &two]);
    let gone = format!("Action=DeregisterImage&ImageId={golden}&DeleteAssociatedSnapshots=true");
    endpoint.insist(&gone, "InvalidAMIID");
    let layers = || {
        let runs = endpoint.state.runs().into_iter();
        runs.flat_map(|run| fs::read_dir(run.join("layers")).into_iter().flatten()).count()
    };
    eventually("no device, no disk and no snapshot is left", || {
        // What was asked for twice, since nobody answered, is there twice.
        for volume in endpoint.call("Action=DescribeVolumes").all("volumeId") {
            let _ = endpoint.ask(&format!("Action=DeleteVolume&VolumeId={volume}"));
        }
        for snapshot in endpoint.call("Action=DescribeSnapshots&Owner.1=self").all("snapshotId") {
            let _ = endpoint.ask(&format!("Action=DeleteSnapshot&SnapshotId={snapshot}"));
        }
        loops(&volumes) == 0 && files(&endpoint.state).is_empty() && layers() == 0
    });
}

#[test]
fn data_comes_through_typical_conditions() {
    comes_through("typical");
}

#[test]
fn data_comes_through_hostile_conditions() {
    comes_through("hostile");
}
