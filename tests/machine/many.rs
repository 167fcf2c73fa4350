//! Several machines of one call, what is asked for without waiting, and limits of waits.

use super::support::{block_on, ec2, eventually, has_ended, insist, instances, sdk, unique};
use ec2_harness::prelude::*;

const BOOT_ID: &str = "cat /proc/sys/kernel/random/boot_id";

#[ec2_test]
async fn several_of_one_call(ec2: Ec2) -> Result {
    let nodes = ec2.launch("host").name("node").volumes([gp3(1)]).count(3).await?;
    let names: Vec<_> = nodes.iter().map(|node| node.name().to_owned()).collect();
    assert_eq!(names, ["node[0]", "node[1]", "node[2]"]);
    let mut tokens = std::collections::BTreeSet::new();
    for node in &nodes {
        node.exec("true").await?;
        let described = node.describe().await?;
        tokens.insert(described.client_token().unwrap().to_owned());
        assert_eq!(described.block_device_mappings().len(), 2);
    }
    assert_eq!(tokens.len(), 1, "one call");
    ec2.terminate_all(&nodes).await?;
    ec2.wait_all_terminated(&nodes).await?;
    let error = nodes[1].exec("true").await.unwrap_err();
    assert!(error.kind() == ErrorKind::Ended && error.to_string().contains("machine/many.rs"), "{error}");
    Ok(())
}

#[test]
fn each_of_several_has_its_own_guard() {
    let ec2 = ec2();
    let mut nodes = ec2.launch("host").count(3).without_waiting().wait().unwrap();
    let ids: Vec<_> = nodes.iter().map(|node| node.id().to_owned()).collect();
    drop(nodes.remove(0));
    eventually("the first has ended", || has_ended(&ec2, &ids[0]));
    ec2.wait_all_ready(&nodes).wait().unwrap();
    assert!(nodes.iter().all(|node| node.exec("true").wait().is_ok()));
    drop(nodes);
    eventually("the others have ended", || ids.iter().all(|id| has_ended(&ec2, id)));
}

#[test]
fn all_of_several_or_none() {
    let ec2 = ec2();
    let tag = unique("several");
    // The machines of one call are alike, so each of them fails.
    let launch = ec2.launch("host").tag("many-test", &tag).user_data("#!/bin/sh\nexit 7\n").count(2);
    let error = launch.wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Provisioning, "{error}");
    eventually("they have ended", || {
        let all = instances(&ec2, "tag:many-test", &tag);
        all.len() == 2 && all.iter().all(|it| has_ended(&ec2, it.instance_id().unwrap()))
    });
    let error = ec2.launch("host").count(0).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert_eq!(instances(&ec2, "tag:many-test", &tag).len(), 2);
}

#[ec2_test]
async fn power_without_waiting(vm: Instance) -> Result {
    let before = vm.exec(BOOT_ID).await?.stdout;
    vm.reboot().without_waiting().await?;
    // Whatever comes next is of the new boot.
    let after = vm.exec(BOOT_ID).await?.stdout;
    assert_ne!(before, after);
    vm.reboot().without_waiting().await?;
    vm.wait_for_ssh().within(120.secs()).await?;
    assert_ne!(vm.exec(BOOT_ID).await?.stdout, after);
    vm.stop().without_waiting().await?;
    vm.wait_stopped().await?;
    assert_eq!(vm.describe().await?.state().unwrap().name().unwrap().as_str(), "stopped");
    vm.start().without_waiting().await?;
    vm.wait_running().await?;
    vm.wait_ready().await?;
    vm.exec("true").await.map(drop)
}

#[ec2_test]
async fn what_is_not_reached_in_time_is_told(vm: Instance) -> Result {
    let error = vm.wait_stopped().within(300.millis()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::TimedOut && error.to_string().contains("its state is running"), "{error}");
    let error = vm.wait_terminated().within(300.millis()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    vm.exec("true").await.map(drop)
}

#[test]
fn one_that_is_kept_leaves_the_others_to_their_guards() {
    let ec2 = ec2();
    let mut nodes = ec2.launch("host").count(2).without_waiting().wait().unwrap();
    let kept = nodes.remove(0).keep().wait().unwrap();
    let other = nodes.remove(0);
    let id = other.id().to_owned();
    drop(other);
    eventually("the other has ended", || has_ended(&ec2, &id));
    assert!(!has_ended(&ec2, kept.id()));
    insist(|| block_on(sdk(&ec2).terminate_instances().instance_ids(kept.id()).send()).map_err(Box::new));
}
