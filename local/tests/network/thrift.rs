//! What the switch costs: nothing when idle, nothing that stays. Measured in a process of its own each, since tests that
//! run beside these cost as well.

use crate::lab::{Lab, eventually, nic, raise_limit_of_files};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    process::Command,
    thread,
    time::Duration,
};

#[test]
fn an_idle_switch_sleeps() {
    alone("thrift::idle");
}

#[test]
#[ignore = "started by an_idle_switch_sleeps"]
fn idle() {
    let lab = Lab::new();
    let nic = nic("vpc-1", [10, 0, 0, 5]);
    let (machine, _attached) = lab.machine(&nic);
    let listener = machine.listen(80);
    let _host = lab.reach(&nic, 80).unwrap();
    let _guest = listener.accept().unwrap();
    thread::sleep(Duration::from_secs(1));
    let before = wake_ups();
    thread::sleep(Duration::from_secs(2));
    let after = wake_ups();
    assert!(after - before < 20, "the switch woke up {} times for nothing", after - before);
}

#[test]
fn thousands_of_connections_leave_nothing_behind() {
    alone("thrift::connections");
}

#[test]
#[ignore = "started by thousands_of_connections_leave_nothing_behind"]
fn connections() {
    const EACH: usize = 250;
    let lab = Lab::new();
    let nic = nic("vpc-1", [10, 0, 0, 5]);
    let (machine, attached) = lab.machine(&nic);
    let listener = machine.listen(80);
    thread::spawn(move || {
        while let Ok((mut guest, _)) = listener.accept() {
            let mut said = Vec::new();
            guest.read_to_end(&mut said).unwrap();
            guest.write_all(&said).unwrap();
        }
    });
    let one = || {
        let mut host = lab.reach(&nic, 80).unwrap();
        host.write_all(b"ping").unwrap();
        host.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        host.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"ping");
    };
    let round = || {
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..EACH).for_each(|_| one()));
            }
        });
    };
    let before = descriptors();
    round();
    eventually("every stream is closed", || descriptors() == before);
    let memory = memory();
    round();
    eventually("every stream is closed", || descriptors() == before);
    // A connection that stayed would hold half a megabyte.
    let grown = self::memory().saturating_sub(memory);
    assert!(grown < 16 * 1024, "{grown} KiB more after {} connections", 8 * EACH);

    drop(attached);
    drop(machine);
    drop(lab);
    eventually("the switch's threads end", || !threads().iter().any(|name| name.starts_with("switch")));
}

#[test]
fn connections_that_nobody_reads_cost_little() {
    alone("thrift::hoard");
}

#[test]
#[ignore = "started by connections_that_nobody_reads_cost_little"]
fn hoard() {
    const CONNECTIONS: usize = 600;
    raise_limit_of_files();
    let lab = Lab::new();
    let nic = nic("vpc-1", [10, 0, 0, 5]);
    let (machine, _attached) = lab.machine(&nic);
    let listener = machine.listen(80);
    let before = memory();
    let mut hoard = Vec::new();
    for _ in 0..CONNECTIONS {
        let host = lab.reach(&nic, 80).unwrap();
        let (guest, _) = listener.accept().unwrap();
        host.set_nonblocking(true).unwrap();
        guest.set_nonblocking(true).unwrap();
        hoard.push((host, guest));
    }
    // Until nothing more fits, neither in the kernel nor in the switch, and a moment for what is between them.
    let mut quiet = 0;
    while quiet < 5 {
        let said =
            hoard.iter_mut().map(|(host, guest)| usize::from(fill(host)) + usize::from(fill(guest))).sum::<usize>();
        quiet = if said == 0 { quiet + 1 } else { 0 };
        thread::sleep(Duration::from_millis(20));
    }
    let each = memory().saturating_sub(before) / CONNECTIONS as u64;
    assert!(each < 128, "{each} KiB for each of {CONNECTIONS} connections");
}

#[test]
fn who_comes_in_leaves_files_to_the_host() {
    alone("thrift::files");
}

#[test]
#[ignore = "started by who_comes_in_leaves_files_to_the_host"]
fn files() {
    const FILES: u64 = 400;
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(FILES), ..files }).unwrap();
    let lab = Lab::new();
    let nic = nic("vpc-1", [10, 0, 0, 5]);
    let (machine, _attached) = lab.machine(&nic);
    // Nobody there accepts, so none of them ends.
    let _listener = machine.listen(80);
    let reached = (0..FILES).map_while(|_| lab.reach(&nic, 80).ok()).count() as u64;
    assert!((FILES / 2..=FILES * 3 / 4).contains(&reached), "{reached} connections");
    let error = lab.reach(&nic, 80).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy, "{error}");
    assert!(error.to_string().contains("ulimit -n"), "{error}");
}

/// Says as much as fits; whether it was anything.
fn fill(to: &mut impl Write) -> bool {
    let much = [b'x'; 64 << 10];
    let mut said = false;
    while to.write(&much).is_ok() {
        said = true;
    }
    said
}

/// Runs an ignored test in a process of its own.
fn alone(test: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// How often the switch's threads have slept, all in all.
fn wake_ups() -> u64 {
    let mut found = 0;
    let mut sum = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        if std::fs::read_to_string(task.join("comm")).unwrap().starts_with("switch") {
            found += 1;
            let status = std::fs::read_to_string(task.join("status")).unwrap();
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap();
            sum += line.split_whitespace().last().unwrap().parse::<u64>().unwrap();
        }
    }
    assert_eq!(found, 2, "the switch's threads");
    sum
}

fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok()).collect()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Anonymous memory, in KiB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
