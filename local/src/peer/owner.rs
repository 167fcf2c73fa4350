//! The user whose process made a TCP connection over the loopback. The kernel tells, of one socket at a time, and to anybody
//! (sock_diag(7)). Kernels that were built without that say the same in `/proc/net/tcp` (proc_net_tcp(5)), of all sockets at once,
//! which takes long where there are many.

use rustix::{
    io::{Errno, retry_on_intr},
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with},
    process::geteuid,
};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpListener},
    sync::OnceLock,
};

/// A user, as far as it matters who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum User {
    /// The one who runs this process, or root, whom nothing here keeps out.
    Own,
    /// Somebody else; `None` where the kernel doesn't tell.
    Other(Option<u32>),
}

impl User {
    /// Who made a connection over the loopback that was accepted here, by its ends.
    pub(crate) fn of(client: SocketAddr, server: SocketAddr) -> Self {
        match owner(client, server) {
            Some(user) if user == 0 || user == geteuid().as_raw() => Self::Own,
            other => Self::Other(other),
        }
    }
}

/// `SOCK_DIAG_BY_FAMILY` and `NLM_F_REQUEST`, for the whole of which see `linux/sock_diag.h` and `linux/netlink.h`.
const BY_FAMILY: u16 = 20;
const REQUEST: u16 = 1;
/// The lengths of `struct nlmsghdr`, `struct inet_diag_req_v2` and `struct inet_diag_msg`.
const HEADER: usize = 16;
const QUESTION: usize = HEADER + 56;
const ANSWER: usize = HEADER + 72;
/// Where an answer has the socket's state, its user and its inode.
const STATE: usize = HEADER + 1;
const USER: usize = HEADER + 64;
const INODE: usize = HEADER + 68;
/// The state of a socket that listens.
const LISTEN: u8 = 10;

/// The user of the socket at the client's end; none where there is no such socket, or nobody holds it any more.
fn owner(client: SocketAddr, server: SocketAddr) -> Option<u32> {
    if answers() { asked(client, server) } else { listed(client, server) }
}

/// Whether the kernel tells of one socket. What it doesn't know and what it doesn't do has the same answer, so it is asked of a
/// socket that is there.
fn answers() -> bool {
    static ANSWERS: OnceLock<bool> = OnceLock::new();
    *ANSWERS.get_or_init(|| {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| Ok((listener.local_addr()?, listener)));
        listener.is_ok_and(|(address, _listener)| {
            ask(address, address).is_ok_and(|answer| kind(&answer) == Some(BY_FAMILY))
        })
    })
}

fn asked(client: SocketAddr, server: SocketAddr) -> Option<u32> {
    read(&ask(client, server).ok()?)
}

fn ask(client: SocketAddr, server: SocketAddr) -> Result<Vec<u8>, Errno> {
    let kernel = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        Some(netlink::SOCK_DIAG),
    )?;
    retry_on_intr(|| send(&kernel, &question(client, server), SendFlags::empty()))?;
    // The kernel has answered by the time that it has been asked.
    let mut answer = vec![0; 512];
    let (length, _) = retry_on_intr(|| recv(&kernel, &mut answer[..], RecvFlags::empty()))?;
    answer.truncate(length);
    Ok(answer)
}

/// Whether anybody listens at an address, be it for that alone or for all of the host's. Nobody is connected to for it.
pub(crate) fn is_listened_at(server: SocketAddrV4) -> bool {
    if answers() {
        let nobody = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let answer = ask(server.into(), nobody.into()).unwrap_or_default();
        return kind(&answer) == Some(BY_FAMILY) && answer.get(STATE) == Some(&LISTEN);
    }
    is_listed_as_listening(server)
}

fn is_listed_as_listening(server: SocketAddrV4) -> bool {
    let everywhere = |address: IpAddr| SocketAddr::from((address, server.port()));
    let v4 = [server.into(), everywhere(Ipv4Addr::UNSPECIFIED.into())];
    let v6 = [everywhere(server.ip().to_ipv6_mapped().into()), everywhere(Ipv6Addr::UNSPECIFIED.into())];
    [("/proc/self/net/tcp", v4), ("/proc/self/net/tcp6", v6)].into_iter().any(|(table, ends)| {
        let ends = ends.map(listed_end);
        let table = fs::read_to_string(table).unwrap_or_default();
        table.lines().any(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let is_it = fields.next().is_some_and(|end| ends.iter().any(|one| one == end));
            is_it && fields.nth(1) == Some("0A")
        })
    })
}

/// Asks for the one TCP socket with these ends, whatever its cookie.
fn question(client: SocketAddr, server: SocketAddr) -> [u8; QUESTION] {
    let mut question = [0; QUESTION];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        question[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(&(QUESTION as u32).to_ne_bytes());
    put(&BY_FAMILY.to_ne_bytes());
    put(&REQUEST.to_ne_bytes());
    put(&[0; 8]);
    let family = if client.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    put(&[family.as_raw() as u8, libc::IPPROTO_TCP as u8, 0, 0]);
    put(&u32::MAX.to_ne_bytes());
    put(&client.port().to_be_bytes());
    put(&server.port().to_be_bytes());
    put(&address(client.ip()));
    put(&address(server.ip()));
    // Any interface.
    put(&[0; 4]);
    put(&[0xff; 8]);
    question
}

fn address(address: IpAddr) -> [u8; 16] {
    let mut bytes = [0; 16];
    match address {
        IpAddr::V4(address) => bytes[..4].copy_from_slice(&address.octets()),
        IpAddr::V6(address) => bytes = address.octets(),
    }
    bytes
}

/// The user in an answer. That of a socket without an inode, which no process holds any more, is told as root; and where there
/// is no connection, the kernel may find a socket that listens at that address.
fn read(answer: &[u8]) -> Option<u32> {
    let number = |at: usize| Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    let is_held =
        answer.len() >= ANSWER && kind(answer)? == BY_FAMILY && answer[STATE] != LISTEN && number(INODE)? != 0;
    if is_held { number(USER) } else { None }
}

/// The type of a message.
fn kind(answer: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?))
}

/// Looks in the tables of all sockets: a client of IPv4 may have a socket of IPv6, which has both ends as mapped addresses
/// (RFC 4291, 2.5.5.2).
fn listed(client: SocketAddr, server: SocketAddr) -> Option<u32> {
    let map = |end: SocketAddr| match end {
        SocketAddr::V4(end) => SocketAddr::from((end.ip().to_ipv6_mapped(), end.port())),
        SocketAddr::V6(_) => end,
    };
    let plain = client.is_ipv4().then(|| listed_in("/proc/self/net/tcp", client, server)).flatten();
    plain.or_else(|| listed_in("/proc/self/net/tcp6", map(client), map(server)))
}

fn listed_in(table: &str, client: SocketAddr, server: SocketAddr) -> Option<u32> {
    let table = fs::read_to_string(table).ok()?;
    let ends = [client, server].map(listed_end);
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it = fields.get(1..3)? == ends && *fields.get(9)? != "0";
        if is_it { fields.get(7)?.parse().ok() } else { None }
    })
}

/// An address and port as the tables have them.
fn listed_end(end: SocketAddr) -> String {
    let words = address(end.ip());
    let words = words.chunks_exact(4).take(if end.is_ipv4() { 1 } else { 4 });
    let words = words.map(|word| format!("{:08X}", u32::from_ne_bytes([word[0], word[1], word[2], word[3]])));
    format!("{}:{:04X}", words.collect::<String>(), end.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::{process::Uid, thread::set_thread_res_uid};
    use std::{
        net::{SocketAddrV6, TcpListener, TcpStream},
        thread,
    };

    /// Each way to know. The first needs a kernel that has it.
    const WAYS: [fn(SocketAddr, SocketAddr) -> Option<u32>; 3] = [asked, listed, owner];

    /// A connection by a user, and both ends' addresses.
    fn connection(address: &str, user: Option<u32>) -> (TcpStream, TcpStream, SocketAddr, SocketAddr) {
        let listener = TcpListener::bind(address).unwrap();
        let server = listener.local_addr().unwrap();
        let connect = move || {
            if let Some(user) = user.map(Uid::from_raw) {
                set_thread_res_uid(user, user, user).unwrap();
            }
            TcpStream::connect(server).unwrap()
        };
        let near = thread::spawn(connect).join().unwrap();
        let (far, client) = listener.accept().unwrap();
        (near, far, client, server)
    }

    #[test]
    fn a_connection_is_its_users() {
        let own = geteuid().as_raw();
        for address in ["127.0.0.1:0", "127.7.8.9:0", "[::1]:0"] {
            let users: &[Option<u32>] = if own == 0 { &[None, Some(4242)] } else { &[None] };
            for user in users {
                let (_near, _far, client, server) = connection(address, *user);
                for owner in WAYS {
                    assert_eq!(owner(client, server), Some(user.unwrap_or(own)), "{address}");
                    // The other end is another socket.
                    assert_eq!(owner(server, client), Some(own), "{address}");
                }
            }
        }
    }

    #[test]
    fn a_connection_by_a_socket_of_ipv6_to_ours_of_ipv4_is_its_users() {
        let own = geteuid().as_raw();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let near = socket_with(AddressFamily::INET6, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        let mapped = SocketAddrV6::new(Ipv4Addr::LOCALHOST.to_ipv6_mapped(), server.port(), 0, 0);
        rustix::net::connect(&near, &mapped).unwrap();
        let (_far, client) = listener.accept().unwrap();
        assert!(client.is_ipv4());
        for owner in WAYS {
            assert_eq!(owner(client, server), Some(own));
            assert_eq!(owner(server, client), Some(own), "the other end is of IPv4");
        }
        drop(near);
        assert!(WAYS.iter().all(|owner| owner(client, server).is_none()));
    }

    #[test]
    fn what_nobody_holds_is_nobodys() {
        let (near, far, client, server) = connection("127.0.0.1:0", None);
        drop(near);
        assert!(WAYS.iter().all(|owner| owner(client, server).is_none()), "closed, though the kernel knows it still");
        drop(far);
        assert!(WAYS.iter().all(|owner| owner(client, server).is_none()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(WAYS.iter().all(|owner| owner(address, server).is_none()), "it listens");
    }

    #[test]
    fn who_listens_everywhere_listens_at_each_address() {
        for (address, everywhere) in
            [("0.0.0.0:0", true), ("[::]:0", true), ("127.0.0.1:0", false), ("127.7.8.9:0", true)]
        {
            let listener = TcpListener::bind(address).unwrap();
            let server = SocketAddrV4::new(Ipv4Addr::new(127, 7, 8, 9), listener.local_addr().unwrap().port());
            for look in [is_listened_at, is_listed_as_listening] {
                assert_eq!(look(server), everywhere, "{address}");
            }
            drop(listener);
            assert!(!is_listened_at(server) && !is_listed_as_listening(server), "{address}");
        }
    }

    #[test]
    fn no_answer_breaks_it() {
        for length in 0..200 {
            assert_eq!(read(&vec![0; length]), None);
            let _ = read(&vec![0xff; length]);
        }
    }
}
