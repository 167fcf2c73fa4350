//! What a launch costs beside the least that it can cost, measured in the same run.
//!
//! `cargo bench --profile dev --bench lifecycle`
//!
//! - `ratio harness/floor`: launch, first exec, terminate; ours, beside a bare loop over the SDK and ssh2 that polls every
//!   5 ms. Both wait for the same (running, SSH answers, cloud-init is done), on the same local EC2, taking turns; the median
//!   of each. A second line is without cloud-init on both sides.
//! - describes per launch, at the pace of AWS.
//! - `ratio sandbox/by-hand`: from RunInstances to the first exec of OpenSSH's `ssh`, beside the same by hand: namespaces by
//!   `unshare`, an overlay, `sshd` inside.
//! - the memory (PSS) of an idle sandbox.

mod by_hand;
mod floor;

use ec2_harness::prelude::*;
use floor::{Floor, Ready};
use std::{
    env,
    process::Command,
    time::{Duration, Instant},
};

/// How often each side is measured; odd, for the median.
const ROUNDS: usize = 15;

fn main() -> Result {
    let arguments: Vec<_> = env::args().skip(1).collect();
    // As ssh's ProxyCommand, to which standard output is the connection.
    if let [role, machine, port] = &arguments[..]
        && role == "connect"
    {
        return Ok(ec2_local::endpoint::connect_standard_streams(machine, port.parse()?)?);
    }
    // RUST_LOG=ec2_harness=debug shows where the time goes.
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    match arguments.first().map(String::as_str) {
        Some("beside-floor") => harness_beside_floor(),
        Some("aws-pace") => aws_pace(),
        Some("sandbox") => sandbox_beside_hand().and_then(|()| idle_memory()),
        _ => {
            // What we cost is measured without what chance adds to either side.
            let calm = ("EC2_HARNESS_LOCAL_CONDITIONS", "calm");
            in_a_place_of_its_own("beside-floor", &[calm]);
            in_a_place_of_its_own("aws-pace", &[("EC2_HARNESS_LOCAL_PACE", "1")]);
            in_a_place_of_its_own("sandbox", &[calm]);
            Ok(())
        }
    }
}

fn harness_beside_floor() -> Result {
    let ec2 = Ec2::connect().wait()?;
    let floor = Floor::prepare(&ec2)?;
    // The first of each makes what a run makes once.
    ours(&ec2, Ready::CloudInitDone)?;
    floor.measure(Ready::CloudInitDone)?;
    for (ready, what) in [(Ready::CloudInitDone, ""), (Ready::SshAnswers, " (cloud-init not waited for)")] {
        let (mut harness, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            harness.push(ours(&ec2, ready)?);
            bare.push(floor.measure(ready)?);
        }
        let (harness, bare) = (median(harness), median(bare));
        println!("launch, first exec, terminate{what}: harness {harness:.1?}, floor {bare:.1?}");
        println!("ratio harness/floor{what} {:.2}", harness.as_secs_f64() / bare.as_secs_f64());
    }
    floor.clean_up()
}

fn ours(ec2: &Ec2, ready: Ready) -> Result<Duration> {
    let since = Instant::now();
    let launch = ec2.launch_default();
    let vm = match ready {
        Ready::CloudInitDone => launch.wait()?,
        Ready::SshAnswers => launch.without_waiting().wait()?,
    };
    vm.exec("true").wait()?;
    vm.terminate().wait()?;
    Ok(since.elapsed())
}

/// Runs this program again with an endpoint of its own: what is set for it holds from its start.
fn in_a_place_of_its_own(argument: &str, variables: &[(&str, &str)]) {
    let place = tempfile::tempdir().expect("a directory for an endpoint of its own");
    let status = Command::new(env::current_exe().expect("this program"))
        .arg(argument)
        .env("EC2_LOCAL_STATE_DIR", place.path().join("local"))
        .env("EC2_HARNESS_STATE_DIR", place.path().join("harness"))
        .env("EC2_HARNESS_LOCAL_LINGER", "1s")
        .envs(variables.iter().copied())
        .status()
        .expect("this program, again");
    assert!(status.success(), "{argument}: {status}");
    // The endpoint writes there until it is gone.
    std::thread::sleep(Duration::from_secs(3));
}

fn aws_pace() -> Result {
    let ec2 = Ec2::connect().wait()?;
    let before = ec2.statistics().describes;
    let since = Instant::now();
    drop(ec2.launch_default().wait()?);
    let describes = ec2.statistics().describes - before;
    println!("at the pace of AWS: ready after {:.1?} with {describes} describes", since.elapsed());
    Ok(())
}

fn sandbox_beside_hand() -> Result {
    let ec2 = Ec2::connect().wait()?;
    let floor = Floor::prepare(&ec2)?;
    if let Some(reason) = by_hand::missing() {
        println!("ratio sandbox/by-hand not measured: {reason}");
        return floor.clean_up();
    }
    floor.first_ssh()?;
    by_hand::first_ssh();
    let (mut sandbox, mut hand) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        sandbox.push(floor.first_ssh()?);
        hand.push(by_hand::first_ssh());
    }
    let (sandbox, hand) = (median(sandbox), median(hand));
    println!("to the first exec of ssh: sandbox {sandbox:?}, by hand {hand:?}");
    println!("ratio sandbox/by-hand {:.2}", sandbox.as_secs_f64() / hand.as_secs_f64());
    floor.clean_up()
}

/// All processes of one sandbox: inside they are found by the boot id, which is theirs alone.
fn idle_memory() -> Result {
    let ec2 = Ec2::connect().wait()?;
    let vm = ec2.launch_default().wait()?;
    let namespace = vm.exec("readlink /proc/self/ns/uts").wait()?.stdout.trim().to_owned();
    std::thread::sleep(Duration::from_secs(1));
    let mut total = 0;
    for process in std::fs::read_dir("/proc")?.filter_map(std::io::Result::ok) {
        let is_in = std::fs::read_link(process.path().join("ns/uts")).is_ok_and(|link| link.as_os_str() == &*namespace);
        let Ok(memory) = std::fs::read_to_string(process.path().join("smaps_rollup")) else { continue };
        let pss =
            memory.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        if is_in {
            total += pss.unwrap_or(0);
        }
    }
    println!("an idle sandbox takes {:.1} MB (PSS)", total as f64 / 1024.0);
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
