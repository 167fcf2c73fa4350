//! What is asked for wrongly, or where there is none of it: each is an error of our own that says what was tried, why it failed and what to
//! do, and leaves nothing.
//!
//! Images that aren't there stand in `image_lookup`; no default VPC and the quota of VPCs in `vpcs`; volumes and launches that are said wrongly
//! in `volumes` and `placed`.

use super::support::{TYPES, block_on, ec2, eventually, insist, sdk, tagged, unique};
use aws_sdk_ec2::{
    error::ProvideErrorMetadata as _,
    types::{Filter, RuleAction},
};
use ec2_harness::prelude::*;
use std::{
    process::{Command, Stdio},
    time::Duration,
};

/// Sees that an error is of a kind, and says all that it must.
#[track_caller]
fn says(error: &Failure, kind: ErrorKind, words: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    assert!(words.iter().all(|word| text.contains(word)), "{words:?}: {text}");
    assert!(text.contains("; "), "it says what to do: {text}");
}

/// Sees that nothing is left that bears this tag.
#[track_caller]
fn leaves_nothing(ec2: &Ec2, tag: &str) {
    eventually("nothing is left", || tagged(ec2, "purpose", tag).is_empty());
}

fn by(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

#[test]
fn a_range_that_ec2_would_refuse() {
    use ErrorKind::Configuration;
    let (ec2, tag) = (ec2(), unique("range"));
    let wide = || NewVpc::new("10.20.0.0/16");
    for (vpc, kind, words) in [
        (NewVpc::new("10.20.0.0"), Configuration, ["create the VPC 10.20.0.0", "no range of IPv4", "`10.20.0.0/16`"]),
        (NewVpc::new("10.0.0.0/8"), Configuration, ["create the VPC 10.0.0.0/8", "of /16 to /28", "another length"]),
        (
            wide().subnet("10.21.0.0/24", "us-east-1a"),
            Configuration,
            ["10.21.0.0/24", "outside of the VPC's", "a part of 10.20.0.0/16"],
        ),
        (
            wide().subnet("10.20.0.0/24", "us-east-1a").subnet("10.20.0.0/25", "us-east-1a"),
            Configuration,
            ["10.20.0.0/24 and 10.20.0.0/25", "overlap", "addresses of its own"],
        ),
    ] {
        says(&ec2.create_vpc(vpc.tag("purpose", &tag)).wait().map(drop).unwrap_err(), kind, &words);
    }
    // Only EC2 knows, once the VPC is made.
    let error = ec2.create_vpc(wide().zones(["nowhere-1a"]).tag("purpose", &tag)).wait().map(drop).unwrap_err();
    assert!(error.to_string().contains("nowhere-1a"), "{error}");
    let error = ec2.create_vpc(wide().tag("aws:x", "y")).wait().map(drop).unwrap_err();
    assert!(error.kind() == Configuration && error.to_string().contains("AWS's own"), "{error}");
    for name in ["", "a*"] {
        let error = ec2.get_or_create_vpc(name, "10.20.0.0/16").wait().unwrap_err();
        assert_eq!(error.kind(), Configuration, "{error}");
    }
    leaves_nothing(&ec2, &tag);
}

#[test]
fn a_device_in_use() {
    let (ec2, tag) = (ec2(), unique("device"));
    let vm = ec2.launch("blank").without_waiting().wait().unwrap();
    vm.wait_running().wait().unwrap();
    let first = vm.add_volume(gp3(1).device("/dev/sdf")).wait().unwrap();
    let error = vm.add_volume(gp3(1).device("/dev/sdf").tag("purpose", &tag)).wait().unwrap_err();
    says(&error, ErrorKind::Api, &["attach ", vm.id(), "/dev/sdf is already in use", "leave `.device(…)` out"]);
    leaves_nothing(&ec2, &tag);
    // What was there is there still.
    assert_eq!(first.describe().wait().unwrap().attachments()[0].instance_id(), Some(vm.id()));
}

#[test]
fn a_volume_in_another_zone() {
    let (ec2, tag) = (ec2(), unique("zone"));
    let vm = ec2.launch("blank").zone("us-east-1a").instance_types(TYPES).without_waiting().wait().unwrap();
    vm.wait_running().wait().unwrap();
    let volume = ec2.create_volume(gp3(1).tag("purpose", &tag), "us-east-1b").wait().unwrap();
    let error = volume.attach(&vm).wait().unwrap_err();
    says(&error, ErrorKind::Api, &["attach ", volume.id(), vm.id(), "in the machine's, us-east-1a", "`add_volume`"]);
    assert!(volume.describe().wait().unwrap().attachments().is_empty());
    drop(volume);
    leaves_nothing(&ec2, &tag);
}

#[test]
fn a_ninth_interface_on_a_type_that_takes_two() {
    let (ec2, tag) = (ec2(), unique("interface"));
    let vm = ec2.launch("blank").instance_type("t3.micro").without_waiting().wait().unwrap();
    vm.wait_running().wait().unwrap();
    vm.add_network_interface(NewNetworkInterface::new()).wait().unwrap();
    for _ in 2..9 {
        let error = vm.add_network_interface(NewNetworkInterface::new().tag("purpose", &tag)).wait().unwrap_err();
        says(
            &error,
            ErrorKind::Refused,
            &["add a network interface to", vm.id(), "t3.micro takes 2", "that takes more"],
        );
    }
    leaves_nothing(&ec2, &tag);
    assert_eq!(vm.describe().wait().unwrap().network_interfaces().len(), 2);
}

/// What the test below runs, with a local EC2 of its own: its faults would be others', too.
#[ec2_test]
#[ignore = "run by another"]
async fn meets_a_quota_of_instances(ec2: Ec2) -> Result {
    let local = ec2_local::endpoint::connect()?;
    local.add_fault("RunInstances quota next 2".parse().unwrap())?;
    println!("launched={}", ec2.launch("blank").without_waiting().await?.id());
    local.add_fault("RunInstances quota every 1".parse().unwrap())?;
    let error = ec2.launch("blank").ready_within(1.secs()).tag("purpose", "quota").await.unwrap_err();
    let words = [
        "launch blank as t3.micro in us-east-1",
        "VcpuLimitExceeded",
        "not enough for others to end",
        "a higher quota",
    ];
    says(&error, ErrorKind::Quota, &words);
    tokio::task::spawn_blocking(move || leaves_nothing(&ec2, "quota")).await?;
    println!("told");
    Ok(())
}

#[test]
fn a_quota_of_instances_is_waited_for_and_then_told() {
    let state = tempfile::tempdir().unwrap();
    let local = state.path().join("local");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "misuse::meets_a_quota_of_instances", "--ignored", "--nocapture"]);
    command.env_remove("NEXTEST_RUN_ID").env("EC2_LOCAL_STATE_DIR", &local).env("EC2_HARNESS_LOCAL_LINGER", "1s");
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("launched=i-") && text.contains("told"), "{text}");
    eventually("its endpoint has ended", || !local.join("run").exists());
}

#[test]
fn no_route_to_a_machine() {
    let (ec2, tag) = (ec2(), unique("route"));
    let vpc = ec2.create_vpc(NewVpc::new("10.20.0.0/28").without_gateway().tag("purpose", &tag)).wait().unwrap();
    // The local EC2's own way in needs no route: something else must keep it out.
    let client = sdk(&ec2);
    let find = client.describe_network_acls().filters(by("vpc-id", vpc.id()));
    let mut list = None;
    eventually("the VPC's network ACL is shown", || {
        let found = insist(|| block_on(find.clone().send()).map_err(Box::new));
        list = found.network_acls().first().and_then(|it| it.network_acl_id.clone());
        list.is_some()
    });
    let deny = client.create_network_acl_entry().set_network_acl_id(list).rule_number(1).protocol("-1");
    let deny = deny.cidr_block("0.0.0.0/0").egress(false).rule_action(RuleAction::Deny);
    insist(|| match block_on(deny.clone().send()) {
        Err(error) if error.code() == Some("NetworkAclEntryAlreadyExists") => Ok(()),
        other => other.map(drop).map_err(Box::new),
    });
    let launch = ec2.launch("host").vpc(&vpc).tag("purpose", &tag).ready_within(Duration::from_secs(4));
    let error = launch.wait().unwrap_err();
    says(
        &error,
        ErrorKind::Provisioning,
        &["wait for ", "no route in rtb-", "to an internet gateway: add one, or set `reach`"],
    );
    vpc.delete().wait().unwrap();
    eventually("only what has ended is left", || {
        tagged(&ec2, "purpose", &tag).iter().all(|id| id.starts_with("i-") && super::support::has_ended(&ec2, id))
    });
}
