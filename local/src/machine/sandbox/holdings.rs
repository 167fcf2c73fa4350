//! How much a machine holds of a table that is the host's: counted by its keeper, when the table is nearly full.

use super::{kernel, tables::Entry};
use rustix::{
    fs::{AtFlags, CWD, statat},
    process::Pid,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// How long is counted. Its keeper does nothing else meanwhile, and a machine can have as much open as it likes: what is in none
/// of the host's tables, too.
const PATIENCE: Duration = Duration::from_millis(500);

/// Major numbers of a terminal's sides, and what opens one (the kernel's `devices.txt`).
const TERMINALS: std::ops::RangeInclusive<u32> = 136..=143;
const MULTIPLEXER: (u32, u32) = (5, 2);

/// What a machine holds of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// As far as it was counted.
    pub count: u64,
    /// Whether all of it was.
    pub is_complete: bool,
}

/// What init and all its descendants hold; that is everybody in the machine's namespaces, since orphans are init's or another
/// descendant's. What several of them share counts several times, and what is on its way between them doesn't; nor does what a
/// process that ends meanwhile has passed on, unless the machine stands still.
pub fn count(init: Pid, entry: Entry) -> Holding {
    let until = Instant::now() + PATIENCE;
    let mut holding = Holding { count: 0, is_complete: true };
    for process in descendants(init.as_raw_pid()) {
        if Instant::now() >= until {
            return Holding { is_complete: false, ..holding };
        }
        match entry {
            Entry::Process => holding.count += process.threads,
            Entry::File | Entry::Terminal => open(process.pid, entry, until, &mut holding),
        }
    }
    holding
}

#[derive(Debug, Clone, Copy)]
struct Process {
    pid: i32,
    threads: u64,
}

fn descendants(init: i32) -> Vec<Process> {
    let mut children: HashMap<i32, Vec<Process>> = HashMap::new();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok) {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Some((parent, threads)) = fs::read_to_string(entry.path().join("stat")).ok().and_then(|stat| parse(&stat))
        else {
            continue;
        };
        let process = Process { pid, threads };
        if pid == init {
            found.push(process);
        } else {
            children.entry(parent).or_default().push(process);
        }
    }
    let mut next = 0;
    while let Some(process) = found.get(next).copied() {
        found.extend(children.remove(&process.pid).unwrap_or_default());
        next += 1;
    }
    found
}

/// A process's parent and its number of threads (proc(5), `/proc/pid/stat`).
fn parse(stat: &str) -> Option<(i32, u64)> {
    // The name, in parentheses, may have anything in it.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(1);
    Some((fields.next()?.parse().ok()?, fields.nth(15)?.parse().ok()?))
}

/// Adds what a process has open; a thread may have a table of its own.
fn open(pid: i32, entry: Entry, until: Instant, holding: &mut Holding) {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().filter_map(Result::ok);
    for thread in threads {
        let id = thread.file_name().to_str().and_then(|name| name.parse().ok());
        if id == Some(pid) || id.is_some_and(|id| !kernel::share_open_files(pid, id)) {
            open_in(&thread.path().join("fd"), entry, until, holding);
        }
    }
}

fn open_in(directory: &Path, entry: Entry, until: Instant, holding: &mut Holding) {
    // Kernels from 6.2 on say how many there are.
    if entry == Entry::File
        && let Ok(found) = fs::metadata(directory)
        && found.len() > 0
    {
        holding.count += found.len();
        return;
    }
    let counts = |file: &fs::DirEntry| match entry {
        Entry::Terminal => statat(CWD, file.path(), AtFlags::empty()).is_ok_and(|found| {
            let device = (rustix::fs::major(found.st_rdev), rustix::fs::minor(found.st_rdev));
            device == MULTIPLEXER || TERMINALS.contains(&device.0)
        }),
        _ => true,
    };
    for file in fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok) {
        if Instant::now() >= until {
            holding.is_complete = false;
            return;
        }
        holding.count += u64::from(counts(&file));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::getpid;

    #[test]
    fn reads_what_is_after_any_name() {
        let rest = "S 17 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 100";
        assert_eq!(parse(&format!("42 (a) b) ( (c) {rest}")), Some((17, 9)));
        assert_eq!(parse("42 (a"), None);
    }

    #[test]
    fn counts_what_this_process_and_its_children_hold() {
        let (processes, files) = (count(getpid(), Entry::Process).count, count(getpid(), Entry::File).count);
        let opened: Vec<_> = (0..500).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        // Other tests have theirs.
        assert!(count(getpid(), Entry::File).count >= 500 && files > 0);
        assert!(count(getpid(), Entry::Process).count >= 2 && processes > 0);
        child.kill().unwrap();
        child.wait().unwrap();
        drop(opened);
    }
}
