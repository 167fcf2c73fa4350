//! How much a machine holds of a table that is the host's: counted by its keeper, when the table is nearly full.

use super::{processes::Process, tables::Entry};
use rustix::fs::{AtFlags, CWD, statat};
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

/// What these processes hold. What several of them share counts several times, and what is on its way between them doesn't. A
/// file is held by who has mapped it, too, and counts for each part that is mapped.
pub fn count(processes: &[Process], entry: Entry) -> Holding {
    let until = Instant::now() + PATIENCE;
    let mut holding = Holding { count: 0, is_complete: true };
    for process in processes {
        if Instant::now() >= until {
            return Holding { is_complete: false, ..holding };
        }
        match entry {
            Entry::Process => holding.count += process.threads,
            Entry::File | Entry::Terminal => {
                process.open_files().for_each(|table| open_in(&table, entry, until, &mut holding));
                if entry == Entry::File {
                    entries_of(&process.memory().join("map_files"), |_| true, until, &mut holding);
                }
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
    entries_of(directory, counts, until, holding);
}

/// Adds those entries of a directory that count.
fn entries_of(directory: &Path, counts: impl Fn(&fs::DirEntry) -> bool, until: Instant, holding: &mut Holding) {
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
    use crate::machine::sandbox::processes::Processes;
    use rustix::process::{Pid, getpid};
    use std::{
        io::Read,
        process::{Command, Stdio},
    };

    fn held(init: Pid, entry: Entry) -> u64 {
        count(&Processes::of(init).all, entry).count
    }

    #[test]
    fn counts_what_this_process_and_its_children_hold() {
        let (processes, files) = (held(getpid(), Entry::Process), held(getpid(), Entry::File));
        let opened: Vec<_> = (0..500).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        // Other tests have theirs.
        assert!(held(getpid(), Entry::File) >= 500 && files > 0);
        assert!(held(getpid(), Entry::Process) >= 2 && processes > 0);
        child.kill().unwrap();
        child.wait().unwrap();
        drop(opened);
    }

    #[test]
    fn counts_files_that_are_mapped_and_not_open_any_more() {
        let mmap = if cfg!(target_arch = "x86_64") { 9 } else { 222 };
        let script = format!(
            "$| = 1; for (1 .. 700) {{ open my $one, '<', $^X; syscall({mmap}, 0, 4096, 1, 2, fileno $one, 0); close $one }}
             print q(ready); sleep 1000"
        );
        let mut child = Command::new("perl").args(["-e", &script]).stdout(Stdio::piped()).spawn().unwrap();
        child.stdout.take().unwrap().read_exact(&mut [0; 5]).unwrap();
        let files = held(Pid::from_child(&child), Entry::File);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!((700..1000).contains(&files), "{files}");
    }
}
