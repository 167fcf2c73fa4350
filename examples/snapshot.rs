//! A set-up that runs once, and ten machines that are launched from its image.
//!
//! `cargo run --example snapshot`; started again within ten seconds, while the local EC2 is there still, it makes no image at all.

use ec2_harness::prelude::*;
use std::time::Instant;

/// Stands for what takes long: packages, a database, a build.
#[ec2_snapshot(from = "host", max_age = "7d")]
async fn with_motto(vm: Machine) -> Result {
    vm.exec("sleep 2 && echo 'made once' >/var/tmp/motto").await.map(drop)
}

fn main() -> Result {
    let (ec2, since) = (Ec2::connect().wait()?, Instant::now());
    for n in 1..=10 {
        let vm = ec2.launch(with_motto).name(format!("machine {n}")).wait()?;
        println!("{} has it after {:.1} s", vm.name(), since.elapsed().as_secs_f64());
        vm.assert(file("/var/tmp/motto").contains("made once")).wait()?;
        vm.terminate().wait()?;
    }
    Ok(())
}
