//! What a machine's root leaves on its disk for the host: links that lead outside lead nowhere, and all of it can be removed.

use crate::fixture::{Disk, FIRST_BOOT, PATIENCE, Running, SECOND_BOOT, specification};
use ec2_local::machine::Event;
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Replaces each place by a link, without programs, since they may be in one of these; what is mounted there goes first.
fn plant(machine: &Running, places: &[&str], target: &Path) {
    let list = places.join(" ");
    // umount2(2), with MNT_DETACH.
    let umount = if cfg!(target_arch = "x86_64") { 166 } else { 39 };
    let script = format!(
        "perl -e 'for my $place (qw({list})) {{
             syscall({umount}, \"/$place\", 2); my $aside = $place =~ tr(/)(-)r;
             mkdir q(/aside); rename \"/$place\", \"/aside/$aside\"; symlink q({}), \"/$place\" or print \"$place: $!\\n\";
         }}
         open F, q(>), q(/planted)'",
        target.display()
    );
    machine.send_job(&script);
    let deadline = Instant::now() + PATIENCE;
    while !machine.file("planted").exists() {
        assert!(Instant::now() < deadline, "{places:?}");
        thread::sleep(Duration::from_millis(2));
    }
    for place in places {
        assert!(machine.file(place).is_symlink(), "{place}");
    }
}

#[test]
fn links_on_a_disk_lead_nowhere_outside() {
    let outside = tempfile::tempdir().unwrap();
    // Where the user that the machine's root is outside could write.
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let as_it_is = || {
        let found = fs::metadata(outside.path()).unwrap();
        (found.mode(), found.uid(), found.mtime(), fs::read_dir(outside.path()).unwrap().count())
    };
    let before = as_it_is();
    for places in [
        &["var/lib", "boot", "home", "media", "mnt", "opt", "srv", "root"][..],
        &["var", "etc"],
        &["dev", "proc", "run", "sys", "tmp"],
        &["var/lib/dpkg", "etc/alternatives", "etc/ssl"],
        &["usr"],
    ] {
        let disk = Disk::new();
        let machine = Running::booted(&disk.path(), FIRST_BOOT);
        let places: Vec<&str> =
            places.iter().copied().filter(|place| machine.file(place).symlink_metadata().is_ok()).collect();
        plant(&machine, &places, outside.path());
        machine.machine.kill();
        let mut machine = machine;
        assert_eq!(machine.next(), Some(Event::PoweredOff), "{}", machine.console);

        let mut again = Running::start(specification(&disk.path(), SECOND_BOOT));
        match again.next() {
            Some(Event::Started) => {
                again.machine.kill();
                assert_eq!(again.next(), Some(Event::PoweredOff), "{}", again.console);
            }
            Some(Event::Failed(why)) => eprintln!("{places:?}: {why}"),
            other => panic!("{places:?}: {other:?}"),
        }
        assert_eq!(as_it_is(), before, "{places:?}");
        disk.remove();
    }
}

#[test]
fn a_disk_is_removed_however_deep_it_is() {
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let answer = machine
        .run("cd /root; perl -e 'for (1..5000) { mkdir q(d) or die; chdir q(d) or die }; open F, q(>), q(file)'");
    assert_eq!(answer, "exit 0\n");
    machine.end();
    disk.remove();
}
