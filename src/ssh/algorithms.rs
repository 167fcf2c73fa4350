//! What a server takes where it and we have nothing in common: of that libssh2 says only that it has failed.

use super::route::Route;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use ssh2::{MethodType, Session};
use std::{
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// How long a server may take to say what it takes.
const WITHIN: Duration = Duration::from_secs(10);

/// How much is read of what it says at most: RFC 4253, section 6.1, has packets of up to 35,000 bytes.
const MOST: usize = 64 << 10;

/// What both sides must have one of, in the order of SSH_MSG_KEXINIT (RFC 4253, section 7.1). The codes to authenticate messages
/// aren't among them: some ciphers need none.
const KINDS: [(&str, MethodType); 4] = [
    ("key exchange", MethodType::Kex),
    ("type of host keys", MethodType::HostKey),
    ("cipher towards it", MethodType::CryptCs),
    ("cipher towards us", MethodType::CryptSc),
];

/// Asks a server what it takes, and says what it and we have nothing in common of; `None` if there is something of all, or it
/// can't be asked.
pub(super) async fn nothing_in_common(route: &Route, session: &Session) -> Option<String> {
    let offered = timeout(WITHIN, offered(route)).await.ok()?.ok()?;
    KINDS.iter().zip(offered).find_map(|((kind, method), theirs)| {
        let ours = session.supported_algs(*method).ok()?;
        missing(kind, &theirs, &ours)
    })
}

fn missing(kind: &str, theirs: &[String], ours: &[&str]) -> Option<String> {
    // Some names are no algorithms, but say what else a side can do (RFC 8308, and OpenSSH's PROTOCOL, section 1.10).
    let is_algorithm = |name: &&str| !name.starts_with("ext-info-") && !name.starts_with("kex-strict-");
    let theirs: Vec<&str> = theirs.iter().map(String::as_str).filter(is_algorithm).collect();
    let ours: Vec<&str> = ours.iter().copied().filter(is_algorithm).collect();
    let is_common = theirs.iter().any(|name| ours.contains(name));
    (!is_common).then(|| {
        format!(
            "there is no {kind} that both sides know: the server takes {}; we take {}",
            theirs.join(", "),
            ours.join(", ")
        )
    })
}

/// What a server says of itself.
async fn offered(route: &Route) -> io::Result<Vec<Vec<String>>> {
    let way = route.open().await?;
    tokio::task::spawn_blocking(move || read_offer(&way.socket)).await?
}

/// Reads its version line and first packet, which nothing protects yet (RFC 4253, sections 4.2 and 6). The socket doesn't block.
fn read_offer(socket: &OwnedFd) -> io::Result<Vec<Vec<String>>> {
    // Most servers say nothing more before they know who asks. It is short enough to be taken at once.
    rustix::io::write(socket, b"SSH-2.0-ec2-harness\r\n")?;
    let (mut received, mut chunk, since) = (Vec::new(), [0; 4096], Instant::now());
    while received.len() < MOST && since.elapsed() < WITHIN {
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&second))?;
        match rustix::io::read(socket, &mut chunk) {
            Ok(0) => break,
            Ok(length) => received.extend_from_slice(&chunk[..length]),
            Err(Errno::AGAIN | Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        if let Some(lists) = parse(&received) {
            return Ok(lists);
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "it doesn't say what it takes"))
}

/// The lists of a KEXINIT that follows a version line; `None` as long as it isn't whole.
fn parse(received: &[u8]) -> Option<Vec<Vec<String>>> {
    const KEXINIT: u8 = 20;
    const COOKIE: usize = 16;

    let mut rest = received;
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let (line, behind) = rest.split_at(end + 1);
        rest = behind;
        // Other lines may come before it.
        if line.starts_with(b"SSH-") {
            break;
        }
    }
    let length = take_length(&mut rest)?;
    let packet = rest.get(..length)?;
    // How much padding there is, and what the message is.
    let [_, KEXINIT, message @ ..] = packet else { return None };
    let mut lists = message.get(COOKIE..)?;
    KINDS
        .iter()
        .map(|_| {
            let length = take_length(&mut lists)?;
            let (names, behind) = lists.split_at_checked(length)?;
            lists = behind;
            Some(String::from_utf8_lossy(names).split(',').map(str::to_owned).collect())
        })
        .collect()
}

fn take_length(bytes: &mut &[u8]) -> Option<usize> {
    let (length, behind) = bytes.split_first_chunk()?;
    *bytes = behind;
    usize::try_from(u32::from_be_bytes(*length)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kexinit(lists: &[&str]) -> Vec<u8> {
        let mut message = vec![0, 20];
        message.extend([7; 16]);
        for list in lists {
            message.extend(u32::try_from(list.len()).unwrap().to_be_bytes());
            message.extend(list.as_bytes());
        }
        let mut all = b"welcome\r\nSSH-2.0-server\r\n".to_vec();
        all.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        all.extend(message);
        all
    }

    #[test]
    fn what_a_server_takes_is_read_once_it_is_whole() {
        let all = kexinit(&["curve25519-sha256,kex-strict", "ssh-ed25519", "aes", "chacha", "mac"]);
        let lists = parse(&all).unwrap();
        assert_eq!(lists[0], ["curve25519-sha256", "kex-strict"]);
        assert_eq!((&*lists[1][0], &*lists[2][0], &*lists[3][0]), ("ssh-ed25519", "aes", "chacha"));
        for end in 0..all.len() - 1 {
            assert!(parse(&all[..end]).is_none_or(|lists| lists.len() == KINDS.len()), "{end}");
        }
    }

    #[test]
    fn only_what_is_in_common_is_missing_nothing() {
        let theirs = ["a".to_owned(), "b".to_owned()];
        assert_eq!(missing("cipher", &theirs, &["c", "b"]), None);
        let text = missing("cipher", &theirs, &["c", "d"]).unwrap();
        assert!(text.contains("no cipher") && text.contains("takes a, b") && text.contains("we take c, d"), "{text}");
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
            let _ = parse(&[b"SSH-2.0-x\n", &*bytes].concat());
        }
    }
}
