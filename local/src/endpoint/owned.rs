//! An endpoint that belongs to one process, and ends with it, however that ends.

use super::{
    Client, EndpointError, OWNED_ROLE, Settings, StateDirectory, Stay,
    client::spawn,
    own_state::OwnState,
    process::{begin_role, end_role, run, say, told_settings},
};
use crate::machine::forbid_volume_mounts;
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};
use std::{
    io::{self, Read},
    path::Path,
    process::{Child, ChildStdin, Stdio},
    thread,
};

/// An endpoint of this process's own. It ends with all that it has when this is dropped, or when the process ends, in whatever way:
/// the pipe between them is seen to close.
#[derive(Debug)]
pub struct Owned {
    process: Child,
    leash: Option<ChildStdin>,
    client: Client,
    own: Option<OwnState>,
}

/// What its process is told.
#[derive(Serialize, Deserialize)]
struct Told {
    settings: Settings,
    volume_mounts: bool,
    is_own: bool,
}

impl Owned {
    /// Starts it from the running executable, which must have called [`roles::run_named`](crate::roles::run_named) before anything
    /// else: in this state directory, or else in a new one, which is gone with it. No machine's root may mount its volumes
    /// unless `volume_mounts`.
    ///
    /// # Errors
    ///
    /// The state directory can't be used, an endpoint runs there, or it doesn't come up; the text has what it said.
    pub fn start(settings: &Settings, state: Option<&Path>, volume_mounts: bool) -> Result<Self, EndpointError> {
        let (own, state, logging) = match state {
            Some(path) => {
                let path = std::path::absolute(path).map_err(|source| EndpointError::State {
                    tried: "find",
                    path: path.to_owned(),
                    source,
                })?;
                let state = StateDirectory::at(path)?;
                (None, state.clone(), state)
            }
            None => {
                let user = StateDirectory::of_user()?;
                let own = OwnState::make(&user)?;
                let state = own.state()?;
                (Some(own), state, user)
            }
        };
        let told = Told { settings: settings.clone(), volume_mounts, is_own: own.is_some() };
        let told = serde_json::to_string(&told)
            .map_err(|e| EndpointError::Start { reason: e.to_string(), log: logging.log() })?;
        match spawn(&state, &logging, OWNED_ROLE, &told, Stdio::piped()) {
            Ok((mut process, client)) => Ok(Self { leash: process.stdin.take(), process, client, own }),
            Err(error) => {
                own.into_iter().for_each(OwnState::clear);
                Err(error)
            }
        }
    }

    /// As a client of it.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Its state directory.
    pub fn state(&self) -> &Path {
        self.client.state().path()
    }

    /// Ends it, with all that it has, and waits for that.
    ///
    /// # Errors
    ///
    /// It had ended before, by itself or since it was killed. What it has left is removed all the same where its state directory was
    /// its own, and is for the next endpoint elsewhere.
    pub fn end(mut self) -> Result<(), EndpointError> {
        self.finish()
    }

    fn finish(&mut self) -> Result<(), EndpointError> {
        let Some(leash) = self.leash.take() else { return Ok(()) };
        let before = self.process.try_wait().ok().flatten();
        drop(leash);
        let status = self.process.wait();
        if let Some(own) = self.own.take() {
            own.clear();
        }
        match (before, status) {
            (None, Ok(status)) if status.success() => Ok(()),
            (_, Ok(status)) => Err(EndpointError::Ended { how: status.to_string() }),
            (_, Err(error)) => Err(EndpointError::Ended { how: error.to_string() }),
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            tracing::warn!("failed to {error}");
        }
    }
}

/// The role of an endpoint that another process owns: it ends when its standard input does.
pub(crate) fn role_main() -> ! {
    begin_role();
    end_role(told_settings().and_then(|told| serve(&told).map_err(|e| e.to_string())))
}

fn serve(told: &Told) -> Result<(), EndpointError> {
    if !told.volume_mounts {
        forbid_volume_mounts();
    }
    let own = if told.is_own { OwnState::of(&StateDirectory::of_user()?)? } else { None };
    run(&told.settings, Stay::UntilTold, |_| {
        thread::spawn(end_with_owner);
        say("ready");
    })?;
    own.into_iter().for_each(OwnState::remove);
    Ok(())
}

/// Asks this process to end, as anybody else does, once nobody has the other end of its standard input open.
fn end_with_owner() {
    while let Ok(1..) | Err(io::ErrorKind::Interrupted) = io::stdin().read(&mut [0; 64]).map_err(|e| e.kind()) {}
    let _ = kill_process(getpid(), Signal::TERM);
}
