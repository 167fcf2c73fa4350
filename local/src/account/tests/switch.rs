//! What the switch is told.

use super::*;
use crate::network::{Attributes, Change, Direction, Peer, Rule, Traffic};
use std::collections::BTreeMap;

/// What the switch knows by now.
#[derive(Default)]
struct Known {
    groups: BTreeMap<String, Vec<Rule>>,
    interfaces: BTreeMap<String, Attributes>,
}

impl Known {
    fn take(&mut self, world: &mut World) {
        for change in world.account.take_changes() {
            match change {
                Change::SecurityGroup { id, rules: Some(rules) } => drop(self.groups.insert(id, rules)),
                Change::SecurityGroup { id, rules: None } => drop(self.groups.remove(&id)),
                Change::NetworkInterface { id, attributes: Some(attributes) } => {
                    drop(self.interfaces.insert(id, attributes));
                }
                Change::NetworkInterface { id, attributes: None } => drop(self.interfaces.remove(&id)),
            }
        }
    }
}

fn anywhere() -> Peer {
    Peer::Network(std::net::Ipv4Addr::UNSPECIFIED, 0)
}

#[test]
fn the_default_group_admits_its_members_and_all_may_leave() {
    let (mut world, mut known) = (World::new(), Known::default());
    known.take(&mut world);
    assert_eq!(known.groups.len(), place::REGIONS.len());
    let answer = world.ok("DescribeSecurityGroups", Structure::new());
    let id = answer.structures("SecurityGroups").next().unwrap().string("GroupId").unwrap().to_owned();
    let rules = &known.groups[&id];
    let expected = [
        Rule { direction: Direction::Ingress, traffic: Traffic::All, peer: Peer::Group(id) },
        Rule { direction: Direction::Egress, traffic: Traffic::All, peer: anywhere() },
    ];
    assert!(rules.len() == 2 && expected.iter().all(|rule| rules.contains(rule)), "{rules:?}");
}

#[test]
fn rules_come_and_go_with_the_calls() {
    let (mut world, mut known) = (World::new(), Known::default());
    let input = Structure::new().with("GroupName", "web").with("Description", "x");
    let id = world.ok("CreateSecurityGroup", input).string("GroupId").unwrap().to_owned();
    let rule = |protocol: &str, from: i64, to: i64, cidr: &str| {
        let ports = Structure::new().with("IpProtocol", protocol).with("FromPort", from).with("ToPort", to);
        ports.with("GroupId", id.as_str()).with("CidrIp", cidr)
    };
    for (protocol, from, to, traffic) in [
        ("tcp", 22, 25, Traffic::Tcp(22..=25)),
        ("udp", 53, 53, Traffic::Udp(53..=53)),
        ("icmp", 8, -1, Traffic::Icmp(Some(8), None)),
        ("-1", -1, -1, Traffic::All),
        ("50", -1, -1, Traffic::Protocol(50)),
    ] {
        let input = rule(protocol, from, to, "10.0.0.0/8");
        let expected = Rule { direction: Direction::Ingress, traffic, peer: Peer::Network([10, 0, 0, 0].into(), 8) };
        world.err("AuthorizeSecurityGroupIngress", input.clone().with("DryRun", true));
        known.take(&mut world);
        assert!(!known.groups[&id].contains(&expected), "{protocol}");
        world.ok("AuthorizeSecurityGroupIngress", input.clone());
        known.take(&mut world);
        assert!(known.groups[&id].contains(&expected), "{:?}", known.groups[&id]);
        world.ok("RevokeSecurityGroupIngress", input);
        known.take(&mut world);
        assert!(!known.groups[&id].contains(&expected), "{protocol}");
    }
    world.ok("DeleteSecurityGroup", Structure::new().with("GroupId", id.as_str()));
    known.take(&mut world);
    assert!(!known.groups.contains_key(&id));
}

#[test]
fn interfaces_are_told_with_what_changes() {
    let (mut world, mut known) = (World::new(), Known::default());
    let id = world.run();
    known.take(&mut world);
    let (_, before) = known.interfaces.first_key_value().unwrap();
    assert!(before.source_dest_check && before.public_address.is_none(), "{before:?}");
    world.settle();
    known.take(&mut world);
    assert!(known.interfaces.values().all(|attributes| attributes.public_address.is_some()));

    let input = Structure::new().with("GroupName", "web").with("Description", "x");
    let group = world.ok("CreateSecurityGroup", input).string("GroupId").unwrap().to_owned();
    let modify = Structure::new().with("InstanceId", id.as_str());
    world.ok("ModifyInstanceAttribute", modify.clone().with("Groups", vec![group.as_str()]));
    let off = Structure::new().with("Value", false);
    world.ok("ModifyInstanceAttribute", modify.with("SourceDestCheck", off));
    known.take(&mut world);
    let (_, after) = known.interfaces.first_key_value().unwrap();
    assert!(after.groups == [group] && !after.source_dest_check, "{after:?}");

    world.ok("TerminateInstances", Structure::new().with("InstanceIds", vec![id]));
    known.take(&mut world);
    assert!(known.interfaces.values().all(|attributes| attributes.public_address.is_none()));
    world.settle();
    known.take(&mut world);
    assert!(known.interfaces.is_empty());
}
