//! What the switch costs: nothing when idle, nothing that stays. Measured in a process of its own each, since tests that
//! run beside these cost as well.

use crate::lab::{Lab, eventually, nic};
use std::{
    io::{Read, Write},
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
