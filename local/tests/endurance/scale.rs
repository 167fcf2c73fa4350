//! Many machines at once; more of them where the environment says so (`scripts/endurance` does).

use crate::endpoint::{PATIENCE, Server, State, descendants, eventually};
use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How many sandboxes there are, and how many instances without a machine.
const SANDBOXES: (&str, usize) = ("EC2_LOCAL_TEST_SANDBOXES", 40);
const BLANK: (&str, usize) = ("EC2_LOCAL_TEST_BLANK", 2000);
/// How many are launched by one request.
const AT_ONCE: usize = 500;
/// How many clients ask at the same time.
const CLIENTS: usize = 8;

pub fn setting((name, default): (&str, usize)) -> usize {
    std::env::var(name).ok().map_or(default, |value| value.parse().unwrap())
}

/// What a process takes of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub kib: u64,
    pub descriptors: usize,
    pub threads: usize,
}

impl Usage {
    pub fn of(pid: u32) -> Self {
        let count = |what: &str| fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib = resident.split_whitespace().next().unwrap().parse().unwrap();
        Self { kib, descriptors: count("fd"), threads: count("task") }
    }
}

/// What processes have in memory, each its share of what they have in common; none where only root may know.
fn shares(pids: &[u32]) -> Option<u64> {
    let share = |pid: &u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        text.lines().find_map(|line| line.strip_prefix("Pss:")?.split_whitespace().next()?.parse::<u64>().ok())
    };
    pids.iter().map(share).sum()
}

/// Whether a machine's SSH server says hello.
pub fn answers(run: &Path, instance: &str) -> bool {
    let Ok(mut stream) = UnixStream::connect(run.join("way-in")) else { return false };
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    if writeln!(stream, "connect {instance} 22").is_err() {
        return false;
    }
    let mut lines = BufReader::new(stream).lines();
    lines.next().is_some_and(|line| line.is_ok_and(|line| line == "ok"))
        && lines.next().is_some_and(|line| line.is_ok_and(|line| line.starts_with("SSH-2.0-")))
}

fn all_answer(state: &State, instances: &[String]) {
    let run = &state.runs()[0];
    let next = AtomicUsize::new(0);
    let since = Instant::now();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while let Some(instance) = instances.get(next.fetch_add(1, Ordering::Relaxed)) {
                    while !answers(run, instance) {
                        assert!(since.elapsed() < 3 * PATIENCE, "{instance} doesn't answer");
                        thread::sleep(Duration::from_millis(20));
                    }
                }
            });
        }
    });
}

fn launch(server: &Server, image: &str, count: usize) -> Vec<String> {
    let mut launched = Vec::new();
    while launched.len() < count {
        // The subnet of a zone has 4,091 addresses.
        let zone = ["a", "b", "c"][launched.len() / AT_ONCE % 3];
        let some = AT_ONCE.min(count - launched.len());
        launched.extend(server.launch(image, some, &format!("&Placement.AvailabilityZone=us-east-1{zone}")));
    }
    assert_eq!(launched.iter().collect::<BTreeSet<_>>().len(), count);
    launched
}

fn terminate(server: &Server, instances: &[String]) {
    for some in instances.chunks(AT_ONCE) {
        let ids: String = some.iter().enumerate().map(|(n, id)| format!("&InstanceId.{}={id}", n + 1)).collect();
        server.door.ok(&format!("Action=TerminateInstances{ids}"));
    }
}

#[test]
fn many_at_once() {
    let (sandboxes, blank) = (setting(SANDBOXES), setting(BLANK));
    let state = State::new();
    let server = Server::start(&state);
    server.let_in_ssh();
    let before = Usage::of(server.pid());
    println!("before: {before:?}");

    let since = Instant::now();
    let machines = launch(&server, "host", sandboxes);
    eventually("all sandboxes run", || server.count("running") == sandboxes);
    println!("{sandboxes} sandboxes run after {:.1} s", since.elapsed().as_secs_f64());
    all_answer(&state, &machines);
    println!("{sandboxes} sandboxes have answered on SSH after {:.1} s", since.elapsed().as_secs_f64());
    thread::sleep(Duration::from_secs(1));
    let processes = descendants(server.pid());
    match shares(&processes) {
        Some(kib) => println!("an idle sandbox has {} KiB of memory", kib / sandboxes as u64),
        None => println!("only root may know how large the machines are"),
    }
    println!("with them: {:?}", Usage::of(server.pid()));

    let since = Instant::now();
    let instances = launch(&server, "blank", blank);
    println!("{blank} blank instances are launched after {:.1} s", since.elapsed().as_secs_f64());
    eventually("all run", || server.count("running") == sandboxes + blank);
    println!("{blank} blank instances run after {:.1} s", since.elapsed().as_secs_f64());
    println!("with them: {:?}", Usage::of(server.pid()));

    // Killed with all of them, and started again.
    let journal = fs::metadata(state.runs()[0].join("journal")).unwrap().len();
    let since = Instant::now();
    server.kill();
    println!(
        "all is gone {:.1} s after it was killed; the journal has {} KiB",
        since.elapsed().as_secs_f64(),
        journal >> 10
    );
    let since = Instant::now();
    let server = Server::start(&state);
    println!("the account is taken over after {:.1} s", since.elapsed().as_secs_f64());
    assert!(server.opening.contains(&format!("{} instances boot again", sandboxes + blank)), "{}", server.opening);
    all_answer(&state, &machines);
    println!("all answer again after {:.1} s", since.elapsed().as_secs_f64());

    let since = Instant::now();
    terminate(&server, &machines);
    terminate(&server, &instances);
    eventually("all are terminated", || server.count("terminated") == sandboxes + blank);
    println!("all are terminated after {:.1} s", since.elapsed().as_secs_f64());
    assert!(state.command().args(["advance", "3600"]).output().unwrap().status.success());
    eventually("all have vanished", || server.door.ok("Action=DescribeInstances").all("instanceId").is_empty());
    eventually("all processes are gone", || descendants(server.pid()).is_empty());
    eventually("all disks are gone", || fs::read_dir(state.runs()[0].join("disks")).unwrap().count() == 0);
    for action in ["DescribeNetworkInterfaces", "DescribeVolumes", "DescribeTags"] {
        let left = server.door.ok(&format!("Action={action}"));
        assert!(left.all("instanceId").is_empty(), "{left:?}");
    }
    let as_before = |usage: Usage| usage.descriptors <= before.descriptors && usage.threads <= before.threads;
    eventually("descriptors and threads are as before", || as_before(Usage::of(server.pid())));
    println!("after: {:?}", Usage::of(server.pid()));
    let since = Instant::now();
    server.end();
    println!("it has ended after {:.1} s", since.elapsed().as_secs_f64());
    state.assert_clean();
}
