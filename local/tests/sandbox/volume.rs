//! The size of the disk.

use crate::fixture::{Disk, FIRST_BOOT, PATIENCE, Running, SECOND_BOOT, specification};
use ec2_local::machine::{
    Event, Hypervisor,
    sandbox::{Sandbox, remove_disk},
};
use std::{
    fs,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::unbounded_channel;

/// A machine with a root volume of 1 GiB, which runs this script and goes on; what it said up to `over`. None where such a
/// volume can't be had, as the console says.
fn with_volume(disk: &Disk, boot_id: &str, script: &str) -> Option<(Running, String)> {
    let mut small = specification(&disk.path(), boot_id);
    small.machine.disk_gib = Some(1);
    // Elsewhere it would be the host's disk that is filled.
    let has = "[ $(df -B1M --output=size / | tail -n 1) -lt 2048 ]";
    let script = format!("({has} && {{ {script}; }}) 2>&1; echo over; exec sleep 1000");
    let mut machine = Running::start_program(small, &["/bin/sh", "-c", &script]);
    assert_eq!(machine.next(), Some(Event::Started), "{}", machine.console);
    machine.until_console("over");
    let console = machine.console.clone();
    if let Some(note) = console.lines().find(|line| line.contains("and not 1 GiB")) {
        let root = rustix::process::geteuid().is_root();
        assert!(!root || !Path::new("/dev/loop-control").exists() || note.contains("mke2fs"), "{note}");
        eprintln!("skipped: {note}");
        machine.end();
        return None;
    }
    Some((machine, console))
}

/// A volume's number and file system, since the host isn't told the path, and other machines have theirs.
fn identity(disk: &Disk) -> Option<String> {
    let volume = fs::metadata(disk.path().join("volume")).ok()?;
    let device = volume.dev();
    Some(format!("{} {}:{}", volume.ino(), rustix::fs::major(device), rustix::fs::minor(device)))
}

/// Those that are on loop devices.
fn attached() -> Vec<String> {
    let mut losetup = Command::new("losetup");
    let devices = losetup.args(["--noheadings", "--output", "BACK-INO,BACK-MAJ:MIN"]).output().unwrap();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    String::from_utf8(devices.stdout).unwrap().lines().map(words).collect()
}

#[test]
pub fn ends_where_the_volume_does() {
    let disk = Disk::new();
    let script = "df -B1M --output=size / | tail -n 1; fallocate -l 100G /root/large; rm /root/large
        head -c 2G /dev/zero >/var/much; stat -c 'wrote %s' /var/much; /bin/echo more >/root/kept; rm /var/much
        echo kept >/root/kept; chown 1000:1000 /root/kept; sync";
    if let Some((machine, console)) = with_volume(&disk, FIRST_BOOT, script) {
        let mib: u64 = console.lines().find_map(|line| line.trim().parse().ok()).expect(&console);
        assert!((900..=1024).contains(&mib), "{console}");
        assert_eq!(console.matches("No space left on device").count(), 3, "{console}");
        let wrote: u64 =
            console.lines().find_map(|line| line.trim().strip_prefix("wrote ")?.parse().ok()).expect(&console);
        assert!((800 << 20..1 << 30).contains(&wrote), "{console}");
        assert!(attached().contains(&identity(&disk).unwrap()), "{:?}", attached());
        let taken: u64 =
            fs::read_dir(disk.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().blocks()).sum();
        assert!(taken * 512 < 1100 << 20, "{taken}");
        // Where the host keeps it is none of the machine's business.
        machine.end();

        let script = "cat /root/kept; stat -c %u /root/kept; grep . /sys/block/loop*/loop/backing_file; mount";
        let (mut machine, console) = with_volume(&disk, SECOND_BOOT, script).unwrap();
        assert!(console.contains("kept\r\n1000") || console.contains("kept\n1000"), "{console}");
        let place = disk.directory().to_str().unwrap();
        assert!(!console.contains(place), "{place}: {console}");
        // The power is taken, and given at once: nothing else has it mounted meanwhile.
        machine.machine.kill();
        assert_eq!(machine.next(), Some(Event::PoweredOff));
        let (machine, console) = with_volume(&disk, SECOND_BOOT, "cat /root/kept").unwrap();
        assert!(console.contains("kept"), "{console}");
        machine.end();

        // As its host's crash leaves it: mounted, says the file system of itself.
        let volume = fs::File::options().write(true).open(disk.path().join("volume")).unwrap();
        volume.write_all_at(&[0, 0], 1024 + 0x3a).unwrap();
        let (machine, console) = with_volume(&disk, SECOND_BOOT, "cat /root/kept").unwrap();
        assert!(console.contains("kept"), "{console}");
        machine.end();
    }
    let volume = identity(&disk);
    disk.remove();
    assert!(!attached().iter().any(|device| Some(device) == volume.as_ref()), "{volume:?}: {:?}", attached());
}

#[test]
pub fn loses_its_power_before_the_host_has_no_room() {
    loses_its_power("size=512M", "head -c 400M /dev/zero >/root/much", "", "MiB");
}

#[test]
pub fn loses_its_power_before_the_host_has_no_inodes() {
    let fill = "mkdir /root/many; cd /root/many; perl -e 'my $n = 0; while (open my $one, \">\", $n) { $n++ }'";
    loses_its_power("size=512M,nr_inodes=20000", fill, "", "inodes");
}

#[test]
pub fn keeps_its_power_though_it_took_more_before_another_fills_the_disk() {
    // The host's part is 128 MiB; from twice as much on it is known what was there before.
    let fill = "head -c 70M /dev/zero >/root/some; sleep 4; head -c 140M /dev/zero >/root/more";
    loses_its_power("size=512M", fill, "head -c 210M /dev/zero >/root/much", "MiB");
}

#[test]
pub fn loses_its_power_for_what_it_has_open_without_a_name() {
    // The other has more that has a name.
    let fill = "exec 3>/root/much; rm /root/much; head -c 400M /dev/zero >&3";
    loses_its_power("size=512M", fill, "head -c 20M /dev/zero >/root/some", "MiB");
}

#[test]
pub fn loses_its_power_for_what_it_has_mapped_without_a_name() {
    let mmap = if cfg!(target_arch = "x86_64") { 9 } else { 222 };
    // In parts, so that it has all before it has too much.
    let fill = format!(
        "perl -e 'my @all = 1 .. 40; for (@all) {{ open my $one, \"+>\", \"/root/$_\"; unlink \"/root/$_\";
            syswrite $one, \"x\" x (10 << 20); syscall({mmap}, 0, 10 << 20, 1, 1, fileno $one, 0) }} sleep 1000'"
    );
    loses_its_power("size=512M", &fill, "head -c 20M /dev/zero >/root/some", "MiB");
}

/// Has two machines share a small disk, of which the one that fills it loses its power, and the other one doesn't, which
/// has done its part before.
fn loses_its_power(options: &str, fill: &str, before: &str, unit: &str) {
    let Some(small) = SmallDisk::mount(options) else {
        return eprintln!("skipped: only root can make a disk that is full soon");
    };
    let place = small.0.path();
    // They share the disk, and so an endpoint.
    let (plug, _plugged) = std::sync::mpsc::channel();
    let hypervisor = Sandbox::with_plug(move |nic, frames| Box::new(plug.send((nic, frames))));
    let (sender, mut events) = unbounded_channel();
    let start = |name: &str, script: &str| {
        let disk = place.join(name);
        fs::create_dir(&disk).unwrap();
        let mut machine = specification(&disk, FIRST_BOOT);
        machine.machine.instance = format!("i-{name}");
        let script = format!("{script}\necho over; exec sleep 1000");
        hypervisor.clone().program(["/bin/sh", "-c", &script]).start(machine, sender.clone()).unwrap()
    };
    let deadline = Instant::now() + PATIENCE;
    let mut next = || {
        while Instant::now() < deadline {
            match events.try_recv() {
                Ok((_, Event::Started)) => {}
                Ok(said) => return said,
                Err(_) => thread::sleep(Duration::from_millis(2)),
            }
        }
        panic!("nothing happens")
    };
    let modest = start("modest", before);
    while !matches!(next(), (_, Event::Console(said)) if String::from_utf8_lossy(&said).contains("over")) {}
    let greedy = start("greedy", fill);
    let mut end = || {
        loop {
            match next() {
                (_, Event::Console(_)) => {}
                said => return said,
            }
        }
    };
    let (instance, event) = end();
    assert_eq!(instance, "i-greedy", "{event:?}");
    assert!(
        matches!(&event, Event::Failed(why) if why.contains("leave room on the host's disk") && why.contains(unit)),
        "{event:?}"
    );
    // The others go on, though the room is still taken.
    thread::sleep(Duration::from_secs(1));
    drop(greedy);
    modest.power_off();
    assert_eq!(end(), ("i-modest".to_owned(), Event::PoweredOff));
}

/// Tells the tests that run as another user where root has mounted a small disk for each.
pub const VARIABLE: &str = "EC2_LOCAL_TEST_SMALL_DISK";

/// A disk that is full soon, in memory.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// None where only root could mount one.
    fn mount(options: &str) -> Option<Self> {
        if let Some(given) = std::env::var_os(VARIABLE) {
            return Some(Self(tempfile::tempdir_in(given).unwrap()));
        }
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let small = Self(tempfile::tempdir().unwrap());
        let mut mount = Command::new("mount");
        assert!(mount.args(["-t", "tmpfs", "-o", options, "none"]).arg(small.0.path()).status().unwrap().success());
        Some(small)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if std::env::var_os(VARIABLE).is_some() {
            for disk in ["modest", "greedy"] {
                remove_disk(&self.0.path().join(disk)).unwrap();
            }
            return;
        }
        // Machines of a test that failed are about to end.
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0.path()).status().unwrap();
        assert!(unmounted.success() || thread::panicking());
    }
}
