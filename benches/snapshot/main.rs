//! What reusing the image of a set-up saves: tests that need it, with and without reuse.
//!
//! `cargo bench --profile dev --bench snapshot`
//!
//! The set-up takes some seconds, as an installation does. Ten tests, one after the other, launch a machine each and look for what was
//! set up:
//!
//! - without reuse each sets its machine up itself;
//! - cold: the image is made for the first of them;
//! - warm: an earlier run has made it.
//!
//! `speed-up N.N` is how much longer they take without reuse; less than [`EXPECTED`] is an error. `cargo test --bench snapshot` is the same in
//! little, and expects nothing of the times.

#[path = "../../tests/support/mod.rs"]
mod support;

use ec2_harness::prelude::*;
use std::{
    env,
    process::Command,
    time::{Duration, Instant},
};

/// The least that is worth it.
const EXPECTED: f64 = 3.0;

/// How long the set-up takes, in seconds.
const SECONDS: &str = "SNAPSHOT_BENCH_SECONDS";

#[ec2_snapshot(from = "host")]
fn set_up(vm: Machine) -> Result {
    prepare(&vm)
}

fn prepare(vm: &Machine) -> Result {
    vm.exec(format!("sleep {} && echo set up >/var/tmp/set-up", env::var(SECONDS)?)).wait().map(drop)
}

fn main() -> Result {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["without", tests] => all(tests.parse()?, || {
            let vm = Ec2::connect().wait()?.launch("host").wait()?;
            prepare(&vm)?;
            test(&vm)
        }),
        ["with", tests] => all(tests.parse()?, || test(&*Ec2::connect().wait()?.launch(set_up).wait()?)),
        // Cargo says so for `cargo bench`.
        _ if words.contains(&"--bench") => compare(10, 3, EXPECTED),
        _ => compare(2, 1, 0.0),
    }
}

/// Runs the tests one after the other, and tells how long they took.
fn all(tests: usize, one: impl Fn() -> Result) -> Result {
    let since = Instant::now();
    (0..tests).try_for_each(|_| one())?;
    println!("took {}", since.elapsed().as_secs_f64());
    Ok(())
}

/// What each of the tests does.
fn test(vm: &Machine) -> Result {
    vm.assert(file("/var/tmp/set-up").contains("set up")).wait()
}

fn compare(tests: usize, seconds: usize, expected: f64) -> Result {
    let place = tempfile::tempdir()?;
    let measure = |how: &str| -> Result<Duration> {
        let output = Command::new(env::current_exe()?)
            .args([how, &tests.to_string()])
            .env(SECONDS, seconds.to_string())
            .env("EC2_LOCAL_STATE_DIR", place.path().join("local"))
            .env("EC2_HARNESS_STATE_DIR", place.path().join("harness"))
            // What chance adds is no saving.
            .env("EC2_HARNESS_LOCAL_CONDITIONS", "calm")
            .env_remove("EC2_HARNESS_RUN_ID")
            .env_remove("NEXTEST_RUN_ID")
            .output()?;
        let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{how}: {said}{errors}");
        let took = said.lines().find_map(|line| line.strip_prefix("took ")).unwrap_or_default();
        Ok(Duration::from_secs_f64(took.parse()?))
    };
    let (without, cold, warm) = (measure("without")?, measure("with")?, measure("with")?);
    // The endpoint and watchdogs go on for a while, and would make the directories anew.
    support::eventually("all processes have ended", || !support::has_processes(place.path()));
    println!("{tests} tests, each on a machine of its own, that need a set-up of {seconds} s");
    println!("without reuse: {:.1} s", without.as_secs_f64());
    for (what, took) in [("cold", cold), ("warm", warm)] {
        let speed_up = without.as_secs_f64() / took.as_secs_f64();
        println!("{what}: {:.1} s\nspeed-up {speed_up:.1} ({what})", took.as_secs_f64());
        assert!(speed_up >= expected, "{what}: less than {expected}");
    }
    Ok(())
}
