//! The SFTP subsystem, version 3 with OpenSSH's extensions
//! (<https://datatracker.ietf.org/doc/html/draft-ietf-secsh-filexfer-02>, OpenSSH's PROTOCOL).
//!
//! It runs on a thread of its own, which can reach files as the logged-in user only and whose file operations block
//! nobody else.

mod attributes;
mod server;

use super::session::{Exit, Work};
use crate::guest::identity::{Directory, Identity};
use std::{io, os::unix::net::UnixStream, path::PathBuf};
use tokio::sync::oneshot;

/// Starts a server in the user's home.
pub fn start(identity: Identity, home: PathBuf) -> io::Result<Work> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    let home = Directory::new(&home)?;
    let (ended, end) = oneshot::channel();
    std::thread::Builder::new().name("sftp".to_owned()).spawn(move || {
        let status = match serve(&identity, &home, theirs) {
            Ok(()) => 0,
            Err(error) => {
                tracing::warn!("failed to serve SFTP: {error}");
                1
            }
        };
        let _ = ended.send(Exit::Status(status));
    })?;
    let (output, input) = tokio::net::UnixStream::from_std(ours)?.into_split();
    let exit = Box::pin(async move { end.await.ok() });
    Ok(Work { input: Box::new(input), output: Box::new(output), errors: None, exit: Some(exit) })
}

fn serve(identity: &Identity, home: &Directory, stream: UnixStream) -> io::Result<()> {
    identity.assume_for_files()?;
    // The thread's own, since the step above.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    home.enter()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let (server, gone) = server::Files::new();
        russh_sftp::server::run(tokio::net::UnixStream::from_std(stream)?, server).await;
        // The library serves on a task of its own, which drops the server at its end.
        let _ = gone.await;
        Ok(())
    })
}
