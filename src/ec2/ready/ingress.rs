//! Whether the security groups of a machine let SSH in at all.

use crate::{config::Reach, ec2::Machine};
use aws_sdk_ec2::types::{IpPermission, SecurityGroup};
use std::time::Duration;

const SSH: i32 = 22;

/// How long the question may take: it only explains another error.
const WITHIN: Duration = Duration::from_secs(10);

/// What to do where no rule of the machine's groups lets SSH in from anywhere; `None` where one does, or nobody knows.
pub(super) async fn closed(machine: &Machine) -> Option<String> {
    if matches!(machine.ec2().config().reach, Reach::Command(_)) {
        return None;
    }
    let described = machine.last_described()?;
    let ids: Vec<String> = described.security_groups().iter().filter_map(|it| it.group_id.clone()).collect();
    if ids.is_empty() {
        return None;
    }
    let call = machine.client().describe_security_groups().set_group_ids(Some(ids.clone())).send();
    let groups = tokio::time::timeout(WITHIN, call).await.ok()?.ok()?;
    is_closed(groups.security_groups()).then(|| {
        format!(
            "none of the inbound rules of its security groups ({}) allows TCP port {SSH} from any source",
            ids.join(", ")
        )
    })
}

fn is_closed(groups: &[SecurityGroup]) -> bool {
    !groups.iter().flat_map(SecurityGroup::ip_permissions).any(lets_ssh_in)
}

/// A rule without a source lets nobody in.
fn lets_ssh_in(rule: &IpPermission) -> bool {
    let is_ssh = match rule.ip_protocol() {
        Some("-1") => true,
        Some("tcp" | "6") => (rule.from_port().unwrap_or(0)..=rule.to_port().unwrap_or(65_535)).contains(&SSH),
        _ => false,
    };
    is_ssh
        && !(rule.ip_ranges().is_empty()
            && rule.ipv6_ranges().is_empty()
            && rule.prefix_list_ids().is_empty()
            && rule.user_id_group_pairs().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::{IpRange, UserIdGroupPair};

    fn group(rules: &[(&str, i32, i32)]) -> SecurityGroup {
        let anybody = IpRange::builder().cidr_ip("0.0.0.0/0").build();
        let rule = |(protocol, from, to): &(&str, i32, i32)| {
            IpPermission::builder()
                .ip_protocol(*protocol)
                .from_port(*from)
                .to_port(*to)
                .ip_ranges(anybody.clone())
                .build()
        };
        SecurityGroup::builder().set_ip_permissions(Some(rules.iter().map(rule).collect())).build()
    }

    #[test]
    fn a_rule_for_ssh_is_known_however_it_is_written() {
        for open in [("tcp", 22, 22), ("6", 0, 65_535), ("tcp", 20, 30), ("-1", -1, -1)] {
            assert!(!is_closed(&[group(&[("udp", 0, 65_535)]), group(&[open])]), "{open:?}");
        }
        for closed in [("tcp", 80, 80), ("udp", 22, 22), ("icmp", -1, -1), ("tcp", 23, 65_535)] {
            assert!(is_closed(&[group(&[closed])]), "{closed:?}");
        }
        assert!(is_closed(&[]));
    }

    #[test]
    fn a_rule_counts_by_its_sources() {
        let rule = IpPermission::builder().ip_protocol("-1");
        let of = |rule: IpPermission| SecurityGroup::builder().ip_permissions(rule).build();
        assert!(is_closed(&[of(rule.clone().build())]));
        let members = UserIdGroupPair::builder().group_id("sg-1").build();
        assert!(!is_closed(&[of(rule.user_id_group_pairs(members).build())]));
    }
}
