//! What the kernel tells a machine's root of the host: neither what covers `/proc`, nor what `/sys` is made of, can be lifted.

use crate::fixture::{Disk, FIRST_BOOT, Running, specification};
use ec2_local::machine::Event;
use std::{
    env,
    ffi::CString,
    fs,
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// Part of the name of each thing that no machine may see.
const NAME: &str = "ec2-local-test-of-the-host";
/// Tells the tests that run as another user what root's cgroups are called.
pub const VARIABLE: &str = "EC2_LOCAL_TEST_CGROUPS";

/// Cgroups beside which machines run, in all hierarchies in which there can be any; they are gone when this is dropped.
pub struct Cgroups {
    made: Vec<PathBuf>,
}

impl Cgroups {
    /// Makes them below the cgroups of this process; only root can.
    pub fn make() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("{NAME}-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap();
        let mut made = Vec::new();
        for line in cgroups.lines() {
            let [_, names, path] = line.splitn(3, ':').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let mount = mounts.lines().find_map(|line| {
                let (before, after) = line.split_once(" - ")?;
                let is_its = match names {
                    "" => after.starts_with("cgroup2 "),
                    _ => after.starts_with("cgroup ") && after.ends_with(&format!(",{names}")),
                };
                is_its.then(|| before.split(' ').nth(4).unwrap().to_owned())
            });
            let Some(mount) = mount else { continue };
            let cgroup = Path::new(&mount).join(path.trim_start_matches('/')).join(&name);
            if fs::create_dir(&cgroup).is_ok() {
                made.push(cgroup);
            }
        }
        Self { made }
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        for cgroup in &self.made {
            let _ = fs::remove_dir(cgroup);
        }
    }
}

/// Lifts whatever can be lifted, and mounts whatever can be mounted, once here and once in namespaces below.
const LIFT: &str = r#"
exec 2>/dev/null
look() {
    for round in 1 2 3; do
        awk '{ print $5 }' /proc/self/mountinfo | grep -E '^/(proc|sys)/' | sort -r | while read -r mount; do umount $mount || umount -l $mount; done
    done
    mkdir -p /tmp/fresh /tmp/bound /tmp/cgroup
    show /proc /sys
    mount -t proc fresh /tmp/fresh && show /tmp/fresh; umount -l /tmp/fresh
    mount -t proc -o subset=pid fresh /tmp/fresh && show /tmp/fresh; umount -l /tmp/fresh
    mount -t sysfs fresh /tmp/fresh && show /tmp/fresh; umount -l /tmp/fresh
    for place in /proc /sys /sys/devices /sys/class; do
        mount --bind $place /tmp/bound && show /tmp/bound; umount -l /tmp/bound
        mount --rbind $place /tmp/bound && { for mount in /tmp/bound/*; do umount -l $mount; done; show /tmp/bound; }; umount -l /tmp/bound
    done
    mount --move /proc/keys /tmp/fresh; mount -o remount,rw /sys; mount -o remount,bind,rw /proc/keys
    mount -t overlay -o lowerdir=/proc:/tmp/fresh none /tmp/bound && show /tmp/bound; umount -l /tmp/bound
    for line in $(cat /proc/self/cgroup); do
        names=${line#*:}; names=${names%%:*}
        case $names in '') kind=cgroup2 names=rw ;; name=*) kind=cgroup names=none,$names ;; *) kind=cgroup ;; esac
        mount -t $kind -o $names none /tmp/cgroup && find /tmp/cgroup -type d; umount -l /tmp/cgroup
    done
    cat /proc/self/cgroup /proc/1/cgroup
}
show() {
    for top; do
        cat $top/keys $top/key-users $top/cmdline $top/partitions $top/diskstats $top/swaps $top/mdstat $top/fs/ext4/*/options
        ls $top/fs/* $top/block $top/class/block $top/dev/block $top/devices $top/virtual $top/virtual/block $top/bus/*
        cat $top/sys/kernel/random/boot_id $top/*/mountinfo $top/*/mounts $top/*/mountstats $top/*/cmdline $top/*/environ $top/*/cgroup
        cat $top/*/maps $top/locks $top/block/loop*/loop/backing_file $top/devices/virtual/block/loop*/loop/backing_file
        ls -l $top/[0-9]*/exe $top/[0-9]*/cwd $top/[0-9]*/root $top/[0-9]*/fd $top/[0-9]*/map_files
    done
}
"#;

/// A key of the user's who runs this, with a description that tells; gone when this is dropped.
struct Key(libc::c_long);

impl Key {
    fn make(description: &str) -> Option<Self> {
        let name = CString::new(description).unwrap();
        // SAFETY: the pointers are to strings that live through the call; -4 is the user's keyring.
        let key = unsafe { libc::syscall(libc::SYS_add_key, c"user".as_ptr(), name.as_ptr(), c"x".as_ptr(), 1, -4) };
        let seen = fs::read_to_string("/proc/keys").is_ok_and(|keys| keys.contains(description));
        (key > 0 && seen).then_some(Self(key))
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: no pointers are passed; 21 is KEYCTL_INVALIDATE.
        unsafe { libc::syscall(libc::SYS_keyctl, 21, self.0) };
    }
}

/// A lock that belongs to no process, which `/proc/locks` shows to everybody.
fn lock() -> fs::File {
    let file = tempfile::tempfile().unwrap();
    // SAFETY: the structure is plain data for which zeroes are valid: all of the file.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    // SAFETY: the pointer is valid for the call.
    assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) }, 0);
    file
}

#[test]
fn its_root_lifts_no_cover() {
    let cgroups = rustix::process::geteuid().is_root().then(Cgroups::make);
    if let Some(cgroups) = &cgroups {
        assert!(!cgroups.made.is_empty() || !Path::new("/sys/fs/cgroup").is_dir());
    } else if env::var_os(VARIABLE).is_none() {
        eprintln!("skipped in part: only root can make cgroups beside machines");
    }
    let key = Key::make(&format!("{NAME}-key"));
    if key.is_none() {
        eprintln!("skipped in part: this host shows no keys");
    }
    let disk = Disk::new();
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let command_line = fs::read_to_string("/proc/cmdline").unwrap();
    let executable = env::current_exe().unwrap();
    let lock = lock();
    let inode = format!(":{} ", lock.metadata().unwrap().ino());
    assert!(fs::read_to_string("/proc/locks").unwrap().contains(&inode));
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let mut found = Vec::new();
    let place = disk.directory().to_str().unwrap();
    for within in [
        "look",
        "unshare -Urmpf --propagation private sh -c",
        "unshare -mpf --propagation private sh -c",
        "unshare -CUrm --propagation private sh -c",
    ] {
        let script = match within {
            "look" => format!("{LIFT}\nlook"),
            _ => format!("cat >/tmp/look.sh <<'END'\n{LIFT}\nlook\nEND\n{within} '. /tmp/look.sh'"),
        };
        let seen = machine.run(&script);
        for (what, secret) in [
            ("where its disk lies", place),
            ("where its executable lies", executable.parent().unwrap().to_str().unwrap()),
            ("a key's description, or a cgroup's name", NAME),
            ("the boot of the host", boot_id.trim()),
            ("how the host's kernel was started", command_line.trim()),
            ("a lock of the host's", &inode),
        ] {
            found.extend(
                seen.lines().find(|line| line.contains(secret)).map(|line| format!("{within}: {what}: {line}")),
            );
        }
        for device in fs::read_dir("/sys/class/block").into_iter().flatten() {
            let name = device.unwrap().file_name().into_string().unwrap();
            if seen.split_whitespace().any(|word| word == name) {
                found.push(format!("{within}: the host's device {name}"));
            }
        }
        // Elsewhere it shares its endpoint's cgroup, and may not see it as the highest.
        let is_refused = within.contains("-C") && seen.contains("No space left on device");
        if !seen.contains(FIRST_BOOT) && !is_refused {
            found.push(format!("{within}: its own boot's id can't be seen"));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    machine.end();
    disk.remove();
    drop((key, cgroups, lock));
}

#[test]
fn shows_the_machines_own_devices() {
    let disk = Disk::new();
    let mut with_volume = specification(&disk.path(), FIRST_BOOT);
    with_volume.machine.disk_gib = Some(1);
    let script = "nproc; ls /sys/class/net; cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu
        ls -d /sys/devices/system/cpu/cpu0 /sys/fs/cgroup
        echo blocks; ls /sys/block /sys/class/block | sort -u | grep -v :; tail -n +3 /proc/partitions; lsblk -rno NAME,SIZE
        echo looked; exec sleep 1000";
    let mut machine = Running::start_program(with_volume, &["/bin/sh", "-c", script]);
    assert_eq!(machine.next(), Some(Event::Started), "{}", machine.console);
    machine.until_console("looked");
    let answer = machine.console.replace('\r', "");
    let has_volume = disk.path().join("volume").exists();
    for expected in
        ["eth0\n", "lo\n", "02:00:00:00:00:05\n", "9001\n", "/sys/devices/system/cpu/cpu0\n", "/sys/fs/cgroup\n"]
    {
        assert!(answer.contains(expected), "{expected}: {answer}");
    }
    let blocks = answer.split_once("blocks\n").unwrap().1;
    if has_volume {
        let lines: Vec<_> =
            blocks.lines().take_while(|line| *line != "looked").filter(|line| !line.is_empty()).collect();
        let [listed, partition, described] = lines[..] else { panic!("{answer}") };
        assert!(partition.ends_with(&format!("1048576 {listed}")) && described == format!("{listed} 1G"), "{answer}");
    } else {
        assert!(blocks.trim_start().starts_with("looked"), "{answer}");
    }
    machine.end();
    disk.remove();
}

/// Says which settings of the network's in these directories can be opened to be written; nothing is written.
const OPEN: &str = r#"
open_all() { find "$@" -type f | perl -MFcntl -ne 'chomp; print "$_\n" if sysopen my $file, $_, O_WRONLY' | sort; }
lift() { mount -o remount,bind,rw /proc/sys; umount /proc/sys/net/ipv4; umount -l /proc/sys; }
cd /proc/sys/net; exec 2>/dev/null
"#;

#[test]
fn tunes_its_own_network_and_nothing_of_the_hosts() {
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let open = |script: &str, below: &str| {
        machine
            .run(&format!("cat >/var/tmp/open <<'END'\n{OPEN}\n{script}; echo looked\nEND\n{below} sh /var/tmp/open"))
    };
    // A switch for all network namespaces is in each of them: net/netfilter/nf_hooks_lwtunnel.
    let beside =
        "lift; set --; for one in *; do case $one in core | ipv4 | ipv6 | unix) ;; *) set -- \"$@\" $one ;; esac; done
        [ $# = 0 ] || open_all \"$@\"";
    assert_eq!(open(beside, ""), "looked\nexit 0\n");
    // Nor those of namespaces below.
    for below in ["unshare -n", "unshare -mn", "unshare -Urn", "unshare -Urmn"] {
        assert_eq!(open("lift; open_all .", below), "looked\nexit 0\n", "{below}");
    }
    for (setting, value) in
        [("core/somaxconn", 1281), ("ipv4/ip_forward", 1), ("ipv6/conf/lo/hop_limit", 65), ("unix/max_dgram_qlen", 20)]
    {
        let setting = format!("/proc/sys/net/{setting}");
        let script = format!("if [ -e {setting} ]; then echo {value} >{setting}; cat {setting}; else echo {value}; fi");
        assert_eq!(machine.run(&script), format!("{value}\nexit 0\n"), "{setting}");
    }
    machine.end();
    disk.remove();
}
