//! Ways to a machine's SSH server: where the bytes go, and nothing about what they say.

use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    fmt,
    io::{self, Read as _},
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream as StdUnixStream, process::CommandExt as _},
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
};

/// How to reach a machine's SSH server.
#[derive(Clone)]
#[non_exhaustive]
pub enum Route {
    /// A TCP port; a host name's addresses are tried one after the other.
    Tcp {
        /// An address or a name.
        host: String,
        /// 22, as a rule.
        port: u16,
    },
    /// A Unix socket whose server connects us further: we write `hello` and a newline, it answers `ok` and a newline
    /// before any byte of SSH, or a line with its reason why not; after `never ` if trying again is of no use.
    Unix {
        /// The socket.
        path: PathBuf,
        /// Who we are and where to; it may hold a secret, so it is never shown.
        hello: String,
    },
    /// A program and its arguments, whose stdin and stdout are the connection: `ssh -W`, SSM, EC2 Instance Connect.
    /// It gets a process group of its own, which is killed when the connection ends.
    Command(Vec<String>),
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix { path, .. } => write!(f, "{}", path.display()),
            Self::Command(words) => write!(f, "`{}`", super::quote::quote_all(words.iter().map(String::as_str))),
        }
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Route({self})")
    }
}

/// An open way: a non-blocking socket, and the program behind it, if there is one.
pub(super) struct Way {
    pub(super) socket: OwnedFd,
    pub(super) program: Option<Program>,
}

impl Route {
    pub(super) async fn open(&self) -> io::Result<Way> {
        match self {
            Self::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                // Every request is a small packet that somebody waits for.
                stream.set_nodelay(true)?;
                Ok(Way { socket: stream.into_std()?.into(), program: None })
            }
            Self::Unix { path, hello } => {
                let mut stream = UnixStream::connect(path).await?;
                stream.write_all(format!("{hello}\n").as_bytes()).await?;
                let answer = read_line(&mut stream).await?;
                if answer != "ok" {
                    return Err(match answer.strip_prefix("never ") {
                        Some(reason) => io::Error::new(io::ErrorKind::Unsupported, reason),
                        None => {
                            let reason = answer.strip_prefix("error ").unwrap_or(&answer);
                            io::Error::new(io::ErrorKind::ConnectionRefused, reason)
                        }
                    });
                }
                Ok(Way { socket: stream.into_std()?.into(), program: None })
            }
            Self::Command(words) => Program::start(words),
        }
    }
}

/// Reads byte by byte: what follows the line belongs to SSH.
async fn read_line(stream: &mut UnixStream) -> io::Result<String> {
    const LONGEST: usize = 1024;
    let mut line = Vec::new();
    while line.len() < LONGEST {
        match stream.read_u8().await {
            Ok(b'\n') => break,
            Ok(byte) => line.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && line.is_empty() => {
                return Err(io::Error::new(io::ErrorKind::ConnectionReset, "it hung up without an answer"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// A program whose stdio is the connection; killed, with all of its process group, when dropped.
pub(super) struct Program {
    child: Child,
    complaints: Arc<Mutex<Vec<u8>>>,
}

impl Program {
    fn start(words: &[String]) -> io::Result<Way> {
        let (program, arguments) =
            words.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the command is empty"))?;
        // One socket for both directions, because libssh2 wants one descriptor.
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::from(OwnedFd::from(theirs.try_clone()?)))
            .stdout(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("`{program}` can't be run: {error}")))?;
        let complaints = Arc::new(Mutex::new(Vec::new()));
        if let Some(mut stderr) = child.stderr.take() {
            let kept = Arc::clone(&complaints);
            // A thread for each such program, which is a process already: it must never block on its stderr.
            std::thread::Builder::new().name("ec2-harness-ssh-command".into()).spawn(move || {
                let mut chunk = [0; 1024];
                while let Ok(length @ 1..) = stderr.read(&mut chunk) {
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.extend_from_slice(&chunk[..length]);
                    let surplus = kept.len().saturating_sub(4096);
                    kept.drain(..surplus);
                }
            })?;
        }
        Ok(Way { socket: ours.into(), program: Some(Self { child, complaints }) })
    }

    /// The end of what it wrote to its stderr.
    pub(super) fn complaints(&self) -> String {
        String::from_utf8_lossy(&self.complaints.lock().unwrap_or_else(PoisonError::into_inner)).trim().to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It leads its group, and isn't waited for yet: the number can't be anybody else's.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}
