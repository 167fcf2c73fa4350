//! What a client asks for, request by request.

use super::{Connection, MAX_SESSIONS, MAX_VARIABLES, Open, Running, Startup, Waiting, not_forwarded};
use crate::guest::ssh::{
    forwarding::{Listener, port_work, socket_work},
    names,
    process::{self, Program},
    pty, session, unix_socket,
};
use russh::{
    Channel, ChannelId, ChannelOpenFailure, Pty, Sig,
    server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey},
};
use tokio::sync::oneshot;

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
        self.forget_ended();
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
        let (Some(login), Ok(port)) = (self.forwarder(), u16::try_from(port)) else {
            reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
            return Ok(());
        };
        let (lookups, login, host) = (self.forwards.lookups(), login.clone(), host.to_owned());
        let connecting = async move { names::connect(lookups, login, host, port).await.map(port_work) };
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
        let (processes, identity, path) = (self.forwards.processes(), login.identity.clone(), path.into());
        let connecting = async move { unix_socket::connect(processes, identity, path).await.map(socket_work) };
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
        let (input, received) = self.forwards.spool();
        let (open, closed) = oneshot::channel();
        // The library takes a confirmation of any channel, also of one that the client has opened itself.
        if self.channels.contains_key(&id) || !self.forwards.arrivals().put(id, (received, closed)) {
            tracing::warn!("ended the connection of {}: it confirms a channel that nobody here has opened", self.peer);
            return Err(russh::Error::Inconsistent);
        }
        self.forget_ended();
        self.channels.insert(id, Open::Running(Running::connection(input, open)));
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
        let usable = usable && self.login.as_ref().is_some_and(|login| login.may_set(name));
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

    async fn data(&mut self, id: ChannelId, data: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        let Some(Open::Running(Running { input: Some(input), .. })) = self.channels.get(&id) else { return Ok(()) };
        match input.send(bytes::Bytes::copy_from_slice(data)).await {
            Ok(()) => Ok(()),
            Err(error) => {
                // It is that channel's affair alone.
                tracing::warn!("closed a channel of {}: failed to {error}", self.peer);
                self.channels.remove(&id);
                session.close(id)
            }
        }
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
