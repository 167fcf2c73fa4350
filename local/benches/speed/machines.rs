//! How soon an endpoint answers, how soon a machine does, and what idle ones take.

use crate::{
    Result, Scope, in_a_place_of_its_own,
    local::Local,
    median,
    sshd::{self, Access},
};
use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::Path,
    thread,
    time::{Duration, Instant},
};

pub fn run(scope: Scope) -> Result {
    let (rounds, idle) = scope.pick((9, 50), (1, 2));
    let watched = scope.pick(Duration::from_secs(10), Duration::from_secs(1));
    for _ in 0..scope.pick(3, 1) {
        in_a_place_of_its_own(&["start-endpoint"])?;
    }
    let mut local = Local::start()?;
    let access = Access::prepare(&mut local)?;
    let image = local.image("host")?;
    let (mut greeted, mut answered) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let since = Instant::now();
        let machine = local.launch(&image, "us-east-1a", 1, &access.of_launch())?.remove(0);
        local.connect(&machine, 22)?.read_exact(&mut [0; 4])?;
        greeted.push(since.elapsed());
        sshd::exec(&access.log_in(&local, &machine)?, "true")?;
        answered.push(since.elapsed());
        local.api.call(&format!("Action=TerminateInstances&InstanceId.1={machine}"))?;
    }
    let (greeted, answered) = (median(greeted), median(answered));
    println!("a machine greets {greeted:.1?} after RunInstances began, and has run a command after {answered:.1?}");

    let ids = local.launch(&image, "us-east-1b", idle, &access.of_launch())?;
    local.until("running", idle)?;
    for machine in &ids {
        // Until its agent is up.
        local.connect(machine, 22)?.read_exact(&mut [0; 4])?;
    }
    thread::sleep(Duration::from_secs(2));
    let before = processor_time(local.endpoint.pid())?;
    thread::sleep(watched);
    let spent = processor_time(local.endpoint.pid())?.saturating_sub(before);
    let share = spent.as_secs_f64() / watched.as_secs_f64() * 100.0;
    println!("{idle} idle machines and their endpoint take {share:.3} % of a processor");
    Ok(())
}

/// Starts an endpoint, and says how long that took.
pub fn start_endpoint() -> Result {
    let since = Instant::now();
    let _local = Local::start()?;
    println!("an endpoint has answered a request after {:.1?}", since.elapsed());
    Ok(())
}

/// What a process and its descendants have used of the processors until now, as far as their threads still live.
fn processor_time(of: u32) -> Result<Duration> {
    let mut parents = BTreeMap::new();
    let mut used = BTreeMap::new();
    for process in fs::read_dir("/proc")?.filter_map(std::io::Result::ok) {
        let Some(id) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // It may have ended meanwhile.
        let Some((parent, nanoseconds)) = look_at(&process.path()) else { continue };
        parents.insert(id, parent);
        used.insert(id, nanoseconds);
    }
    let is_ours = |id: u32| std::iter::successors(Some(id), |id| parents.get(id).copied()).any(|id| id == of);
    Ok(Duration::from_nanos(used.iter().filter(|(id, _)| is_ours(**id)).map(|(_, used)| used).sum()))
}

/// A process's parent (proc_pid_stat(5)), and how many nanoseconds its threads have run
/// (<https://docs.kernel.org/scheduler/sched-stats.html>).
fn look_at(process: &Path) -> Option<(u32, u64)> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
    let threads = fs::read_dir(process.join("task")).ok()?.filter_map(std::io::Result::ok);
    let run = threads.filter_map(|thread| {
        let statistics = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        statistics.split(' ').next()?.parse::<u64>().ok()
    });
    Some((parent, run.sum()))
}
