//! The machine's network interfaces: TAP devices, whose other ends go to the switch, configured as EC2's DHCP would.

use super::{kernel, root::told};
use crate::network::Nic;
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with},
    process::Pid,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use std::{
    ffi::CStr,
    io,
    net::{Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd, OwnedFd},
};

/// EC2's MTU within a VPC.
const MTU: u32 = 9001;
/// The routing table says that a route came by DHCP, as on EC2 (rtnetlink(7); the library lacks the constant).
const RTPROT_DHCP: u8 = 16;
/// A route came by a router's advertisement (rtnetlink(7)), and goes before those that the kernel makes of one, which have 1024.
const RTPROT_RA: u8 = 9;
const METRIC: u32 = 512;
/// An address is good without asking whether another one has it (linux/if_addr.h).
const IFA_F_NODAD: u8 = 0x02;
/// The addresses of 127.0.0.0/8 of which public ones are: all but 127.0.0.0/16, which every machine has to itself. As networks,
/// by their second byte and prefix length.
const PUBLIC: [(u8, u8); 8] = [(1, 16), (2, 15), (4, 14), (8, 13), (16, 12), (32, 11), (64, 10), (128, 9)];
/// Attributes of a link, and its setting that lets loopback addresses in (linux/if_link.h, linux/ip.h); the library lacks
/// them.
const IFLA_AF_SPEC: u16 = 26;
const IFLA_INET_CONF: u16 = 1;
const IPV4_DEVCONF_ROUTE_LOCALNET: u16 = 26;
/// EC2's metadata service.
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// What the interfaces are called: `eth0`, `eth1`, …
const NAMES: &CStr = c"eth%d";

/// Makes the interfaces `eth0`, `eth1`, … of this network namespace, brings the first of them and `lo` up, and returns their other
/// ends.
pub fn set_up(interfaces: &[Nic]) -> io::Result<Vec<OwnedFd>> {
    let mut kernel = RouteSocket::open()?;
    kernel.bring_up("lo")?;
    let mut ends = Vec::new();
    for interface in interfaces {
        let (end, name) = kernel.add(interface)?;
        if ends.is_empty() {
            kernel.configure(&name, interface).map_err(told("configure", &name))?;
        }
        ends.push(end);
    }
    Ok(ends)
}

/// Makes an interface more in the network namespace of a machine, by its init, and returns its other end. It is down, as one is that is
/// attached to a running machine: who is in there configures it.
///
/// This process stays in that namespace; it needs no network.
pub fn add(init: Pid, interface: &Nic) -> io::Result<OwnedFd> {
    let path = format!("/proc/{}/ns/net", init.as_raw_pid());
    let namespace =
        rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(told("open", &path))?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(told("enter", "the machine's network namespace (setns(2))"))?;
    RouteSocket::open()?.add(interface).map(|(end, _)| end)
}

fn open_tap() -> io::Result<(OwnedFd, String)> {
    let device = rustix::fs::open("/dev/net/tun", OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())
        .map_err(|error| {
            let advice = match error {
                Errno::NOENT | Errno::NODEV | Errno::NXIO => {
                    "load the kernel module `tun` (`modprobe tun`), or give the container the device (`--device /dev/net/tun`)"
                }
                _ => "make it readable and writable for this user (`chmod 0666 /dev/net/tun`, the usual mode)",
            };
            io::Error::new(error.kind(), format!("open /dev/net/tun, which a machine's network needs: {error}; {advice}"))
        })?;
    let name = kernel::make_tap(&device, NAMES).map_err(told("make", "a TAP device"))?;
    Ok((device, name))
}

/// A socket to the kernel's routing tables (rtnetlink(7)).
struct RouteSocket {
    socket: OwnedFd,
    sequence: u32,
}

impl RouteSocket {
    fn open() -> io::Result<Self> {
        // No protocol is protocol 0, and that is NETLINK_ROUTE.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Makes an interface, which is down; its other end, and its name.
    fn add(&mut self, interface: &Nic) -> io::Result<(OwnedFd, String)> {
        let (end, name) = open_tap()?;
        let mut body = vec![0; 16];
        body[4..8].copy_from_slice(&link_index(&name)?.to_ne_bytes());
        attribute(&mut body, libc::IFLA_ADDRESS, &interface.mac);
        attribute(&mut body, libc::IFLA_MTU, &MTU.to_ne_bytes());
        self.request(libc::RTM_NEWLINK, 0, &body).map_err(told("set up", &name))?;
        // Whoever gets it configured may have public addresses come to it; nobody can send any to a loopback address otherwise: the
        // switch knows of none.
        self.let_loopback_in(link_index(&name)?).map_err(told("set up", &name))?;
        Ok((end, name))
    }

    /// Configures the primary interface with its primary address, as EC2's DHCP server tells of it. Others are for the guest.
    fn configure(&mut self, name: &str, interface: &Nic) -> io::Result<()> {
        self.bring_up(name)?;
        let index = link_index(name)?;
        if let Some(address) = interface.addresses.first() {
            self.add_address(index, *address, interface.subnet.1)?;
        }
        let router = Ipv4Addr::from(u32::from(interface.subnet.0).wrapping_add(1));
        let main = libc::RT_TABLE_MAIN;
        self.add_route(index, Ipv4Addr::UNSPECIFIED, 0, router, main)?;
        self.add_route(index, METADATA, 32, router, main)?;
        self.configure6(index, interface)?;
        for (second, prefix) in PUBLIC {
            // In the table in which they would be the machine's own; there the narrower one wins.
            self.add_route(index, Ipv4Addr::new(127, second, 0, 0), prefix, router, libc::RT_TABLE_LOCAL)?;
        }
        Ok(())
    }

    /// Gives the interface its IPv6 addresses, and the routes that EC2's router tells of. A kernel without IPv6 has none.
    fn configure6(&mut self, index: u32, interface: &Nic) -> io::Result<()> {
        let Some((network, prefix)) = interface.subnet6.filter(|_| !interface.ipv6.is_empty()) else { return Ok(()) };
        for address in &interface.ipv6 {
            match self.add_address6(index, *address) {
                Err(error) if is_without_ipv6(&error) => return Ok(()),
                result => result?,
            }
        }
        self.add_route6(index, network, prefix, None)?;
        self.add_route6(index, Ipv6Addr::UNSPECIFIED, 0, Some(Nic::ROUTER6))
    }

    /// Nobody else can have the address, so nobody is asked for it: it is good at once.
    fn add_address6(&mut self, index: u32, address: Ipv6Addr) -> io::Result<()> {
        let mut body = vec![libc::AF_INET6 as u8, 128, IFA_F_NODAD, libc::RT_SCOPE_UNIVERSE];
        body.extend(index.to_ne_bytes());
        attribute(&mut body, libc::IFA_ADDRESS, &address.octets());
        self.request(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &body)
    }

    fn add_route6(&mut self, index: u32, network: Ipv6Addr, prefix: u8, router: Option<Ipv6Addr>) -> io::Result<()> {
        let mut body = vec![
            libc::AF_INET6 as u8,
            prefix,
            0,
            0,
            libc::RT_TABLE_MAIN,
            RTPROT_RA,
            libc::RT_SCOPE_UNIVERSE,
            libc::RTN_UNICAST,
        ];
        body.extend([0; 4]);
        if prefix > 0 {
            attribute(&mut body, libc::RTA_DST, &network.octets());
        }
        if let Some(router) = router {
            attribute(&mut body, libc::RTA_GATEWAY, &router.octets());
        }
        attribute(&mut body, libc::RTA_OIF, &index.to_ne_bytes());
        attribute(&mut body, libc::RTA_PRIORITY, &METRIC.to_ne_bytes());
        self.request(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &body)
    }

    fn bring_up(&mut self, name: &str) -> io::Result<()> {
        let mut body = vec![0; 16];
        body[4..8].copy_from_slice(&link_index(name)?.to_ne_bytes());
        let up = (libc::IFF_UP as u32).to_ne_bytes();
        body[8..12].copy_from_slice(&up);
        body[12..16].copy_from_slice(&up);
        self.request(libc::RTM_NEWLINK, 0, &body)
    }

    fn add_address(&mut self, index: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let mut body = vec![libc::AF_INET as u8, prefix, 0, libc::RT_SCOPE_UNIVERSE];
        body.extend(index.to_ne_bytes());
        attribute(&mut body, libc::IFA_LOCAL, &address.octets());
        attribute(&mut body, libc::IFA_ADDRESS, &address.octets());
        let mask = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
        attribute(&mut body, libc::IFA_BROADCAST, &(u32::from(address) | mask).to_be_bytes());
        self.request(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &body)
    }

    /// Lets packets in that come from the public addresses of other machines.
    fn let_loopback_in(&mut self, index: u32) -> io::Result<()> {
        let (mut setting, mut inet, mut families) = (Vec::new(), Vec::new(), Vec::new());
        attribute(&mut setting, IPV4_DEVCONF_ROUTE_LOCALNET, &1u32.to_ne_bytes());
        attribute(&mut inet, IFLA_INET_CONF, &setting);
        attribute(&mut families, libc::AF_INET as u16, &inet);
        let mut body = vec![0; 16];
        body[4..8].copy_from_slice(&index.to_ne_bytes());
        attribute(&mut body, IFLA_AF_SPEC, &families);
        self.request(libc::RTM_NEWLINK, 0, &body)
    }

    fn add_route(
        &mut self,
        index: u32,
        destination: Ipv4Addr,
        prefix: u8,
        router: Ipv4Addr,
        table: u8,
    ) -> io::Result<()> {
        let mut body = vec![
            libc::AF_INET as u8,
            prefix,
            0,
            0,
            table,
            RTPROT_DHCP,
            libc::RT_SCOPE_UNIVERSE,
            libc::RTN_UNICAST,
            0,
            0,
            0,
            0,
        ];
        if prefix > 0 {
            attribute(&mut body, libc::RTA_DST, &destination.octets());
        }
        attribute(&mut body, libc::RTA_GATEWAY, &router.octets());
        attribute(&mut body, libc::RTA_OIF, &index.to_ne_bytes());
        self.request(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &body)
    }

    /// Sends a request and waits for the kernel's word on it.
    fn request(&mut self, kind: u16, flags: i32, body: &[u8]) -> io::Result<()> {
        self.sequence += 1;
        let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK | flags) as u16;
        let length = u32::try_from(16 + body.len()).map_err(io::Error::other)?;
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend([0; 4]);
        message.extend(body);
        send(&self.socket, &message, SendFlags::empty())?;

        // An acknowledgement is an error message that bears 0: a header of 16 bytes, then the negative errno.
        let mut answer = [0; 4096];
        let (length, _) = recv(&self.socket, &mut answer, RecvFlags::empty())?;
        let code = answer[..length].get(16..20).and_then(|code| code.try_into().ok()).map(i32::from_ne_bytes);
        match code {
            Some(0) => Ok(()),
            Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
            None => Err(io::Error::other("the kernel's answer on its routing socket is too short")),
        }
    }
}

/// Whether the kernel has no IPv6, or it is switched off (`net.ipv6.conf.default.disable_ipv6`).
fn is_without_ipv6(error: &io::Error) -> bool {
    let codes = [libc::EAFNOSUPPORT, libc::EOPNOTSUPP, libc::EACCES, libc::EPERM];
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend((4 + value.len() as u16).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

fn link_index(name: &str) -> io::Result<u32> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    Ok(rustix::net::netdevice::name_to_index(socket, name)?)
}
