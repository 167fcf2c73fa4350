//! When a machine is ready: running, SSH answers, cloud-init, if there is one, is done.
//!
//! sshd can answer before the key is there, so a refused key is final only once cloud-init has shown its completion on the
//! console, or after a minute's grace.

use super::{Machine, api_error, image, machine::Reached, poller::Seen};
use crate::{
    config::{HostKeys, Reach},
    error::{Error, ErrorKind},
    progress::Line,
    ssh::{Command, HostKey, HostKeyPolicy, Login, Route, Session},
    target::Target,
};
use aws_sdk_ec2::types::{Instance as Description, InstanceStateName};
use base64::Engine as _;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a key may be refused before that is final.
const KEY_GRACE: Duration = Duration::from_secs(60);

/// The pause between two attempts grows with the age of the wait, as the poller's does.
const PAUSE_PER_AGE: f64 = 0.2;
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// One attempt to connect may take this long at first, and half of the wait's age later: a booting machine drops packets,
/// and a slow one needs time for its keys.
const ATTEMPT_MIN: Duration = Duration::from_secs(3);
const ATTEMPT_MAX: Duration = Duration::from_secs(30);

/// How many lines of the console an error shows.
const CONSOLE_TAIL: usize = 40;

/// What cloud-init prints when it is done.
const CLOUD_INIT_DONE: &str = "finished at";

/// The state of a described instance; one that EC2 doesn't name counts as pending.
pub(crate) fn state(described: &Description) -> InstanceStateName {
    described.state().and_then(|state| state.name().cloned()).unwrap_or(InstanceStateName::Pending)
}

/// Whether an instance in this state never comes back.
pub(crate) fn has_ended(state: &InstanceStateName) -> bool {
    matches!(state, InstanceStateName::ShuttingDown | InstanceStateName::Terminated)
}

/// An instance ended while something else was waited for.
pub(crate) fn ended_early(machine: &Machine, described: &Description) -> Error {
    let reason = described
        .state_reason()
        .and_then(|reason| reason.message())
        .or(described.state_transition_reason())
        .filter(|reason| !reason.is_empty())
        .unwrap_or("EC2 gives no reason");
    Error::new(ErrorKind::Provisioning, format!("wait for {machine}"))
        .because(format!("it is {}: {reason}", state(described)))
}

/// Waits until a machine is as far as wanted; the error has state, reason and the console's tail.
pub(crate) async fn wait(
    machine: &Machine,
    reached: Reached,
    deadline: Instant,
    line: Option<&Line>,
) -> Result<(), Error> {
    let phase = |text: &str| {
        if let Some(line) = line {
            line.phase(text);
        }
    };
    let waiting = async {
        phase("pending");
        let setting_up = async {
            connect(machine, deadline, line).await?;
            if reached == Reached::Ready {
                phase("waiting for cloud-init");
                cloud_init(machine, deadline).await?;
            }
            Ok::<(), Error>(())
        };
        match reached {
            Reached::Ssh if immediate(machine).is_some() => setting_up.await,
            // Side by side, since some ways need no address; and a machine that has ended will never answer.
            Reached::Ssh | Reached::Ready => tokio::try_join!(run(machine), setting_up).map(|_| ()),
        }
    };
    let result = tokio::time::timeout_at(deadline.into(), waiting).await;
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Internal) => Err(error),
        Ok(Err(error)) => Err(with_console(machine, error).await),
        Err(_) => Err(with_console(machine, timed_out(machine).await).await),
    }
}

async fn timed_out(machine: &Machine) -> Error {
    let state = machine.last_described().map_or("never visible".to_owned(), |described| state(&described).to_string());
    let connected = machine.0.session.lock().await.is_some();
    let what = match (&*state, connected) {
        ("running", true) => "SSH answers, but cloud-init is not done".to_owned(),
        ("running", false) => "it is running, but SSH doesn't answer".to_owned(),
        _ => format!("its state is {state}"),
    };
    Error::new(ErrorKind::Provisioning, format!("wait for {machine}"))
        .because(format!("it timed out: {what}"))
        .advise("raise `ready_timeout`, or look at the console below")
}

async fn with_console(machine: &Machine, error: Error) -> Error {
    match tokio::time::timeout(Duration::from_secs(10), console(machine)).await {
        Ok(Ok(console)) if console.trim().is_empty() => error.with_evidence("console", "(EC2 shows nothing yet)"),
        Ok(Ok(console)) => error.with_evidence("console, last lines", tail(&console, CONSOLE_TAIL)),
        Ok(Err(e)) => error.with_evidence("console", format!("failed to {e}")),
        Err(_) => error,
    }
}

/// The last lines of a text.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Waits until it is running.
async fn run(machine: &Machine) -> Result<Arc<Description>, Error> {
    let mut seen = machine.0.ec2.connection.poller.watch(machine.id(), machine.0.ours)?;
    loop {
        let now = seen.borrow_and_update().clone();
        match now {
            Seen::Instance(described) => {
                machine.set_described(described.clone());
                match state(&described) {
                    InstanceStateName::Running => return Ok(described),
                    InstanceStateName::Pending => {}
                    InstanceStateName::Stopping | InstanceStateName::Stopped => {
                        // A machine that is being started may still be shown as it was before.
                        if described
                            .state_reason()
                            .is_some_and(|reason| reason.code().is_some_and(|code| code.starts_with("Server.")))
                        {
                            return Err(ended_early(machine, &described));
                        }
                    }
                    _ => return Err(ended_early(machine, &described)),
                }
            }
            Seen::Failed(text) => {
                return Err(Error::new(ErrorKind::Unauthorized, format!("wait for {machine}")).because(text));
            }
            Seen::Unknown => {}
        }
        if seen.changed().await.is_err() {
            return Err(Error::new(ErrorKind::Internal, format!("wait for {machine}")).because("the poller has ended"));
        }
    }
}

/// The way that needs no address: the local EC2's own tunnel knows machines by their ids.
fn immediate(machine: &Machine) -> Option<Route> {
    let ec2 = &machine.0.ec2;
    match (&ec2.connection.target, &ec2.config.reach) {
        #[cfg(feature = "local")]
        (Target::Local, Reach::Public | Reach::Private) => ec2.connection.local.as_ref().map(|local| Route::Unix {
            path: local.way_in(),
            hello: ec2_local::endpoint::Client::hello(machine.id(), 22),
        }),
        _ => None,
    }
}

/// The way to a machine as far as it is described; an error where there will never be one.
fn route(machine: &Machine) -> Result<Option<Route>, Error> {
    if let Some(route) = immediate(machine) {
        return Ok(Some(route));
    }
    let Some(described) = machine.last_described() else { return Ok(None) };
    let (private, public) =
        (described.private_ip_address(), described.public_ip_address().or(described.ipv6_address()));
    let tcp = |host: &str| Route::Tcp { host: host.to_owned(), port: 22 };
    match &machine.0.ec2.config.reach {
        Reach::Private => Ok(private.map(tcp)),
        Reach::Public if public.is_none() && state(&described) == InstanceStateName::Running => Err(Error::new(
            ErrorKind::Connection,
            format!("connect to {machine}"),
        )
        .because("it is running without a public address")
        .advise(
            "set `reach` to `private` or to a command such as [\"ssh\", \"-W\", \"{address}:{port}\", \"bastion\"]",
        )),
        Reach::Public => Ok(public.map(tcp)),
        Reach::Command(words) => Ok(private.map(|private| {
            let zone = described.placement().and_then(|placement| placement.availability_zone()).unwrap_or_default();
            let replacements = [
                ("{address}", private),
                ("{public}", public.unwrap_or_default()),
                ("{instance}", machine.id()),
                ("{port}", "22"),
                ("{user}", &machine.user().unwrap_or_default()),
                ("{region}", &machine.0.ec2.connection.region),
                ("{zone}", zone),
            ];
            let fill = |word: &String| {
                replacements.iter().fold(word.clone(), |word, (placeholder, value)| word.replace(placeholder, value))
            };
            Route::Command(words.iter().map(fill).collect())
        })),
    }
}

/// Connects, again and again, until it works or can't work any more. The session is kept in the machine.
async fn connect(machine: &Machine, deadline: Instant, line: Option<&Line>) -> Result<(), Error> {
    let Some(key) = machine.0.key.clone() else {
        return Err(Error::new(ErrorKind::Configuration, format!("connect to {machine}"))
            .because("no private key is known for it")
            .advise("set `key_name` and `private_key`, or give one with `.key(…)`"));
    };
    let since = Instant::now();
    let mut refused: Option<Refused> = None;
    let mut candidates = Candidates::new(machine.user());
    loop {
        if let Some(route) = route(machine)? {
            if let Some(line) = line {
                line.phase("waiting for SSH");
            }
            let limit = since.elapsed().div_f32(2.0).clamp(ATTEMPT_MIN, ATTEMPT_MAX);
            let user = candidates.current().to_owned();
            let login = Login::new(&user, key.clone(), host_keys(machine).await?).machine(machine.to_string());
            match Session::connect(route, login, deadline.min(Instant::now() + limit)).await {
                Ok(session) => {
                    if let Some(other) = other_user(&session, &user).await {
                        candidates = Candidates::new(Some(other));
                        continue;
                    }
                    machine.set_user(&user);
                    *machine.0.session.lock().await = Some(session);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::HostKey => return Err(error),
                Err(error) if error.kind() == ErrorKind::Authentication => {
                    if candidates.next() {
                        continue;
                    }
                    let refused = refused.get_or_insert_with(Refused::now);
                    if refused.is_final(machine).await {
                        return Err(refused.explain(error, &candidates));
                    }
                }
                Err(error) => tracing::debug!("failed to {error}"),
            }
        }
        tokio::time::sleep(since.elapsed().mul_f64(PAUSE_PER_AGE).clamp(PAUSE_MIN, PAUSE_MAX)).await;
    }
}

/// The users to try, round and round.
struct Candidates {
    users: Vec<String>,
    at: usize,
}

impl Candidates {
    fn new(known: Option<String>) -> Self {
        let users =
            known.map_or_else(|| image::CANDIDATES.iter().map(|user| (*user).to_owned()).collect(), |user| vec![user]);
        Self { users, at: 0 }
    }

    fn current(&self) -> &str {
        &self.users[self.at]
    }

    /// Goes on to the next; `false` at the end of a round.
    fn next(&mut self) -> bool {
        self.at = (self.at + 1) % self.users.len();
        self.at != 0
    }
}

/// A key that was refused, for how long, and whether that may still change.
struct Refused {
    since: Instant,
    looked: Option<Instant>,
    /// cloud-init was done before the last attempt.
    done: bool,
}

impl Refused {
    fn now() -> Self {
        Self { since: Instant::now(), looked: None, done: false }
    }

    /// Called after each refusal.
    async fn is_final(&mut self, machine: &Machine) -> bool {
        if self.done || self.since.elapsed() > KEY_GRACE {
            return true;
        }
        let pause = self.since.elapsed().div_f32(2.0).min(Duration::from_secs(5));
        if self.looked.is_none_or(|looked| looked.elapsed() >= pause) {
            self.looked = Some(Instant::now());
            // The key may have come between our attempt and its completion: one more attempt decides.
            self.done = console(machine).await.is_ok_and(|console| {
                console.lines().any(|line| line.contains("Cloud-init v.") && line.contains(CLOUD_INIT_DONE))
            });
        }
        false
    }

    fn explain(&self, error: Error, candidates: &Candidates) -> Error {
        let when = if self.done {
            "cloud-init is done, so no other key will come".to_owned()
        } else {
            format!("it was refused for {} s", KEY_GRACE.as_secs())
        };
        error.advise(format!(
            "{when}; tried as {}; set `user`, or check the key pair and that the image takes keys from its metadata",
            candidates.users.join(", ")
        ))
    }
}

/// cloud-init has root's login say who logs in instead.
async fn other_user(session: &Session, user: &str) -> Option<String> {
    if user != "root" {
        return None;
    }
    let output = session.exec(Command::new("true")).await.ok()?;
    let (_, rest) = output.stdout.split_once("Please login as the user \"")?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// The policy for this machine's host key.
async fn host_keys(machine: &Machine) -> Result<HostKeyPolicy, Error> {
    match machine.0.ec2.config.host_keys {
        HostKeys::FirstUse => Ok(HostKeyPolicy::AcceptFirst(machine.0.known_host.clone())),
        HostKeys::Console => loop {
            let keys = shown_keys(&console(machine).await.unwrap_or_default());
            if !keys.is_empty() {
                return Ok(HostKeyPolicy::Expect(keys));
            }
            // The wait that this is a part of has the deadline.
            tokio::time::sleep(Duration::from_millis(200)).await;
        },
    }
}

/// The host keys that cloud-init printed last.
fn shown_keys(console: &str) -> Vec<HostKey> {
    const BEGIN: &str = "-----BEGIN SSH HOST KEY KEYS-----";
    const END: &str = "-----END SSH HOST KEY KEYS-----";
    let Some((_, after)) = console.rsplit_once(BEGIN) else { return Vec::new() };
    // Half a block may be all there is yet.
    let Some((block, _)) = after.split_once(END) else { return Vec::new() };
    block.lines().filter_map(|line| HostKey::parse(line.trim())).collect()
}

/// Holds the pinned host key against those that a console shows.
pub(crate) fn verify_host_key(machine: &Machine, console: &str) -> Result<(), Error> {
    let shown = shown_keys(console);
    match machine.0.known_host.get() {
        Some(pinned) if !shown.is_empty() && !shown.contains(&pinned) => {
            Err(Error::new(ErrorKind::HostKey, format!("trust the connection to {machine}"))
                .because(format!(
                    "it answers with {}, which is not among the keys on its console",
                    pinned.fingerprint()
                ))
                .advise("somebody may be in between; `host_keys = \"console\"` finds out before the first command"))
        }
        _ => Ok(()),
    }
}

/// The console's output.
pub(crate) async fn console(machine: &Machine) -> Result<String, Error> {
    let tried = format!("read the console of {machine}");
    let client = machine.client();
    // The latest output is only to be had of some instance types; of others what EC2 has kept.
    let latest = client.get_console_output().instance_id(machine.id()).latest(true).send().await;
    let answer = match latest {
        Ok(answer) => Ok(answer),
        Err(_) => client.get_console_output().instance_id(machine.id()).send().await,
    };
    let answer = answer.map_err(|e| api_error::failed("GetConsoleOutput", &tried, e))?;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(answer.output().unwrap_or_default())
        .map_err(|e| Error::new(ErrorKind::Api, tried).caused_by(e))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Waits for cloud-init where there is one. An error of its is an error here, with its log; a degraded end a warning.
///
/// Exit codes: <https://docs.cloud-init.io/en/latest/explanation/return_codes.html>.
async fn cloud_init(machine: &Machine, deadline: Instant) -> Result<(), Error> {
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
            return Err(with_console(machine, error).await);
        }
        tokio::time::sleep(since.elapsed().mul_f64(PAUSE_PER_AGE).clamp(PAUSE_MIN, PAUSE_MAX)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_keys_are_read_off_the_last_whole_block() {
        let key = |id: &str| {
            format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZ{id} root@h")
        };
        let block = |id: &str| {
            format!("-----BEGIN SSH HOST KEY KEYS-----\r\n{}\r\n-----END SSH HOST KEY KEYS-----\r\n", key(id))
        };
        let console = format!("boot\r\n{}again\r\n{}login:", block("I"), block("J"));
        assert_eq!(shown_keys(&console), vec![HostKey::parse(&key("J")).unwrap()]);
        assert_eq!(shown_keys("-----BEGIN SSH HOST KEY KEYS-----\nssh-ed25519 AAAA"), vec![]);
        assert_eq!(shown_keys(""), vec![]);
    }

    #[test]
    fn users_are_tried_in_rounds() {
        let mut one = Candidates::new(Some("me".into()));
        assert!(!one.next());
        let mut many = Candidates::new(None);
        let mut tried = vec![many.current().to_owned()];
        while many.next() {
            tried.push(many.current().to_owned());
        }
        assert_eq!(tried, image::CANDIDATES);
        assert_eq!(many.current(), image::CANDIDATES[0]);
    }
}
