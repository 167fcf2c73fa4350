//! VPCs of one's own: made, launched in, shared by name, deleted.

use super::support::{block_on, ec2, eventually, has_ended, insist, sdk};
use aws_sdk_ec2::{
    error::ProvideErrorMetadata as _,
    types::{Filter, ResourceType, Tag, TagSpecification},
};
use ec2_harness::prelude::*;

fn by(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

/// Whether EC2 doesn't know a VPC any more, and nothing that was in it.
fn is_gone(ec2: &Ec2, vpc: &str) -> bool {
    let client = sdk(ec2);
    let vpcs = insist(|| match block_on(client.describe_vpcs().vpc_ids(vpc).send()) {
        Err(error) if error.code() == Some("InvalidVpcID.NotFound") => Ok(0),
        other => other.map(|answer| answer.vpcs().len()).map_err(Box::new),
    });
    let subnets = client.describe_subnets().filters(by("vpc-id", vpc));
    let groups = client.describe_security_groups().filters(by("vpc-id", vpc));
    let gateways = client.describe_internet_gateways().filters(by("attachment.vpc-id", vpc));
    vpcs == 0
        && insist(|| block_on(subnets.clone().send()).map_err(Box::new)).subnets().is_empty()
        && insist(|| block_on(groups.clone().send()).map_err(Box::new)).security_groups().is_empty()
        && insist(|| block_on(gateways.clone().send()).map_err(Box::new)).internet_gateways().is_empty()
}

#[test]
fn machines_stand_in_a_vpc_of_their_own_and_end_with_it() {
    let ec2 = ec2();
    let vpc = ec2.create_vpc(NewVpc::new("10.20.0.0/16").name("ours").tag("team", "images")).wait().unwrap();
    let described = vpc.describe().wait().unwrap();
    assert_eq!(described.cidr_block(), Some("10.20.0.0/16"));
    assert!(described.tags().iter().any(|tag| tag.key() == Some("team") && tag.value() == Some("images")));
    let mut subnets = vpc.subnets().wait().unwrap();
    subnets.sort_by_key(|subnet| subnet.availability_zone.clone());
    let ranges: Vec<_> = subnets.iter().filter_map(|subnet| subnet.cidr_block()).collect();
    assert_eq!(ranges, ["10.20.0.0/20", "10.20.16.0/20"]);
    assert_ne!(subnets[0].availability_zone(), subnets[1].availability_zone());
    let vm = ec2.launch("host").vpc(&vpc).wait().unwrap();
    let described = vm.describe().wait().unwrap();
    assert_eq!(described.vpc_id(), Some(vpc.id()));
    assert_eq!(described.security_groups()[0].group_id(), Some(&*vpc.security_group().wait().unwrap()));
    assert!(vm.private_ip().unwrap().to_string().starts_with("10.20.") && vm.public_ip().is_some());
    vm.exec("true").wait().unwrap();
    vpc.delete().wait().unwrap();
    assert!(is_gone(&ec2, vpc.id()) && has_ended(&ec2, vm.id()));
    assert_eq!(vm.exec("true").wait().unwrap_err().kind(), ErrorKind::Ended);
    assert_eq!(vpc.describe().wait().unwrap_err().kind(), ErrorKind::Ended);
    vpc.delete().wait().unwrap();
}

#[test]
fn a_guard_ends_its_vpc_and_what_of_ours_is_in_it() {
    let ec2 = ec2();
    let vpc = ec2.create_vpc("10.20.0.0/16").wait().unwrap();
    let vm = ec2.launch("blank").vpc(&vpc).without_waiting().wait().unwrap();
    let id = vpc.id().to_owned();
    // The machine's own guard lives on.
    drop(vpc);
    assert!(is_gone(&ec2, &id) && has_ended(&ec2, vm.id()));
}

#[test]
fn ipv6_and_subnets_are_as_they_are_said() {
    let ec2 = ec2();
    let zones = insist(|| block_on(sdk(&ec2).describe_availability_zones().send()).map_err(Box::new));
    let mut zones: Vec<_> = zones.availability_zones().iter().filter_map(|zone| zone.zone_name.clone()).collect();
    zones.sort();
    let last = zones.pop().unwrap();
    let wanted = NewVpc::new("10.20.0.0/24").subnet("10.20.0.64/26", &last).subnet("10.20.0.128/28", &last).ipv6();
    let vpc = ec2.create_vpc(wanted).wait().unwrap();
    let mut subnets = vpc.subnets().wait().unwrap();
    subnets.sort_by_key(|subnet| subnet.cidr_block.clone());
    let shown: Vec<_> = subnets.iter().map(|it| (it.cidr_block().unwrap(), it.availability_zone().unwrap())).collect();
    assert_eq!(shown, [("10.20.0.128/28", &*last), ("10.20.0.64/26", &*last)]);
    let vm = ec2.launch("blank").vpc(&vpc).without_waiting().wait().unwrap();
    assert!(vm.describe().wait().unwrap().ipv6_address().is_some());
    let tables = sdk(&ec2).describe_route_tables().filters(by("vpc-id", vpc.id()));
    let tables = insist(|| block_on(tables.clone().send()).map_err(Box::new));
    let leads = |to: &str| {
        tables.route_tables()[0].routes().iter().any(|route| {
            let destination = route.destination_cidr_block().or(route.destination_ipv6_cidr_block());
            destination == Some(to) && route.gateway_id().is_some_and(|gateway| gateway.starts_with("igw-"))
        })
    };
    assert!(leads("0.0.0.0/0") && leads("::/0"));
}

/// The VPCs of a region beside its default one.
fn vpcs(ec2: &Ec2) -> Vec<String> {
    let describe = sdk(ec2).describe_vpcs().filters(by("is-default", "false"));
    let answer = insist(|| block_on(describe.clone().send()).map_err(Box::new));
    answer.vpcs.unwrap_or_default().into_iter().filter_map(|vpc| vpc.vpc_id).collect()
}

/// Has somebody else use up a region's quota of VPCs.
fn use_up_vpcs(ec2: &Ec2) {
    let create = sdk(ec2).create_vpc().cidr_block("10.50.0.0/16");
    insist(|| match block_on(create.clone().send()) {
        Err(error) if error.code() == Some("VpcLimitExceeded") => Ok(()),
        other => Err(Box::new(other.map(drop).map_err(|error| format!("{error:?}")))),
    });
}

fn delete_vpc(ec2: &Ec2, vpc: &str) {
    let delete = sdk(ec2).delete_vpc().vpc_id(vpc);
    insist(|| match block_on(delete.clone().send()) {
        Err(error) if error.code() == Some("InvalidVpcID.NotFound") && !vpcs(ec2).contains(&vpc.to_owned()) => Ok(()),
        other => other.map(drop).map_err(Box::new),
    });
}

#[test]
fn a_vpc_waits_for_others_to_end_and_then_says_what_to_do() {
    // Of a region of its own, since quotas are a region's.
    let connect = || Ec2::connect().region("ap-northeast-1");
    let ec2 = connect().wait().unwrap();
    use_up_vpcs(&ec2);
    let waiting = ec2.create_vpc("10.40.0.0/16").start();
    std::thread::sleep(1.secs());
    let mut foreign = Vec::new();
    eventually("they are seen", || {
        foreign = vpcs(&ec2);
        !foreign.is_empty()
    });
    delete_vpc(&ec2, &foreign[0]);
    let ours = waiting.wait().unwrap();
    assert!(!foreign.contains(&ours.id().to_owned()));

    let mut config = ec2_harness::config::Config::load().unwrap();
    config.ready_timeout = 2.secs();
    let impatient = connect().config(config).wait().unwrap();
    let since = std::time::Instant::now();
    let error = impatient.create_vpc("10.40.0.0/16").wait().unwrap_err();
    let text = error.to_string();
    assert!(error.kind() == ErrorKind::Quota && since.elapsed() >= 2.secs(), "{text}");
    assert!(text.contains("ec2-harness sweep") && text.contains("get_or_create_vpc"), "{text}");
    drop(ours);
    eventually("the region is as it was", || {
        let left = vpcs(&ec2);
        left.iter().for_each(|vpc| delete_vpc(&ec2, vpc));
        left.is_empty()
    });
}

/// Deletes a region's default VPC, as an account's owner may have.
fn delete_default_vpc(ec2: &Ec2) {
    let client = sdk(ec2);
    eventually("the region has no default VPC", || {
        let describe = client.describe_vpcs().filters(by("is-default", "true"));
        let found = insist(|| block_on(describe.clone().send()).map_err(Box::new));
        let Some(vpc) = found.vpcs().first().and_then(|vpc| vpc.vpc_id.clone()) else { return true };
        let subnets = client.describe_subnets().filters(by("vpc-id", &vpc));
        for subnet in insist(|| block_on(subnets.clone().send()).map_err(Box::new)).subnets() {
            let _ = block_on(client.delete_subnet().set_subnet_id(subnet.subnet_id.clone()).send());
        }
        let gateways = client.describe_internet_gateways().filters(by("attachment.vpc-id", &vpc));
        for gateway in insist(|| block_on(gateways.clone().send()).map_err(Box::new)).internet_gateways() {
            let id = gateway.internet_gateway_id().unwrap();
            let _ = block_on(client.detach_internet_gateway().vpc_id(&vpc).internet_gateway_id(id).send());
            let _ = block_on(client.delete_internet_gateway().internet_gateway_id(id).send());
        }
        let _ = block_on(client.delete_vpc().vpc_id(&vpc).send());
        false
    });
}

#[test]
fn a_launch_without_a_default_vpc_says_what_to_do() {
    let ec2 = Ec2::connect().region("sa-east-1").wait().unwrap();
    delete_default_vpc(&ec2);
    let own_groups = ec2.launch("blank").security_groups(["sg-0123456789abcdef0"]).without_waiting();
    for launch in [ec2.launch("blank").without_waiting(), own_groups] {
        let text = launch.wait().unwrap_err().to_string();
        for says in [r#"vpc = "10.20.0.0/16""#, "aws ec2 create-default-vpc", "subnet"] {
            assert!(text.contains(says), "{text}");
        }
    }
    // As that says.
    let vpc = ec2.create_vpc("10.20.0.0/16").wait().unwrap();
    drop(ec2.launch("blank").vpc(&vpc).without_waiting().wait().unwrap());
    let create = sdk(&ec2).create_default_vpc();
    insist(|| match block_on(create.clone().send()) {
        Err(error) if error.code() == Some("DefaultVpcAlreadyExists") => Ok(()),
        other => other.map(drop).map_err(Box::new),
    });
}

#[test]
fn what_is_not_ours_is_named_and_left() {
    let ec2 = ec2();
    let vpc = ec2.create_vpc("10.20.0.0/16").wait().unwrap();
    let vm = ec2.launch("blank").vpc(&vpc).without_waiting().wait().unwrap();
    let name = super::support::unique("theirs");
    let create = sdk(&ec2).create_security_group().group_name(&name).description("theirs").vpc_id(vpc.id());
    let group = insist(|| match block_on(create.clone().send()) {
        Err(error) if error.code() == Some("InvalidGroup.Duplicate") => {
            let find = sdk(&ec2).describe_security_groups().filters(by("group-name", &name)).send();
            let found = block_on(find).map_err(|error| Box::new(format!("{error:?}")))?;
            found.security_groups().first().and_then(|it| it.group_id.clone()).ok_or_else(|| Box::new("unseen".into()))
        }
        other => other.map(|made| made.group_id.unwrap()).map_err(|error| Box::new(format!("{error:?}"))),
    });
    let error = vpc.delete().wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains(&group), "{error}");
    assert!(has_ended(&ec2, vm.id()));
    assert_eq!(vpc.subnets().wait().unwrap().len(), 2, "its network is left as well");
    super::support::delete_group(&ec2, &group);
    vpc.delete().wait().unwrap();
    assert!(is_gone(&ec2, vpc.id()));
}

#[test]
fn one_is_shared_by_all_who_ask_for_its_name() {
    let ec2 = ec2();
    let name = super::support::unique("shared");
    let asked: Vec<_> = (0..4).map(|_| ec2.get_or_create_vpc(&name, "10.20.0.0/16").start()).collect();
    let vpcs: Vec<_> = asked.into_iter().map(|task| task.wait().unwrap()).collect();
    assert!(vpcs.iter().all(|vpc| vpc == &vpcs[0]), "{vpcs:?}");
    let again = ec2.get_or_create_vpc(&name, "10.30.0.0/16").wait().unwrap();
    assert_eq!(again, vpcs[0]);
    let vm = ec2.launch("blank").vpc(&again).without_waiting().wait().unwrap();
    assert_eq!(vm.describe().wait().unwrap().vpc_id(), Some(again.id()));
    again.delete().wait().unwrap();
    assert!(is_gone(&ec2, again.id()));
    let one = sdk(&ec2).describe_vpcs().filters(by("tag:ec2-harness:shared", &name));
    assert!(insist(|| block_on(one.clone().send()).map_err(Box::new)).vpcs().is_empty());
}

#[ec2_test(vpc = "10.42.0.0/16", timeout = "5m")]
async fn machines_of_a_test_reach_each_other_in_its_own_vpc(
    vpc: Vpc,
    primary: Instance,
    replica: Instance,
    ec2: Ec2,
) -> Result {
    let serve = "exec perl -MIO::Socket::INET -e 'my $all = IO::Socket::INET->new(Listen => 9, LocalPort => 5432); close $_ while $_ = $all->accept'";
    let _serving = [&primary, &replica].map(|vm| vm.exec(serve).start());
    replica.assert(reach(&primary, tcp(5432))).within(60.secs()).await?;
    primary.assert(reach(&replica, tcp(5432))).within(60.secs()).await?;
    replica.assert(reach(&primary, tcp(5433)).is_unreachable()).await?;
    let error = replica.assert(reach(&primary, tcp(5432)).is_unreachable()).await.unwrap_err();
    assert!(error.to_string().contains("it takes a connection"), "{error}");
    // What the test launches itself stands there, too; and what stands elsewhere isn't reached.
    let third = ec2.launch_default().await?;
    assert_eq!(third.describe().await?.vpc_id(), Some(vpc.id()));
    third.assert(reach(&primary, tcp(5432))).await?;
    let other = ec2.create_vpc(NewVpc::new("10.43.0.0/16").zone_count(1)).await?;
    let elsewhere = ec2.launch_default().vpc(&other).await?;
    third.assert(reach(&elsewhere, tcp(22)).is_unreachable().timeout(2.secs())).await?;
    elsewhere.assert(reach(&third, tcp(22)).is_unreachable().timeout(2.secs())).await
}

#[ec2_test(vpc = "10.44.0.0/28")]
fn a_test_needs_no_parameter_for_its_vpc(vm: Instance) {
    assert!(vm.private_ip().unwrap().to_string().starts_with("10.44.0."));
}

/// A VPC as one who was killed has left it: named, and nothing in it.
fn unfinished(ec2: &Ec2, name: &str) -> String {
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    let attempt = super::support::unique("attempt");
    let tags = TagSpecification::builder()
        .resource_type(ResourceType::Vpc)
        .tags(tag("ec2-harness:shared", name))
        .tags(tag("ec2-harness:run", "@shared"))
        .tags(tag("ec2-harness:kept", "yes"))
        .tags(tag("ec2-harness:expires-at", "2999-01-01T00:00:00Z"))
        .tags(tag("attempt", &attempt))
        .build();
    insist(|| {
        let find = sdk(ec2).describe_vpcs().filters(by("tag:attempt", &attempt)).send();
        let found = block_on(find).map_err(|error| Box::new(format!("{error:?}")))?;
        if let Some(id) = found.vpcs().first().and_then(|vpc| vpc.vpc_id.clone()) {
            return Ok(id);
        }
        let create = sdk(ec2).create_vpc().cidr_block("10.20.0.0/16").tag_specifications(tags.clone()).send();
        let made = block_on(create).map_err(|error| Box::new(format!("{error:?}")))?;
        Ok::<_, Box<String>>(made.vpc.unwrap().vpc_id.unwrap())
    })
}

#[test]
fn what_a_dead_process_left_unfinished_is_completed() {
    let ec2 = ec2();
    let name = super::support::unique("unfinished");
    let left = unfinished(&ec2, &name);
    let find = sdk(&ec2).describe_vpcs().filters(by("tag:ec2-harness:shared", &name));
    super::support::eventually("it is seen by its name", || {
        !insist(|| block_on(find.clone().send()).map_err(Box::new)).vpcs().is_empty()
    });
    let vpc = ec2.get_or_create_vpc(&name, NewVpc::new("10.20.0.0/16").zone_count(1)).wait().unwrap();
    assert_eq!(vpc.id(), left);
    assert_eq!(vpc.subnets().wait().unwrap().len(), 1);
    let vm = ec2.launch("host").vpc(&vpc).wait().unwrap();
    vm.exec("true").wait().unwrap();
    vpc.delete().wait().unwrap();
    assert!(is_gone(&ec2, &left));
}

/// What the other processes do.
#[test]
#[ignore = "another starts it"]
fn asks_for_a_shared_vpc() {
    let vpc = ec2().get_or_create_vpc(std::env::var("SHARED_VPC").unwrap(), "10.20.0.0/16").wait().unwrap();
    println!("shared={}", vpc.id());
}

#[test]
fn processes_of_several_runs_share_one_by_its_name() {
    let name = super::support::unique("processes");
    let start = |number: usize| {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "vpcs::asks_for_a_shared_vpc", "--ignored", "--nocapture"]);
        command.env("SHARED_VPC", &name).env("EC2_HARNESS_RUN_ID", format!("{name}-{}", number / 2));
        command.env_remove("NEXTEST_RUN_ID").stdout(std::process::Stdio::piped()).spawn().unwrap()
    };
    let ec2 = ec2();
    let asking: Vec<_> = (0..4).map(start).collect();
    let shown: std::collections::BTreeSet<String> = asking
        .into_iter()
        .map(|process| {
            let said = String::from_utf8(process.wait_with_output().unwrap().stdout).unwrap();
            said.split("shared=").nth(1).unwrap_or_else(|| panic!("{said}")).lines().next().unwrap().to_owned()
        })
        .collect();
    assert_eq!(shown.len(), 1, "{shown:?}");
    let vpc = ec2.get_or_create_vpc(&name, "10.20.0.0/16").wait().unwrap();
    assert!(shown.contains(vpc.id()));
    vpc.delete().wait().unwrap();
    assert!(is_gone(&ec2, vpc.id()));
}

#[test]
fn one_that_nobody_uses_any_more_is_swept() {
    let mut config = ec2_harness::config::Config::load().unwrap();
    config.lease = std::time::Duration::from_secs(1);
    let ec2 = Ec2::connect().config(config).wait().unwrap();
    let vpc = ec2.get_or_create_vpc(super::support::unique("expired"), "10.20.0.0/16").wait().unwrap();
    super::support::eventually("a sweep ends it after its lease", || {
        ec2.sweep().wait().unwrap();
        is_gone(&ec2, vpc.id())
    });
}
