//! Where a client that has a name connects to: what its user's programs would find.
//!
//! libc asks modules that the machine's `nsswitch.conf` names, and that are the machine's own. So the machine's `getent` asks them, as the user,
//! and not this process.

use super::{login::Login, process};
use std::{io, net::IpAddr, process::Stdio, sync::Arc, time::Duration};
use tokio::{net::TcpStream, sync::Semaphore, time::timeout};

/// How many names a client may have looked up at a time.
const LOOKUPS_MAX: usize = 4;
/// How long a lookup may take: a resolver's own patience with three servers.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client's places for lookups; cheap to clone.
#[derive(Clone)]
pub struct Lookups(Arc<Semaphore>);

impl Default for Lookups {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LOOKUPS_MAX)))
    }
}

/// Connects to the first of a host's addresses that answers.
pub async fn connect(lookups: Lookups, login: Login, host: String, port: u16) -> io::Result<TcpStream> {
    let addresses = match host.parse() {
        Ok(address) => vec![address],
        Err(_) => look_up(&lookups, &login, &host).await?,
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("look up {host}: it has no address"));
    for address in addresses {
        match TcpStream::connect((address, port)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn look_up(lookups: &Lookups, login: &Login, host: &str) -> io::Result<Vec<IpAddr>> {
    // It would be taken for an option.
    if host.starts_with('-') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("look up {host}: it isn't a name")));
    }
    let _place = lookups.0.acquire().await.map_err(io::Error::other)?;
    let mut getent = process::tool(login, "getent", &["ahosts", host])?;
    getent.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, getent.output()).await.map_err(|_| {
        io::Error::new(io::ErrorKind::TimedOut, format!("look up {host}: it takes longer than {PATIENCE:?}"))
    })??;
    Ok(addresses(&String::from_utf8_lossy(&output.stdout)))
}

/// Each once, in the order in which they come, of lines such as `127.0.0.1 STREAM localhost`.
fn addresses(lines: &str) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for address in lines.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_is_tried_once() {
        let lines = "::1             STREAM localhost\n::1             DGRAM  \n127.0.0.1       STREAM \nnonsense\n\n";
        assert_eq!(addresses(lines), ["::1".parse::<IpAddr>().unwrap(), "127.0.0.1".parse().unwrap()]);
    }
}
