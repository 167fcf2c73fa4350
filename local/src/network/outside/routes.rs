//! Which addresses are the host's own: the kernel is asked (rtnetlink(7)), each time, since they come and go.
//!
//! It knows more of them than the interfaces tell: whole networks that are routed to the host, and the broadcast
//! addresses of its links.

use rustix::{
    io::Errno,
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with},
};
use std::{net::IpAddr, os::fd::OwnedFd};

/// Whose an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The host's: one of its own, or all that are on a link.
    Own,
    /// Somebody else's, or nobody's.
    Remote,
}

/// A message's header (netlink(7)).
const HEADER: usize = 16;
/// What stands after it in a message about a route.
const ROUTE: usize = 12;

/// The kernel's routing tables.
#[derive(Default)]
pub(super) struct Routes {
    socket: Option<OwnedFd>,
    sequence: u32,
}

impl Routes {
    /// Whose an address is, as of now.
    pub(super) fn kind(&mut self, address: IpAddr) -> Result<Kind, Errno> {
        let result = self.ask(address);
        if result.is_err() {
            // A socket that has gone wrong once, out of memory for example, may hold an answer that nobody waits for.
            self.socket = None;
        }
        result
    }

    fn ask(&mut self, address: IpAddr) -> Result<Kind, Errno> {
        self.sequence = self.sequence.wrapping_add(1);
        let socket = match &mut self.socket {
            Some(socket) => socket,
            // No protocol is protocol 0, and that is NETLINK_ROUTE.
            empty => empty.insert(socket_with(
                AddressFamily::NETLINK,
                SocketType::RAW,
                SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
                None,
            )?),
        };
        send(&*socket, &question(address, self.sequence), SendFlags::empty())?;
        // The kernel has answered by the time that it has taken the question.
        let mut answer = [0; 4096];
        let (length, _) = recv(&*socket, &mut answer, RecvFlags::empty())?;
        read(&answer[..length], self.sequence)
    }
}

fn question(address: IpAddr, sequence: u32) -> Vec<u8> {
    let (family, octets) = match address {
        IpAddr::V4(address) => (libc::AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6, address.octets().to_vec()),
    };
    let attribute = 4 + octets.len() as u16;
    let length = HEADER as u32 + ROUTE as u32 + u32::from(attribute);
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(libc::RTM_GETROUTE.to_ne_bytes());
    message.extend((libc::NLM_F_REQUEST as u16).to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]);
    // A route to all bits of an address.
    message.extend([family as u8, octets.len() as u8 * 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    message.extend(attribute.to_ne_bytes());
    message.extend(libc::RTA_DST.to_ne_bytes());
    message.extend(octets);
    message
}

fn read(answer: &[u8], sequence: u32) -> Result<Kind, Errno> {
    let header = answer.first_chunk::<HEADER>().ok_or(Errno::BADMSG)?;
    let kind = u16::from_ne_bytes([header[4], header[5]]);
    if header[8..12] != sequence.to_ne_bytes() {
        return Err(Errno::BADMSG);
    }
    let body = &answer[HEADER..];
    if i32::from(kind) == libc::NLMSG_ERROR {
        let code = body.first_chunk::<4>().map(|code| i32::from_ne_bytes(*code)).ok_or(Errno::BADMSG)?;
        return match Errno::from_raw_os_error(code.saturating_neg()) {
            // There is no route, or one that says so: connecting will tell.
            Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::ACCESS => Ok(Kind::Remote),
            error => Err(error),
        };
    }
    match body.get(7) {
        Some(&libc::RTN_UNICAST | &libc::RTN_UNREACHABLE | &libc::RTN_BLACKHOLE | &libc::RTN_PROHIBIT) => {
            Ok(Kind::Remote)
        }
        Some(_) => Ok(Kind::Own),
        None => Err(Errno::BADMSG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn the_hosts_own_addresses_are_known() {
        let mut routes = Routes::default();
        for address in [[127, 0, 0, 1], [127, 9, 9, 9], [0, 0, 0, 0], [224, 0, 0, 1]] {
            assert_eq!(routes.kind(IpAddr::from(address)), Ok(Kind::Own), "{address:?}");
        }
        // Whatever this host has: as the kernel sends from it, it is its own.
        let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        if socket.connect((Ipv4Addr::new(192, 0, 2, 77), 9)).is_ok() {
            let own = socket.local_addr().unwrap().ip();
            assert_eq!(routes.kind(own), Ok(Kind::Own), "{own}");
        }
        assert_eq!(routes.kind(Ipv4Addr::new(198, 51, 100, 7).into()), Ok(Kind::Remote));
        if std::fs::exists("/proc/net/if_inet6").unwrap() {
            assert_eq!(routes.kind(Ipv6Addr::LOCALHOST.into()), Ok(Kind::Own));
            assert_eq!(routes.kind("ff02::1".parse().unwrap()), Ok(Kind::Own));
            assert_eq!(routes.kind("2001:db8::7".parse().unwrap()), Ok(Kind::Remote));
        }
    }

    #[test]
    fn an_answer_to_another_question_is_none() {
        let mut answer = question(Ipv4Addr::LOCALHOST.into(), 7);
        answer[HEADER + 7] = libc::RTN_LOCAL;
        assert_eq!(read(&answer, 7), Ok(Kind::Own));
        assert_eq!(read(&answer, 8), Err(Errno::BADMSG));
        assert_eq!(read(&answer[..HEADER + 3], 7), Err(Errno::BADMSG));
        assert_eq!(read(&[], 7), Err(Errno::BADMSG));
    }
}
