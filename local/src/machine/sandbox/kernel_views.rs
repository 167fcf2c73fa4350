//! `/proc` and `/sys`: what the kernel tells a machine of itself, and not of its host.
//!
//! Root inside may mount and unmount. So what is hidden in `/proc` is covered by mounts that it can't take away, since they seem to
//! come from somebody with more privileges (mount_namespaces(7)); and `/sys` is put together from those parts of the kernel's that
//! are the machine's. Either way the kernel refuses a second one that would show more.

use super::{
    kernel,
    root::{attach, make_read_only, told},
};
use rustix::{
    fs::{AtFlags, CWD, Mode, chmodat},
    io::Errno,
    mount::{MountFlags, OpenTreeFlags, UnmountFlags, mount, mount_bind, mount_remount, open_tree, unmount},
};
use std::{
    fs, io,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
};

/// What `/proc` shows of the host rather than of the machine: what container engines hide, names of the host's disks and file
/// systems, its kernel's command line, descriptions of its users' keys, and locks of theirs by disk and inode.
const HIDDEN: [&str; 20] = [
    "acpi",
    "asound",
    "bootconfig",
    "bus",
    "cmdline",
    "diskstats",
    "driver",
    "fs",
    "interrupts",
    "irq",
    "kcore",
    "key-users",
    "keys",
    "latency_stats",
    "locks",
    "sched_debug",
    "scsi",
    "sysrq-trigger",
    "timer_list",
    "timer_stats",
];
/// What may be read there but not changed.
const READ_ONLY: [&str; 1] = ["sys"];
/// What of `/proc/sys/net` is the machine's own to tune. Beside it are switches of all the host's in each network namespace:
/// `netfilter/nf_hooks_lwtunnel`, for one.
const TUNABLE: [&str; 4] = ["core", "ipv4", "ipv6", "unix"];
/// What a machine has of the kernel's `/sys`: its network interfaces, and what there is to know about processors and memory.
const SHOWN: [&str; 4] = ["class/net", "devices/virtual/net", "devices/system", "kernel/mm"];
/// What is there, and empty: programs expect to list it, or to mount something on it.
const EMPTY: [&str; 10] = [
    "block",
    "bus",
    "class/block",
    "dev/block",
    "dev/char",
    "devices/virtual/block",
    "firmware",
    "fs/cgroup",
    "kernel/debug",
    "module",
];
/// An ext4 file system's own directory, and the file system's magic (statfs(2)).
const TOP: (u64, libc::__fsword_t) = (2, 0xef53);
/// What the kernel says where it has none: tools expect these lines.
const NONE_THERE: [(&str, &str); 2] = [
    ("mdstat", "Personalities : \nunused devices: <none>\n"),
    ("swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
];
/// An empty directory, and an empty file: the host's `/dev/null` would tell a machine whenever anybody opens it.
const NOTHING: [&str; 2] = ["nothing", "empty-file"];
/// What a loop device's directory says of the file behind it, which is the host's business.
const BEHIND: &str = "loop";
const KERNELS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// Whether the machine's disk is a file system of its own.
pub fn has_volume() -> io::Result<bool> {
    let disk = Path::new("disk");
    Ok((fs::metadata(disk)?.ino(), rustix::fs::statfs(disk)?.f_type) == TOP)
}

/// Mounts both below `root`. What can't be had is noted.
pub fn mount_kernel_views(boot_id: &str, notes: &mut Vec<String>) -> io::Result<()> {
    let [directory, file] = NOTHING;
    fs::create_dir(directory).map_err(told("make", directory))?;
    fs::write(file, "").map_err(told("make", file))?;
    chmodat(CWD, file, Mode::from_raw_mode(0o444), AtFlags::empty())?;
    // A machine may do without it: container engines hide the host's, and then the kernel refuses a fresh one.
    let disk = mount_sys().unwrap_or_else(|error| {
        notes.push(format!("/sys is empty: failed to {error}"));
        None
    });
    mount_proc(boot_id, disk.as_ref())?;
    if let Err(error) = seal("root/proc") {
        notes.push(format!("root can uncover what is hidden in /proc: failed to {error}"));
    }
    Ok(())
}

fn mount_proc(boot_id: &str, disk: Option<&BlockDevice>) -> io::Result<()> {
    mount("proc", "root/proc", "proc", KERNELS, None).map_err(|error| {
        let advice = match error {
            Errno::PERM => "; the host's own /proc is partly hidden, as in a container: run it with `--security-opt systempaths=unconfined` or outside",
            _ => "",
        };
        io::Error::new(error.kind(), format!("mount /proc: {error}{advice}"))
    })?;
    // Every user of the machine may ping; refused where the groups are not all mapped.
    let _ = fs::write("root/proc/sys/net/ipv4/ping_group_range", "0 65535");
    for name in READ_ONLY {
        let target = Path::new("root/proc").join(name);
        if target.exists() {
            mount_bind(&target, &target).map_err(told("mount", target.display()))?;
            make_read_only(&target, KERNELS)?;
        }
    }
    // These are the directories of this process's network namespace: in one below, none of them is what is mounted here.
    for name in TUNABLE {
        let target = Path::new("root/proc/sys/net").join(name);
        if target.exists() {
            mount_bind(&target, &target).map_err(told("mount", target.display()))?;
            mount_remount(&target, MountFlags::BIND | KERNELS, "").map_err(told("make writable", target.display()))?;
        }
    }
    for name in HIDDEN {
        hide(&Path::new("root/proc").join(name))?;
    }
    for (name, said) in NONE_THERE {
        let target = format!("root/proc/{name}");
        if Path::new(&target).exists() {
            replace(&target, name, said)?;
        }
    }
    let partitions = disk.map_or_else(String::new, BlockDevice::partition);
    replace("root/proc/partitions", "partitions", &format!("major minor  #blocks  name\n\n{partitions}"))?;
    replace("root/proc/sys/kernel/random/boot_id", "boot-id", &format!("{boot_id}\n"))
}

/// Covers a file by another, of this name and content.
fn replace(target: &str, name: &str, content: &str) -> io::Result<()> {
    fs::write(name, content).map_err(told("write", name))?;
    chmodat(CWD, name, Mode::from_raw_mode(0o444), AtFlags::empty())?;
    mount_bind(name, target).map_err(told("mount", target))?;
    make_read_only(Path::new(target), KERNELS)
}

/// Covers a file by an empty one, or a directory by an empty one.
fn hide(path: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    let [directory, file] = NOTHING;
    mount_bind(if found.is_dir() { directory } else { file }, path).map_err(told("hide", path.display()))?;
    make_read_only(path, KERNELS)
}

/// Locks what is mounted below a mount to it: takes the copy that a mount namespace of a user namespace below this one has.
pub fn seal(target: &str) -> io::Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = kernel::open_from_below(|| open_tree(CWD, target, flags)).map_err(told("lock what covers", target))?;
    unmount(target, UnmountFlags::DETACH).map_err(told("unmount", target))?;
    attach(tree, target)
}

/// Puts `/sys` together; says which of the block devices in it is the machine's disk.
fn mount_sys() -> io::Result<Option<BlockDevice>> {
    let (whole, target) = (Path::new("sys"), Path::new("root/sys"));
    fs::create_dir(whole).map_err(told("make", whole.display()))?;
    mount("sysfs", whole, "sysfs", KERNELS | MountFlags::RDONLY, None).map_err(told("mount", "it"))?;
    mount("tmpfs", target, "tmpfs", KERNELS, c"mode=0755,size=0,nr_inodes=1024").map_err(told("mount", "it"))?;
    for name in EMPTY {
        fs::create_dir_all(target.join(name)).map_err(told("make", format!("/sys/{name}")))?;
    }
    let show = |name: &Path| {
        let (source, target) = (whole.join(name), target.join(name));
        // Not every kernel has all of them.
        if !source.is_dir() {
            return Ok(());
        }
        let mounted = fs::create_dir_all(&target).and_then(|()| Ok(mount_bind(&source, &target)?));
        mounted.map_err(told("mount", format!("/sys/{}", name.display())))
    };
    SHOWN.iter().try_for_each(|name| show(Path::new(name)))?;
    let disk = if has_volume()? { BlockDevice::of("disk", whole) } else { None };
    if let Some(disk) = &disk {
        show(&disk.place)?;
        disk.link(target).map_err(told("make", "links to the machine's disk"))?;
        hide(&target.join(&disk.place).join(BEHIND))?;
    }
    make_read_only(target, KERNELS)?;
    Ok(disk)
}

/// A block device of the machine's.
struct BlockDevice {
    /// Its number, as the kernel writes it.
    number: String,
    /// Its directory below `/sys`.
    place: PathBuf,
    kib: u64,
}

impl BlockDevice {
    /// That of a file system.
    fn of(mount: &str, sys: &Path) -> Option<Self> {
        let device = fs::metadata(mount).ok()?.dev();
        let number = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
        let link = fs::read_link(sys.join("dev/block").join(&number)).ok()?;
        let place = link.strip_prefix("../..").ok()?.to_owned();
        let sectors: u64 = fs::read_to_string(sys.join(&place).join("size")).ok()?.trim().parse().ok()?;
        Some(Self { number, place, kib: sectors / 2 })
    }

    fn name(&self) -> String {
        self.place.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Has it found by name and by number, as sysfs does.
    fn link(&self, sys: &Path) -> io::Result<()> {
        let name = self.name();
        for (above, link) in [
            ("..", format!("block/{name}")),
            ("../..", format!("class/block/{name}")),
            ("../..", format!("dev/block/{}", self.number)),
        ] {
            symlink(Path::new(above).join(&self.place), sys.join(link))?;
        }
        Ok(())
    }

    /// Its line in `/proc/partitions`.
    fn partition(&self) -> String {
        let (major, minor) = self.number.split_once(':').unwrap_or_default();
        format!("{major:>4} {minor:>8} {:>10} {}\n", self.kib, self.name())
    }
}
