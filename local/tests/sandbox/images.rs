//! Machines whose root directory is an image's, not the host's.

use crate::{
    canaries::{self, Canaries},
    fixture::{Disk, FIRST_BOOT, Running, SECOND_BOOT, specification},
    system::System,
};
use ec2_local::{
    archive::{Limits, Owners, unpack},
    machine::{
        Event, Specification,
        sandbox::{remove_disk, unpack_image},
    },
};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

/// An image, and where machines of it can have their disks.
struct Image {
    directory: Disk,
}

impl Image {
    fn of(system: System) -> Self {
        let directory = Disk::new();
        let image = Self { directory };
        fs::create_dir(image.root()).unwrap();
        let archive = system.write(&image.directory.directory().join("archive"));
        unpack_image(archive, &image.root(), &Limits::default()).unwrap();
        fs::remove_file(image.directory.directory().join("archive")).unwrap();
        image
    }

    fn root(&self) -> PathBuf {
        self.directory.directory().join("image")
    }

    fn specification(&self, disk: &Disk, boot_id: &str) -> Specification {
        let mut specification = specification(&disk.path(), boot_id);
        specification.image = Some(self.root());
        specification
    }

    fn boot(&self, disk: &Disk, boot_id: &str) -> Running {
        Running::until_ready(self.specification(disk, boot_id))
    }

    /// Every file with what would tell a change.
    fn files(&self) -> Vec<(PathBuf, u64, u32, i64)> {
        fn list(directory: &Path, files: &mut Vec<(PathBuf, u64, u32, i64)>) {
            // Where only the machine's users may look, nobody else has been.
            for entry in fs::read_dir(directory).into_iter().flatten() {
                let path = entry.unwrap().path();
                let found = path.symlink_metadata().unwrap();
                files.push((path.clone(), found.size(), found.mode(), found.mtime()));
                if found.is_dir() {
                    list(&path, files);
                }
            }
        }
        let mut files = Vec::new();
        list(&self.root(), &mut files);
        files.sort();
        files
    }

    fn remove(self) {
        remove_disk(&self.root()).unwrap();
        self.directory.remove();
    }
}

#[test]
fn is_another_system_than_the_host() {
    let canaries = Canaries::found_or_planted();
    let image = Image::of(System::tiny().file("./bin/whoami", &fs::read("/usr/bin/id").unwrap(), 0o4755));
    let disk = Disk::new();
    let machine = image.boot(&disk, FIRST_BOOT);
    let script = ". /etc/os-release; echo $ID; hostname; cat /etc/hostname; cut -d: -f1 /etc/passwd; id -u
        stat -c %u:%g:%a / /bin/sh /bin/whoami /etc/hosts /tmp; cat /proc/sys/kernel/random/boot_id; ls /; ls -d /proc/[0-9]*";
    let answer = machine.run(script);
    let lines: Vec<&str> = answer.lines().collect();
    let name = "ip-172-31-0-5.ec2.internal";
    assert_eq!(lines[..5], ["tiny", name, name, "root", "0"], "{answer}");
    assert_eq!(lines[5..10], ["0:0:755", "0:0:755", "0:0:4755", "0:0:644", "0:0:1777"], "{answer}");
    assert_eq!(lines[10], FIRST_BOOT);
    for foreign in ["boot", "opt", "sbin", "srv", "media"] {
        assert!(!lines[11..].contains(&foreign), "{answer}");
    }
    let answer = machine.run("cat /etc/resolv.conf; cat /etc/shadow; ls -R /etc /root /home /var /run /usr");
    assert!(answer.contains("nameserver 172.31.0.2") && answer.contains("root:*:"), "{answer}");
    assert!(canaries.is_none() || !answer.contains(canaries::NAME), "{answer}");
    let devices = machine.run("ls /dev; test -c /dev/null && test -w /dev/null && test ! -e /dev/sda");
    assert!(devices.ends_with("exit 0\n"), "{devices}");
    machine.end();
    disk.remove();
    image.remove();
}

#[test]
fn owners_are_the_images_as_far_as_there_are_users() {
    let system = System::tiny().file_of(1234, "./srv/hers", b"hers", 0o640).file_of(70_000, "./srv/far", b"far", 0o644);
    let image = Image::of(system);
    let disk = Disk::new();
    let machine = image.boot(&disk, FIRST_BOOT);
    let ids = machine
        .run("ids=0; while read -r inside outside count; do ids=$((ids + count)); done </proc/self/uid_map; echo $ids");
    let alone = ids.starts_with("1\n");
    let owners = machine.run("stat -c %u:%g:%a /srv/hers /srv/far");
    let expected = if alone { "0:0:640\n0:0:644\nexit 0\n" } else { "1234:1234:640\n65534:65534:644\nexit 0\n" };
    assert_eq!(owners, expected);
    // In place, which with the host's programs takes root outside.
    let answer =
        machine.run("set -e; chmod 0700 /bin/cat; cat /srv/hers; echo more >>/etc/os-release; rm /bin/cut; mkdir /new");
    assert_eq!(answer, "hersexit 0\n");
    machine.end();
    disk.remove();
    image.remove();
}

/// The owners of all files below a directory.
fn owners(directory: &Path, found: &mut BTreeSet<u32>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let about = path.symlink_metadata().unwrap();
        found.extend([about.uid(), about.gid()]);
        if about.is_dir() {
            owners(&path, found);
        }
    }
}

#[test]
fn nothing_in_an_image_is_the_hosts_roots() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: an ordinary user's machines have no ids of their own for it");
    }
    let image = Image::of(System::tiny().file("./bin/mine", b"x", 0o6755).file_of(65_535, "./srv/last", b"x", 0o4755));
    let mut found = BTreeSet::from([image.root().metadata().unwrap().uid()]);
    owners(&image.root(), &mut found);
    // An id above those that the machines have, and below that of the last user.
    let (first, last) = (0x7fff_0000, 0x7fff_ffff);
    assert!(found.iter().all(|owner| (first..=last).contains(owner)), "{found:x?}");
    assert_eq!(image.root().join("bin/mine").metadata().unwrap().mode() & 0o7777, 0o6755);
    let disk = Disk::new();
    let machine = image.boot(&disk, FIRST_BOOT);
    let answer = machine.run("stat -c %u:%g:%a /bin/mine /srv/last; chmod 4711 /bin/mine; stat -c %u:%g:%a /bin/mine");
    assert_eq!(answer, "0:0:6755\n65535:65535:4755\n0:0:4711\nexit 0\n");
    machine.end();
    disk.remove();
    image.remove();
}

#[test]
fn an_image_of_an_earlier_version_goes_on() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: an ordinary user's images are as they were");
    }
    let directory = Disk::new();
    let image = Image { directory };
    fs::create_dir(image.root()).unwrap();
    // Its files have the ids that the archive says.
    let archive = System::tiny().file("./srv/mine", b"mine", 0o4755).archive();
    unpack(&archive[..], &image.root(), Owners::Caller, &Limits::default()).unwrap();
    assert_eq!(image.root().join("srv/mine").metadata().unwrap().uid(), 0);
    let disk = Disk::new();
    let machine = image.boot(&disk, FIRST_BOOT);
    assert_eq!(machine.run("stat -c %u:%g:%a /srv/mine; cat /srv/mine"), "0:0:4755\nmineexit 0\n");
    machine.end();
    disk.remove();
    image.remove();
}

#[test]
fn file_capabilities_hold_in_machines_and_nowhere_else() {
    let Some(libraries) = libraries_of("/usr/bin/setpriv") else {
        return eprintln!("skipped: there is no setpriv (package util-linux)");
    };
    // CAP_DAC_READ_SEARCH, permitted and effective, see linux/capability.h.
    let capability = [[1, 0, 0, 2], [4, 0, 0, 0], [0; 4], [0; 4], [0; 4]].concat();
    let mut system = System::tiny().file("./etc/secret", b"for root alone", 0o600).file(
        "./bin/setpriv",
        &fs::read("/usr/bin/setpriv").unwrap(),
        0o755,
    );
    for library in &libraries {
        system = system.file(&format!(".{library}"), &fs::read(library).unwrap(), 0o755);
    }
    let image = Image::of(system.capable("./bin/peek", &fs::read("/bin/cat").unwrap(), &capability));
    let disk = Disk::new();
    let machine = image.boot(&disk, FIRST_BOOT);
    let script = "setpriv --reuid 1234 --regid 1234 --clear-groups /bin/cat /etc/secret && exit 9
        setpriv --reuid 1234 --regid 1234 --clear-groups /bin/peek /etc/secret";
    let has_users = machine.run("read -r inside outside count </proc/self/uid_map; test $count -gt 1234") == "exit 0\n";
    let answer = machine.run(script);
    assert!(!has_users || answer.ends_with("for root aloneexit 0\n"), "{answer}");
    if rustix::process::geteuid().is_root() {
        let mut stored = [0; 64];
        let length =
            rustix::fs::getxattr(image.root().join("bin/peek"), "security.capability", &mut stored[..]).unwrap();
        // The third form: it holds where this id is root.
        assert_eq!((length, &stored[..4], &stored[20..24]), (24, &[1, 0, 0, 3][..], &0x7fff_0000u32.to_le_bytes()[..]));
    }
    machine.end();
    disk.remove();
    image.remove();
}

/// What a program is linked with; none where it isn't there.
fn libraries_of(program: &str) -> Option<Vec<String>> {
    let output = Command::new("ldd").arg(program).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned).collect())
}

#[test]
fn machines_of_one_image_share_nothing_else() {
    let image = Image::of(System::tiny());
    let before = image.files();
    let (one, other) = (Disk::new(), Disk::new());
    let (first, second) = (image.boot(&one, FIRST_BOOT), image.boot(&other, FIRST_BOOT));
    let ids = [&first, &second].map(|machine| machine.run("cat /etc/machine-id"));
    assert!(ids[0] != ids[1] && ids[0].trim().len() > 32, "{ids:?}");
    assert_eq!(first.run("echo mine >/etc/mine; rm /bin/stat; echo 'ID=changed' >/etc/os-release"), "exit 0\n");
    assert_eq!(
        second.run("test ! -e /etc/mine && test -e /bin/stat && . /etc/os-release && echo $ID"),
        "tiny\nexit 0\n"
    );
    first.end();
    second.end();

    let again = image.boot(&one, SECOND_BOOT);
    let script = "cat /etc/mine /etc/os-release /etc/machine-id /proc/sys/kernel/random/boot_id; test ! -e /bin/stat";
    assert_eq!(again.run(script), format!("mine\nID=changed\n{}{SECOND_BOOT}\nexit 0\n", &ids[0][..33]));
    let mut again = again;
    again.send_job("kill -INT 1");
    assert_eq!(again.next(), Some(Event::Rebooting), "{}", again.console);
    assert_eq!(image.files(), before);
    one.remove();
    other.remove();
    image.remove();
}

#[test]
fn links_in_an_image_lead_nowhere_outside() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    let places = ["dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "var"];
    for place in places {
        // A system of its own each, since a machine without its `/etc` needn't come up.
        let system = if place == "etc" { System::tiny_without_etc() } else { System::tiny() };
        let image = Image::of(system.link(&format!("./{place}"), target));
        let disk = Disk::new();
        let mut machine = Running::start(image.specification(&disk, FIRST_BOOT));
        match machine.next() {
            Some(Event::Started) => {
                machine.until_console("ready");
                machine.end();
            }
            Some(Event::Failed(why)) => assert!(why.contains(&format!("/{place}")), "{place}: {why}"),
            other => panic!("{place}: {other:?}"),
        }
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "{place}");
        disk.remove();
        image.remove();
    }
}

#[test]
fn links_in_an_image_lead_to_nothing_that_init_has_open() {
    // What it makes the root directory of is open in it: the image's own tree, too.
    for number in 3..=12 {
        let image = Image::of(System::tiny_without_etc().link("./etc", &format!("/proc/self/fd/{number}")));
        let before = image.files();
        let disk = Disk::new();
        let mut machine = Running::start(image.specification(&disk, FIRST_BOOT));
        match machine.next() {
            Some(Event::Started) => {
                machine.until_console("ready");
                machine.end();
            }
            Some(Event::Failed(why)) => assert!(why.contains("/etc"), "{number}: {why}"),
            other => panic!("{number}: {other:?}"),
        }
        assert_eq!(image.files(), before, "{number}");
        disk.remove();
        image.remove();
    }
}

#[test]
fn files_that_are_the_kernels_are_replaced() {
    let files = ["machine-id", "passwd", "group", "shadow"];
    let system =
        files.into_iter().fold(System::tiny(), |system, name| system.link(&format!("./etc/{name}"), "/proc/self/maps"));
    let image = Image::of(system);
    let disk = Disk::new();
    let machine = image.boot(&disk, FIRST_BOOT);
    let answer =
        machine.run("cd /etc; for name in machine-id passwd group shadow; do test ! -L $name && cat $name; done");
    let lines: Vec<&str> = answer.lines().collect();
    assert_eq!((lines.len(), lines[0].len()), (5, 32), "{answer}");
    assert_eq!((lines[1], lines[2]), ("root:x:0:0:root:/root:/bin/sh", "root:x:0:"), "{answer}");
    machine.end();
    disk.remove();
    image.remove();
}

#[test]
fn files_that_are_links_or_pipes_are_replaced() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("file");
    fs::write(&target, "untouched").unwrap();
    let link = |system: System, name: &str| system.link(name, target.to_str().unwrap());
    let system = link(link(System::tiny(), "./etc/hosts"), "./etc/resolv.conf");
    let image = Image::of(system.entry(tar::EntryType::Fifo, "./etc/hostname", "").entry(
        tar::EntryType::Fifo,
        "./etc/machine-id",
        "",
    ));
    let disk = Disk::new();
    let machine = image.boot(&disk, FIRST_BOOT);
    let answer = machine.run(
        "for name in hosts resolv.conf hostname machine-id; do test ! -L /etc/$name && cat /etc/$name || exit; done",
    );
    assert!(answer.ends_with("exit 0\n"), "{answer}");
    assert_eq!(fs::read_to_string(&target).unwrap(), "untouched");
    machine.end();
    disk.remove();
    image.remove();
}
