//! What a stack takes for its network device: one packet in, frames out to the NIC's port.

use super::{
    Nic,
    link::{self, Link},
    opening::Opening,
    port::{ETHERNET, MTU},
    router, sizes, v6,
};
use smoltcp::{
    phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken},
    time::Instant,
};

/// The flag of a TCP packet that opens a connection (RFC 9293, 3.1).
const SYN: u8 = 0x02;

/// The network device of a stack, for the time of one call; when that is over nothing is held back.
pub(super) struct Wire<'a> {
    /// Where frames go.
    pub(super) link: &'a mut Link,
    /// What stands before each packet.
    pub(super) header: &'a [u8; ETHERNET],
    /// The packet that came in.
    pub(super) packet: Option<&'a [u8]>,
    /// The opening whose first frame is to be kept.
    pub(super) opening: Option<&'a mut Opening>,
}

impl Drop for Wire<'_> {
    fn drop(&mut self) {
        self.link.port.finish();
    }
}

/// A packet that came in.
pub(super) struct Packet<'a>(&'a [u8]);

impl RxToken for Packet<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(self.0)
    }
}

/// Room for a packet.
pub(super) struct Room<'a> {
    link: &'a mut Link,
    now: Instant,
    header: &'a [u8; ETHERNET],
    opening: Option<&'a mut Opening>,
}

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let Link { nic, port, filter, .. } = self.link;
        port.send_with(self.header, length, |packet| {
            let result = fill(packet);
            if is_of_internet(packet, nic) {
                sizes::bound_segments(packet);
            }
            let is_admitted = link::lets_in(nic, filter, packet, self.now);
            if is_admitted
                && let Some(opening) = self.opening
                && router::opening(packet).is_some_and(|(from, _)| from == opening.from.into())
            {
                opening.syn = [self.header.as_slice(), packet].concat();
            }
            (result, is_admitted)
        })
    }
}

/// Whether a packet of a stack opens a connection with the internet, which is behind a gateway. The host and the switch's own
/// services carry what a VPC does.
fn is_of_internet(packet: &[u8], nic: &Nic) -> bool {
    // A stack's headers have no options.
    let opens = |header: usize| packet.get(header + 13).is_some_and(|flags| flags & SYN != 0);
    if v6::is_v6(packet) {
        return opens(v6::header::LENGTH) && !v6::is_own(v6::header::source(packet));
    }
    let source = router::source(packet);
    opens(20) && !router::is_host(source) && !router::is_own(source, nic)
}

impl Device for Wire<'_> {
    type RxToken<'b>
        = Packet<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Room<'b>
    where
        Self: 'b;

    fn receive(&mut self, now: Instant) -> Option<(Packet<'_>, Room<'_>)> {
        let packet = self.packet.take()?;
        let room = Room { link: self.link, now, header: self.header, opening: None };
        Some((Packet(packet), room))
    }

    fn transmit(&mut self, now: Instant) -> Option<Room<'_>> {
        let opening = self.opening.as_deref_mut();
        self.link.port.has_room().then_some(Room { link: self.link, now, header: self.header, opening })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities()
    }
}

/// The device that a stack is made with; it has no port yet.
pub(super) struct Unplugged;

impl Device for Unplugged {
    type RxToken<'b> = Packet<'b>;
    type TxToken<'b> = Room<'b>;

    fn receive(&mut self, _: Instant) -> Option<(Packet<'_>, Room<'_>)> {
        None
    }

    fn transmit(&mut self, _: Instant) -> Option<Room<'_>> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities()
    }
}

fn capabilities() -> DeviceCapabilities {
    let mut capabilities = DeviceCapabilities::default();
    capabilities.medium = Medium::Ip;
    capabilities.max_transmission_unit = MTU;
    // Frames come through the memory of this host: nothing can have damaged them on the way.
    capabilities.checksum.tcp = Checksum::Tx;
    capabilities
}
