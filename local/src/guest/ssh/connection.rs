//! One client: logs it in, and opens what it asks for.

mod handler;

use super::{
    Shared,
    forwarding::Forwards,
    login::Login,
    process::{self, Program},
    pty, session, spool,
};
use russh::{
    Channel, ChannelId, ChannelOpenFailure, ChannelWriteHalf,
    server::{ChannelOpenHandle, Handle, Msg, Session},
};
use std::{collections::HashMap, io, net::SocketAddr, os::fd::OwnedFd, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// OpenSSH's default for MaxSessions.
const MAX_SESSIONS: usize = 10;
/// More variables than any client has, and few enough to be held.
const MAX_VARIABLES: usize = 1000;

/// A client's place among those that are logging in.
pub struct Startup {
    /// The place.
    pub permit: OwnedSemaphorePermit,
    /// Told when it has logged in.
    pub logged_in: oneshot::Sender<()>,
}

/// One client.
pub struct Connection {
    shared: Arc<Shared>,
    peer: SocketAddr,
    local: SocketAddr,
    /// Held until the client has logged in.
    startup: Option<Startup>,
    login: Option<Login>,
    channels: HashMap<ChannelId, Open>,
    forwards: Forwards,
}

/// A channel that is open.
enum Open {
    /// A session that waits to be told what to run.
    Waiting(Waiting),
    /// Whatever runs.
    Running(Running),
}

struct Waiting {
    channel: ChannelWriteHalf<Msg>,
    environment: Vec<(String, String)>,
    terminal: Option<pty::Request>,
}

struct Running {
    session: bool,
    /// None after the client's EOF.
    input: Option<spool::Sender>,
    leader: Option<u32>,
    terminal: Option<OwnedFd>,
    /// Closes the streams when it is dropped, and knows whether all is told.
    open: oneshot::Sender<()>,
}

impl Connection {
    /// A client that has just connected.
    pub fn new(shared: Arc<Shared>, peer: SocketAddr, local: SocketAddr, startup: Startup) -> Self {
        let (login, channels) = (None, HashMap::new());
        let forwards = Forwards::new(shared.descriptors.clone());
        Self { shared, peer, local, startup: Some(startup), login, channels, forwards }
    }

    /// Looks the key up; what can't be read is a refusal, with its reason in the log.
    fn with_key(&self, user: &str, key: &russh::keys::PublicKey) -> Option<Login> {
        Login::with_key(&self.shared.root, user, key).unwrap_or_else(|error| {
            tracing::warn!("failed to look up the keys of {user}: {error}");
            None
        })
    }

    /// Takes out the channels that have ended. The library doesn't tell of an end that began at this side.
    fn forget_ended(&mut self) {
        self.channels.retain(|_, open| !matches!(open, Open::Running(running) if running.open.is_closed()));
    }

    /// Takes the channel out if it is a session that waits.
    fn waiting(&mut self, id: ChannelId) -> Option<Waiting> {
        match self.channels.remove(&id)? {
            Open::Waiting(waiting) => Some(waiting),
            running => {
                self.channels.insert(id, running);
                None
            }
        }
    }

    fn start(&mut self, id: ChannelId, program: Program, session: &mut Session) -> Result<(), russh::Error> {
        let Some((login, waiting)) = self.login.clone().and_then(|login| Some((login, self.waiting(id)?))) else {
            return session.channel_failure(id);
        };
        let (program, original) = match (&login.options.command, program) {
            (Some(forced), Program::Command(line)) => (Program::Command(forced.clone().into()), Some(line)),
            (Some(forced), Program::Shell) => (Program::Command(forced.clone().into()), None),
            (None, program) => (program, None),
        };
        self.shared.counters.count(|counts| match program {
            Program::Shell => counts.shells += 1,
            Program::Command(_) => counts.execs += 1,
        });
        let original = original.map(|line| String::from_utf8_lossy(&line).into_owned());
        match self.spawn(id, &login, &program, original, waiting, session) {
            Ok(running) => {
                self.channels.insert(id, Open::Running(running));
                session.channel_success(id)
            }
            Err(error) => {
                tracing::warn!("failed to start a session of {}: {error}", login.account.name);
                session.channel_success(id)?;
                let shell = login.account.shell.display();
                session.extended_data(id, 1, format!("{shell}: {error}\r\n"))?;
                session.exit_status_request(id, 1)?;
                session.eof(id)?;
                session.close(id)
            }
        }
    }

    fn spawn(
        &self,
        id: ChannelId,
        login: &Login,
        program: &Program,
        original: Option<String>,
        waiting: Waiting,
        session: &Session,
    ) -> io::Result<Running> {
        let terminal = waiting.terminal.as_ref().map(|request| pty::open(request, &login.identity)).transpose()?;
        let mut environment = login.environment(&self.shared.root);
        environment.extend(waiting.environment);
        environment.extend(login.own_environment(self.peer, self.local));
        environment.extend(original.map(|line| ("SSH_ORIGINAL_COMMAND".to_owned(), line)));
        if let Some(agent) = self.forwards.agent() {
            environment.push(("SSH_AUTH_SOCK".to_owned(), agent.display().to_string()));
        }
        if let (Some(terminal), Some(request)) = (&terminal, &waiting.terminal) {
            environment.push(("SSH_TTY".to_owned(), terminal.path.clone()));
            environment.push(("TERM".to_owned(), request.term.clone()));
        }
        let mut child = process::start(login, program, environment, terminal.as_ref())?;
        let leader = child.id();
        let (input, output, errors): (Box<dyn tokio::io::AsyncWrite + Send + Unpin>, _, _) = match &terminal {
            Some(terminal) => {
                let (output, input) = process::terminal_streams(terminal)?;
                (Box::new(input), Box::new(output) as Box<dyn tokio::io::AsyncRead + Send + Unpin>, None)
            }
            None => {
                let missing = || io::Error::other("the process has no streams");
                let input = child.stdin.take().ok_or_else(missing)?;
                let output = child.stdout.take().ok_or_else(missing)?;
                let errors = child.stderr.take().ok_or_else(missing)?;
                (Box::new(input), Box::new(output), Some(Box::new(errors) as _))
            }
        };
        let exit = Box::pin(async move { child.wait().await.ok().map(session::Exit::from) });
        let work = session::Work { input, output, errors, exit: Some(exit) };
        let mut running = run(id, waiting.channel, work, session, true);
        running.leader = leader;
        running.terminal = terminal.map(|terminal| terminal.master);
        Ok(running)
    }

    fn sftp(&mut self, id: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
        let Some((login, waiting)) = self.login.clone().and_then(|login| Some((login, self.waiting(id)?))) else {
            return session.channel_failure(id);
        };
        // A forced command stands in for subsystems too.
        if login.options.command.is_some() {
            self.channels.insert(id, Open::Waiting(waiting));
            return self.start(id, Program::Command(b"internal-sftp".to_vec()), session);
        }
        self.shared.counters.count(|counts| counts.subsystems += 1);
        match super::sftp::start(login.identity, login.home) {
            Ok(work) => {
                let running = run(id, waiting.channel, work, session, true);
                self.channels.insert(id, Open::Running(running));
                session.channel_success(id)
            }
            Err(error) => {
                tracing::warn!("failed to start SFTP: {error}");
                session.channel_failure(id)
            }
        }
    }
}

impl Connection {
    /// Who has logged in, if that may have connections forwarded.
    fn forwarder(&self) -> Option<&Login> {
        self.login.as_ref().filter(|login| login.options.port_forwarding)
    }

    /// Connects a channel to what the client has asked for.
    async fn forward(
        &mut self,
        channel: Channel<Msg>,
        connecting: impl Future<Output = io::Result<session::Work>> + Send + 'static,
        reply: ChannelOpenHandle,
        connection: Handle,
    ) {
        self.forget_ended();
        let Some(place) = self.forwards.place() else {
            return reply.reject(ChannelOpenFailure::ResourceShortage).await;
        };
        self.shared.counters.count(|counts| counts.channels += 1);
        let (id, (_, channel)) = (channel.id(), channel.split());
        let (input, received) = self.forwards.spool();
        let (open, closed) = oneshot::channel();
        self.channels.insert(id, Open::Running(Running::connection(input, open)));
        let outlet = session::Outlet { id, channel, connection };
        // Connecting may take long; the connection's other channels don't wait for it.
        tokio::spawn(async move {
            match connecting.await {
                Ok(work) => {
                    reply.accept().await;
                    session::serve(work, received, outlet, closed).await;
                }
                Err(error) => {
                    tracing::debug!("failed to forward a connection: {error}");
                    reply.reject(ChannelOpenFailure::ConnectFailed).await;
                }
            }
            drop(place);
        });
    }
}

fn not_forwarded(what: &str, error: &io::Error) {
    tracing::debug!("failed to forward {what}: {error}");
}

impl Running {
    /// A connection that is forwarded.
    fn connection(input: spool::Sender, open: oneshot::Sender<()>) -> Self {
        Self { session: false, input: Some(input), leader: None, terminal: None, open }
    }
}

/// Sets a channel to work.
fn run(
    id: ChannelId,
    channel: ChannelWriteHalf<Msg>,
    work: session::Work,
    session: &Session,
    is_session: bool,
) -> Running {
    let (input, received) = spool::spool();
    let (open, closed) = oneshot::channel();
    let outlet = session::Outlet { id, channel, connection: session.handle() };
    tokio::spawn(session::serve(work, received, outlet, closed));
    Running { session: is_session, input: Some(input), leader: None, terminal: None, open }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::{
        root::Root,
        ssh::{counters::Counters, descriptors::Descriptors},
    };
    use russh::keys::ssh_encoding::Decode;
    use tokio::sync::Semaphore;

    #[tokio::test(flavor = "current_thread")]
    async fn channels_that_have_ended_are_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path());
        let descriptors = Descriptors::half_of(8);
        let shared = Arc::new(Shared { counters: Counters::new(root.clone()), root, descriptors });
        let address = SocketAddr::from(([127, 0, 0, 1], 22));
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let startup = Startup { permit, logged_in: oneshot::channel().0 };
        let mut connection = Connection::new(shared, address, address, startup);
        let mut closed = Vec::new();
        for number in 0..3u32 {
            let id = ChannelId::decode(&mut &number.to_be_bytes()[..]).unwrap();
            let (open, end) = oneshot::channel();
            connection.channels.insert(id, Open::Running(Running::connection(spool::spool().0, open)));
            closed.push(end);
        }
        connection.forget_ended();
        assert_eq!(connection.channels.len(), 3);
        closed.truncate(1);
        connection.forget_ended();
        assert_eq!(connection.channels.len(), 1);
    }
}
