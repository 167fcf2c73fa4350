//! What goes on in a machine that answers: cloud-init, and which boot it is.

use super::{ATTEMPT_MAX, console::attached, pause, wait};
use crate::{
    ec2::{Machine, machine::Reached},
    error::{Error, ErrorKind},
    ssh::Command,
};
use std::time::Instant;

/// Waits for cloud-init where there is one. An error of its is an error here, with its log; a degraded end a warning.
///
/// Exit codes: <https://docs.cloud-init.io/en/latest/explanation/return_codes.html>.
pub(super) async fn cloud_init(machine: &Machine, deadline: Instant) -> Result<(), Error> {
    const SCRIPT: &str = "command -v cloud-init >/dev/null 2>&1 || exit 0
cloud-init status --wait >/dev/null 2>&1
code=$?
[ $code = 0 ] && exit 0
cloud-init status --long 2>&1
for log in /var/log/cloud-init-output.log /var/log/cloud-init.log; do
    echo \"--- $log\"
    tail -n 40 $log 2>/dev/null || sudo -n tail -n 40 $log 2>&1
done
exit $code";
    let Some(session) = machine.0.session.lock().await.clone() else { return Ok(()) };
    let remaining = deadline.saturating_duration_since(Instant::now());
    let output = session
        .exec(Command::new(SCRIPT).timeout(remaining))
        .await
        .map_err(|error| error.while_trying(&format!("wait for cloud-init on {machine}")))?;
    match output.status.code() {
        Some(0) => Ok(()),
        Some(2) => {
            tracing::warn!(machine = %machine, "cloud-init ended with recoverable errors:\n{}", output.stdout);
            Ok(())
        }
        _ => Err(Error::new(ErrorKind::Provisioning, format!("set up {machine}"))
            .because(format!("cloud-init ended with an error ({})", output.status))
            .advise("correct the user data; what cloud-init says is below")
            .with_evidence("cloud-init", output.stdout)),
    }
}

/// The id of the running boot.
pub(crate) async fn boot_id(machine: &Machine) -> Result<String, Error> {
    let session = machine.session().await?;
    let output = session.exec(Command::new("cat /proc/sys/kernel/random/boot_id")).await?;
    match (output.status.is_success(), output.stdout.trim()) {
        (true, id) if !id.is_empty() => Ok(id.to_owned()),
        _ => Err(Error::new(ErrorKind::Command, format!("read the boot id of {machine}"))
            .because(output.status.to_string())
            .with_evidence("stderr", output.stderr)),
    }
}

/// Waits until SSH answers from another boot than the one before.
pub(crate) async fn wait_for_boot_after(machine: &Machine, before: &str, deadline: Instant) -> Result<(), Error> {
    let since = Instant::now();
    loop {
        wait(machine, Reached::Ssh, deadline, None).await?;
        // The old boot answers for a while yet, and may break off at any time.
        match tokio::time::timeout(ATTEMPT_MAX, boot_id(machine)).await {
            Ok(Ok(now)) if now != before => return wait(machine, Reached::Ready, deadline, None).await,
            _ => machine.disconnect().await,
        }
        if Instant::now() > deadline {
            let error = Error::new(ErrorKind::TimedOut, format!("reboot {machine}"))
                .because("timed out: its boot id is still the same");
            return Err(attached(machine, error).await);
        }
        tokio::time::sleep(pause(since)).await;
    }
}
