//! Logging in to a machine that comes up: by which user, and when a refused key is final.

use super::{ATTEMPT_MAX, ATTEMPT_MIN, LastCause, console, host_key::host_keys, pause, route::route};
use crate::{
    ec2::{Machine, image},
    error::{Error, ErrorKind},
    progress::Line,
    ssh::{Command, Login, Session},
};
use std::time::{Duration, Instant};

/// How long a key may be refused before that is final.
const KEY_GRACE: Duration = Duration::from_secs(60);

/// What cloud-init prints when it is done.
const CLOUD_INIT_DONE: &str = "finished at";

/// Connects, again and again, until it works or can't work any more. The session is kept in the machine.
pub(super) async fn connect(
    machine: &Machine,
    deadline: Instant,
    line: Option<&Line>,
    last: &LastCause,
) -> Result<(), Error> {
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
            last.connecting();
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
                // No later try would be another one.
                Err(error) if matches!(error.kind(), ErrorKind::HostKey | ErrorKind::Configuration) => {
                    return Err(error);
                }
                Err(error) if error.kind() == ErrorKind::Authentication => {
                    last.failed(&error);
                    if candidates.next() {
                        continue;
                    }
                    let refused = refused.get_or_insert_with(Refused::now);
                    if refused.is_final(machine).await {
                        return Err(refused.explain(error, &candidates));
                    }
                }
                Err(error) => {
                    tracing::debug!("failed to {error}");
                    last.failed(&error);
                }
            }
        }
        tokio::time::sleep(pause(since)).await;
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

#[cfg(test)]
mod tests {
    use super::*;

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
