//! What all processes of a machine may take together: a cgroup per machine, where the host lets us make one (cgroups(7)).
//!
//! | the host has | who may make one |
//! |---|---|
//! | version 2 | root; a user whose cgroup is theirs, as systemd has it for `systemd-run --user` |
//! | version 1 | root |
//!
//! A machine's cgroup lies below the endpoint's own, or beside it where version 2 wants no processes above: there only
//! leaves may have any. It holds the limits; init goes into a second one below it, which becomes the root of the machine's
//! cgroup namespace. So even a machine whose root is the cgroup's owner reaches neither its limits nor a way out.
//!
//! The keeper makes it, and removes it at the machine's end. What a killed one has left is empty, and goes when the next
//! endpoint starts, or with `ec2-local check`: a cgroup in use is locked by its machine's keeper.

use super::{
    hierarchy::{Controller, Hierarchy, Version},
    limits::Limits,
    root::told,
};
use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, unlinkat},
    process::{Pid, geteuid},
};
use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// What the names of all machines' cgroups begin with.
const PREFIX: &str = "ec2-local.";
/// The cgroup within, in which the processes are.
const LEAF: &str = "machine";
/// How many cgroups a machine's root may make, where its user is the cgroup's owner.
const MOST_WITHIN: &str = "1024";
/// How long the kernel may take to notice that a cgroup's last process is gone.
const PATIENCE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(1);
/// What stops all processes of a cgroup (cgroups(7), version 2), and how long the kernel may take to.
const FREEZE: &str = "cgroup.freeze";
const FREEZES_WITHIN: Duration = Duration::from_millis(100);

/// A machine's cgroups: one, or with version 1 one per controller. They are removed on drop, when the machine must be gone.
#[derive(Debug, Default)]
pub struct Cgroup {
    held: Vec<Held>,
    /// Those that bound nothing, but are the top of what the machine sees of their hierarchies.
    bare: Vec<Held>,
    /// What isn't bounded, in words for the console.
    pub notes: Vec<String>,
}

/// A directory that was made, and is locked as long as this lives.
#[derive(Debug)]
struct Held {
    directory: PathBuf,
    _lock: File,
}

impl Cgroup {
    /// Makes them under a name that is this machine's alone. What the host doesn't allow is noted, and no error.
    pub fn make(name: &str, limits: Limits) -> Self {
        let mut made = Self::default();
        let mut missing: Vec<Controller> = Controller::ALL.to_vec();
        let mut why = None;
        for hierarchy in Hierarchy::all() {
            let added =
                if hierarchy.bounds_something() { made.add(&hierarchy, name, limits).map(Some) } else { Ok(None) };
            match added {
                Ok(Some(bounded)) => {
                    missing.retain(|controller| !bounded.contains(controller));
                    continue;
                }
                Ok(None) => {}
                Err(error) => why = why.or(Some(error)),
            }
            let mut places = hierarchy.places().into_iter();
            made.bare.extend(places.find_map(|place| Held::make(place.join(format!("{PREFIX}{name}"))).ok()));
        }
        // Those of a machine are few all the same: its user namespace has a limit.
        missing.retain(|controller| *controller != Controller::Pids || !Limits::bound_processes_together());
        if !missing.is_empty() {
            let what: Vec<_> = missing.iter().map(|controller| controller.bounds()).collect();
            let why = why.map_or_else(|| "the host has no such cgroup".to_owned(), |error| error.to_string());
            let advice = if geteuid().is_root() { "" } else { "; run it by `systemd-run --user --scope`, or as root" };
            made.notes.push(format!("the machine as a whole is not bounded in {}: {why}{advice}", what.join(", ")));
        }
        made
    }

    /// Lets go of them in a child of the process that made them, whose they stay.
    pub fn let_go(mut self) {
        self.held.clear();
        self.bare.clear();
    }

    /// Whether there is none.
    pub fn is_missing(&self) -> bool {
        self.held.is_empty() && self.bare.is_empty()
    }

    /// Puts the machine's first process into them.
    pub fn enter(&self, init: Pid) -> io::Result<()> {
        let enter = |held: &Held| {
            let entrance = held.directory.join(LEAF).join("cgroup.procs");
            fs::write(&entrance, init.as_raw_pid().to_string()).map_err(told("write", entrance.display()))
        };
        for bare in &self.bare {
            if let Err(error) = enter(bare) {
                tracing::debug!("the machine sees cgroups that aren't its own: failed to {error}");
            }
        }
        self.held.iter().try_for_each(enter)
    }

    /// Has the machine's processes stand still as long as the value lives, where it has a cgroup of version 2. In one of version 1
    /// nobody could even be killed meanwhile.
    pub fn freeze(&self) -> Option<Frozen> {
        let held = self.held.iter().chain(&self.bare).find(|held| held.directory.join(FREEZE).exists())?;
        let frozen = Frozen(held.directory.join(FREEZE));
        fs::write(&frozen.0, "1").ok()?;
        let is_frozen = || {
            let events = fs::read_to_string(held.directory.join("cgroup.events"));
            events.is_ok_and(|events| events.lines().any(|line| line == "frozen 1"))
        };
        let since = Instant::now();
        while !is_frozen() && since.elapsed() < FREEZES_WITHIN {
            thread::sleep(LOOK);
        }
        Some(frozen)
    }

    /// Makes one in a hierarchy; says which of its controllers bound the machine now.
    fn add(&mut self, hierarchy: &Hierarchy, name: &str, limits: Limits) -> io::Result<Vec<Controller>> {
        let mut refused = None;
        for (parent, controllers) in hierarchy.parents() {
            let held = match Held::make(parent.join(format!("{PREFIX}{name}"))) {
                Ok(held) => held,
                Err(error) => {
                    refused = refused.or(Some(error));
                    continue;
                }
            };
            let bound = |controller: &Controller| match hold(&held.directory, hierarchy.version, *controller, limits) {
                Ok(()) => true,
                Err(error) => {
                    refused = Some(error);
                    false
                }
            };
            let bounded: Vec<_> = controllers.into_iter().filter(bound).collect();
            if bounded.is_empty() {
                held.remove();
                continue;
            }
            self.held.push(held);
            return Ok(bounded);
        }
        Err(refused.unwrap_or_else(|| io::Error::other("no cgroup of ours may have others below or beside it")))
    }
}

/// A machine whose processes stand still.
#[derive(Debug)]
pub struct Frozen(PathBuf);

impl Drop for Frozen {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.0, "0") {
            tracing::warn!("failed to write {}: {error}; the machine stands still", self.0.display());
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.held.iter().chain(&self.bare).for_each(Held::remove);
    }
}

impl Held {
    fn make(directory: PathBuf) -> io::Result<Self> {
        let leaf = directory.join(LEAF);
        loop {
            if let Err(error) = fs::create_dir(&directory)
                && error.kind() != io::ErrorKind::AlreadyExists
            {
                return Err(told("make the cgroup", directory.display())(error));
            }
            // Kernels before 5.11 count what is below in version 1 only when they are told to.
            let _ = fs::write(directory.join("memory.use_hierarchy"), "1");
            inherit_processors(&directory);
            // Only version 2 has it: all of the host may have 65,535 cgroups that count memory (`MEM_CGROUP_ID_MAX`).
            let _ = fs::write(directory.join("cgroup.max.descendants"), MOST_WITHIN);
            let lock = File::open(&directory).and_then(|lock| lock.lock().map(|()| lock));
            let lock = match lock {
                // Somebody who cleared up has taken it for a dead one's.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(told("lock the cgroup", directory.display()))?,
            };
            match fs::create_dir(&leaf) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(told("make the cgroup", leaf.display())(error));
                }
                _ => return Ok(Self { directory, _lock: lock }),
            }
        }
    }

    fn remove(&self) {
        let since = Instant::now();
        while !remove(&self.directory) && since.elapsed() < PATIENCE {
            thread::sleep(LOOK);
        }
    }
}

/// With version 1 a cgroup has neither processors nor memory of its parent's, unless it is given them, and takes no process.
fn inherit_processors(directory: &Path) {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let of_parent = directory.parent().and_then(|parent| fs::read_to_string(parent.join(file)).ok());
        if directory.join("cgroup.clone_children").exists()
            && let Some(of_parent) = of_parent
        {
            let _ = fs::write(directory.join(file), of_parent);
        }
    }
    let _ = fs::write(directory.join("cgroup.clone_children"), "1");
}

/// Removes a machine's cgroup, unless there are processes in it; says whether it is gone. Those that the machine made within its
/// own go first.
fn remove(directory: &Path) -> bool {
    if let Ok(leaf) = open(CWD, directory.join(LEAF)) {
        clear(&leaf);
    }
    let gone = |directory: &Path| match fs::remove_dir(directory) {
        Err(error) => error.kind() == io::ErrorKind::NotFound,
        Ok(()) => true,
    };
    gone(&directory.join(LEAF)) && gone(directory)
}

/// Removes the cgroups in one, however deep; at most as many as a machine may make. What can't be removed stays.
fn clear(cgroup: &OwnedFd) {
    for entry in Dir::read_from(cgroup).into_iter().flatten().filter_map(Result::ok) {
        let name = entry.file_name();
        if entry.file_type() != FileType::Directory || name == c"." || name == c".." {
            continue;
        }
        if let Ok(below) = open(cgroup, name) {
            clear(&below);
        }
        let _ = unlinkat(cgroup, name, AtFlags::REMOVEDIR);
    }
}

fn open(at: impl AsFd, name: impl rustix::path::Arg) -> rustix::io::Result<OwnedFd> {
    openat(at, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Removes what endpoints that were killed have left; how many cgroups that were.
pub fn clear_remains() -> usize {
    let mut cleared = 0;
    let parents = Hierarchy::all().into_iter().flat_map(|hierarchy| hierarchy.places());
    let entries = parents.filter_map(|parent| fs::read_dir(parent).ok()).flatten().filter_map(Result::ok);
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        if !File::open(entry.path()).is_ok_and(|lock| lock.try_lock().is_ok()) {
            continue;
        }
        if remove(&entry.path()) {
            cleared += 1;
        } else {
            tracing::debug!("{} has processes in it, and stays", entry.path().display());
        }
    }
    cleared
}

/// Sets what a controller bounds.
fn hold(directory: &Path, version: Version, controller: Controller, limits: Limits) -> io::Result<()> {
    let set = |file: &str, value: String| {
        let path = directory.join(file);
        fs::write(&path, value).map_err(told("write", path.display()))
    };
    let memory = limits.memory();
    match (controller, version) {
        (Controller::Memory, Version::Two) => {
            set("memory.max", memory.to_string())?;
            // Only a host with swap has it.
            let _ = set("memory.swap.max", "0".to_owned());
            Ok(())
        }
        (Controller::Memory, Version::One) => {
            set("memory.limit_in_bytes", memory.to_string())?;
            // Memory and swap together; not every kernel counts it.
            let _ = set("memory.memsw.limit_in_bytes", memory.to_string());
            // What waits in sockets is counted by itself, and only in a cgroup that bounds it itself: so init's does, too.
            for cgroup in [".", LEAF] {
                let _ = set(&format!("{cgroup}/memory.kmem.tcp.limit_in_bytes"), (memory / 4).to_string());
            }
            Ok(())
        }
        (Controller::Pids, _) => set("pids.max", limits.threads().to_string()),
        (Controller::Cpu, version) => {
            // A cgroup by itself gives the machine a fair share, however many processes it has.
            let Some(quota) = limits.quota() else { return Ok(()) };
            let (quota, period) = (quota.as_micros(), Limits::PERIOD.as_micros());
            match version {
                Version::Two => set("cpu.max", format!("{quota} {period}")),
                Version::One => {
                    set("cpu.cfs_period_us", period.to_string())?;
                    set("cpu.cfs_quota_us", quota.to_string())
                }
            }
        }
    }
}
