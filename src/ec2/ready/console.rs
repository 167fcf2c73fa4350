//! What a machine says while it boots.

use crate::{
    connection::{api_error, patience::until_visible_within},
    ec2::Machine,
    error::{Error, ErrorKind},
};
use base64::Engine as _;
use std::time::Duration;

/// How many lines of the console an error shows.
const LINES: usize = 40;

/// The console's output; waits a moment where EC2 doesn't show the machine.
pub(crate) async fn console(machine: &Machine) -> Result<String, Error> {
    until_visible_within(machine.visible_within(), || shown(machine)).await
}

async fn shown(machine: &Machine) -> Result<String, Error> {
    let tried = format!("read the console of {machine}");
    let client = machine.client();
    let failed = |e| api_error::failed("GetConsoleOutput", &tried, e);
    let answer = match client.get_console_output().instance_id(machine.id()).latest(true).send().await.map_err(failed) {
        // The latest output is only to be had of some instance types; of others what EC2 has kept.
        Err(error) if error.code() == Some("UnsupportedOperation") => {
            client.get_console_output().instance_id(machine.id()).send().await.map_err(failed)?
        }
        latest => latest?,
    };
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(answer.output().unwrap_or_default())
        .map_err(|e| Error::new(ErrorKind::Api, tried).caused_by(e))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// An error with the console's last lines.
pub(super) async fn attached(machine: &Machine, error: Error) -> Error {
    match tokio::time::timeout(Duration::from_secs(10), console(machine)).await {
        Ok(Ok(console)) if console.trim().is_empty() => error.with_evidence("console", "(EC2 shows nothing yet)"),
        Ok(Ok(console)) => error.with_evidence("console, last lines", tail(&console, LINES)),
        Ok(Err(e)) => error.with_evidence("console", format!("failed to {e}")),
        Err(_) => error,
    }
}

/// The last lines of a text.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
