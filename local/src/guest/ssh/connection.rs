//! One client: logs it in, and opens what it asks for.

use super::{
    Shared,
    forwarding::{Forwards, Listener, port_work, socket_work},
    login::Login,
    process::{self, Program},
    pty, session, spool, unix_socket,
};
use russh::{
    Channel, ChannelId, ChannelOpenFailure, ChannelWriteHalf, Pty, Sig,
    server::{Auth, ChannelOpenHandle, Handle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey},
};
use std::{collections::HashMap, io, net::SocketAddr, os::fd::OwnedFd, sync::Arc};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, oneshot},
};

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
        let (login, channels, forwards) = (None, HashMap::new(), Forwards::default());
        Self { shared, peer, local, startup: Some(startup), login, channels, forwards }
    }

    /// Looks the key up; what can't be read is a refusal, with its reason in the log.
    fn with_key(&self, user: &str, key: &russh::keys::PublicKey) -> Option<Login> {
        Login::with_key(&self.shared.root, user, key).unwrap_or_else(|error| {
            tracing::warn!("failed to look up the keys of {user}: {error}");
            None
        })
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
        let mut environment = login.environment(&self.shared.root, self.peer, self.local);
        if let Some(line) = original {
            environment.push(("SSH_ORIGINAL_COMMAND".to_owned(), String::from_utf8_lossy(&line).into_owned()));
        }
        match self.spawn(id, &login, &program, environment, waiting, session) {
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
        mut environment: Vec<(String, String)>,
        waiting: Waiting,
        session: &Session,
    ) -> io::Result<Running> {
        let terminal = waiting.terminal.as_ref().map(|request| pty::open(request, &login.identity)).transpose()?;
        if let Some(agent) = self.forwards.agent() {
            environment.push(("SSH_AUTH_SOCK".to_owned(), agent.display().to_string()));
        }
        environment.extend(waiting.environment);
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
        let Some(place) = self.forwards.place() else {
            return reply.reject(ChannelOpenFailure::ResourceShortage).await;
        };
        self.shared.counters.count(|counts| counts.channels += 1);
        let (id, (_, channel)) = (channel.id(), channel.split());
        let (input, received) = spool::spool();
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

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        Ok(if self.with_key(user, offer.public_key).is_some() { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        self.login = self.with_key(user, key.public_key);
        Ok(if self.login.is_some() { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_succeeded(&mut self, _session: &mut Session) -> Result<(), Self::Error> {
        if let Some(Startup { logged_in, permit }) = self.startup.take() {
            let _ = logged_in.send(());
            drop(permit);
        }
        self.shared.counters.count(|counts| counts.logins += 1);
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        // The library doesn't tell of a channel's end that began at this side.
        self.channels.retain(|_, open| !matches!(open, Open::Running(running) if running.open.is_closed()));
        let is_session = |open: &&Open| !matches!(open, Open::Running(Running { session: false, .. }));
        if self.channels.values().filter(is_session).count() >= MAX_SESSIONS {
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
            return Ok(());
        }
        self.shared.counters.count(|counts| counts.channels += 1);
        // What the client sends comes by the methods below: they, unlike the reading half, never block the connection.
        let (id, (_, channel)) = (channel.id(), channel.split());
        let waiting = Waiting { channel, environment: Vec::new(), terminal: None };
        self.channels.insert(id, Open::Waiting(waiting));
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _originator: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let (Some(_), Ok(port)) = (self.forwarder(), u16::try_from(port)) else {
            reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
            return Ok(());
        };
        let host = host.to_owned();
        let connecting = async move { TcpStream::connect((host.as_str(), port)).await.map(port_work) };
        self.forward(channel, connecting, reply, session.handle()).await;
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        path: &str,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some(login) = self.forwarder() else {
            reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
            return Ok(());
        };
        let (identity, path) = (login.identity.clone(), path.into());
        let connecting = async move { unix_socket::connect(identity, path).await.map(socket_work) };
        self.forward(channel, connecting, reply, session.handle()).await;
        Ok(())
    }

    async fn channel_open_confirmation(
        &mut self,
        id: ChannelId,
        _max_packet_size: u32,
        _window_size: u32,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        let (input, received) = spool::spool();
        let (open, closed) = oneshot::channel();
        self.channels.insert(id, Open::Running(Running::connection(input, open)));
        self.forwards.arrivals().put(id, (received, closed));
        Ok(())
    }

    async fn tcpip_forward(
        &mut self,
        address: &str,
        port: &mut u32,
        session: &mut Session,
    ) -> Result<bool, Self::Error> {
        let Some(login) = self.forwarder() else { return Ok(false) };
        let identity = login.identity.clone();
        let listening = self.forwards.listen_at_port(address, *port, &identity, session.handle()).await;
        Ok(listening
            .map(|chosen| *port = chosen)
            .map_err(|error| not_forwarded(&format!("port {port}"), &error))
            .is_ok())
    }

    async fn cancel_tcpip_forward(
        &mut self,
        address: &str,
        port: u32,
        _session: &mut Session,
    ) -> Result<bool, Self::Error> {
        Ok(self.forwards.cancel(&Listener::Port(address.to_owned(), port)).await)
    }

    async fn streamlocal_forward(&mut self, path: &str, session: &mut Session) -> Result<bool, Self::Error> {
        let Some(login) = self.forwarder() else { return Ok(false) };
        let identity = login.identity.clone();
        let listening = self.forwards.listen_at_socket(path, &identity, session.handle()).await;
        Ok(listening.map_err(|error| not_forwarded(path, &error)).is_ok())
    }

    async fn cancel_streamlocal_forward(&mut self, path: &str, _session: &mut Session) -> Result<bool, Self::Error> {
        Ok(self.forwards.cancel(&Listener::Socket(path.to_owned())).await)
    }

    async fn agent_request(&mut self, _id: ChannelId, session: &mut Session) -> Result<bool, Self::Error> {
        let Some(login) = self.login.as_ref().filter(|login| login.options.agent_forwarding) else { return Ok(false) };
        let identity = login.identity.clone();
        let forwarded = self.forwards.forward_agent(&self.shared.root, &identity, session.handle()).await;
        Ok(forwarded.map_err(|error| not_forwarded("the client's agent", &error)).is_ok())
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let allowed = self.login.as_ref().is_some_and(|login| login.options.pty);
        match self.channels.get_mut(&id) {
            Some(Open::Waiting(waiting)) if allowed && waiting.terminal.is_none() => {
                let size = pty::Size { columns, rows, width, height };
                waiting.terminal = Some(pty::Request { term: term.to_owned(), size, modes: modes.to_vec() });
                session.channel_success(id)
            }
            _ => session.channel_failure(id),
        }
    }

    async fn window_change_request(
        &mut self,
        id: ChannelId,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let size = pty::Size { columns, rows, width, height };
        match self.channels.get_mut(&id) {
            Some(Open::Waiting(Waiting { terminal: Some(request), .. })) => request.size = size,
            Some(Open::Running(Running { terminal: Some(terminal), .. })) => {
                // The kernel tells the foreground process.
                let _ = rustix::termios::tcsetwinsize(terminal, size.into());
            }
            _ => return session.channel_failure(id),
        }
        session.channel_success(id)
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let usable = !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
        match self.channels.get_mut(&id) {
            Some(Open::Waiting(waiting)) if usable && waiting.environment.len() < MAX_VARIABLES => {
                waiting.environment.push((name.to_owned(), value.to_owned()));
                session.channel_success(id)
            }
            _ => session.channel_failure(id),
        }
    }

    async fn x11_request(
        &mut self,
        id: ChannelId,
        _single: bool,
        _protocol: &str,
        _cookie: &str,
        _screen: u32,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        // The library's own answer is none at all.
        session.channel_failure(id)
    }

    async fn shell_request(&mut self, id: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        self.start(id, Program::Shell, session)
    }

    async fn exec_request(&mut self, id: ChannelId, line: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        self.start(id, Program::Command(line.to_vec()), session)
    }

    async fn subsystem_request(&mut self, id: ChannelId, name: &str, session: &mut Session) -> Result<(), Self::Error> {
        if name == "sftp" { self.sftp(id, session) } else { session.channel_failure(id) }
    }

    async fn signal(&mut self, id: ChannelId, signal: Sig, session: &mut Session) -> Result<(), Self::Error> {
        let leader = match self.channels.get(&id) {
            Some(Open::Running(running)) => running.leader,
            _ => None,
        };
        match (leader, session::signal_number(&signal)) {
            (Some(leader), Some(number)) => {
                process::signal_group(leader, number);
                session.channel_success(id)
            }
            _ => session.channel_failure(id),
        }
    }

    async fn data(&mut self, id: ChannelId, data: &[u8], _session: &mut Session) -> Result<(), Self::Error> {
        if let Some(Open::Running(Running { input: Some(input), .. })) = self.channels.get(&id) {
            input.send(bytes::Bytes::copy_from_slice(data)).await?;
        }
        Ok(())
    }

    async fn channel_eof(&mut self, id: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        if let Some(Open::Running(running)) = self.channels.get_mut(&id) {
            running.input = None;
        }
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        self.channels.remove(&id);
        Ok(())
    }
}
