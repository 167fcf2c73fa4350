//! A NIC that is plugged in: its port, behind its filter.

use super::{
    Nic,
    dns::Asker,
    filter::{Direction, Filter},
    port::Port,
    router,
};
use smoltcp::time::Instant;

/// A NIC that is plugged in: its port, behind its filter.
pub(super) struct Link {
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

/// Whether a packet of the NIC's own stack passes to the machine: what comes from outside is filtered, the switch's own
/// services never are.
/// <https://docs.aws.amazon.com/vpc/latest/userguide/vpc-security-groups.html>
pub(super) fn lets_in(nic: &Nic, filter: &mut Filter, packet: &[u8], now: Instant) -> bool {
    let source = packet.get(12..16).and_then(|source| source.first_chunk::<4>());
    source.is_some_and(|source| router::is_own((*source).into(), nic))
        || filter.admits(Direction::Ingress, packet, &[], now)
}
