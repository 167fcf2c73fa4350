//! Tables that the kernel has once for all of the host, and what a machine gets of them.
//!
//! | what | the kernel's bound | a machine is held to its share by |
//! |---|---|---|
//! | processes and threads | `kernel.pid_max`, `kernel.threads-max`, cgroups above the endpoint's, the user's `ulimit -u` | `RLIMIT_NPROC`, cgroup |
//! | open files | `fs.file-max` | `RLIMIT_NOFILE` for each process; [`super::shortage`] for all of them |
//! | pseudo terminals | `kernel.pty.max` | [`super::shortage`] |
//! | what is counted by user | `user.max_*` | the same settings, in the keeper's user namespace ([`super::seclusion`]) |
//!
//! A share is a quarter of what is free when the machine starts, once the host has its reserve. Shares of many machines may
//! be more than there is: [`super::shortage`] is for that.

use super::{hierarchy::Hierarchy, limits::Limits};
use rustix::process::{Resource, geteuid, getrlimit};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A process may hold as many ids: its own, that of its group and that of its session, whose leaders have ended.
const IDS_OF_PROCESS: u64 = 3;
/// Ids that the kernel gives to nobody once it has been through all of them (`RESERVED_PIDS`).
const RESERVED_IDS: u64 = 300;
/// What a machine gets however little there is, to be worked with and ended in order.
const LEAST_PROCESSES: u64 = 64;
const LEAST_FILES: u64 = 1024;

/// What is counted by user, and how much of it a machine usually has: that is EC2's on its smallest types, and of namespaces
/// more than programs make.
const BY_USER: [(&str, u64); 12] = [
    ("max_inotify_instances", 128),
    ("max_inotify_watches", 8192),
    ("max_fanotify_groups", 128),
    ("max_fanotify_marks", 8192),
    ("max_user_namespaces", 1024),
    ("max_mnt_namespaces", 1024),
    ("max_pid_namespaces", 1024),
    ("max_net_namespaces", 1024),
    ("max_ipc_namespaces", 1024),
    ("max_uts_namespaces", 1024),
    ("max_cgroup_namespaces", 1024),
    ("max_time_namespaces", 1024),
];

/// What is in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    Process,
    File,
    Terminal,
}

impl Entry {
    /// How many a machine may hold without being at fault, however few the host has.
    pub fn next_to_nothing(self) -> u64 {
        match self {
            Self::Process => LEAST_PROCESSES,
            Self::File => LEAST_FILES,
            Self::Terminal => 16,
        }
    }

    /// Several of them, in words.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Process => "processes",
            Self::File => "open files",
            Self::Terminal => "pseudo terminals",
        }
    }
}

/// A table as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub entry: Entry,
    /// What bounds it, as an administrator knows it.
    pub setting: String,
    pub most: u64,
    pub used: u64,
    /// How many a single process, file or terminal can take.
    pub each: u64,
}

impl Table {
    /// How many entries are free.
    pub fn free(&self) -> u64 {
        self.most.saturating_sub(self.used)
    }

    /// How many are left to the host.
    pub fn reserve(&self) -> u64 {
        match self.entry {
            // There are so few of them that many can be opened between two looks.
            Entry::Terminal => self.most / 4,
            Entry::Process | Entry::File => self.most / 8,
        }
    }

    /// How much of it a machine gets that starts now.
    pub fn share(&self) -> u64 {
        self.free().saturating_sub(self.reserve()) / 4 / self.each
    }

    /// Whether the host has no more than its reserve.
    pub fn is_short(&self) -> bool {
        self.free() < self.reserve()
    }
}

/// The tables of this host, of which the kernel says how full they are.
#[derive(Debug)]
pub struct Tables(Vec<Source>);

/// Where the kernel tells of a table.
#[derive(Debug)]
struct Source {
    entry: Entry,
    setting: String,
    /// The file whose first number is the bound. It is read each time: an administrator may do as a message says, and raise it.
    bound: PathBuf,
    /// How much of that isn't for machines.
    reserved: u64,
    used: Used,
    each: u64,
}

/// Where it says how much is used.
#[derive(Debug)]
enum Used {
    /// `/proc/loadavg` counts the threads of all namespaces.
    Threads,
    /// The first number of a file.
    First(PathBuf),
}

impl Tables {
    /// Those that may have a bound.
    pub fn of_host() -> Self {
        let kernel = |entry, name: &str, reserved, used, each| {
            let bound = Path::new("/proc/sys").join(name.replace('.', "/"));
            Source { entry, setting: name.to_owned(), bound, reserved, used, each }
        };
        let mut tables = vec![
            kernel(Entry::Process, "kernel.pid_max", RESERVED_IDS, Used::Threads, IDS_OF_PROCESS),
            kernel(Entry::Process, "kernel.threads-max", 0, Used::Threads, 1),
        ];
        tables.extend(Hierarchy::all().iter().flat_map(Hierarchy::own_and_above).map(|cgroup| {
            // It says "max" where there is none.
            let (bound, used) = (cgroup.join("pids.max"), Used::First(cgroup.join("pids.current")));
            Source { entry: Entry::Process, setting: bound.display().to_string(), bound, reserved: 0, used, each: 1 }
        }));
        tables.push(kernel(Entry::File, "fs.file-max", 0, Used::First("/proc/sys/fs/file-nr".into()), 1));
        // What the kernel reserves is for terminals of the host's first mount of devpts alone.
        let reserved = setting("kernel/pty/reserve").unwrap_or_default();
        let used = Used::First("/proc/sys/kernel/pty/nr".into());
        tables.push(kernel(Entry::Terminal, "kernel.pty.max", reserved, used, 1));
        Self(tables)
    }

    /// The tables as they are now, as far as they have a bound.
    pub fn read(&self) -> Vec<Table> {
        let load = fs::read_to_string("/proc/loadavg").ok();
        let threads = load.and_then(|load| load.split_once('/')?.1.split(' ').next()?.parse().ok());
        let now = |source: &Source| {
            let used = match &source.used {
                Used::Threads => threads,
                Used::First(path) => first(path),
            };
            Some(Table {
                entry: source.entry,
                setting: source.setting.clone(),
                most: first(&source.bound)?.saturating_sub(source.reserved),
                used: used?,
                each: source.each,
            })
        };
        self.0.iter().filter_map(now).collect()
    }
}

/// What a machine gets of tables that are the host's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    pub processes: u64,
    /// Open in one process.
    pub files: u64,
    /// Settings below `/proc/sys/user`; none where a machine has users that the host counts by themselves.
    by_user: Vec<(String, u64)>,
    /// What is less than usual, in words for the console.
    pub notes: Vec<String>,
}

impl Share {
    /// What a machine gets that starts now and would usually have these limits.
    pub fn now(tables: &Tables, usual: Limits) -> Self {
        let mut tables = tables.read();
        let by_user = if geteuid().is_root() { Vec::new() } else { own_settings() };
        if !geteuid().is_root()
            && let Some(most) = getrlimit(Resource::Nproc).current
        {
            // How many of them the user has, the kernel says nowhere.
            let setting = "the user's `ulimit -u`".to_owned();
            tables.push(Table { entry: Entry::Process, setting, most, used: 0, each: 1 });
        }
        Self::of(&tables, by_user, usual)
    }

    fn of(tables: &[Table], by_user: Vec<(String, u64)>, usual: Limits) -> Self {
        let mut notes = Vec::new();
        let mut least = |entry: Entry, usual: u64, least: u64| {
            let tables = tables.iter().filter(|table| table.entry == entry);
            let Some(table) = tables.min_by_key(|table| table.share()).filter(|table| table.share() < usual) else {
                return usual;
            };
            let share = table.share().max(least).min(usual);
            notes.push(format!(
                "{share} {} rather than {usual}, of {} that are free of {} by {}",
                entry.plural(),
                table.free(),
                table.most,
                table.setting
            ));
            share
        };
        let processes = least(Entry::Process, usual.threads(), LEAST_PROCESSES);
        let files = least(Entry::File, usual.files(), LEAST_FILES);
        let mut less = Vec::new();
        let share = |(name, most): (String, u64)| {
            let share = most / 4;
            if let Some((_, usual)) = BY_USER.iter().find(|(known, usual)| *known == name && share < *usual) {
                less.push(format!("{share} for {usual} as user.{name}"));
            }
            (name, share)
        };
        let by_user = by_user.into_iter().map(share).collect();
        if !less.is_empty() {
            notes.push(format!(
                "a quarter of what the host counts by user, which is less than usual: {}",
                less.join(", ")
            ));
        }
        let notes =
            notes.into_iter().map(|note| format!("the machine has a share of the host's own: {note}")).collect();
        Self { processes, files, by_user, notes }
    }

    /// Holds all that is in user namespaces below this process's to what is counted by user. Nobody in them can take it back.
    pub fn hold_by_user(&self) -> io::Result<()> {
        self.by_user.iter().try_for_each(|(name, most)| {
            let path = format!("/proc/sys/user/{name}");
            fs::write(&path, most.to_string())
                .map_err(|error| io::Error::new(error.kind(), format!("write {path}: {error}")))
        })
    }
}

/// What this user may have of what is counted by user, as far as the kernel counts it.
fn own_settings() -> Vec<(String, u64)> {
    BY_USER.iter().filter_map(|(name, _)| Some(((*name).to_owned(), setting(&format!("user/{name}"))?))).collect()
}

fn setting(name: &str) -> Option<u64> {
    first(&Path::new("/proc/sys").join(name))
}

/// The first number in a file.
fn first(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().ok()
}

/// What a machine gets of the host that is shared by all, a line for each table, for an administrator.
pub fn describe(memory_mib: u64, vcpus: u32) -> Vec<String> {
    let usual = Limits::of(memory_mib, vcpus);
    let tables = Tables::of_host();
    let share = Share::now(&tables, usual);
    let mut lines = vec![
        format!("processes of a machine: {}", share.processes),
        format!("open files of a machine's process: {}", share.files),
    ];
    lines.extend(share.by_user.iter().map(|(name, most)| format!("user.{name} of a machine: {most}")));
    // Only root may read it.
    if let Some(bytes) = setting("net/core/bpf_jit_limit") {
        lines.push(format!(
            "socket filters of the host and of all machines by net.core.bpf_jit_limit: {bytes} bytes, not divided"
        ));
    }
    for table in tables.read() {
        let (entries, setting, free, most) = (table.entry.plural(), &table.setting, table.free(), table.most);
        lines.push(format!(
            "{entries} of the host by {setting}: {free} free of {most}, {} kept for the host",
            table.reserve()
        ));
        if table.is_short() {
            lines.push(format!("warning: the host has too few {entries} to share; raise {setting}"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(entry: Entry, most: u64, used: u64, each: u64) -> Table {
        Table { entry, setting: "a.setting".to_owned(), most, used, each }
    }

    #[test]
    fn this_host_has_tables() {
        let tables = Tables::of_host().read();
        for entry in [Entry::Process, Entry::File, Entry::Terminal] {
            assert!(tables.iter().any(|table| table.entry == entry && table.free() > 0), "{tables:?}");
        }
        assert!(!own_settings().is_empty());
    }

    #[test]
    fn a_large_host_gives_what_is_usual_and_a_small_one_says_what_is_less() {
        let usual = Limits::of(1024, 2);
        let large = [table(Entry::Process, 4 << 20, 1000, 3), table(Entry::File, u64::MAX, 1000, 1)];
        let plenty = BY_USER.iter().map(|(name, usual)| ((*name).to_owned(), usual * 4)).collect();
        let share = Share::of(&large, plenty, usual);
        assert_eq!((share.processes, share.files, share.notes), (usual.threads(), usual.files(), Vec::new()));

        let small = [table(Entry::Process, 32_768, 768, 3), table(Entry::File, 20_000, 1000, 1)];
        let share = Share::of(&small, vec![("max_inotify_instances".to_owned(), 128)], usual);
        assert_eq!((share.processes, share.files), ((32_000 - 4096) / 12, (19_000 - 2500) / 4));
        assert_eq!(share.by_user, [("max_inotify_instances".to_owned(), 32)]);
        assert_eq!(share.notes.len(), 3, "{:?}", share.notes);
        assert!(share.notes[0].contains("2325 processes rather than 8192"), "{:?}", share.notes);
    }

    proptest! {
        #[test]
        fn a_machine_that_takes_all_of_its_share_leaves_the_reserve(most: u64, used: u64, each in 1u64..4) {
            for entry in [Entry::Process, Entry::File, Entry::Terminal] {
                let before = table(entry, most, used, each);
                let after = Table { used: used.saturating_add(before.share() * each), ..before.clone() };
                prop_assert!(before.is_short() || !after.is_short(), "{before:?}, {after:?}");
                // Another that starts then gets less, but as much as three quarters of it.
                prop_assert!(after.share() <= before.share() && after.share() + 1 >= before.share() / 4 * 3);
            }
        }
    }
}
