//! A machine that stands still while it is looked at: else what comes and goes, or is passed on meanwhile, is missed.
//!
//! Where it has a cgroup of version 2, the kernel freezes that. Elsewhere the machine is first looked at as it runs, since nobody
//! notices that; only if processes have come or gone meanwhile are all of them stopped (SIGSTOP), and looked at again.

use super::{
    cgroup::Cgroup,
    kernel,
    processes::{Process, Processes},
    root::told,
};
use rustix::{
    fs::{Mode, OFlags},
    process::{Pid, Signal, kill_process},
};
use std::{
    collections::BTreeSet,
    io, thread,
    time::{Duration, Instant},
};

/// How often the machine may end the process that stops it: while it is powered off, it sends signals to all there are.
const TRIES: usize = 4;
/// How long processes may take to stop.
const STOP_WITHIN: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_millis(1);

/// Looks at a machine's processes; says whether nothing can have been missed, as far as the machine has a say in it.
pub fn look<T>(init: Pid, cgroup: &Cgroup, look: impl Fn(&[Process]) -> T) -> (T, bool) {
    let frozen = cgroup.freeze();
    let before = Processes::certainly_of(init);
    let found = look(&before.all);
    if frozen.is_some() || Processes::certainly_of(init).is_as(&before) {
        return (found, true);
    }
    match Stopped::stop(init, &before.all) {
        Ok(Some(stopped)) => {
            let found = look(&stopped.processes.all);
            let is_certain = stopped.has_held();
            (found, is_certain)
        }
        Ok(None) => (found, false),
        // The host's affair.
        Err(error) => {
            tracing::debug!("failed to {error}; the machine is counted while it runs");
            (found, true)
        }
    }
}

/// Does something while a machine stands still, as far as it can be had to.
pub fn during<T>(init: Pid, cgroup: &Cgroup, act: impl FnOnce() -> T) -> T {
    let frozen = cgroup.freeze();
    let running = || Processes::certainly_of(init).all;
    let stopped = frozen.is_none().then(|| Stopped::stop(init, &running()));
    if let Some(Err(error)) = &stopped {
        tracing::debug!("failed to {error}; the machine runs meanwhile");
    }
    act()
}

/// A machine whose processes were stopped; they go on when this is dropped.
struct Stopped {
    init: Pid,
    /// Who had been stopped already, and stays so.
    before: BTreeSet<i32>,
    processes: Processes,
}

impl Stopped {
    /// None where the machine keeps itself from being stopped.
    fn stop(init: Pid, running: &[Process]) -> io::Result<Option<Self>> {
        let namespace = format!("/proc/{}/ns/pid", init.as_raw_pid());
        let namespace = rustix::fs::open(&namespace, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(told("open", namespace))?;
        let before = running.iter().filter(|process| process.state == b'T').map(|process| process.pid).collect();
        let mut stopped = Self { init, before, processes: Processes { all: Vec::new(), is_certain: true } };
        for _ in 0..TRIES {
            if kernel::signal_all_in(&namespace, Signal::STOP).map_err(told("stop", "the machine's processes"))? {
                stopped.settle();
                return Ok(Some(stopped));
            }
        }
        Ok(None)
    }

    /// Waits until all have stopped.
    fn settle(&mut self) {
        let since = Instant::now();
        loop {
            self.processes = Processes::certainly_of(self.init);
            if self.stands_still(&self.processes) || since.elapsed() > STOP_WITHIN {
                return;
            }
            thread::sleep(LOOK);
        }
    }

    fn stands_still(&self, processes: &Processes) -> bool {
        processes.all.iter().all(|process| process.pid == self.init.as_raw_pid() || process.stands_still())
    }

    /// Whether none has gone on meanwhile: a process may have seen to it that it is sent a SIGCONT.
    fn has_held(&self) -> bool {
        let now = Processes::certainly_of(self.init);
        // What else ends on the host is none of it.
        let certain = |processes: &Processes| Processes { is_certain: true, ..processes.clone() };
        self.stands_still(&now) && certain(&now).is_as(&certain(&self.processes))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let processes = Processes::certainly_of(self.init);
        // Children first: a shell that goes on shall not find that its job has stopped.
        let all = processes.all.iter().rev().map(|process| process.pid).chain(processes.beside(self.init));
        let stopped = all.filter(|pid| *pid != self.init.as_raw_pid() && !self.before.contains(pid));
        for pid in stopped.filter_map(Pid::from_raw) {
            // It may have been ended.
            let _ = kill_process(pid, Signal::CONT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::sandbox::{holdings, limits::Limits, tables::Entry};
    use std::{
        io::{BufRead, BufReader, Write},
        process::{Child, Command, Stdio},
    };

    /// Processes in a pid namespace of their own, by a script of its init's.
    struct Machine {
        outside: Child,
        init: Pid,
    }

    /// A process that has 300 files open, passes them on to a child, and ends, and so on.
    const HOP: &str =
        "fork or do { my @all = map { open my $one, '<', '/dev/null'; $one } 1 .. 300; while (1) { fork and exit } };";

    impl Machine {
        /// None where only root can make one. The script begins when this has been done with the machine's init.
        fn start(script: &str, before: impl FnOnce(Pid)) -> Option<Self> {
            if !rustix::process::geteuid().is_root() {
                eprintln!("skipped: only root can enter a pid namespace from this process");
                return None;
            }
            let script = format!("$| = 1; $^F = 1000; <STDIN>; {script}; print qq(ready\\n); 1 while wait != 0");
            let mut outside = Command::new("unshare")
                .args(["--pid", "--fork", "--kill-child", "perl", "-e", &script])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let init = loop {
                let found = Processes::of(Pid::from_child(&outside));
                if let [_, init] = found.all[..] {
                    break Pid::from_raw(init.pid).unwrap();
                }
            };
            before(init);
            outside.stdin.take().unwrap().write_all(b"\n").unwrap();
            let mut lines = BufReader::new(outside.stdout.take().unwrap()).lines();
            assert_eq!(lines.next().unwrap().unwrap(), "ready");
            let machine = Self { outside, init };
            while machine.files(&Processes::of(init).all) < 300 && script.contains(HOP) {}
            Some(machine)
        }

        fn files(&self, processes: &[Process]) -> u64 {
            processes.iter().map(|process| holdings::count(&[*process], Entry::File).count).max().unwrap_or(0)
        }

        fn pids(&self) -> Vec<i32> {
            Processes::of(self.init).all.iter().map(|process| process.pid).collect()
        }

        /// On a busy host a process may take longer to stop than is waited for.
        fn stop(&self) -> Stopped {
            let since = Instant::now();
            loop {
                let stopped = Stopped::stop(self.init, &Processes::of(self.init).all).unwrap().unwrap();
                if stopped.has_held() {
                    return stopped;
                }
                assert!(since.elapsed() < Duration::from_secs(60));
            }
        }

        fn goes_on(&self) -> bool {
            let before = self.pids();
            let since = Instant::now();
            while since.elapsed() < Duration::from_secs(60) {
                if self.pids() != before {
                    return true;
                }
            }
            false
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            self.outside.kill().unwrap();
            self.outside.wait().unwrap();
        }
    }

    #[test]
    fn misses_nobody_who_passes_on_what_they_hold() {
        let Some(machine) = Machine::start(HOP, |_| {}) else { return };
        let look = || look(machine.init, &Cgroup::default(), |processes| machine.files(processes));
        for _ in 0..20 {
            // On a busy host a process may take longer to stop than is waited for, which is said.
            let since = Instant::now();
            let (files, is_certain) = std::iter::repeat_with(look)
                .find(|(_, is_certain)| *is_certain || since.elapsed() > Duration::from_secs(60))
                .unwrap();
            assert!(files >= 300 && is_certain, "{files} {is_certain}");
        }
        assert!(machine.goes_on());
    }

    #[test]
    fn leaves_who_was_stopped_as_they_were() {
        let script = format!("if (my $one = fork) {{ kill STOP => $one }} else {{ sleep 1000 }} {HOP}");
        let Some(machine) = Machine::start(&script, |_| {}) else { return };
        let stopped = || Processes::of(machine.init).all.into_iter().find(|process| process.state == b'T');
        let before = stopped().unwrap();
        drop(machine.stop());
        assert_eq!(stopped(), Some(before));
        assert!(machine.goes_on());
    }

    #[test]
    fn is_not_certain_of_who_goes_on_meanwhile() {
        let script = format!("fork or do {{ 1 while 1 }}; {HOP}");
        let Some(machine) = Machine::start(&script, |_| {}) else { return };
        let stopped = machine.stop();
        // The first that init has started.
        let busy = Pid::from_raw(stopped.processes.all[1].pid).unwrap();
        kill_process(busy, Signal::CONT).unwrap();
        assert!(!stopped.has_held());
        drop(stopped);
        assert!(machine.goes_on());
    }

    #[test]
    fn is_not_stopped_by_who_ends_all_others() {
        let script = "fork or do { while (1) { kill KILL => -1; fork or exit } }";
        let Some(machine) = Machine::start(script, |_| {}) else { return };
        for _ in 0..20 {
            look(machine.init, &Cgroup::default(), |_| {});
        }
        assert!(machine.goes_on());
    }

    #[test]
    fn stands_still_in_a_cgroup_of_version_2() {
        let name = format!("standstill-{}", std::process::id());
        let cgroup = Cgroup::make(&name, Limits::of(1024, 2));
        let Some(machine) = Machine::start(HOP, |init| cgroup.enter(init).unwrap()) else { return };
        if cgroup.freeze().is_none() {
            return eprintln!("skipped: this host has no cgroups of version 2");
        }
        for _ in 0..20 {
            let (looks, is_certain) = look(machine.init, &cgroup, |processes| {
                let before = machine.pids();
                thread::sleep(LOOK);
                (machine.files(processes), before == machine.pids())
            });
            assert!(is_certain && looks.0 >= 300 && looks.1, "{looks:?}");
        }
        assert!(machine.goes_on());
        drop(machine);
    }
}
