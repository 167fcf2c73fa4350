//! Which addresses are the host's own: the kernel is asked (rtnetlink(7)), each time, since they come and go.
//!
//! It knows more of them than the interfaces tell: whole networks that are routed to the host, and the broadcast
//! addresses of its links.

use rustix::{
    io::Errno,
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with},
};
use std::{net::Ipv4Addr, os::fd::OwnedFd};

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
    pub(super) fn kind(&mut self, address: Ipv4Addr) -> Result<Kind, Errno> {
        let result = self.ask(address);
        if result.is_err() {
            // A socket that has gone wrong once, out of memory for example, may hold an answer that nobody waits for.
            self.socket = None;
        }
        result
    }

    fn ask(&mut self, address: Ipv4Addr) -> Result<Kind, Errno> {
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

fn question(address: Ipv4Addr, sequence: u32) -> Vec<u8> {
    let length = (HEADER + ROUTE + 8) as u32;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(libc::RTM_GETROUTE.to_ne_bytes());
    message.extend((libc::NLM_F_REQUEST as u16).to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]);
    // A route to all 32 bits of an address.
    message.extend([libc::AF_INET as u8, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    message.extend(8u16.to_ne_bytes());
    message.extend(libc::RTA_DST.to_ne_bytes());
    message.extend(address.octets());
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

    #[test]
    fn the_hosts_own_addresses_are_known() {
        let mut routes = Routes::default();
        for address in [[127, 0, 0, 1], [127, 9, 9, 9], [0, 0, 0, 0], [224, 0, 0, 1]] {
            assert_eq!(routes.kind(address.into()), Ok(Kind::Own), "{address:?}");
        }
        // Whatever this host has: as the kernel sends from it, it is its own.
        let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        if socket.connect((Ipv4Addr::new(192, 0, 2, 77), 9)).is_ok()
            && let std::net::IpAddr::V4(own) = socket.local_addr().unwrap().ip()
        {
            assert_eq!(routes.kind(own), Ok(Kind::Own), "{own}");
        }
        assert_eq!(routes.kind(Ipv4Addr::new(198, 51, 100, 7)), Ok(Kind::Remote));
    }

    #[test]
    fn an_answer_to_another_question_is_none() {
        let mut answer = question(Ipv4Addr::LOCALHOST, 7);
        answer[HEADER + 7] = libc::RTN_LOCAL;
        assert_eq!(read(&answer, 7), Ok(Kind::Own));
        assert_eq!(read(&answer, 8), Err(Errno::BADMSG));
        assert_eq!(read(&answer[..HEADER + 3], 7), Err(Errno::BADMSG));
        assert_eq!(read(&[], 7), Err(Errno::BADMSG));
    }
}
