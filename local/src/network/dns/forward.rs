//! Asking the host's resolvers: by the transport that the machine has asked by, so that what is too long for a datagram
//! is said to be so, and comes when it is asked for again.

use super::{
    HEADER, NO_ERROR, Question, TRUNCATED,
    query::{self, Query},
    resolvers::Resolvers,
    respond,
};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time,
};

/// How long one resolver may take for one try, and how often all of them are tried.
const PATIENCE: Duration = Duration::from_millis(1500);
const TRIES: usize = 2;
/// How long all of that may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// The largest message.
const MESSAGE: usize = 65_535;

/// How a question travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// There is nobody to ask.
    NoResolver,
    /// Nobody has said anything in time.
    Silence,
}

/// What a resolver says to a plain question.
pub(super) async fn ask(resolvers: &Resolvers, message: &[u8], transport: Transport) -> Result<Vec<u8>, NoAnswer> {
    let servers = resolvers.now();
    if servers.is_empty() {
        return Err(NoAnswer::NoResolver);
    }
    let tries = async {
        for server in servers.iter().cycle().take(servers.len() * TRIES) {
            let asked = time::timeout(PATIENCE, ask_one(*server, message, transport)).await;
            match asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(answer) => return Ok(answer),
                Err(error) => tracing::debug!(%error, %server, "failed to ask a resolver"),
            }
        }
        Err(NoAnswer::Silence)
    };
    time::timeout(DEADLINE, tries).await.unwrap_or(Err(NoAnswer::Silence))
}

async fn ask_one(server: SocketAddr, message: &[u8], transport: Transport) -> io::Result<Vec<u8>> {
    // A number of our own: anyone who guesses the machine's must not be able to answer in the resolver's place.
    let id = (getrandom::u32().map_err(io::Error::other)? as u16).to_be_bytes();
    let question = [&id, message.get(2..).unwrap_or_default()].concat();
    let mut answer = match transport {
        Transport::Udp => over_udp(server, &question).await?,
        Transport::Tcp => {
            let mut stream = TcpStream::connect(server).await?;
            write(&mut stream, &question).await?;
            let answer = read(&mut stream).await?;
            if !answers(&answer, &question) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "an answer to another question"));
            }
            answer
        }
    };
    answer[..2].copy_from_slice(&message[..2]);
    query::silence(&mut answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it can't be read"))?;
    // It is asked for again over TCP.
    let room = Query::read(message).map_or(0, |query| query.room());
    if transport == Transport::Udp && answer.len() > room {
        let raw = message.get(HEADER..).and_then(Question::parse).map(|question| HEADER..HEADER + question.length);
        let raw = raw.and_then(|range| message.get(range)).unwrap_or_default();
        return Ok(respond(message, NO_ERROR | TRUNCATED, raw, None));
    }
    Ok(answer)
}

async fn over_udp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    // A port of its own for each question, which is drawn at random by the kernel.
    let own: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(own).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; MESSAGE];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if answers(&buffer[..length], question) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

/// Whether a message is the answer to a question: of the same number, and about the same.
fn answers(answer: &[u8], question: &[u8]) -> bool {
    let about =
        |message: &[u8]| Question::parse(message.get(HEADER..)?).map(|about| (about.name, about.kind, about.class));
    answer.len() >= HEADER
        && answer[..2] == question[..2]
        && answer[2] & 0x80 != 0
        // A server that can't read the question repeats none.
        && (answer[4..6] == [0, 0] || about(answer) == about(question))
}

/// Reads a message from a stream (RFC 1035, 4.2.2).
pub(super) async fn read(stream: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Vec<u8>> {
    let mut message = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// Writes a message to a stream.
pub(super) async fn write(stream: &mut (impl AsyncWriteExt + Unpin), message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), message].concat()).await
}
