//! A channel at work: moves bytes between the client and what runs on the channel, and reports how that ended.

use super::spool;
use russh::{
    ChannelId, ChannelWriteHalf, Sig,
    server::{Handle, Msg},
};
use std::{future::Future, io, os::unix::process::ExitStatusExt, pin::Pin, process::ExitStatus, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::oneshot,
};

/// How long after the end of a connection its other side may take to hear what was said before.
const HEARING: Duration = Duration::from_secs(60);

/// What a channel is connected to.
pub struct Work {
    /// Takes what the client sends.
    pub input: Box<dyn AsyncWrite + Send + Unpin>,
    /// Standard output.
    pub output: Box<dyn AsyncRead + Send + Unpin>,
    /// Standard error, where it is apart.
    pub errors: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// How what runs ends. None for a connection, which is at its end when both sides have no more to say.
    pub exit: Option<Pin<Box<dyn Future<Output = Option<Exit>> + Send>>>,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// By itself.
    Status(u32),
    /// By a signal.
    Signal {
        /// The signal's number.
        number: i32,
        /// Whether the core was dumped.
        core_dumped: bool,
    },
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        match status.signal() {
            Some(number) => Self::Signal { number, core_dumped: status.core_dumped() },
            None => Self::Status(status.code().unwrap_or_default() as u32),
        }
    }
}

/// The way back to the client.
pub struct Outlet {
    /// The channel.
    pub id: ChannelId,
    /// Its writing half; it keeps to the client's window.
    pub channel: ChannelWriteHalf<Msg>,
    /// The connection.
    pub connection: Handle,
}

/// Moves bytes until what runs has ended and its output is told, or until `closed` is dropped: then its streams are
/// closed, and it is left alone but waited for.
pub async fn serve(work: Work, input: spool::Receiver, outlet: Outlet, closed: oneshot::Receiver<()>) {
    let Work { input: sink, output, errors, exit } = work;
    let Some(mut exit) = exit else { return connect(input, sink, output, outlet, closed).await };
    let mut ended = false;
    {
        let feeding = async {
            // A process that doesn't read what it is sent is no error.
            let _ = feed(input, sink).await;
            std::future::pending::<()>().await;
        };
        let standard = outlet.channel.make_writer();
        let extended = outlet.channel.make_writer_ext(Some(1));
        let errors = async {
            if let Some(errors) = errors {
                drain(errors, extended).await;
            }
        };
        let exiting = async {
            let exit = (&mut exit).await;
            ended = true;
            if let Some(exit) = exit {
                outlet.report(exit).await;
            }
        };
        let telling = async {
            tokio::join!(drain(output, standard), errors, exiting);
            let _ = outlet.channel.eof().await;
            let _ = outlet.channel.close().await;
        };
        tokio::select! {
            () = feeding => {}
            () = telling => {}
            _ = closed => {}
        }
    }
    if !ended {
        exit.await;
    }
}

/// Moves the bytes of a connection each way until both are at their ends, or `closed` is dropped.
async fn connect(
    input: spool::Receiver,
    sink: Box<dyn AsyncWrite + Send + Unpin>,
    output: Box<dyn AsyncRead + Send + Unpin>,
    outlet: Outlet,
    closed: oneshot::Receiver<()>,
) {
    let feeding = feed(input, sink);
    tokio::pin!(feeding);
    let mut is_fed = false;
    {
        let feeding = async {
            let _ = feeding.as_mut().await;
            is_fed = true;
        };
        let telling = async {
            drain(output, outlet.channel.make_writer()).await;
            let _ = outlet.channel.eof().await;
        };
        let connected = async { tokio::join!(feeding, telling) };
        tokio::select! {
            _ = connected => drop(outlet.channel.close().await),
            _ = closed => {}
        }
    }
    if !is_fed {
        // What the client has said before it closed the channel is still to be heard, by who listens.
        let _ = tokio::time::timeout(HEARING, feeding).await;
    }
}

async fn feed(mut from: spool::Receiver, mut to: Box<dyn AsyncWrite + Send + Unpin>) -> io::Result<()> {
    while let Some(data) = from.receive().await? {
        to.write_all(&data).await?;
    }
    to.shutdown().await
}

/// Ends at the end of the stream, or when either side is gone; a terminal's end is an I/O error.
async fn drain(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let mut buffer = vec![0; 32 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

impl Outlet {
    async fn report(&self, exit: Exit) {
        let _ = match exit {
            Exit::Status(status) => self.connection.exit_status_request(self.id, status).await,
            Exit::Signal { number, core_dumped } => {
                let name = signal_name(number);
                self.connection.exit_signal_request(self.id, name, core_dumped, String::new(), String::new()).await
            }
        };
    }
}

/// The names of RFC 4254, section 6.10.
const SIGNALS: &[(i32, Sig)] = &[
    (libc::SIGABRT, Sig::ABRT),
    (libc::SIGALRM, Sig::ALRM),
    (libc::SIGFPE, Sig::FPE),
    (libc::SIGHUP, Sig::HUP),
    (libc::SIGILL, Sig::ILL),
    (libc::SIGINT, Sig::INT),
    (libc::SIGKILL, Sig::KILL),
    (libc::SIGPIPE, Sig::PIPE),
    (libc::SIGQUIT, Sig::QUIT),
    (libc::SIGSEGV, Sig::SEGV),
    (libc::SIGTERM, Sig::TERM),
    (libc::SIGUSR1, Sig::USR1),
];

fn signal_name(number: i32) -> Sig {
    if number == libc::SIGUSR2 {
        return Sig::Custom("USR2".to_owned());
    }
    // OpenSSH's word for the signals that the RFC has no name for.
    let named = SIGNALS.iter().find(|(known, _)| *known == number);
    named.map_or_else(|| Sig::Custom("SIG@openssh.com".to_owned()), |(_, name)| name.clone())
}

/// The number of a signal that a client names.
pub fn signal_number(name: &Sig) -> Option<i32> {
    match name {
        Sig::Custom(name) if name == "USR2" => Some(libc::SIGUSR2),
        Sig::Custom(_) => None,
        name => {
            SIGNALS.iter().find(|(_, known)| format!("{known:?}") == format!("{name:?}")).map(|(number, _)| *number)
        }
    }
}
