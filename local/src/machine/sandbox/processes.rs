//! A machine's processes, as its keeper finds them in `/proc`.

use super::kernel;
use rustix::process::Pid;
use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long it is looked again before there is no certainty.
const PATIENCE: Duration = Duration::from_millis(30);

/// A process of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub threads: u64,
    /// What its first thread does, by the letter of proc(5).
    pub state: u8,
}

/// The processes of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processes {
    /// Init comes first, and parents before their children.
    pub all: Vec<Process>,
    /// Whether some process of the host's, perhaps the machine's, has ended while they were listed.
    pub is_certain: bool,
}

impl Processes {
    /// Init and all its descendants; that is everybody in the machine's namespaces, since orphans are init's or another
    /// descendant's.
    pub fn of(init: Pid) -> Self {
        let init = init.as_raw_pid();
        let mut children: HashMap<i32, Vec<Process>> = HashMap::new();
        let mut found = Self { all: Vec::new(), is_certain: true };
        for pid in numbers(Path::new("/proc")) {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
            let Some((parent, state, threads)) = stat.ok().and_then(|stat| parse(&stat)) else {
                found.is_certain = false;
                continue;
            };
            let process = Process { pid, threads, state };
            if pid == init {
                found.all.push(process);
            } else {
                children.entry(parent).or_default().push(process);
            }
        }
        let mut next = 0;
        while let Some(process) = found.all.get(next).copied() {
            found.all.extend(children.remove(&process.pid).unwrap_or_default());
            next += 1;
        }
        found
    }
}

impl Processes {
    /// The same, looked for several times if need be: the host's own come and go.
    pub fn certainly_of(init: Pid) -> Self {
        let since = Instant::now();
        loop {
            let found = Self::of(init);
            if found.is_certain || since.elapsed() > PATIENCE {
                return found;
            }
        }
    }

    /// Whether none is known to have come or gone between this and an earlier look.
    pub fn is_as(&self, earlier: &Self) -> bool {
        let alive = |found: &Self| -> BTreeSet<i32> {
            found
                .all
                .iter()
                .filter(|process| !process.has_ended() || process.threads > 1)
                .map(|process| process.pid)
                .collect()
        };
        self.is_certain && earlier.is_certain && alive(self) == alive(earlier)
    }

    /// What is in the machine's pid namespace, and descends from none of it: what somebody has sent there from the host.
    pub fn beside(&self, init: Pid) -> Vec<i32> {
        let namespace = |pid| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let Some(its) = namespace(init.as_raw_pid()) else { return Vec::new() };
        let own: BTreeSet<i32> = self.all.iter().map(|process| process.pid).collect();
        let others = numbers(Path::new("/proc")).filter(|pid| !own.contains(pid));
        others.filter(|pid| namespace(*pid).as_ref() == Some(&its)).collect()
    }
}

impl Process {
    /// Where what it has open stands: a thread may have a table of its own.
    pub fn open_files(self) -> impl Iterator<Item = PathBuf> {
        let threads = format!("/proc/{}/task", self.pid);
        let has_own = move |thread: &i32| *thread == self.pid || !kernel::share_open_files(self.pid, *thread);
        numbers(Path::new(&threads)).filter(has_own).map(move |thread| format!("{threads}/{thread}/fd").into())
    }

    /// Where `/proc` tells of its memory. A first thread that has ended has none any more, but others may.
    pub fn memory(self) -> PathBuf {
        let other = || numbers(Path::new(&format!("/proc/{}/task", self.pid))).find(|thread| *thread != self.pid);
        let thread = if self.has_ended() { other() } else { None };
        format!("/proc/{}", thread.unwrap_or(self.pid)).into()
    }

    /// Whether its first thread has.
    pub fn has_ended(self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }

    /// What its threads do.
    pub fn states(self) -> Vec<u8> {
        if self.threads < 2 {
            return vec![self.state];
        }
        let threads = format!("/proc/{}/task", self.pid);
        let stats = numbers(Path::new(&threads)).map(|thread| fs::read_to_string(format!("{threads}/{thread}/stat")));
        stats.filter_map(|stat| Some(parse(&stat.ok()?)?.1)).collect()
    }

    /// Whether it does nothing, or nothing but what it is doing in the kernel.
    pub fn stands_still(self) -> bool {
        self.states().iter().all(|state| matches!(state, b'T' | b't' | b'D' | b'Z' | b'X'))
    }
}

/// The entries of a directory whose names are numbers.
fn numbers(directory: &Path) -> impl Iterator<Item = i32> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(io::Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// A process's parent, its state, and its number of threads (proc(5), `/proc/pid/stat`).
fn parse(stat: &str) -> Option<(i32, u8, u64)> {
    // The name, in parentheses, may have anything in it.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = *fields.next()?.as_bytes().first()?;
    Some((fields.next()?.parse().ok()?, state, fields.nth(15)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::getpid;
    use std::{process::Command, thread};

    #[test]
    fn reads_what_is_after_any_name() {
        let rest = "S 17 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 100";
        assert_eq!(parse(&format!("42 (a) b) ( (c) {rest}")), Some((17, b'S', 9)));
        assert_eq!(parse("42 (a"), None);
    }

    #[test]
    fn finds_this_process_its_threads_and_its_children() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let child_pid = Pid::from_child(&child).as_raw_pid();
        thread::scope(|scope| {
            let (end, ended) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || ended.recv());
            let found = Processes::of(getpid()).all;
            assert_eq!(found[0].pid, getpid().as_raw_pid());
            assert!(found[0].threads > 1 && found[0].states().len() > 1, "{found:?}");
            assert!(found.iter().any(|process| process.pid == child_pid), "{found:?}");
            // Threads of one process share their open files.
            assert_eq!(found[0].open_files().count(), 1);
            drop(end);
        });
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
