//! The machine's root directory: its own files, with the host's system directories under an overlay.
//!
//! Everything here happens in the machine's own mount namespace. What is written goes below the disk's `root` and
//! `layers`; all else is in memory and gone with the namespace.
//!
//! Until the host is left, links lead through its directories. So files are made at the first boot only, when nothing of the
//! machine's has run yet; later on nothing but mounts is, and only on directories that were looked at.

use super::{
    advice, devices, image_files, kernel_views,
    limits::Limits,
    protocol::{Shown, Users},
    shared, system_files,
};
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

/// Who owns files of users that aren't mapped.
pub const NOBODY: u32 = 65534;
/// Where file systems of the machine's own are mounted.
const MOUNT_POINTS: [(&str, u32); 5] =
    [("dev", 0o755), ("proc", 0o555), ("run", 0o755), ("sys", 0o555), ("tmp", 0o1777)];
/// On the disk, outside of what the machine can write: without it the machine boots for the first time.
const MARK: &str = "booted";

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
    /// The directories of snapshots, detached, the latest first: what lies between the machine's files and those below.
    pub snapshots: Vec<OwnedFd>,
    /// The host's directories, or the image's root directory alone, detached, each with its path on the host.
    pub layers: Vec<(PathBuf, OwnedFd)>,
    /// The host's directories again without a mapping of their owners, where the others have one.
    pub unmapped: Vec<OwnedFd>,
    /// The machine's own devices, where it has them.
    pub devices: Option<OwnedFd>,
    /// What the machine sees of the host's directories.
    pub shown: Shown,
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
    let Parts { files, snapshots, layers, unmapped, devices, shown, users, limits, boot_id, settings } = parts;
    attach(files, "disk")?;
    for directory in ["disk/root", "disk/layers"] {
        fs::create_dir_all(directory).map_err(told("make", directory))?;
    }
    let first_boot = is_first_boot(Path::new("disk"));
    let snapshots = attach_snapshots(snapshots)?;
    mount_own_files(&snapshots, &mut notes)?;
    link_system_directories()?;
    let is_bare = first_boot && snapshots.is_empty();
    mount_layers(layers, unmapped, (&snapshots, &shown), is_bare, &mut notes)?;
    if is_bare {
        system_files::generate(Path::new("root"), &settings)?;
        mark_booted(rustix::fs::open("disk", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)?;
    }
    make_mount_points()?;
    mount_memory(limits)?;
    kernel_views::mount_kernel_views(boot_id, &mut notes)?;
    mount_devices(devices, users, limits)?;
    let console = make_console()?;
    let disk = rustix::fs::open("disk", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    leave_host()?;
    if first_boot && !is_bare {
        // Others have run on these files before: from here on no link leads out.
        image_files::generate(&settings, users)?;
        mark_booted(&disk)?;
    }
    Ok(Root { first_boot, console, notes })
}

/// Mounts the host's directories, each with a layer of the machine's over it.
fn mount_layers(
    layers: Vec<(PathBuf, OwnedFd)>,
    unmapped: Vec<OwnedFd>,
    (snapshots, shown): (&[String], &Shown),
    is_bare: bool,
    notes: &mut Vec<String>,
) -> io::Result<()> {
    let (paths, trees): (Vec<PathBuf>, Vec<OwnedFd>) = layers.into_iter().unzip();
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let mut unmapped: Vec<Option<OwnedFd>> = unmapped.into_iter().map(Some).collect();
    let sources: Vec<_> = (0..paths.len()).map(|index| format!("lower/{index}")).collect();
    for (source, tree) in sources.iter().zip(trees) {
        fs::create_dir(source).map_err(told("make", source))?;
        attach(tree, source)?;
    }
    let views = shared::mount_views(&paths, &sources, shown)?;
    for (index, view) in views.into_iter().enumerate() {
        let (path, source) = (paths[index], &sources[index]);
        let inside = path.strip_prefix("/").unwrap_or(path);
        // Whatever the machine has put in its place stays.
        if !make_own_directory(inside)? {
            continue;
        }
        let layer = Layer::of(inside)?;
        if is_bare {
            shared::make_own(path, source, &layer.upper)?;
        }
        let view = view.or_else(|error| {
            let (view, note) = less_of(path, index, unmapped.get_mut(index).and_then(Option::take), source, &error)?;
            notes.push(note);
            Ok::<_, io::Error>(view)
        })?;
        notes.extend(layer.mount(&view, snapshots, inside)?);
    }
    Ok(())
}

/// What is shown of a host's directory where the kernel can't keep what is private from the machine's root: files that aren't its
/// own, or else, where it is the user who runs it anyway, all of it. With a note that says so.
fn less_of(
    path: &Path,
    index: usize,
    unmapped: Option<OwnedFd>,
    source: &str,
    why: &io::Error,
) -> io::Result<(String, String)> {
    let path = path.display();
    let Some(tree) = unmapped else {
        return Ok((source.to_owned(), format!("root sees all that its user may read below {path}: failed to {why}")));
    };
    let view = format!("unmapped/{index}");
    fs::create_dir_all(&view).map_err(told("make", &view))?;
    attach(tree, &view)?;
    Ok((view, format!("files below {path} belong to nobody: failed to {why}")))
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
        // What is without a size is no room that `df` would tell of.
        for (key, value) in [("source", "tmpfs"), ("mode", "0755"), ("size", "0")] {
            fsconfig_set_string(&context, key, value)?;
        }
        fsconfig_create(&context)?;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
    };
    let workshop = made().map_err(told("mount", "a file system in memory"))?;
    // Any directory will do, and every host has this one; what it covers is held as a tree already.
    let place = workshop.try_clone()?;
    attach(workshop, "/usr")?;
    Ok(fchdir(&place)?)
}

/// Mounts a tree. Its descriptor is closed then: nothing that comes later shall find a way by it.
pub fn attach(tree: OwnedFd, target: &str) -> io::Result<()> {
    move_mount(&tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(told("attach a mount to", target))
}

/// Mounts the machine's own files as the root directory.
fn mount_own_files(snapshots: &[String], notes: &mut Vec<String>) -> io::Result<()> {
    if !snapshots.is_empty() {
        clear("disk/work")?;
        fs::create_dir("disk/work").map_err(told("make", "disk/work"))?;
        let lower = below("root", snapshots, "empty");
        let options =
            CString::new(format!("lowerdir={lower},upperdir=disk/root,workdir=disk/work,userxattr,volatile"))?;
        return mount("overlay", "root", "overlay", MountFlags::empty(), options.as_c_str())
            .map_err(told("mount an overlay over", "the snapshots' files"));
    }
    if kernel_views::has_volume()? {
        return mount_bind("disk/root", "root").map_err(told("mount", "the machine's files"));
    }
    // A plain mount would keep the host's file system's flags, such as nosuid and noexec, and the machine's mount table would name
    // the directory on the host. An overlay has flags of its own, and only its own name.
    clear("disk/work")?;
    fs::create_dir("disk/work").map_err(told("make", "disk/work"))?;
    let options = c"lowerdir=empty,upperdir=disk/root,workdir=disk/work,userxattr,volatile";
    let Err(error) = mount("overlay", "root", "overlay", MountFlags::empty(), options) else { return Ok(()) };
    let flags = rustix::fs::statvfs("disk/root")?.f_flag;
    if flags.intersects(StatVfsMountFlags::NOSUID | StatVfsMountFlags::NOEXEC) {
        return Err(told("mount an overlay over", "a disk on a file system that is nosuid or noexec")(error));
    }
    notes
        .push(format!("the mount table names the host's directory: failed to mount an overlay over the disk: {error}"));
    mount_bind("disk/root", "root").map_err(told("mount", "the machine's files"))
}

/// Removes an overlay's working directory: what the kernel keeps there is of no use to another mount, and would forbid a volatile
/// one, which doesn't wait at a machine's end until all that the host has written lately is on its disk.
pub fn clear(work: &str) -> io::Result<()> {
    match fs::remove_dir_all(work) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(told("clear", work)(error)),
        _ => Ok(()),
    }
}

/// Attaches the directories of snapshots; says where.
pub fn attach_snapshots(snapshots: Vec<OwnedFd>) -> io::Result<Vec<String>> {
    let attached = snapshots.into_iter().enumerate().map(|(index, tree)| {
        let at = format!("snapshots/{index}");
        fs::create_dir_all(&at).map_err(told("make", &at))?;
        attach(tree, &at)?;
        Ok(at)
    });
    attached.collect()
}

/// An overlay's lower layers: a directory of each snapshot's that has it, then what lies below all of them.
pub fn below(directory: &str, snapshots: &[String], lowest: &str) -> String {
    let each = snapshots.iter().map(|snapshot| format!("{snapshot}/{directory}"));
    let mut lower: Vec<_> = each.filter(|path| fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())).collect();
    lower.push(lowest.to_owned());
    lower.join(":")
}

fn link_system_directories() -> io::Result<()> {
    for name in shared::SYSTEM {
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

/// What a machine has changed of one of the host's directories.
struct Layer {
    upper: String,
    work: String,
}

impl Layer {
    fn of(inside: &Path) -> io::Result<Self> {
        let name = inside.to_string_lossy().replace('/', "-");
        let layer = Self { upper: format!("disk/layers/{name}/upper"), work: format!("disk/layers/{name}/work") };
        clear(&layer.work)?;
        for directory in [&layer.upper, &layer.work] {
            fs::create_dir_all(directory).map_err(told("make", directory))?;
        }
        Ok(layer)
    }

    /// Lays it over what is public of a directory of the host's. Where the kernel or the file system can't, the directory is
    /// read-only, and a note says so.
    fn mount(&self, view: &str, snapshots: &[String], inside: &Path) -> io::Result<Option<String>> {
        let target = Path::new("root").join(inside);
        let Self { upper, work } = self;
        // The lowest of its layers is the host's directory.
        let source = view.rsplit(':').next().unwrap_or(view);
        // What lies in between has them already, as far as the machine wanted them.
        if snapshots.is_empty() && fs::metadata(source)?.uid() == NOBODY {
            own_directories(Path::new(source), Path::new(upper), 2)?;
        }
        let view = &*below(upper.strip_prefix("disk/").unwrap_or(upper), snapshots, view);
        chmodat(CWD, upper.as_str(), Mode::from_raw_mode(0o755), AtFlags::empty())?;
        let options = CString::new(format!("lowerdir={view},upperdir={upper},workdir={work},userxattr,volatile"))?;
        let Err(error) = mount("overlay", &target, "overlay", MountFlags::empty(), options.as_c_str()) else {
            return Ok(None);
        };
        // One without an upper layer can't be made writable, no matter who mounts it again; a plain mount could be, by the machine's root.
        let options = CString::new(format!("lowerdir={view}:empty,userxattr"))?;
        if let Err(error) = mount("overlay", &target, "overlay", MountFlags::RDONLY, options.as_c_str()) {
            // The view may be of layers itself, and nothing less than that may be shown.
            if view.contains(':') {
                return Err(told("mount an overlay over", format!("/{}", inside.display()))(error));
            }
            mount_bind_recursive(view, &target).map_err(told("mount", inside.display()))?;
            make_read_only(&target, MountFlags::empty())?;
            kernel_views::seal(&target.to_string_lossy())?;
        }
        Ok(Some(format!("/{} is read-only: failed to mount an overlay over it: {error}", inside.display())))
    }
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

pub fn mount_devices(own: Option<OwnedFd>, users: Users, limits: Limits) -> io::Result<()> {
    devices::mount(own)?;
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
