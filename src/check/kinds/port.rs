//! Ports of the machine itself.

use super::table::{Learn, kind};
use crate::check::{
    answer::{Answer, Answers},
    fact::Fact,
    finding::{Miss, Outcome, hold},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// A port and its protocol: `tcp(22)`, `udp(53)`; a plain number is TCP's. In files: `22`, `"53/udp"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Port {
    pub(super) number: u16,
    pub(super) protocol: Protocol,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum Protocol {
    #[default]
    Tcp,
    Udp,
}

/// A port of TCP.
pub const fn tcp(number: u16) -> Port {
    Port { number, protocol: Protocol::Tcp }
}

/// A port of UDP.
pub const fn udp(number: u16) -> Port {
    Port { number, protocol: Protocol::Udp }
}

impl Port {
    /// Something listens there.
    #[track_caller]
    pub fn is_listening(self) -> PortCheck {
        port(self).is_listening()
    }

    /// Nothing listens there.
    #[track_caller]
    pub fn is_free(self) -> PortCheck {
        port(self).is_free()
    }
}

impl PortCheck {
    /// Of TCP, which is the default for a plain number.
    pub fn tcp(mut self) -> Self {
        self.port.protocol = Protocol::Tcp;
        self
    }

    /// Of UDP.
    pub fn udp(mut self) -> Self {
        self.port.protocol = Protocol::Udp;
        self
    }

    fn fact(&self) -> Fact {
        // Who listens is looked up only where the answer may have to say so.
        if self.listening == Some(false) || !self.on.is_empty() {
            Fact::shared("sockets", [&format!("{:04X}", self.port.number)])
        } else {
            Fact::shared("sockets", [])
        }
    }
}

kind! {
    /// Who is expected to listen on a port; made by [`port`].
    PortCheck

    /// A port of the machine: `port(22)`, `port(udp(53))`.
    ///
    /// Expects that something listens, unless told otherwise. What is seen is the network namespace that the login user is in.
    port(port: Port = port) expects is_listening;

    listening: Option<bool> {
        /// Something listens there, on whichever address; for UDP: has bound it.
        is_listening() = true;
        /// Nothing listens there, on any address.
        is_free() = false;
    } expects [last "something listens", "nothing listens"] => |listening, sockets| {
        hold(sockets.here.is_empty() != *listening, || list(&sockets.here))
    };

    #[serde(with = "super::texts")]
    on: Vec<String> {
        /// A socket listens on exactly this address: `127.0.0.1`, or `0.0.0.0` for one that listens on all of IPv4, `::` for
        /// one that listens on all; may be said several times.
        on(address: impl ToString) = address.to_string();
    } expects "listens on {}" => |address, sockets| sockets.judge_address(address);
}

impl Learn for PortCheck {
    type Learnt = Sockets;

    fn facts(&self) -> Vec<Fact> {
        vec![self.fact()]
    }

    fn learn(&self, answers: &Answers) -> Result<Sockets, String> {
        let all = read(answers.get(&self.fact())?, self.port.protocol)?;
        let here = all.iter().filter(|socket| socket.at.port() == self.port.number).cloned().collect();
        Ok(Sockets { all, here })
    }

    fn evidence(&self, sockets: &Sockets) -> Vec<(&'static str, String)> {
        match (&sockets.all[..], &sockets.here[..]) {
            ([], _) => vec![("listening", format!("no {} port at all", self.port.protocol))],
            (all, []) => vec![("listening", by_port(all))],
            _ => Vec::new(),
        }
    }
}

/// The sockets that listen.
pub(super) struct Sockets {
    all: Vec<Socket>,
    /// Those on the port.
    here: Vec<Socket>,
}

impl Sockets {
    fn judge_address(&self, address: &str) -> Outcome {
        let Ok(wanted) = address.trim_matches(['[', ']']).parse::<IpAddr>() else {
            return Err(Miss::Unanswerable(format!("`{address}` is not an IP address")));
        };
        hold(self.here.iter().any(|socket| socket.at.ip() == wanted), || list(&self.here))
    }
}

fn list(sockets: &[Socket]) -> String {
    match sockets {
        [] => "nothing listens there".to_owned(),
        sockets => sockets.iter().map(Socket::describe).collect::<Vec<_>>().join("\n"),
    }
}

/// All that listens, by port; of a port with many addresses, the first ones.
fn by_port(sockets: &[Socket]) -> String {
    const ADDRESSES: usize = 2;
    let mut all: Vec<_> = sockets.iter().map(|socket| socket.at).collect();
    all.sort_by_key(|at| (at.port(), at.ip()));
    all.dedup();
    let ports = all.chunk_by(|one, other| one.port() == other.port()).map(|port| {
        let shown: Vec<_> = port.iter().take(ADDRESSES).map(SocketAddr::to_string).collect();
        match port.len() - shown.len() {
            0 => shown.join(", "),
            more => format!("{} and {more} more addresses", shown.join(", ")),
        }
    });
    ports.collect::<Vec<_>>().join(", ")
}

/// A socket that listens.
#[derive(Debug, Clone)]
struct Socket {
    at: SocketAddr,
    /// The processes that hold it, as far as we may see.
    owners: Vec<String>,
}

impl Socket {
    fn describe(&self) -> String {
        match self.owners.is_empty() {
            true => format!("{} (by whom, only root may see)", self.at),
            false => format!("{} by {}", self.at, self.owners.join(", ")),
        }
    }
}

fn read(answer: &Answer, protocol: Protocol) -> Result<Vec<Socket>, String> {
    let tables = match protocol {
        Protocol::Tcp => ["tcp", "tcp6"],
        Protocol::Udp => ["udp", "udp6"],
    };
    if tables.iter().all(|table| answer.data(table).is_none()) {
        return Err("there is no /proc/net on this machine".to_owned());
    }
    let owners = answer.text("owners").unwrap_or_default();
    let mut sockets = Vec::new();
    for line in tables.iter().filter_map(|table| answer.text(table)).collect::<String>().lines() {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (Some(local), Some(inode)) = (fields.get(1), fields.get(9)) else { continue };
        let Some(at) = address(local) else { return Err(format!("/proc/net has a line that can't be read: {line}")) };
        let wanted = format!("[{inode}]");
        let mut names: Vec<_> = owners
            .lines()
            .filter_map(|owner| owner.strip_prefix(&wanted)?.trim().split_once(' '))
            .map(|(process, name)| format!("{name} (process {process})"))
            .collect();
        names.dedup();
        sockets.push(Socket { at, owners: names });
    }
    Ok(sockets)
}

/// `0100007F:0016`: words in the byte order of the machine, which is little on all of EC2's.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |index: usize| u32::from_str_radix(address.get(index * 8..index * 8 + 8)?, 16).ok().map(u32::swap_bytes);
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let bits = words.iter().fold(0u128, |bits, word| bits << 32 | u128::from(*word));
            IpAddr::V6(Ipv6Addr::from(bits))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

impl From<u16> for Port {
    fn from(number: u16) -> Self {
        tcp(number)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let number = number.parse().ok();
        match (number, protocol) {
            (Some(number), "tcp") => Ok(tcp(number)),
            (Some(number), "udp") => Ok(udp(number)),
            _ => Err(format!("`{text}` is not a port such as `22`, `22/tcp` or `53/udp`")),
        }
    }
}

impl Serialize for Port {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.protocol {
            Protocol::Tcp => serializer.serialize_u16(self.number),
            Protocol::Udp => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_is_listed_by_port() {
        let at = |text: &str| Socket { at: text.parse().unwrap(), owners: Vec::new() };
        let mut sockets: Vec<_> = (1..=9).map(|host| at(&format!("127.0.0.{host}:22"))).collect();
        sockets.extend([at("[::]:80"), at("0.0.0.0:80"), at("0.0.0.0:80"), at("127.0.0.1:9")]);
        let listed = "127.0.0.1:9, 127.0.0.1:22, 127.0.0.2:22 and 7 more addresses, 0.0.0.0:80, [::]:80";
        assert_eq!(by_port(&sockets), listed);
        assert_eq!(by_port(&[]), "");
    }
}
