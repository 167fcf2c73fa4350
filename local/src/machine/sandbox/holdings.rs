//! How much a machine holds of a table that is the host's: counted by its keeper, when the table is nearly full.

use super::{processes::Processes, tables::Entry};
use rustix::{
    fs::{AtFlags, CWD, statat},
    process::Pid,
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// How long is counted. Its keeper does nothing else meanwhile, and a machine can have as much open as it likes: what is in none
/// of the host's tables, too.
pub const PATIENCE: Duration = Duration::from_millis(500);

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

/// What these processes hold. What several of them share counts several times, and what is on its way between them doesn't; nor
/// does what a process that ends meanwhile has passed on.
pub fn count(init: Pid, entry: Entry) -> Holding {
    let until = Instant::now() + PATIENCE;
    let mut holding = Holding { count: 0, is_complete: true };
    for process in Processes::of(init).all {
        if Instant::now() >= until {
            return Holding { is_complete: false, ..holding };
        }
        match entry {
            Entry::Process => holding.count += process.threads,
            Entry::File | Entry::Terminal => {
                process.open_files().for_each(|table| open_in(&table, entry, until, &mut holding));
            }
        }
    }
    holding
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
