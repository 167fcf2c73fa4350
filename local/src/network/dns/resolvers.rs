//! The host's resolvers (resolv.conf(5)).

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6},
    path::{Path, PathBuf},
};

/// How many name servers a resolver has at most (`MAXNS`).
const SERVERS: usize = 3;
/// Where systemd-resolved answers, and what it asks itself. It would tell machines what stands in the host's `/etc/hosts`.
/// <https://www.freedesktop.org/software/systemd/man/latest/systemd-resolved.service.html>
const STUBS: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 53), Ipv4Addr::new(127, 0, 0, 54)];
const BEHIND_STUB: &str = "/run/systemd/resolve/resolv.conf";

/// Where the host says which resolvers it has.
pub(super) struct Resolvers {
    file: PathBuf,
    behind_stub: PathBuf,
}

impl Resolvers {
    /// Those of a file like `/etc/resolv.conf`.
    pub(super) fn of(file: &Path) -> Self {
        Self { file: file.to_owned(), behind_stub: BEHIND_STUB.into() }
    }

    /// The resolvers as of now: the file changes with the host's networks. None if there is no such file.
    pub(super) fn now(&self) -> Vec<SocketAddr> {
        let servers = read(&self.file);
        if !servers.is_empty() && servers.iter().all(|server| STUBS.iter().any(|stub| server.ip() == *stub)) {
            let behind = read(&self.behind_stub);
            if !behind.is_empty() {
                return behind;
            }
        }
        servers
    }
}

fn read(file: &Path) -> Vec<SocketAddr> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().filter_map(server).take(SERVERS).collect()
}

fn server(line: &str) -> Option<SocketAddr> {
    let mut words = line.split_whitespace();
    let address = words.next().filter(|word| *word == "nameserver").and_then(|_| words.next())?;
    match address.split_once('%') {
        // An address of a link has to say which.
        Some((address, link)) => {
            let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None);
            let scope = link.parse().ok().or_else(|| rustix::net::netdevice::name_to_index(socket.ok()?, link).ok())?;
            Some(SocketAddrV6::new(address.parse().ok()?, super::PORT, 0, scope).into())
        }
        None => Some(SocketAddr::new(address.parse::<IpAddr>().ok()?, super::PORT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, behind: &str) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let (file, behind_stub) = (directory.path().join("resolv.conf"), directory.path().join("behind"));
        fs::write(&file, text).unwrap();
        fs::write(&behind_stub, behind).unwrap();
        Resolvers { file, behind_stub }.now().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn servers_are_read_in_order_and_nothing_else() {
        let text = "# nameserver 1.1.1.1\nsearch example.com\nnameserver 10.0.0.2\n nameserver\t2001:db8::1 # second\n\
                    nameserver nobody\noptions timeout:9\nnameserver fe80::1%lo\nnameserver 9.9.9.9\n";
        assert_eq!(of(text, ""), ["10.0.0.2:53", "[2001:db8::1]:53", "[fe80::1%1]:53"]);
        assert!(Resolvers::of(Path::new("/nonexistent")).now().is_empty());
    }

    #[test]
    fn a_stub_is_passed_by() {
        assert_eq!(of("nameserver 127.0.0.53\n", "nameserver 10.0.0.2\n"), ["10.0.0.2:53"]);
        assert_eq!(of("nameserver 127.0.0.53\n", ""), ["127.0.0.53:53"]);
        assert_eq!(of("nameserver 127.0.0.1\n", "nameserver 10.0.0.2\n"), ["127.0.0.1:53"]);
    }
}
