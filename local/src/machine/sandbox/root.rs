//! The machine's root directory: its own files, with the host's system directories under an overlay.
//!
//! Everything here happens in the machine's own mount namespace. What is written goes below the disk's `root` and
//! `layers`; all else is in memory and gone with the namespace.
//!
//! Until the host is left, links lead through its directories. So files are made at the first boot only, when nothing of the
//! machine's has run yet; later on nothing but mounts is, and only on directories that were looked at.

use super::{advice, limits::Limits, protocol::Users, system_files};
use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, StatVfsMountFlags, chmodat, openat},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
        UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount, mount_bind, mount_bind_recursive,
        mount_change, mount_remount, move_mount, open_tree, unmount,
    },
    process::{fchdir, pivot_root},
};
use std::{
    ffi::CString,
    fmt::Display,
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{MetadataExt, symlink},
    },
    path::{Path, PathBuf},
};

/// The host's directories that hold programs; each is a link or a directory.
const SYSTEM: [&str; 7] = ["bin", "lib", "lib32", "lib64", "libx32", "sbin", "usr"];
/// Where package managers note what is installed.
const PACKAGES: [&str; 3] = ["var/lib/dpkg", "var/lib/rpm", "var/lib/pacman"];
/// Directories of `/etc` that are public and too large to be copied at each first boot.
const PUBLIC: [&str; 5] = ["etc/alternatives", "etc/crypto-policies", "etc/fonts", "etc/pki/ca-trust", "etc/ssl/certs"];
/// Who owns files of users that aren't mapped.
const NOBODY: u32 = 65534;
/// Harmless devices, open to all on any host.
const DEVICES: [&str; 6] = ["full", "null", "random", "tty", "urandom", "zero"];
/// What `/proc` shows of the host rather than of the machine; the same list as container engines have.
const HIDDEN: [&str; 11] = [
    "acpi",
    "asound",
    "interrupts",
    "kcore",
    "keys",
    "latency_stats",
    "sched_debug",
    "scsi",
    "sysrq-trigger",
    "timer_list",
    "timer_stats",
];
/// What may be read there but not changed.
const READ_ONLY: [&str; 4] = ["bus", "fs", "irq", "sys"];
/// Where file systems of the machine's own are mounted.
const MOUNT_POINTS: [(&str, u32); 5] =
    [("dev", 0o755), ("proc", 0o555), ("run", 0o755), ("sys", 0o555), ("tmp", 0o1777)];
/// On the disk, outside of what the machine can write: without it the machine boots for the first time.
const MARK: &str = "booted";

/// The host's directories of which a machine sees a copy-on-write image, as far as this host has them.
pub fn layers() -> Vec<PathBuf> {
    let is_directory = |path: &PathBuf| path.symlink_metadata().is_ok_and(|found| found.is_dir());
    let system = SYSTEM.iter().chain(&PACKAGES).map(|name| Path::new("/").join(name)).filter(is_directory);
    system.chain(PUBLIC.iter().map(|name| Path::new("/").join(name)).filter(|path| all_may_read(path))).collect()
}

/// Whether a directory holds nothing but what everybody on the host may read: the owner's privileges are the machine's.
fn all_may_read(directory: &Path) -> bool {
    let Ok(mut entries) = fs::read_dir(directory) else { return false };
    entries.all(|entry| {
        let Ok(entry) = entry else { return false };
        // Asked first, since it needs no look at the file: most are links.
        if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            return true;
        }
        entry.metadata().is_ok_and(|found| match found.is_dir() {
            true => found.mode() & 0o005 == 0o005 && all_may_read(&entry.path()),
            false => found.mode() & 0o004 != 0,
        })
    })
}

/// Takes a detached copy of what is mounted at a path.
pub fn tree(path: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    match open_tree(CWD, path, flags) {
        // Mounts below it that came from a more privileged namespace can't be left out of a copy.
        Err(Errno::INVAL) => open_tree(CWD, path, flags | OpenTreeFlags::AT_RECURSIVE),
        other => other,
    }
    .map_err(told("copy the mount at", path.display()))
}

/// What a root directory is made from.
pub struct Parts<'a> {
    /// The directory with the machine's own files, detached.
    pub files: OwnedFd,
    /// The host's directories, or the image's root directory alone, detached, each with its path on the host.
    pub layers: Vec<(PathBuf, OwnedFd)>,
    /// Whether there are users beside root.
    pub users: Users,
    /// What the machine may take.
    pub limits: Limits,
    /// What the kernel shall report as the boot's id.
    pub boot_id: &'a str,
    /// What the generated files are made from.
    pub settings: system_files::Settings<'a>,
}

/// What became of it.
pub struct Root {
    /// Whether this was the first boot from this disk.
    pub first_boot: bool,
    /// The console's ends: where the endpoint reads, and where the machine writes.
    pub console: (OwnedFd, OwnedFd),
    /// What couldn't be had, in words for the console.
    pub notes: Vec<String>,
}

/// Builds the root directory and makes it the calling process's own; nothing of the host's is reachable after it.
pub fn enter(parts: Parts<'_>) -> io::Result<Root> {
    let mut notes = Vec::new();
    enter_workshop()?;

    for directory in ["disk", "empty", "lower", "root"] {
        fs::create_dir(directory).map_err(told("make", directory))?;
    }
    attach(&parts.files, "disk")?;
    for directory in ["disk/root", "disk/layers"] {
        fs::create_dir_all(directory).map_err(told("make", directory))?;
    }
    let first_boot = is_first_boot(Path::new("disk"));
    mount_own_files()?;
    link_system_directories()?;
    for (index, (path, tree)) in parts.layers.iter().enumerate() {
        let source = format!("lower/{index}");
        fs::create_dir(&source).map_err(told("make", &source))?;
        attach(tree, &source)?;
        let inside = path.strip_prefix("/").unwrap_or(path);
        // Whatever the machine has put in its place stays.
        if make_own_directory(inside)? {
            notes.extend(overlay(&source, inside)?);
        }
    }
    if first_boot {
        system_files::generate(Path::new("root"), &parts.settings)?;
        mark_booted(rustix::fs::open("disk", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)?;
    }
    make_mount_points()?;
    mount_memory(parts.limits)?;
    mount_kernel_views(parts.boot_id, &mut notes)?;
    mount_devices(parts.users, parts.limits)?;
    let console = make_console()?;
    leave_host()?;
    Ok(Root { first_boot, console, notes })
}

/// Makes `root` the root directory, and takes the host's away.
pub fn leave_host() -> io::Result<()> {
    fchdir(rustix::fs::open("root", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)?;
    // The old root lies on top of the new one after this, see pivot_root(2), and is taken away with all its mounts.
    pivot_root(".", ".").map_err(told("change the root directory to", "the machine's"))?;
    unmount(".", UnmountFlags::DETACH).map_err(told("unmount", "the host's root directory"))?;
    Ok(rustix::process::chdir("/")?)
}

/// Goes to an empty directory in memory, in which mounts can be arranged, and which no other mount namespace sees.
pub fn enter_workshop() -> io::Result<()> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(told("make mounts private below", "/"))?;
    let made = || {
        let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "mode", "0755")?;
        fsconfig_create(&context)?;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
    };
    let workshop = made().map_err(told("mount", "a file system in memory"))?;
    // Any directory will do, and every host has this one; what it covers is held as a tree already.
    attach(&workshop, "/usr")?;
    Ok(fchdir(&workshop)?)
}

pub fn attach(tree: &OwnedFd, target: &str) -> io::Result<()> {
    move_mount(tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(told("attach a mount to", target))
}

/// Mounts the machine's own files as the root directory.
fn mount_own_files() -> io::Result<()> {
    let flags = rustix::fs::statvfs("disk/root")?.f_flag;
    if flags.intersects(StatVfsMountFlags::NOSUID | StatVfsMountFlags::NOEXEC) {
        // A plain mount would keep these restrictions of the host's file system; an overlay has flags of its own.
        fs::create_dir_all("disk/work").map_err(told("make", "disk/work"))?;
        let options = c"lowerdir=empty,upperdir=disk/root,workdir=disk/work,userxattr";
        return mount("overlay", "root", "overlay", MountFlags::empty(), options)
            .map_err(told("mount an overlay over", "a disk on a file system that is nosuid or noexec"));
    }
    mount_bind("disk/root", "root").map_err(told("mount", "the machine's files"))
}

fn link_system_directories() -> io::Result<()> {
    for name in SYSTEM {
        if let Ok(target) = fs::read_link(Path::new("/").join(name)) {
            link(&target, &Path::new("root").join(name))?;
        }
    }
    Ok(())
}

/// Makes a directory of the machine's own, and those above it; says whether it is one by now, and empty. A link of the
/// machine's would lead through the host's directories, and is left alone.
fn make_own_directory(inside: &Path) -> io::Result<bool> {
    let mut path = PathBuf::from("root");
    for name in inside {
        path.push(name);
        match path.symlink_metadata() {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Ok(false),
            Err(_) => fs::create_dir(&path).map_err(told("make", inside.display()))?,
        }
    }
    // Files that were copied at the first boot are the machine's own since.
    Ok(fs::read_dir(&path).map_err(told("list", inside.display()))?.next().is_none())
}

/// Sees that there are directories to mount on: a link in their place could lead anywhere.
pub fn make_mount_points() -> io::Result<()> {
    for (name, mode) in MOUNT_POINTS {
        let path = Path::new("root").join(name);
        match path.symlink_metadata() {
            Ok(found) if found.is_dir() => continue,
            Ok(_) => fs::remove_file(&path).map_err(told("replace", format!("/{name}")))?,
            Err(_) => {}
        }
        fs::create_dir(&path).map_err(told("make", format!("/{name}")))?;
        chmodat(CWD, &path, Mode::from_raw_mode(mode), AtFlags::empty())?;
    }
    Ok(())
}

/// Whether the machine of a disk boots for the first time.
pub fn is_first_boot(disk: &Path) -> bool {
    !disk.join(MARK).exists()
}

/// Notes on a disk that the first boot's files are made.
pub fn mark_booted(disk: impl AsFd) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    openat(disk, MARK, flags, Mode::from_raw_mode(0o600)).map_err(told("note", "the first boot")).map(drop)
}

/// Lays a writable layer over a directory of the host's. Where the kernel or the file system can't, the directory is
/// read-only, and a note says so.
fn overlay(source: &str, inside: &Path) -> io::Result<Option<String>> {
    let target = Path::new("root").join(inside);
    let name = inside.to_string_lossy().replace('/', "-");
    let (upper, work) = (format!("disk/layers/{name}/upper"), format!("disk/layers/{name}/work"));
    // What the kernel keeps there is of no use to another mount, and would forbid a volatile one.
    if Path::new(&work).exists() {
        fs::remove_dir_all(&work).map_err(told("clear", &work))?;
    }
    for directory in [&upper, &work] {
        fs::create_dir_all(directory).map_err(told("make", directory))?;
    }
    if fs::metadata(source)?.uid() == NOBODY {
        own_directories(Path::new(source), Path::new(&upper), 2)?;
    }
    chmodat(CWD, upper.as_str(), Mode::from_raw_mode(0o755), AtFlags::empty())?;
    // Volatile: ending a machine must not wait until all that the host has written lately is on its disk.
    let options = CString::new(format!("lowerdir={source},upperdir={upper},workdir={work},userxattr,volatile"))?;
    let Err(error) = mount("overlay", &target, "overlay", MountFlags::empty(), options.as_c_str()) else {
        return Ok(None);
    };
    mount_bind_recursive(source, &target).map_err(told("mount", inside.display()))?;
    make_read_only(&target, MountFlags::empty())?;
    Ok(Some(format!("/{} is read-only: failed to mount an overlay over it: {error}", inside.display())))
}

/// Makes the first levels of a layer's directories the machine's root's, where the host's owners aren't mapped: so it can
/// add, replace and remove what is in them, if not change the host's files in place.
fn own_directories(lower: &Path, upper: &Path, levels: u32) -> io::Result<()> {
    for entry in fs::read_dir(lower).map_err(told("list", lower.display()))? {
        let entry = entry?;
        let target = upper.join(entry.file_name());
        // Whatever the machine has put in its place stays.
        if !entry.file_type()?.is_dir() || target.symlink_metadata().is_ok_and(|found| !found.is_dir()) {
            continue;
        }
        if !target.exists() {
            fs::create_dir(&target).map_err(told("make", target.display()))?;
            fs::set_permissions(&target, entry.metadata()?.permissions())?;
        }
        if levels > 1 && entry.file_name() == "local" {
            own_directories(&entry.path(), &target, levels - 1)?;
        }
    }
    Ok(())
}

/// Makes a bind mount read-only, and keeps the flags that a user namespace may not clear.
pub fn make_read_only(target: &Path, also: MountFlags) -> io::Result<()> {
    let has = rustix::fs::statvfs(target)?.f_flag;
    let kept = [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ];
    let kept = kept.into_iter().filter(|(flag, _)| has.contains(*flag)).fold(also, |all, (_, flag)| all | flag);
    mount_remount(target, MountFlags::BIND | MountFlags::RDONLY | kept, "")
        .map_err(told("make read-only", target.display()))
}

pub fn mount_memory(limits: Limits) -> io::Result<()> {
    for (target, mode) in [("root/run", 0o755), ("root/tmp", 0o1777), ("root/dev", 0o755)] {
        mount_tmpfs(target, mode, limits)?;
    }
    fs::create_dir_all("root/run/lock").map_err(told("make", "/run/lock"))
}

fn mount_tmpfs(target: &str, mode: u32, limits: Limits) -> io::Result<()> {
    let options = CString::new(format!("mode={mode:o},{}", limits.file_system()))?;
    mount("tmpfs", target, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str())
        .map_err(told("mount", target))
}

pub fn mount_kernel_views(boot_id: &str, notes: &mut Vec<String>) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", "root/proc", "proc", flags, None).map_err(|error| {
        let advice = match error {
            Errno::PERM => "; the host's own /proc is partly hidden, as in a container: run it with `--security-opt systempaths=unconfined` or outside",
            _ => "",
        };
        io::Error::new(error.kind(), format!("mount /proc: {error}{advice}"))
    })?;
    // A machine may do without it: container engines hide the host's, and then the kernel refuses a fresh one.
    if let Err(error) = mount("sysfs", "root/sys", "sysfs", flags | MountFlags::RDONLY, None) {
        notes.push(format!("/sys is empty: failed to mount it: {error}"));
    }

    // Every user of the machine may ping; refused where the groups are not all mapped.
    let _ = fs::write("root/proc/sys/net/ipv4/ping_group_range", "0 65535");
    for name in READ_ONLY {
        let target = Path::new("root/proc").join(name);
        if target.exists() {
            mount_bind(&target, &target).map_err(told("mount", target.display()))?;
            make_read_only(&target, flags)?;
        }
    }
    // The machine's own network is its own to tune.
    let network = "root/proc/sys/net";
    mount_bind(network, network).map_err(told("mount", network))?;
    mount_remount(network, MountFlags::BIND | flags, "").map_err(told("make writable", network))?;
    for name in HIDDEN {
        hide(&Path::new("root/proc").join(name))?;
    }
    for name in ["firmware", "devices/virtual/powercap"] {
        hide(&Path::new("root/sys").join(name))?;
    }

    fs::write("boot-id", format!("{boot_id}\n")).map_err(told("write", "the boot id"))?;
    chmodat(CWD, "boot-id", Mode::from_raw_mode(0o444), AtFlags::empty())?;
    let target = Path::new("root/proc/sys/kernel/random/boot_id");
    mount_bind("boot-id", target).map_err(told("mount", "the boot id"))?;
    make_read_only(target, flags)
}

/// Covers a file by nothing, or a directory by an empty one.
fn hide(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => {
            let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
            mount("tmpfs", path, "tmpfs", flags, c"mode=0555,size=4k").map_err(told("hide", path.display()))
        }
        Ok(_) => mount_bind("/dev/null", path).map_err(told("hide", path.display())),
        Err(_) => Ok(()),
    }
}

pub fn mount_devices(users: Users, limits: Limits) -> io::Result<()> {
    for name in DEVICES {
        let (source, target) = (Path::new("/dev").join(name), Path::new("root/dev").join(name));
        if source.exists() {
            fs::write(&target, "").map_err(told("make", target.display()))?;
            mount_bind(&source, &target).map_err(told("mount", target.display()))?;
        }
    }
    for (target, name) in [
        ("pts/ptmx", "ptmx"),
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
    ] {
        link(Path::new(target), &Path::new("root/dev").join(name))?;
    }
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    fs::create_dir("root/dev/pts").map_err(told("make", "/dev/pts"))?;
    // The host has some 3,000 for all machines (`kernel.pty.max`).
    // Terminals belong to the group `tty`, which has this number on every distribution; there is none if root is alone.
    let options = match users {
        Users::Many => c"newinstance,ptmxmode=0666,mode=0620,max=256,gid=5",
        Users::RootOnly => c"newinstance,ptmxmode=0666,mode=0620,max=256",
    };
    mount("devpts", "root/dev/pts", "devpts", flags, options).map_err(told("mount", "/dev/pts"))?;
    fs::create_dir("root/dev/shm").map_err(told("make", "/dev/shm"))?;
    mount_tmpfs("root/dev/shm", 0o1777, limits)
}

/// Makes `/dev/console`, a pipe with a name: whatever is written there reaches the console.
pub fn make_console() -> io::Result<(OwnedFd, OwnedFd)> {
    let path = "root/dev/console";
    rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
        .map_err(told("make", "/dev/console"))?;
    let open = |flags| rustix::fs::open(path, flags | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty());
    let read = open(OFlags::RDONLY | OFlags::NONBLOCK).map_err(told("open", "/dev/console"))?;
    let write = open(OFlags::WRONLY).map_err(told("open", "/dev/console"))?;
    Ok((read, write))
}

fn link(target: &Path, at: &Path) -> io::Result<()> {
    match symlink(target, at) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(told("make the link", at.display())),
    }
}

/// Says what was tried, and on what.
pub fn told<E: Into<io::Error>>(tried: &str, on: impl Display) -> impl FnOnce(E) -> io::Error {
    let text = format!("{tried} {on}");
    move |error| {
        let error = error.into();
        io::Error::new(error.kind(), format!("{text}: {error}{}", advice::on_shortage(&error)))
    }
}
