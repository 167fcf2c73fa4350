//! What is run in processes of its own.

use ec2_harness::prelude::*;
use std::{env, fs::OpenOptions, io::Write};

/// Notes that something happens, for the parent.
fn note(what: &str) {
    let mut notes = OpenOptions::new().append(true).open(env::var_os("SNAPSHOT_NOTES").unwrap()).unwrap();
    notes.write_all(format!("{what} {}\n", std::process::id()).as_bytes()).unwrap();
}

#[ec2_snapshot(from = "host")]
async fn noted(vm: Machine) -> Result {
    note("begins");
    vm.exec("sleep 1; cat /proc/sys/kernel/random/uuid >/var/tmp/set-up").await?;
    note("ends");
    Ok(())
}

#[ec2_test(image = noted)]
#[ignore = "run by another"]
async fn launches(vm: Instance) -> Result {
    println!("\nset-up={}", vm.exec("cat /var/tmp/set-up").await?.stdout);
    Ok(())
}

/// Has less time than the set-up takes, which goes on for others.
#[ec2_test(image = noted, timeout = "500ms")]
#[ignore = "run by another"]
async fn has_no_time(_vm: Instance) {}

/// Too old as soon as it is made: each process makes it anew.
#[ec2_snapshot(from = "host", max_age = "1ms")]
async fn always_anew(vm: Machine) -> Result {
    vm.exec("sleep 0.3; cat /proc/sys/kernel/random/uuid >/var/tmp/set-up").await.map(drop)
}

#[ec2_test(image = always_anew)]
#[ignore = "run by another"]
async fn makes_it_anew(vm: Instance) -> Result {
    note("launched");
    vm.exec("cat /var/tmp/set-up").await.map(drop)
}

#[ec2_snapshot(from = "host")]
fn failing(vm: Machine) -> Result {
    note("fails");
    vm.exec("echo what went wrong >&2; exit 3").wait().map(drop)
}

#[ec2_test(image = failing)]
#[ignore = "run by another"]
async fn needs_what_fails(_vm: Instance) {
    unreachable!("it is never begun");
}
