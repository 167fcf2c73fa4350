//! The machine's network interfaces: TAP devices, whose other ends go to the switch, configured as EC2's DHCP would.

use super::kernel;
use crate::network::Nic;
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with},
};
use std::{ffi::CString, io, net::Ipv4Addr, os::fd::OwnedFd};

/// EC2's MTU within a VPC.
const MTU: u32 = 9001;
/// The routing table says that a route came by DHCP, as on EC2 (rtnetlink(7); the library lacks the constant).
const RTPROT_DHCP: u8 = 16;
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

/// Makes the interfaces `eth0`, `eth1`, … of this network namespace, brings them and `lo` up, and returns their other ends.
pub fn set_up(interfaces: &[Nic]) -> io::Result<Vec<OwnedFd>> {
    let mut kernel = RouteSocket::open()?;
    kernel.change_link("lo", None, None)?;
    let mut ends = Vec::new();
    for (index, interface) in interfaces.iter().enumerate() {
        let name = format!("eth{index}");
        ends.push(open_tap(&name)?);
        kernel
            .configure(&name, interface, index == 0)
            .map_err(|error| io::Error::new(error.kind(), format!("configure {name}: {error}")))?;
    }
    Ok(ends)
}

fn open_tap(name: &str) -> io::Result<OwnedFd> {
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
    let tap = CString::new(name)?;
    kernel::make_tap(&device, &tap)
        .map_err(|error| io::Error::new(error.kind(), format!("make the TAP device {name}: {error}")))?;
    Ok(device)
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

    fn configure(&mut self, name: &str, interface: &Nic, primary: bool) -> io::Result<()> {
        self.change_link(name, Some(interface.mac), Some(MTU))?;
        let index = link_index(name)?;
        for address in &interface.addresses {
            self.add_address(index, *address, interface.subnet.1)?;
        }
        if primary {
            let router = Ipv4Addr::from(u32::from(interface.subnet.0).wrapping_add(1));
            let main = libc::RT_TABLE_MAIN;
            self.add_route(index, Ipv4Addr::UNSPECIFIED, 0, router, main)?;
            self.add_route(index, METADATA, 32, router, main)?;
            self.let_loopback_in(index)?;
            for (second, prefix) in PUBLIC {
                // In the table in which they would be the machine's own; there the narrower one wins.
                self.add_route(index, Ipv4Addr::new(127, second, 0, 0), prefix, router, libc::RT_TABLE_LOCAL)?;
            }
        }
        Ok(())
    }

    fn change_link(&mut self, name: &str, mac: Option<[u8; 6]>, mtu: Option<u32>) -> io::Result<()> {
        let mut body = vec![0; 16];
        body[4..8].copy_from_slice(&link_index(name)?.to_ne_bytes());
        let up = (libc::IFF_UP as u32).to_ne_bytes();
        body[8..12].copy_from_slice(&up);
        body[12..16].copy_from_slice(&up);
        if let Some(mac) = mac {
            attribute(&mut body, libc::IFLA_ADDRESS, &mac);
        }
        if let Some(mtu) = mtu {
            attribute(&mut body, libc::IFLA_MTU, &mtu.to_ne_bytes());
        }
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

    /// Lets packets in that come from the public addresses of other machines. Nobody can send any to a loopback address:
    /// the switch knows of none.
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
