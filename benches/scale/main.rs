//! What each of many machines costs that are there at once: processor time of all processes, and the time that it takes.
//!
//! `cargo bench --profile dev --bench scale`, or of some: `cargo bench --profile dev --bench scale -- task 200`
//!
//! 1, 50 and 200 machines of `host` are launched, run a command each and are terminated: from one async task, from a thread each,
//! and from a process each, as nextest does it. `cpu-ms per machine N` is of all that runs for them: the tests' processes, the
//! local EC2's, the machines' own. It is what the kernel has counted for all descendants of a process once they have ended.

mod processor_time;

use ec2_harness::prelude::*;
use futures_util::future::try_join_all;
use std::{
    env, fs,
    process::{Child, Command, ExitStatus},
    thread,
    time::Instant,
};

const COUNTS: [usize; 3] = [1, 50, 200];
const ORIGINS: [&str; 3] = ["task", "threads", "processes"];

fn main() -> Result {
    // Cargo's own comes along.
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [] => {
            for origin in ORIGINS {
                for count in COUNTS {
                    measure(origin, count)?;
                }
            }
            Ok(())
        }
        [origin, count] if ORIGINS.contains(&origin) => measure(origin, count.parse()?),
        ["run", origin, count] => run(origin, count.parse()?),
        ["one"] => one(&Ec2::connect().wait()?),
        _ => panic!("expected nothing, or one of {ORIGINS:?} and a number of machines, found {words:?}"),
    }
}

/// Measures one case: in a process with descendants of its own, and at an endpoint of its own.
fn measure(origin: &str, count: usize) -> Result {
    let place = tempfile::tempdir()?;
    let progress = place.path().join("progress");
    processor_time::adopt_orphans();
    let (before, since) = (processor_time::of_ended_descendants()?, Instant::now());
    let status = myself(&["run", origin, &count.to_string()])?
        // What we cost is measured without what chance adds.
        .env("EC2_HARNESS_LOCAL_CONDITIONS", "calm")
        .env("EC2_HARNESS_LOCAL_LINGER", "1s")
        .env("EC2_HARNESS_RUN_ID", format!("scale-{}", std::process::id()))
        .env("EC2_LOCAL_STATE_DIR", place.path().join("local"))
        .env("EC2_HARNESS_STATE_DIR", place.path().join("harness"))
        // A line of progress for each machine.
        .stderr(fs::File::create(&progress)?)
        .status()?;
    let wall = since.elapsed();
    assert!(status.success(), "{origin} {count}: {status}: {}", fs::read_to_string(&progress)?);
    // The endpoint, a watchdog: they end by themselves, and count then.
    processor_time::wait_for_descendants()?;
    let spent = processor_time::of_ended_descendants()? - before;
    let (each, wall_each) = (spent / u32::try_from(count)?, wall / u32::try_from(count)?);
    println!("{count} machines, {origin}: {:.2} s, {:.1} s of processor time", wall.as_secs_f64(), spent.as_secs_f64());
    println!("wall-ms per machine {:.0} ({count}, {origin})", wall_each.as_secs_f64() * 1000.0);
    println!("cpu-ms per machine {:.0} ({count}, {origin})", each.as_secs_f64() * 1000.0);
    Ok(())
}

fn myself(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.args(arguments);
    Ok(command)
}

fn run(origin: &str, count: usize) -> Result {
    match origin {
        "task" => {
            let ec2 = Ec2::connect().wait()?;
            let all = try_join_all((0..count).map(|_| async {
                let vm = ec2.launch_default().await?;
                vm.exec("true").await?;
                vm.terminate().await
            }));
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(all).map(drop)
        }
        "threads" => {
            let ec2 = Ec2::connect().wait()?;
            thread::scope(|scope| {
                let all: Vec<_> = (0..count).map(|_| scope.spawn(|| one(&ec2))).collect();
                all.into_iter().try_for_each(|thread| thread.join().expect("a thread that doesn't panic"))
            })
        }
        _ => {
            let all: Vec<Child> = (0..count).map(|_| Ok(myself(&["one"])?.spawn()?)).collect::<Result<_>>()?;
            for mut child in all {
                let status: ExitStatus = child.wait()?;
                assert!(status.success(), "one of the processes: {status}");
            }
            Ok(())
        }
    }
}

fn one(ec2: &Ec2) -> Result {
    let vm = ec2.launch_default().wait()?;
    vm.exec("true").wait()?;
    vm.terminate().wait()
}
