//! Whose ids on the host the users of root's machines have.

use crate::fixture::{Disk, FIRST_BOOT, Running, SECOND_BOOT, specification};
use ec2_local::machine::{Event, sandbox::Sandbox};
use std::{
    fs,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown},
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// The first id of a machine that hasn't been started yet, or is off.
fn owner(disk: &Disk) -> u32 {
    fs::metadata(disk.path().join("files")).unwrap().uid()
}

fn is_skipped() -> bool {
    let skipped = !rustix::process::geteuid().is_root();
    if skipped {
        eprintln!("skipped: only root's machines have ids of their own");
    }
    skipped
}

/// One of an endpoint by itself, which knows of no other's.
fn start(disk: &Disk, boot_id: &str) -> Running {
    let hypervisor = Sandbox::with_plug(|_, frames| Box::new(frames));
    let mut wanted = specification(&disk.path(), boot_id);
    // A name that no other test's machines have: they would take the same ids, as soon as they are free.
    wanted.machine.instance = format!("i-ranges-{}", std::process::id());
    Running::start_on(&hypervisor.program(["/bin/sh", "-c", crate::fixture::JOBS]), wanted)
}

fn until_ready(mut machine: Running) -> Running {
    assert_eq!(machine.next(), Some(Event::Started), "{}", machine.console);
    machine.until_console("ready");
    machine
}

#[test]
fn no_two_endpoints_give_the_same_ids() {
    if is_skipped() {
        return;
    }
    let locks = Path::new("/run/ec2-local/ranges");
    let _ = fs::DirBuilder::new().recursive(true).mode(0o700).create(locks);
    // As an endpoint leaves it that is killed.
    let left = locks.join("7ffe0000");
    let is_planted = locks.is_dir() && fs::write(&left, "").is_ok();
    // Of one name, from which the ids follow.
    let disks = [Disk::new(), Disk::new(), Disk::new()];
    let machines: Vec<_> = disks.iter().map(|disk| until_ready(start(disk, FIRST_BOOT))).collect();
    let owners: Vec<u32> = disks.iter().map(owner).collect();
    assert!(owners[0] != owners[1] && owners[1] != owners[2] && owners[0] != owners[2], "{owners:x?}");
    // Above those that sssd gives, and below those of images.
    assert!(
        owners.iter().all(|owner| (0x7740_0000..0x7fff_0000).contains(owner) && owner % 0x10000 == 0),
        "{owners:x?}"
    );
    assert!(!is_planted || !left.exists());
    assert_eq!(fs::metadata(locks).unwrap().permissions().mode() & 0o7777, 0o700);
    assert!(owners.iter().all(|owner| locks.join(format!("{owner:08x}")).exists()), "{owners:x?}");
    for machine in machines {
        machine.end();
    }
    // The endpoint lets go of them once the machine is gone, which is told before.
    let since = Instant::now();
    while owners.iter().any(|owner| locks.join(format!("{owner:08x}")).exists()) {
        assert!(since.elapsed() < Duration::from_secs(60), "{owners:x?}");
        thread::sleep(Duration::from_millis(10));
    }
    // They stay the disk's.
    until_ready(start(&disks[1], SECOND_BOOT)).end();
    assert_eq!(owner(&disks[1]), owners[1]);
    for disk in disks {
        disk.remove();
    }
}

/// A machine on a disk whose files belong to this user.
fn start_as(disk: &Disk, owner: u32) -> Running {
    let files = disk.path().join("files");
    fs::create_dir(&files).unwrap();
    chown(&files, Some(owner), Some(owner)).unwrap();
    start(disk, FIRST_BOOT)
}

#[test]
fn a_disk_of_an_earlier_version_keeps_its_ids() {
    if is_skipped() {
        return;
    }
    let disk = Disk::new();
    let machine = until_ready(start_as(&disk, 0x7001_0000));
    assert_eq!(fs::metadata(machine.file("etc/hostname")).unwrap().uid(), 0x7001_0000);
    machine.end();
    disk.remove();
}

#[test]
fn no_user_of_the_hosts_is_a_machines_root() {
    if is_skipped() {
        return;
    }
    for user in [1, 1000, 65534, 0x7740_0001, 0x7fff_0000] {
        let disk = Disk::new();
        let mut machine = start_as(&disk, user);
        match machine.next() {
            Some(Event::Failed(why)) => assert!(why.contains(&format!("it belongs to user {user}")), "{why}"),
            other => panic!("{user}: {other:?}"),
        }
        disk.remove();
    }
}

/// Another endpoint's machine has them, which may have been made while this one was off.
#[test]
fn a_disk_whose_ids_another_machine_has_waits() {
    if is_skipped() {
        return;
    }
    let (disk, other) = (Disk::new(), Disk::new());
    let machine = until_ready(start(&disk, FIRST_BOOT));
    let first = owner(&disk);
    let refused = std::panic::catch_unwind(|| start_as(&other, first));
    let why = refused.err().and_then(|why| why.downcast::<String>().ok()).unwrap();
    assert!(why.contains(&format!("have the user ids from {first} on")), "{why}");
    machine.end();
    until_ready(start(&other, FIRST_BOOT)).end();
    disk.remove();
    other.remove();
}
