//! The first thing to run: a real machine boots, answers over SSH, passes a check and is gone again.
//!
//! `cargo run --example quickstart`; no AWS account, nothing to install.

use ec2_harness::prelude::*;

fn main() -> Result {
    let ec2 = Ec2::connect().wait()?;
    println!("launching `{}` at {}", ec2.config().image, ec2.target());

    let vm = ec2.launch_default().name("quickstart").wait()?;
    println!("{} is ready: {}", vm.id(), vm.exec("uname -sr").wait()?.stdout.trim());

    vm.assert((port(22).is_listening(), file("/etc/os-release").contains("ID="), user("root").uid(0))).wait()?;
    println!("all checks hold");

    vm.terminate().wait()?;
    vm.wait_terminated().wait()?;
    println!("{} is gone", vm.id());
    Ok(())
}
