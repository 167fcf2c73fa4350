//! What a client says first, heard before it is answered which host keys there are: its version, and which kinds of keys it takes.
//!
//! The library must be told all keys before. So this says the server's version in its place, listens, and hands it the connection as
//! if nothing had been said.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::timeout,
};

/// How long after its version a client may take to say what it takes. A few wait for the server to say it first; most that are late are only slow, as
/// everything on this host is then, and must not cost it a key of RSA.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than any client says: the longest packet has 35,000 bytes (RFC 4253, section 6.1).
const HEARD_MAX: usize = 40_000;
/// SSH_MSG_KEXINIT.
const KEXINIT: u8 = 20;

/// A connection whose beginning was heard already.
pub struct Greeted {
    stream: TcpStream,
    unread: Vec<u8>,
    read: usize,
    unwritten: usize,
}

/// Greets a client, and listens until it has said which keys it takes; whether it would rather have one of RSA than any that there
/// always is. Who doesn't say might.
pub async fn greet(mut stream: TcpStream, version: &str) -> io::Result<(Greeted, bool)> {
    let line = format!("{version}\r\n");
    stream.write_all(line.as_bytes()).await?;
    let mut heard = Vec::new();
    while !heard.contains(&b'\n') && hear(&mut stream, &mut heard).await? {}
    let mut kinds = None;
    let listening = async {
        loop {
            kinds = key_kinds(&heard);
            if kinds.is_some() || !hear(&mut stream, &mut heard).await? {
                return Ok::<_, io::Error>(());
            }
        }
    };
    let is_late = match timeout(PATIENCE, listening).await {
        Ok(listened) => listened.map(|()| false)?,
        Err(_) => true,
    };
    let prefers_rsa = kinds.map_or(is_late, |kinds| prefers_rsa(&kinds));
    Ok((Greeted { stream, unread: heard, read: 0, unwritten: line.len() }, prefers_rsa))
}

/// Hears more; whether there may be more still.
async fn hear(stream: &mut TcpStream, heard: &mut Vec<u8>) -> io::Result<bool> {
    Ok(stream.read_buf(heard).await? > 0 && heard.len() < HEARD_MAX)
}

fn prefers_rsa(kinds: &str) -> bool {
    let known = |kind: &&str| matches!(*kind, "ssh-ed25519" | "ecdsa-sha2-nistp256" | "rsa-sha2-256" | "rsa-sha2-512");
    kinds.split(',').find(known).is_some_and(|kind| kind.starts_with("rsa-"))
}

/// The kinds of host keys in a client's KEXINIT (RFC 4253, section 7.1), once it has come.
fn key_kinds(heard: &[u8]) -> Option<String> {
    let end = heard.iter().position(|byte| *byte == b'\n')?;
    let packet = &heard[end + 1..];
    let (length, packet) = packet.split_first_chunk()?;
    let packet = packet.get(..u32::from_be_bytes(*length) as usize)?;
    // After the length of the padding, and before a cookie of 16 bytes.
    let names = packet.get(1..).filter(|payload| payload.first() == Some(&KEXINIT))?.get(1 + 16..)?;
    let (_, names) = name_list(names)?;
    name_list(names).map(|(kinds, _)| String::from_utf8_lossy(kinds).into_owned())
}

fn name_list(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, bytes) = bytes.split_first_chunk()?;
    bytes.split_at_checked(u32::from_be_bytes(*length) as usize)
}

impl AsyncRead for Greeted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let unread = &this.unread[this.read..];
        if unread.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        let length = unread.len().min(buffer.remaining());
        buffer.put_slice(&unread[..length]);
        this.read += length;
        if this.read == this.unread.len() {
            (this.unread, this.read) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Greeted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.unwritten == 0 {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        }
        // The version has been said.
        let length = self.unwritten.min(bytes.len());
        self.unwritten -= length;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_makes_it_panic(mut said: Vec<u8>, place: prop::sample::Index, length: u32) {
            let _ = key_kinds(&said);
            let mut whole = super::tests::said("ssh-ed25519");
            let place = place.index(whole.len());
            whole.splice(place..whole.len().min(place + 4), length.to_be_bytes());
            let _ = key_kinds(&whole);
            said.splice(..0, *b"SSH-2.0-x\r\n\0\0\0\x20\x04\x14");
            let _ = key_kinds(&said);
        }
    }

    fn said(kinds: &str) -> Vec<u8> {
        let list = |names: &str| [&(names.len() as u32).to_be_bytes(), names.as_bytes()].concat();
        let payload =
            [&[4, KEXINIT][..], &[7; 16], &list("curve25519-sha256"), &list(kinds), &list("aes256-ctr")].concat();
        [b"SSH-2.0-x\r\n", &(payload.len() as u32).to_be_bytes()[..], &payload].concat()
    }

    #[test]
    fn a_client_is_understood_once_it_has_said_all() {
        let kinds = "ssh-ed25519,rsa-sha2-512";
        let whole = said(kinds);
        for length in 0..whole.len() {
            assert_eq!(key_kinds(&whole[..length]), None, "{length}");
        }
        assert_eq!(key_kinds(&whole).as_deref(), Some(kinds));
        assert_eq!(key_kinds(b"SSH-2.0-x\r\n\0\0\0\x01\x05"), None);
        assert_eq!(key_kinds(b"SSH-2.0-x\r\n\xff\xff\xff\xff\x05\x14"), None);
    }

    #[test]
    fn who_takes_others_first_gets_others() {
        for (kinds, prefers) in [
            ("ssh-ed25519-cert-v01@openssh.com,ssh-ed25519,rsa-sha2-512", false),
            ("ecdsa-sha2-nistp384,rsa-sha2-256,ssh-ed25519", true),
            ("ssh-rsa", false),
            ("rsa-sha2-512", true),
            ("", false),
        ] {
            assert_eq!(prefers_rsa(kinds), prefers, "{kinds}");
        }
    }
}
