//! Connections to the switch's own services.

use super::{
    super::{
        router::{self, DNS, METADATA},
        services::Request,
        stack::Ends,
        v6,
        watched::Watched,
    },
    Engine, Plugged,
};
use smoltcp::time::Instant;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::unix::net::UnixStream,
    sync::atomic::Ordering,
};

/// What a machine may connect to.
#[derive(Clone, Copy)]
enum Service {
    Metadata,
    Names,
}

impl Engine {
    /// Takes a TCP packet to a service; what nobody serves is refused by the stack.
    pub(super) fn serve_own(&mut self, id: u64, plugged: &mut Plugged, packet: &[u8], now: Instant) {
        if let Some((from, to)) = router::opening(packet)
            && let Some(service) = service(to, plugged)
            && plugged.stack.admits((from, to))
            && let Err(error) = self.serve_at(id, plugged, (from, to), service)
        {
            plugged.refused += 1;
            // Powers of two: a machine that asks too much must not fill the log.
            if plugged.refused.is_power_of_two() {
                let (nic, times) = (&plugged.link.nic.id, plugged.refused);
                tracing::warn!(%error, nic, times, "failed to serve at {to}; the machine is refused");
            }
        }
        plugged.stack.receive(packet, &mut plugged.link, now);
    }

    /// Listens for a connection to a service.
    fn serve_at(&mut self, id: u64, plugged: &mut Plugged, ends: Ends, service: Service) -> io::Result<()> {
        let (ours, stream) = UnixStream::pair()?;
        stream.set_nonblocking(true)?;
        let flow = self.ids.fetch_add(1, Ordering::Relaxed);
        let host = Watched::new(&self.epoll, ours.into(), flow)?;
        let request = match service {
            Service::Metadata => {
                Request::Metadata { nic: plugged.link.nic.id.clone(), is_v6: ends.1.is_ipv6(), stream }
            }
            Service::Names => Request::Names { asker: plugged.link.asker(), stream },
        };
        self.services.ask(&plugged.turn, request)?;
        plugged.stack.serve(flow, ends, host);
        self.owners.insert(flow, id);
        Ok(())
    }
}

fn service(to: SocketAddr, plugged: &Plugged) -> Option<Service> {
    let (is_metadata, is_names) = match to.ip() {
        IpAddr::V4(address) => (address == METADATA, router::is_name_server(address, &plugged.link.nic)),
        IpAddr::V6(address) => (address == v6::METADATA, address == v6::NAMES),
    };
    if is_metadata && to.port() == 80 {
        Some(Service::Metadata)
    } else if to.port() == DNS && !plugged.attributes.is_nameless && is_names {
        Some(Service::Names)
    } else {
        None
    }
}
