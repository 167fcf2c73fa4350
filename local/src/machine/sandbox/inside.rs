//! What a machine sees of its volumes: nodes and links in its `/dev`, their directories in `/sys`, their lines in
//! `/proc/partitions`. They come and go while it runs, by a process of the keeper's that enters the machine's mount namespace: it
//! runs nothing of what is there, and makes files as the machine's root, so that no name leads it where that couldn't go.

use super::{
    kernel::{self, Side},
    protocol,
    root::{self, attach, enter_workshop, told},
};
use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, chmodat, chownat, mkdirat, mknodat, symlinkat, unlinkat},
    io::Errno,
    mount::{MountPropagationFlags, OpenTreeFlags, UnmountFlags, mount_bind, mount_change, open_tree, unmount},
    process::{Gid, Pid, Signal, Uid, WaitOptions, set_parent_process_death_signal, waitpid},
};
use std::{
    ffi::OsString,
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
    path::Path,
    process::exit,
};

/// The group `disk`, which has this number on every distribution.
const DISK: u32 = 6;
/// Where links by volume are.
const BY_ID: &str = "/dev/disk/by-id";
/// A directory of the machine's `/sys` in which nothing is.
const NOTHING: &str = "/sys/module";
/// Where `/sys` has its block devices.
const PLACE: &str = "devices/virtual/block";
const PARTITIONS: &str = "/proc/partitions";

/// The inside of a machine, for those outside.
#[derive(Debug)]
pub struct Inside {
    pub init: Pid,
    /// The host's user who is root in there.
    pub owner: u32,
}

/// A volume as it is seen.
#[derive(Debug, Clone)]
pub struct View {
    /// The number of its node.
    pub number: u32,
    /// The device on the host.
    pub path: String,
    /// The device's number.
    pub device: u64,
    /// The name that was asked for.
    pub name: String,
    pub volume: String,
}

impl View {
    /// The name of its node.
    pub fn node(&self) -> String {
        format!("nvme{}n1", self.number)
    }

    /// The links to its node.
    fn links(&self) -> Vec<(String, String)> {
        let name = self.name.strip_prefix("/dev/").unwrap_or(&self.name);
        let id = format!("{BY_ID}/nvme-Amazon_Elastic_Block_Store_{}", self.volume.replace('-', ""));
        vec![(format!("/dev/{name}"), self.node()), (id, format!("../../{}", self.node()))]
    }

    fn in_sys(&self) -> String {
        format!("{PLACE}/{}", self.node())
    }

    /// The links to its directory in `/sys`.
    fn links_in_sys(&self) -> [(String, String); 3] {
        let (node, place) = (self.node(), self.in_sys());
        [
            (format!("block/{node}"), format!("../{place}")),
            (format!("class/block/{node}"), format!("../../{place}")),
            (format!("dev/block/{}", number(self.device)), format!("../../{place}")),
        ]
    }
}

fn number(device: u64) -> String {
    format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device))
}

/// A line of `/proc/partitions`.
#[derive(Debug, Clone)]
pub struct Partition {
    device: u64,
    kib: u64,
    name: String,
}

impl Partition {
    /// That of a device, by this name or by the host's.
    pub fn of(device: u64, name: Option<String>) -> Option<Self> {
        let directory = fs::canonicalize(format!("/sys/dev/block/{}", number(device))).ok()?;
        let sectors: u64 = fs::read_to_string(directory.join("size")).ok()?.trim().parse().ok()?;
        let name = name.or_else(|| Some(directory.file_name()?.to_string_lossy().into_owned()))?;
        Some(Self { device, kib: sectors / 2, name })
    }

    fn line(&self) -> String {
        let (major, minor) = (rustix::fs::major(self.device), rustix::fs::minor(self.device));
        format!("{major:>4} {minor:>8} {:>10} {}\n", self.kib, self.name)
    }
}

impl Inside {
    /// Shows a volume; the node that is made for it.
    pub fn show(&self, view: &View, partitions: Vec<Partition>) -> io::Result<OwnedFd> {
        let shown = self.enter(
            || {
                let node = make_node(view.device, self.owner)?;
                let sys = root::tree(Path::new(&format!("/sys/{PLACE}/{}", view.path.trim_start_matches("/dev/"))));
                let list = make_list(&partitions)?;
                Ok((node, sys, list))
            },
            |((node, itself), sys, list)| {
                let path = format!("/dev/{}", view.node());
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600)).map_err(told("make", &path))?;
                attach(node, &path)?;
                for directory in ["/dev/disk", BY_ID] {
                    ignore_existing(
                        mkdirat(CWD, directory, Mode::from_raw_mode(0o755)).map_err(told("make", directory)),
                    )?;
                }
                for (link, target) in view.links() {
                    ignore_existing(symlinkat(&target, CWD, &link).map_err(told("make", &link)))?;
                }
                // A machine without these has the device all the same.
                let _ = sys.and_then(|sys| show_in_sys(view, sys));
                let _ = attach(list, PARTITIONS);
                Ok(Some(itself))
            },
        )?;
        shown.ok_or_else(|| io::Error::other("show a volume: it has no node"))
    }

    /// Shows no more of a volume.
    pub fn hide(&self, view: &View, partitions: Vec<Partition>) -> io::Result<()> {
        let hidden = self.enter(
            || make_list(&partitions),
            |list| {
                let path = format!("/dev/{}", view.node());
                let sys = format!("/sys/{}", view.in_sys());
                for mounted in [format!("{sys}/loop"), sys, path.clone(), PARTITIONS.to_owned()] {
                    let _ = unmount(&mounted, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
                }
                let _ = attach(list, PARTITIONS);
                let _ = unlinkat(CWD, &path, AtFlags::empty());
                for (link, target) in view.links() {
                    if rustix::fs::readlinkat(CWD, &link, Vec::new())
                        .is_ok_and(|found| found.as_bytes() == target.as_bytes())
                    {
                        let _ = unlinkat(CWD, &link, AtFlags::empty());
                    }
                }
                let sys = writable_sys()?;
                for (link, _) in view.links_in_sys() {
                    let _ = unlinkat(&sys, &link, AtFlags::empty());
                }
                let _ = unlinkat(&sys, view.in_sys(), AtFlags::REMOVEDIR);
                Ok(None)
            },
        );
        hidden.map(drop)
    }

    /// Lists these as block devices.
    pub fn list(&self, partitions: Vec<Partition>) -> io::Result<()> {
        let listed = self.enter(
            || make_list(&partitions),
            |list| {
                let _ = unmount(PARTITIONS, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
                attach(list, PARTITIONS).map(|()| None)
            },
        );
        listed.map(drop)
    }

    /// Unmounts a device wherever it is mounted.
    pub fn unmount_all(&self, device: u64) {
        let table = fs::read(format!("/proc/{}/mountinfo", self.init.as_raw_pid())).unwrap_or_default();
        let number = number(device);
        let mounted = |line: &[u8]| {
            let mut words = line.split(|byte| *byte == b' ');
            (words.nth(2)? == number.as_bytes()).then(|| words.nth(1).map(unescaped))?
        };
        let points: Vec<OsString> = table.split(|byte| *byte == b'\n').filter_map(mounted).collect();
        let _ = self.enter(
            || Ok(()),
            |()| {
                for point in points.iter().rev() {
                    let _ = unmount(point.as_os_str(), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
                }
                Ok(None)
            },
        );
    }

    /// Makes something in a mount namespace that is of no account, and does something with it in the machine's, as its root; what that has
    /// opened.
    fn enter<T>(
        &self,
        make: impl FnOnce() -> io::Result<T>,
        act: impl FnOnce(T) -> io::Result<Option<OwnedFd>>,
    ) -> io::Result<Option<OwnedFd>> {
        let path = format!("/proc/{}/ns/mnt", self.init.as_raw_pid());
        let namespace =
            rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(told("open", &path))?;
        let (here, there) = protocol::connection()?;
        let child = match kernel::fork().map_err(told("start", "a process that enters the machine"))? {
            Side::Child => {
                drop(here);
                let run = || {
                    set_parent_process_death_signal(Some(Signal::KILL))?;
                    kernel::unshare_mounts().map_err(told("make", "a mount namespace"))?;
                    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
                        .map_err(told("make mounts private below", "/"))?;
                    let made = make()?;
                    kernel::enter_mounts(&namespace).map_err(told("enter", "the machine's mounts"))?;
                    kernel::make_files_as(self.owner, self.owner);
                    act(made)
                };
                let outcome = run();
                let beside: Vec<_> = outcome.iter().flatten().map(AsFd::as_fd).collect();
                let told = outcome.as_ref().map(drop).map_err(ToString::to_string);
                exit(i32::from(protocol::send(&there, &told, &beside).is_err()))
            }
            Side::Parent(child) => child,
        };
        drop(there);
        let outcome = protocol::receive::<Result<(), String>>(&here);
        drop(here);
        waitpid(Some(child), WaitOptions::empty())?;
        match outcome? {
            Some((outcome, opened)) => outcome.map(|()| opened.into_iter().next()).map_err(io::Error::other),
            None => Err(io::Error::other("enter the machine: the process that does it was ended")),
        }
    }
}

/// A node of a device, as a mount that lies nowhere, and as itself. Only the host's root can make one.
fn make_node(device: u64, owner: u32) -> io::Result<(OwnedFd, OwnedFd)> {
    enter_workshop()?;
    let mode = Mode::from_raw_mode(0o660);
    mknodat(CWD, "node", FileType::BlockDevice, mode, device)
        .and_then(|()| {
            chownat(CWD, "node", Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner + DISK)), AtFlags::empty())
        })
        .and_then(|()| chmodat(CWD, "node", mode, AtFlags::empty()))
        .map_err(told("make", "the node of a volume"))?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok((detached("node")?, rustix::fs::open("node", flags, Mode::empty())?))
}

/// A file that lists these, likewise.
fn make_list(partitions: &[Partition]) -> io::Result<OwnedFd> {
    enter_workshop()?;
    let lines: String = partitions.iter().map(Partition::line).collect();
    fs::write("partitions", format!("major minor  #blocks  name\n\n{lines}")).map_err(told("write", "partitions"))?;
    chmodat(CWD, "partitions", Mode::from_raw_mode(0o444), AtFlags::empty())?;
    let list = detached("partitions")?;
    kernel::make_tree_read_only(&list).map_err(told("make read-only", "partitions"))?;
    Ok(list)
}

fn detached(name: &str) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    open_tree(CWD, name, flags).map_err(told("copy the mount of", name))
}

/// The machine's `/sys`, as nobody in it can write to it.
fn writable_sys() -> io::Result<OwnedFd> {
    let sys = root::tree(Path::new("/sys"))?;
    kernel::make_writable(&sys).map_err(told("write to", "the machine's /sys"))?;
    Ok(sys)
}

fn show_in_sys(view: &View, directory: OwnedFd) -> io::Result<()> {
    let sys = writable_sys()?;
    ignore_existing(mkdirat(&sys, view.in_sys(), Mode::from_raw_mode(0o755)).map_err(told("make", view.in_sys())))?;
    for (link, target) in view.links_in_sys() {
        ignore_existing(symlinkat(&target, &sys, &link).map_err(told("make", &link)))?;
    }
    kernel::make_tree_read_only(&directory).map_err(told("make read-only", view.in_sys()))?;
    let place = format!("/sys/{}", view.in_sys());
    attach(directory, &place)?;
    // What is behind the device is the host's business.
    mount_bind(NOTHING, format!("{place}/loop")).map_err(told("hide", "the file behind a volume"))
}

fn ignore_existing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error)
            if error.raw_os_error() == Some(Errno::EXIST.raw_os_error())
                || error.kind() == io::ErrorKind::AlreadyExists =>
        {
            Ok(())
        }
        other => other,
    }
}

/// A path of the kernel's table, in which blanks and the like are octal.
fn unescaped(word: &[u8]) -> OsString {
    let mut path = Vec::new();
    let mut rest = word;
    while let Some((&first, more)) = rest.split_first() {
        let digits = if first == b'\\' { more.get(..3) } else { None };
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        path.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &more[3..] } else { more };
    }
    OsString::from_vec(path)
}
