//! The way in: a Unix socket in a directory that only its user may enter.
//!
//! A connection says one line and is answered with one:
//!
//! - `hello` → `ok {…}`: a client; the endpoint stays as long as the connection is open.
//!   It may say `hand over` then, and is no client any more → `ok`, and the endpoint ends; or `error TEXT`, where somebody uses it.
//! - `status`, `conditions NAME`, `fault ACTION KIND WHEN`, `faults clear`, `advance SECONDS` → `ok {…}`, or `error TEXT`.
//! - `connect MACHINE PORT` → `ok`, or `error TEXT`; after `ok` the connection is the machine's.

use super::{
    Greeting,
    control::Control,
    datacenter::Datacenter,
    handover::{self, Handover},
    idle::ClientGuard,
    streams::widen,
};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    time,
};

/// How long a connection may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest line that is read.
const LINE_MAX: usize = 256;

/// Serves the way in until the future is dropped.
pub(super) async fn serve(listener: UnixListener, way: Arc<Handover>, greeting: Greeting) {
    let greeting = Arc::new(greeting);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // A client that comes too late must not be greeted by an endpoint that is ending: it looks for the next.
                let Some(client) = way.clients.enter() else { continue };
                let (way, greeting) = (way.clone(), greeting.clone());
                tokio::spawn(async move {
                    if let Err(e) = answer(stream, &way, &greeting, client).await {
                        tracing::debug!("the way in: {e}");
                    }
                });
            }
            Err(e) => {
                // Out of descriptors, most likely; others may be closed meanwhile.
                tracing::warn!("the way in can't accept: {e}");
                time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(mut stream: UnixStream, way: &Handover, greeting: &Greeting, client: ClientGuard) -> io::Result<()> {
    let datacenter = &way.datacenter;
    // The directory's mode keeps others out already; this holds should it ever be changed.
    if stream.peer_cred()?.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "a connection by another user"));
    }
    let line = time::timeout(PATIENCE, read_line(&mut stream)).await??;
    if let Some(control) = Control::read(&line) {
        return match control.and_then(|control| datacenter.control(control).map_err(|e| e.to_string())) {
            Ok(status) => {
                let status = serde_json::to_string(&status).map_err(io::Error::other)?;
                stream.write_all(format!("ok {status}\n").as_bytes()).await
            }
            Err(reason) => refuse(&mut stream, &reason).await,
        };
    }
    match *line.split(' ').collect::<Vec<_>>() {
        ["hello"] => {
            let mut greeting = greeting.clone();
            greeting.in_force.now.conditions = Some(datacenter.conditions());
            let greeting = serde_json::to_string(&greeting).map_err(io::Error::other)?;
            stream.write_all(format!("ok {greeting}\n").as_bytes()).await?;
            // It stays open as long as the client lives.
            let mut client = Some(client);
            while let Ok(line) = read_line(&mut stream).await {
                if line == handover::REQUEST {
                    client.take();
                    match way.make() {
                        Ok(()) => stream.write_all(b"ok\n").await?,
                        Err(reason) => refuse(&mut stream, &reason).await?,
                    }
                }
            }
            Ok(())
        }
        ["connect", machine, port] => match port.parse() {
            Ok(port) => tunnel(stream, datacenter, machine, port).await,
            Err(_) => refuse(&mut stream, &format!("`{port}` is no TCP port")).await,
        },
        _ => {
            refuse(
                &mut stream,
                &format!("`{line}` is neither `hello` nor `connect MACHINE PORT` nor a control request"),
            )
            .await
        }
    }
}

async fn refuse(stream: &mut UnixStream, text: &str) -> io::Result<()> {
    answer_with(stream, "error", text).await
}

async fn answer_with(stream: &mut UnixStream, word: &str, text: &str) -> io::Result<()> {
    stream.write_all(format!("{word} {}\n", text.replace('\n', " ")).as_bytes()).await
}

async fn tunnel(mut stream: UnixStream, datacenter: &Datacenter, machine: &str, port: u16) -> io::Result<()> {
    match datacenter.reach(machine, port).await {
        Ok(connection) => {
            // Before the connection is joined, so that no byte of the machine's can overtake it.
            stream.write_all(b"ok\n").await?;
            widen(&stream);
            connection.join(stream.into_std()?);
            Ok(())
        }
        Err(e) if e.kind() == io::ErrorKind::Unsupported => answer_with(&mut stream, "never", &e.to_string()).await,
        Err(e) => refuse(&mut stream, &e.to_string()).await,
    }
}

/// Reads up to the line feed and not a byte further: what follows may be the machine's already.
async fn read_line(stream: &mut UnixStream) -> io::Result<String> {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await? {
            b'\n' => break,
            _ if line.len() == LINE_MAX => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line without end"));
            }
            byte => line.push(byte),
        }
    }
    String::from_utf8(line).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}
