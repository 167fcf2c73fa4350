//! The address from which the outside sees this host.

use crate::error::{Error, ErrorKind};
use std::{net::IpAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// AWS's own service for this: answers an HTTP request with the caller's address.
const SERVICE: &str = "checkip.amazonaws.com";

const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks AWS, over TLS: anyone who could forge the answer would open SSH to themselves.
pub(crate) async fn address() -> Result<IpAddr, Error> {
    let failed = |reason: String| {
        Error::new(ErrorKind::Configuration, "find out from which address SSH must be open").because(reason).advise(
            "set `ssh_from` (EC2_HARNESS_SSH_FROM) to this host's public address or network, or `security_groups`",
        )
    };
    match timeout(TIMEOUT, ask()).await {
        Ok(Ok(text)) => parse(&text).ok_or_else(|| failed(format!("{SERVICE} answered without an address"))),
        Ok(Err(e)) => Err(failed(format!("{SERVICE}: {e}"))),
        Err(_) => Err(failed(format!("{SERVICE} did not answer within {} s", TIMEOUT.as_secs()))),
    }
}

async fn ask() -> std::io::Result<String> {
    use tokio_rustls::{
        TlsConnector,
        rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName},
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(SERVICE).map_err(std::io::Error::other)?;
    let stream = TcpStream::connect((SERVICE, 443)).await?;
    let mut stream = TlsConnector::from(std::sync::Arc::new(config)).connect(name, stream).await?;
    stream.write_all(format!("GET / HTTP/1.0\r\nHost: {SERVICE}\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    // Servers that close without TLS's own good-bye are common; what came counts.
    let _ = stream.take(4096).read_to_end(&mut answer).await;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The address in an HTTP answer; `None` if its status isn't 200 or its body is none.
fn parse(answer: &str) -> Option<IpAddr> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.lines().next()?.split(' ').nth(1).filter(|status| *status == "200")?;
    body.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_good_answer_is_an_address() {
        assert_eq!(parse("HTTP/1.1 200 OK\r\nA: b\r\n\r\n203.0.113.7\n"), Some([203, 0, 113, 7].into()));
        assert_eq!(parse("HTTP/1.1 302 Found\r\n\r\n203.0.113.7\n"), None);
        assert_eq!(parse("HTTP/1.1 200 OK\r\n\r\n<html>\n"), None);
        assert_eq!(parse("203.0.113.7"), None);
    }
}
