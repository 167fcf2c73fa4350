//! What is run in processes of its own.

use ec2_harness::prelude::*;

/// Tells the parent which machine there is, and which endpoint runs it.
fn announce(vm: &Machine) {
    println!("\nid={}", vm.id());
    println!("\nendpoint={}", ec2_local::endpoint::connect().unwrap().pid());
}

#[ec2_test]
#[ignore = "run by another"]
async fn passes(vm: Instance) -> Result {
    announce(&vm);
    vm.exec("true").await.map(drop)
}

#[ec2_test]
#[ignore = "run by another"]
async fn panics(vm: Instance) {
    announce(&vm);
    panic!("on purpose");
}

#[ec2_test]
#[ignore = "run by another"]
fn errs(vm: Instance) -> Result {
    announce(&vm);
    vm.exec("exit 3").wait().map(drop)
}

#[ec2_test]
#[ignore = "run by another"]
async fn waits(vm: Instance) -> Result {
    announce(&vm);
    vm.exec("sleep 600").await.map(drop)
}

#[ec2_test]
#[ignore = "run by another"]
fn waits_outside_of_operations(vm: Instance) {
    announce(&vm);
    std::thread::sleep(std::time::Duration::from_secs(600));
}

#[ec2_test]
#[ignore = "run by another"]
async fn launches(ec2: Ec2) -> Result {
    let vm = ec2.launch("host").without_waiting().await?;
    announce(&vm);
    ec2.launch("host").user_data("#!/bin/sh\nsleep 600").await.map(drop)
}

#[test]
#[ignore = "run by another"]
fn drops_in_any_order() {
    let ec2 = Ec2::connect().wait().unwrap();
    let first = ec2.launch("host").wait().unwrap();
    let second = Box::new(ec2.launch("host").wait().unwrap());
    let third = ec2.launch("host").wait().unwrap();
    drop(ec2);
    announce(&first);
    drop(first);
    std::thread::spawn(move || drop(third)).join().unwrap();
    let _unwinding = second;
    panic!("on purpose");
}

#[test]
#[ignore = "run by another"]
fn exits() {
    let vm = Ec2::connect().wait().unwrap().launch("host").wait().unwrap();
    announce(&vm);
    std::process::exit(7);
}

#[ec2_test]
#[ignore = "run by another"]
async fn keeps(vm: Instance) -> Result {
    announce(&vm);
    vm.keep().map(drop)
}
