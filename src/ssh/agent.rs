//! Logging in by an SSH agent, which holds the private key and signs by it.

use super::{host_key::fingerprint, link::Link, login::Target};
use crate::error::{Error, ErrorKind};

/// Logs in by the agent's key with this public half; the inner error is the machine's refusal.
pub(super) async fn log_in(link: &Link, target: &Target, public: &[u8]) -> Result<Result<(), ssh2::Error>, Error> {
    let failed = |reason: String| {
        target
            .failed(ErrorKind::Configuration)
            .because(reason)
            .advise("start an agent (SSH_AUTH_SOCK), and add the key: `ssh-add FILE`")
    };
    let unreachable = |error: ssh2::Error| failed(format!("there is no SSH agent to be reached: {}", error.message()));
    // These ask the agent alone, which is on this host, and answers at once.
    let mut agent = link.session().agent().map_err(unreachable)?;
    agent.connect().map_err(unreachable)?;
    agent.list_identities().map_err(unreachable)?;
    let identities = agent.identities().map_err(unreachable)?;
    let Some(identity) = identities.iter().find(|identity| identity.blob() == public) else {
        return Err(failed(format!(
            "the SSH agent has {} keys, and {} isn't among them",
            identities.len(),
            fingerprint(public)
        )));
    };
    Ok(link.call(|_| agent.userauth(&target.login.user, identity)).await)
}
