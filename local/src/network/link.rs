//! A NIC that is plugged in: its port, behind its filter.

use super::{
    Nic,
    dns::Asker,
    filter::{Direction, Far, Filter},
    port::Port,
    router, v6,
};
use smoltcp::time::Instant;

/// A NIC that is plugged in: its port, behind its filter.
pub(super) struct Link {
    /// The port's id.
    pub(super) id: u64,
    pub(super) nic: Nic,
    pub(super) port: Port,
    pub(super) filter: Filter,
}

impl Link {
    /// Who asks for names through it.
    pub(super) fn asker(&self) -> Asker {
        Asker { nic: self.nic.id.clone(), vpc: self.nic.vpc.clone() }
    }
}

/// Whether a packet passes from one machine to another of its VPC or of one that is joined to it, whose header has been checked, and its source too, if
/// that `is_checked`. Otherwise it is not that of the receiver's router or name server: the sender's subnet has others.
pub(super) fn passes(from: &mut Link, to: &mut Link, is_checked: bool, packet: &[u8], now: Instant) -> bool {
    let is_near = (&from.nic.vpc, from.nic.subnet) == (&to.nic.vpc, to.nic.subnet);
    // Those of IPv6 are the same everywhere, and nobody speaks as them.
    (is_checked || v6::is_v6(packet) || !router::is_own(router::source(packet), &to.nic))
        && (is_near || from.filter.crosses(Direction::Egress, packet) && to.filter.crosses(Direction::Ingress, packet))
        && from.filter.admits(Direction::Egress, packet, Far { port: Some(to.id), groups: to.filter.groups() }, now)
        && to.filter.admits(Direction::Ingress, packet, Far { port: Some(from.id), groups: from.filter.groups() }, now)
}

/// Whether a packet of the NIC's own stack passes to the machine: what comes from outside is filtered, the switch's own
/// services never are.
/// <https://docs.aws.amazon.com/vpc/latest/userguide/vpc-security-groups.html>
pub(super) fn lets_in(nic: &Nic, filter: &mut Filter, packet: &[u8], now: Instant) -> bool {
    let is_own = if v6::is_v6(packet) {
        v6::is_own(v6::header::source(packet))
    } else {
        router::is_own(router::source(packet), nic)
    };
    is_own || filter.admits(Direction::Ingress, packet, Far::ELSEWHERE, now)
}
