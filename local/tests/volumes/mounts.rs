//! Volumes that a machine's root mounts.

use crate::{
    endpoint::{Server, eventually},
    machine::{Place, attach, can_be_had, create, detach, loops, status, until_volume},
};

/// A machine with a volume on which there is a file system.
fn formatted(place: &Place, server: &Server, system: &str) -> (String, String) {
    let (instance, volume) = (place.launch(server, ""), create(server, 1));
    attach(server, &volume, &instance, "/dev/sdf");
    eventually("it is there", || place.run(&instance, "test -b /dev/sdf").0);
    place.ok(&instance, &format!("mkfs.{system} -q /dev/sdf"));
    (instance, volume)
}

fn terminate(server: &Server, instances: &[&String]) {
    for instance in instances {
        server.door.ok(&format!("Action=TerminateInstances&InstanceId.1={instance}"));
        server.until_state(instance, "terminated");
    }
}

#[test]
fn a_volume_is_mounted_written_unmounted_and_read_elsewhere() {
    if !can_be_had() {
        return;
    }
    let place = Place::new();
    let server = Server::start(&place.state);
    place.prepare(&server);
    let (one, volume) = formatted(&place, &server, "ext4");
    let said = place.ok(
        &one,
        "mount -o noatime,nosuid /dev/sdf /mnt && echo bytes >/mnt/file && chown 1000:1000 /mnt/file && stat -c %u /mnt && findmnt -no SOURCE,FSTYPE,OPTIONS /mnt",
    );
    let words: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(words[..3], ["0", "/dev/nvme1n1", "ext4"], "{said}");
    for option in ["rw", "nosuid", "nodev", "noatime"] {
        assert!(words[3].split(',').any(|word| word == option), "{option}: {said}");
    }
    // It is busy as long as it is mounted.
    detach(&server, &volume, "");
    until_volume(&server, &volume, "busy");
    assert_eq!(place.ok(&one, "cat /mnt/file").trim(), "bytes");
    place.ok(&one, "umount /mnt");
    until_volume(&server, &volume, "available");

    let other = place.launch(&server, "");
    attach(&server, &volume, &other, "/dev/sdg");
    eventually("it is there", || place.run(&other, "test -b /dev/sdg").0);
    let said = place
        .ok(&other, "mount -r /dev/sdg /mnt && cat /mnt/file && stat -c %u /mnt/file; touch /mnt/more || echo as told");
    let words: Vec<&str> = said.split_whitespace().collect();
    assert!(words.starts_with(&["bytes", "1000"]) && said.contains("as told"), "{said}");
    // By force it is gone at once, mounted or not, and others can have it.
    detach(&server, &volume, "&Force=true");
    until_volume(&server, &volume, "available");
    attach(&server, &volume, &one, "/dev/sdf");
    eventually("it is there again", || place.run(&one, "mount /dev/sdf /mnt && grep -q bytes /mnt/file").0);
    let files = place.files();
    terminate(&server, &[&one, &other]);
    until_volume(&server, &volume, "available");
    eventually("no device is left", || loops(&files) == 0);
    server.door.ok(&format!("Action=DeleteVolume&VolumeId={volume}"));
    eventually("no file is left", || place.files().is_empty());
    server.end();
    place.state.assert_clean();
}

#[test]
fn xfs_is_mounted_and_grows() {
    if !can_be_had() {
        return;
    }
    let place = Place::new();
    let server = Server::start(&place.state);
    place.prepare(&server);
    let (one, volume) = formatted(&place, &server, "xfs");
    place.ok(&one, "mount /dev/sdf /mnt && echo bytes >/mnt/file && umount /mnt && mount -o nouuid /dev/sdf /mnt");
    server.door.ok(&format!("Action=ModifyVolume&VolumeId={volume}&Size=2"));
    eventually("it grows", || place.run(&one, "test $(blockdev --getsize64 /dev/sdf) = 2147483648").0);
    assert_eq!(place.ok(&one, "cat /mnt/file; umount /mnt").trim(), "bytes");
    terminate(&server, &[&one]);
    server.door.ok(&format!("Action=DeleteVolume&VolumeId={volume}"));
    server.end();
    place.state.assert_clean();
}

#[test]
fn nothing_else_is_mounted_and_by_nobody_else() {
    if !can_be_had() {
        return;
    }
    let place = Place::new();
    let server = Server::start(&place.state);
    place.prepare(&server);
    let (one, volume) = formatted(&place, &server, "ext4");
    for (script, why) in [
        ("mount -t ext4 /dev/null /mnt", "no block device"),
        ("mount -t ext4 /etc/passwd /mnt", "a file"),
        ("mount -t ext4 -o errors=panic /dev/sdf /mnt", "the host would panic"),
        ("mount -t ext4 -o journal_dev=1792 /dev/sdf /mnt", "another device"),
        ("mount -t vfat /dev/sdf /mnt", "another file system"),
        ("su -s /bin/sh nobody -c \"mount -t ext4 /dev/nvme1n1 /mnt\"", "not root"),
        ("unshare -Urm mount -t ext4 /dev/nvme1n1 /mnt", "not the machine\"s root"),
    ] {
        let (succeeded, said) = place.run(&one, script);
        assert!(!succeeded, "{why}: {said}");
        assert_eq!(place.ok(&one, "grep -c \" /mnt \" /proc/mounts || true").trim(), "0", "{why}");
    }
    // What a file system says of itself doesn't end the host.
    place.ok(&one, "tune2fs -e panic /dev/sdf && mount /dev/sdf /mnt && umount /mnt");
    // Mounts that were always its own it still makes.
    place.ok(&one, "mount -t tmpfs none /mnt && mount --bind /mnt /media && umount /media /mnt");
    // A node that was kept is of no use once its volume is gone.
    place.ok(&one, "touch /kept && mount --bind /dev/nvme1n1 /kept && head -c 1 /kept | wc -c");
    detach(&server, &volume, "");
    until_volume(&server, &volume, "available");
    let (succeeded, said) = place.run(&one, "head -c 1 /kept");
    assert!(!succeeded && said.contains("Permission denied"), "{said}");
    // What is still open is empty.
    attach(&server, &volume, &one, "/dev/sdf");
    eventually("it is there", || place.run(&one, "test -b /dev/sdf").0);
    place.ok(&one, "(exec 3<>/dev/sdf; echo open >/tmp/state; while [ ! -e /tmp/go ]; do sleep 0.1; done; dd bs=512 count=1 <&3 2>&1 | wc -c; echo x >&3; echo wrote $?) >/tmp/said 2>&1 </dev/null &");
    eventually("it is open", || place.run(&one, "test -e /tmp/state").0);
    detach(&server, &volume, "");
    until_volume(&server, &volume, "available");
    place.ok(&one, "touch /tmp/go");
    eventually("it was tried", || place.run(&one, "grep wrote /tmp/said").0);
    let said = place.ok(&one, "cat /tmp/said");
    assert!(!said.contains("wrote 0"), "{said}");
    assert_eq!(status(&server, &volume), ["available"]);
    terminate(&server, &[&one]);
    server.door.ok(&format!("Action=DeleteVolume&VolumeId={volume}"));
    server.end();
    place.state.assert_clean();
}

#[test]
fn mounts_can_be_forbidden() {
    if !can_be_had() {
        return;
    }
    let place = Place::new();
    let server = Server::start_with(&place.state, &["--conditions", "calm", "--no-volume-mounts"]);
    place.prepare(&server);
    let (one, volume) = formatted(&place, &server, "ext4");
    let (succeeded, said) = place.run(&one, "mount /dev/sdf /mnt");
    assert!(!succeeded, "{said}");
    terminate(&server, &[&one]);
    server.door.ok(&format!("Action=DeleteVolume&VolumeId={volume}"));
    server.end();
    place.state.assert_clean();
}
