//! A look at an instance that exists already: it is described, checked, and never ended by us.
//!
//! `cargo run --example existing_instance -- i-0123456789abcdef0`; `private_key` in ec2-harness.toml, or
//! EC2_HARNESS_PRIVATE_KEY, and the like for `key_name`, say how to log in. Without an id it launches one, to look at that.

use ec2_harness::{ec2::Machine, prelude::*};
use std::env;

fn main() -> Result {
    let ec2 = Ec2::connect().wait()?;
    match env::args().nth(1) {
        Some(id) => look(&ec2.instance(id).wait()?),
        None => {
            let launched = ec2.launch_default().name("existing").wait()?;
            look(&ec2.instance(launched.id()).wait()?)
        }
    }
}

fn look(machine: &Machine) -> Result {
    let described = machine.describe().wait()?;
    println!("{}: {} in {}", machine.id(), described.image_id().unwrap_or("?"), machine.zone().unwrap_or_default());
    machine.assert((port(22).is_listening(), user("root").shell(not(contains("nologin"))))).wait()?;
    println!("{}", machine.exec("uptime").unchecked().wait()?.stdout.trim());
    Ok(())
}
