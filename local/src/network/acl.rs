//! Network ACLs: what may pass between a subnet and all else. Pure, without I/O.
//!
//! They are stateless: an answer has to pass by a rule of its own. Rules are asked in their order, and the first one that
//! fits decides. <https://docs.aws.amazon.com/vpc/latest/userguide/nacl-basics.html>

use super::filter::{self, Direction, Packet, Traffic};
use std::net::IpAddr;

/// A rule of a network ACL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclRule {
    /// Which way, as the machine sees it.
    pub direction: Direction,
    /// What.
    pub traffic: Traffic,
    /// From whom, or to whom: an address and a prefix length.
    pub network: (IpAddr, u8),
    /// Whether it lets that pass.
    pub allows: bool,
}

/// Whether a packet passes; what no rule is about doesn't. A fragment that isn't the first has no ports, and follows
/// its first one in the filter, which has seen it only if it has passed here.
pub(super) fn admits(rules: &[AclRule], direction: Direction, packet: &[u8]) -> bool {
    match filter::read(packet) {
        Some(packet) => admits_packet(rules, direction, &packet),
        None => filter::is_later_fragment(packet),
    }
}

pub(super) fn admits_packet(rules: &[AclRule], direction: Direction, packet: &Packet) -> bool {
    let remote = packet.remote(direction);
    let fits = |rule: &&AclRule| {
        rule.direction == direction
            && filter::is_of(remote, rule.network.0, rule.network.1)
            && rule.traffic.names(packet)
    };
    rules.iter().find(fits).is_some_and(|rule| rule.allows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    const NEAR: [u8; 4] = [10, 0, 1, 5];
    const FAR: [u8; 4] = [10, 0, 2, 7];

    fn tcp(from: ([u8; 4], u16), to: ([u8; 4], u16)) -> Vec<u8> {
        let mut packet = Vec::new();
        let builder = PacketBuilder::ipv4(from.0, to.0, 64).tcp(from.1, to.1, 1, 1000);
        builder.write(&mut packet, b"x").unwrap();
        packet
    }

    fn rule(direction: Direction, traffic: Traffic, network: ([u8; 4], u8), allows: bool) -> AclRule {
        AclRule { direction, traffic, network: (IpAddr::from(network.0), network.1), allows }
    }

    #[test]
    fn the_first_rule_that_fits_decides_and_none_refuses() {
        use Direction::{Egress, Ingress};
        let question = tcp((FAR, 40_000), (NEAR, 22));
        let answer = tcp((NEAR, 22), (FAR, 40_000));
        assert!(!admits(&[], Ingress, &question));
        let everyone = ([0, 0, 0, 0], 0);
        let ssh = rule(Ingress, Traffic::Tcp(22..=22), everyone, true);
        assert!(admits(std::slice::from_ref(&ssh), Ingress, &question));
        // What answers has to pass by itself.
        assert!(!admits(std::slice::from_ref(&ssh), Egress, &answer));
        let out = rule(Egress, Traffic::Tcp(1024..=65535), (FAR, 32), true);
        assert!(admits(&[ssh.clone(), out], Egress, &answer));
        let refuse = rule(Ingress, Traffic::All, ([10, 0, 2, 0], 24), false);
        assert!(!admits(&[refuse.clone(), ssh.clone()], Ingress, &question));
        assert!(admits(&[ssh, refuse], Ingress, &question));
    }

    #[test]
    fn fragments_that_have_no_ports_follow_the_first() {
        let mut packet = tcp((FAR, 40_000), (NEAR, 22));
        packet[6..8].copy_from_slice(&1_u16.to_be_bytes());
        assert!(admits(&[], Direction::Ingress, &packet));
        assert!(!admits(&[], Direction::Ingress, &packet[..10]), "it isn't even a packet");
    }
}
