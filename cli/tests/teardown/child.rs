//! What is run in processes of its own.

use super::support::{PATIENCE, unique};
use aws_sdk_ec2::types::{
    Filter, InstanceInterruptionBehavior, InstanceMarketOptionsRequest, MarketType, SpotInstanceType, SpotMarketOptions,
};
use ec2_harness::{config::KeyType, prelude::*};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

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
    std::thread::sleep(Duration::from_secs(600));
}

#[ec2_test]
#[ignore = "run by another"]
async fn adds(vm: Instance) -> Result {
    announce(&vm);
    let volume = vm.add_volume(gp3(1)).await?;
    let interface = vm.add_network_interface(NewNetworkInterface::new().public()).await?;
    volume.detach().await?;
    interface.remove().await
}

#[ec2_test(vpc = "10.20.0.0/16")]
#[ignore = "run by another"]
async fn stands_in_its_vpc(vm: Instance, ec2: Ec2) -> Result {
    announce(&vm);
    let other = ec2.create_vpc("10.30.0.0/16").await?;
    let _blank = ec2.launch("blank").vpc(&other).without_waiting().await?;
    other.delete().await
}

#[ec2_snapshot(from = "host")]
async fn with_motto(vm: Machine) -> Result {
    announce(&vm);
    vm.exec("sleep 0.3 && echo set up >/var/tmp/motto").await.map(drop)
}

#[ec2_test(image = with_motto)]
#[ignore = "run by another"]
async fn sets_up(vm: Instance) -> Result {
    announce(&vm);
    vm.assert(file("/var/tmp/motto").contains("set up")).await
}

/// Asks for Spot Instances by a request that launches another when one ends.
fn persistent() -> InstanceMarketOptionsRequest {
    let options = SpotMarketOptions::builder()
        .spot_instance_type(SpotInstanceType::Persistent)
        .instance_interruption_behavior(InstanceInterruptionBehavior::Stop)
        .build();
    InstanceMarketOptionsRequest::builder().market_type(MarketType::Spot).spot_options(options).build()
}

#[ec2_test]
#[ignore = "run by another"]
async fn launches_spot(ec2: Ec2) -> Result {
    let launch = || ec2.launch("blank").without_waiting();
    let vm = launch().run_instances(|r| r.instance_market_options(persistent())).await?;
    announce(&vm);
    launch().spot().await?.terminate().await?;
    vm.terminate().await
}

#[ec2_test]
#[ignore = "run by another"]
async fn launches_several(ec2: Ec2) -> Result {
    let nodes = ec2.launch("host").count(3).await?;
    announce(&nodes[0]);
    ec2.launch("host").count(2).without_waiting().await?;
    ec2.terminate_all(&nodes[1..]).await
}

/// Makes something of every kind that there is, and tells of each once EC2 shows it.
#[ec2_test(vpc = "10.20.0.0/16")]
#[ignore = "run by another"]
async fn waits_with_every_kind(vm: Instance, ec2: Ec2) -> Result {
    announce(&vm);
    let _image = vm.snapshot().name(unique("of-a-killed-test")).await?;
    let _key_pair = ec2.create_key_pair(KeyType::Ed25519).await?;
    let _volume = ec2.create_volume(gp3(1), vm.zone().unwrap()).await?;
    vm.add_volume(gp3(1)).await?;
    vm.add_network_interface(NewNetworkInterface::new().public()).await?;
    // With a key of the run of its other type.
    let spot = ec2.launch("blank").key_type(KeyType::Rsa).run_instances(|r| r.instance_market_options(persistent()));
    let _spot = spot.without_waiting().await?;
    let of_run = Filter::builder().name("key").values("ec2-harness:run").build();
    let of_run = [of_run, Filter::builder().name("value").values(std::env::var("EC2_HARNESS_RUN_ID").unwrap()).build()];
    let (since, mut kinds) = (Instant::now(), BTreeSet::new());
    while since.elapsed() < PATIENCE {
        let tags = ec2.client().describe_tags().set_filters(Some(of_run.to_vec())).send().await;
        for kind in tags.iter().flat_map(|answer| answer.tags()).filter_map(|tag| tag.resource_type()) {
            if kinds.insert(kind.to_string()) {
                println!("\nkind={kind}");
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

#[test]
#[ignore = "run by another"]
fn makes() {
    let ec2 = Ec2::connect().wait().unwrap();
    let vm = ec2.launch("host").without_waiting().wait().unwrap();
    announce(&vm);
    let volume =
        ec2.create_volume(gp3(1), vm.describe().wait().unwrap().placement().unwrap().availability_zone().unwrap());
    let _volume = volume.wait().unwrap();
    vm.add_network_interface(NewNetworkInterface::new().public()).wait().unwrap();
    vm.add_volume(gp3(1)).wait().unwrap();
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

/// Its machine is dropped by a task, whose thread another task shares; then the process ends at once.
#[test]
#[ignore = "run by another"]
fn drops_in_a_runtime() {
    const LATE: Duration = Duration::from_secs(2);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let vm = Ec2::connect().await.unwrap().launch("host").await.unwrap();
        announce(&vm);
        let late = format!("TerminateInstances late={} next 1", LATE.as_secs()).parse().unwrap();
        ec2_local::endpoint::connect().unwrap().add_fault(late).unwrap();
        let since = Instant::now();
        drop(vm);
        tokio::task::yield_now().await;
        assert!(since.elapsed() < LATE, "the drop has waited");
    });
}

#[ec2_test]
#[ignore = "run by another"]
async fn keeps(vm: Instance) -> Result {
    announce(&vm);
    vm.keep().await.map(drop)
}

/// Kills the endpoint under itself.
fn kill_endpoint() {
    let endpoint = ec2_local::endpoint::connect().unwrap().pid();
    super::world::send(&endpoint.to_string(), rustix::process::Signal::KILL);
}

#[ec2_test]
#[ignore = "run by another"]
fn ends_without_its_endpoint(vm: Instance) {
    announce(&vm);
    kill_endpoint();
}

#[ec2_test]
#[ignore = "run by another"]
async fn goes_on_without_its_endpoint(vm: Instance) -> Result {
    announce(&vm);
    kill_endpoint();
    // The next one takes the machine over, as one that is down: our machines are not to boot again by themselves.
    // What is just under way there says so first.
    let since = Instant::now();
    loop {
        let error = vm.exec("true").await.unwrap_err().to_string();
        if error.contains("it is stopped") && !error.contains("timed out") {
            break;
        }
        assert!(since.elapsed() < PATIENCE, "never: {error}");
    }
    vm.start().await?;
    vm.exec("true").await.map(drop)
}

#[ec2_test]
#[ignore = "run by another"]
async fn waits_in_two_regions(vm: Instance) -> Result {
    let other = Ec2::connect().region("eu-west-1").await?.launch("host").await?;
    announce(&other);
    vm.exec("sleep 600").await.map(drop)
}
