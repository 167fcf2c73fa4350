//! What goes on in a machine that answers: cloud-init, and which boot it is.

use super::{ATTEMPT_MAX, ATTEMPT_MIN, LastCause, console::attached, login, pause, wait};
use crate::{
    ec2::{
        Machine,
        machine::{Reached, lock},
    },
    error::{Error, ErrorKind, shown},
    progress::Line,
    ssh::{Command, Output, Session},
};
use std::time::{Duration, Instant};

/// How long a machine whose scripts were killed, since it goes down, may still answer.
const GOES_DOWN_WITHIN: Duration = Duration::from_secs(1);

/// Waits for cloud-init where there is one, also over reboots that the user data asks for. An error of its is an error here,
/// with its log; a degraded end is told.
///
/// Exit codes: <https://docs.cloud-init.io/en/latest/explanation/return_codes.html>.
pub(super) async fn cloud_init(
    machine: &Machine,
    deadline: Instant,
    line: Option<&Line>,
    last: &LastCause,
) -> Result<(), Error> {
    let since = Instant::now();
    loop {
        last.set("SSH answers, but cloud-init isn't done".to_owned());
        let Some(session) = machine.0.session.lock().await.clone() else {
            // Somebody else has let go of it meanwhile.
            login::connect(machine, deadline, None, last).await?;
            continue;
        };
        match session.exec(Command::new(SCRIPT)).await {
            Ok(output) if output.status.code().is_some() => {
                let judged = judge(machine, &output, line);
                if judged.is_ok() || is_still_up(&session, &output).await {
                    return judged;
                }
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Connection => {}
            Err(error) => return Err(error.while_trying(&format!("wait for cloud-init on {machine}"))),
        }
        // It goes down: to stay there, as its state will show, or for another boot.
        machine.disconnect().await;
        tokio::time::sleep(pause(since)).await;
        login::connect(machine, deadline, None, last).await?;
    }
}

/// Whether a machine stays up whose cloud-init has ended with an error: where it goes down, that is what its scripts died of.
async fn is_still_up(session: &Session, output: &Output) -> bool {
    tokio::time::sleep(GOES_DOWN_WITHIN).await;
    let now = tokio::time::timeout(ATTEMPT_MIN, boot(session)).await;
    matches!(now, Ok(Ok(now)) if output.stdout.starts_with(&now.id))
}

/// Waits until it is done, and says with what; first which boot it is, where that is no success. Where the machine goes down
/// (shutdown(8) makes /run/nologin), it doesn't end by itself for a minute. In one line, which every login shell takes literally, so that it
/// isn't sent as input, which waits until the shell has begun.
const SCRIPT: &str = "command -v cloud-init >/dev/null 2>&1 || exit 0; \
    cloud-init status --wait >/dev/null 2>&1; \
    code=$?; \
    [ $code = 0 ] && exit 0; \
    cat /proc/sys/kernel/random/boot_id; \
    n=60; \
    while [ $((n -= 1)) -gt 0 ] && \
    { [ -e /run/nologin ] || [ \"$(systemctl is-system-running 2>/dev/null)\" = stopping ]; }; do sleep 1; done; \
    cloud-init status --long 2>&1; \
    for log in /var/log/cloud-init-output.log /var/log/cloud-init.log; do \
    echo \"--- $log\"; \
    tail -n 40 $log 2>/dev/null || sudo -n tail -n 40 $log 2>&1; \
    done; \
    exit $code";

fn judge(machine: &Machine, output: &Output, line: Option<&Line>) -> Result<(), Error> {
    let said = output.stdout.split_once('\n').map_or("", |(_, said)| said);
    match output.status.code() {
        Some(0) => {
            *lock(&machine.0.degraded) = None;
            Ok(())
        }
        Some(2) => {
            if let Some(line) = line {
                line.note("booted, but cloud-init is degraded: run `cloud-init status --long` on it");
            }
            tracing::warn!(machine = %machine, "cloud-init ended with recoverable errors:\n{}", shown(said));
            *lock(&machine.0.degraded) = Some(said.to_owned());
            Ok(())
        }
        _ => Err(Error::new(ErrorKind::Provisioning, format!("set up {machine}"))
            .because(format!("cloud-init ended with an error ({})", output.status))
            .advise("correct the user data; what cloud-init says is below")
            .with_evidence("cloud-init", said)),
    }
}

/// The boot of a machine that was about to be rebooted.
#[derive(Debug)]
pub(crate) struct Boot {
    /// Its id; `None` where SSH doesn't answer.
    id: Option<String>,
    since: Instant,
}

impl Boot {
    /// The one that runs. It isn't waited for: a reboot is also what helps a machine that no longer answers.
    pub(crate) async fn now(machine: &Machine) -> Self {
        let session = machine.0.session.lock().await.clone();
        let now = match session {
            Some(session) => tokio::time::timeout(ATTEMPT_MIN, boot(&session)).await.ok().and_then(Result::ok),
            None => None,
        };
        Self { id: now.map(|now| now.id), since: Instant::now() }
    }

    /// Whether another boot, which was seen so long after it, came after it: by its id, or, where none is known, by its age.
    fn is_before(&self, now: &SeenBoot, after: Duration) -> bool {
        match (&self.id, now.age) {
            (Some(before), _) => *before != now.id,
            (None, Some(age)) => age < after,
            // A machine that hides its first process, and that didn't answer before: that it answers now is all that can be known.
            (None, None) => true,
        }
    }
}

/// A boot as it is seen.
#[derive(Debug, PartialEq, Eq)]
struct SeenBoot {
    id: String,
    /// That of its first process, since a machine without a kernel of its own has the host's uptime; `None` where processes of others
    /// are hidden (proc(5), `hidepid`).
    age: Option<Duration>,
}

/// The running boot.
async fn boot(session: &Session) -> Result<SeenBoot, Error> {
    const SCRIPT: &str = "cat /proc/sys/kernel/random/boot_id && cat /proc/uptime /proc/1/stat 2>/dev/null";
    let output = session.exec(Command::new(SCRIPT)).await?;
    parse_boot(&output.stdout).ok_or_else(|| {
        Error::new(ErrorKind::Command, "read the boot's id")
            .because(output.status.to_string())
            .with_evidence("stderr", output.stderr)
    })
}

/// Reads what the script prints: proc_uptime(5) and proc_pid_stat(5), whose 22nd field is a start in ticks of a hundredth second.
fn parse_boot(text: &str) -> Option<SeenBoot> {
    let mut lines = text.lines();
    let id = lines.next().map(str::trim).filter(|id| !id.is_empty())?.to_owned();
    let mut age = || {
        let uptime: f64 = lines.next()?.split_whitespace().next()?.parse().ok()?;
        // Behind the name in parentheses the third field comes first.
        let ticks: f64 = lines.next()?.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()?;
        Duration::try_from_secs_f64((uptime - ticks / 100.0).max(0.0)).ok()
    };
    Some(SeenBoot { age: age(), id })
}

/// Waits until SSH answers from another boot than the one before.
pub(crate) async fn wait_for_boot_after(machine: &Machine, before: &Boot, deadline: Instant) -> Result<(), Error> {
    let since = Instant::now();
    let still_the_same = || {
        Error::new(ErrorKind::TimedOut, format!("reboot {machine}")).because("timed out: its boot is still the same")
    };
    loop {
        if Instant::now() >= deadline {
            return Err(attached(machine, still_the_same()).await);
        }
        wait(machine, Reached::Ssh, deadline, None).await?;
        let (session, after) = (machine.0.session.lock().await.clone(), before.since.elapsed());
        // The old boot answers for a while yet, and may break off at any time.
        let now = match session {
            Some(session) => tokio::time::timeout(ATTEMPT_MAX, boot(&session)).await.ok().and_then(Result::ok),
            None => None,
        };
        match now {
            Some(now) if before.is_before(&now, after) => {
                return wait(machine, Reached::Ready, deadline, None).await;
            }
            _ => machine.disconnect().await,
        }
        tokio::time::sleep(pause(since)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_a_boot_is_that_of_its_first_process() {
        let stat = "1 (a) b (c) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 99000 1 2 3";
        let seen = parse_boot(&format!("3f-a\n1000.50 1.0\n{stat}\n")).unwrap();
        assert_eq!((&*seen.id, seen.age), ("3f-a", Some(Duration::from_millis(10_500))));
        for hidden in ["id\n", "id\n1.0 1.0\n", "id\nx y\n1 (a) S\n"] {
            assert_eq!(parse_boot(hidden), Some(SeenBoot { id: "id".into(), age: None }), "{hidden}");
        }
        assert_eq!((parse_boot(""), parse_boot("\n1.0 1.0\n1 (a) S 0\n")), (None, None));
    }

    #[test]
    fn a_boot_is_another_by_its_id_or_by_its_age() {
        let (short, long) = (Duration::from_secs(1), Duration::from_secs(900));
        let seen = |id: &str, age| SeenBoot { id: id.to_owned(), age };
        let known = Boot { id: Some("a".into()), since: Instant::now() };
        assert!(known.is_before(&seen("b", None), short) && !known.is_before(&seen("a", Some(short)), long));
        let unknown = Boot { id: None, since: Instant::now() };
        assert!(unknown.is_before(&seen("a", Some(short)), long) && !unknown.is_before(&seen("a", Some(long)), short));
        assert!(unknown.is_before(&seen("a", None), short));
    }
}
