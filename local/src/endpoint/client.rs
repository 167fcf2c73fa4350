//! The client's side: find the endpoint of this user and build, or start it.

use super::{
    EndpointError, Greeting, Settings, Stay, making_way,
    state::{Credentials, StateDirectory, failed, make_directory},
    wishes::PACE,
};
use crate::roles::Role;
use std::{
    fs::OpenOptions,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::{fs::OpenOptionsExt, net::UnixStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long an endpoint may take until it answers; it needs some 20 ms on an idle machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest answer that is read.
const ANSWER_MAX: u64 = 1024 * 1024;

/// How long an endpoint that is otherwise than asked for may be in use before that is told.
const MAKING_WAY_PATIENCE: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(20);

/// A running endpoint, which stays as long as this value lives.
#[derive(Debug)]
pub struct Client {
    greeting: Greeting,
    credentials: Credentials,
    state: StateDirectory,
    // As long as this is open, the endpoint has a client.
    _presence: UnixStream,
}

impl Client {
    /// The URL of its Query API.
    pub fn url(&self) -> &str {
        &self.greeting.url
    }

    /// The number of its account.
    pub fn account(&self) -> &str {
        &self.greeting.account
    }

    /// What no two accounts share, whatever their number: an endpoint that was started anew has another one, unless it has taken
    /// over the account of one that was killed.
    pub fn identity(&self) -> &str {
        &self.greeting.identity
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.greeting.pid
    }

    /// The seed of what its conditions draw at random: say it where a test fails.
    pub fn seed(&self) -> u64 {
        self.greeting.character.now.seed.unwrap_or_default()
    }

    /// The factor on all times that AWS takes.
    pub fn pace(&self) -> f64 {
        self.greeting.character.now.pace.unwrap_or(PACE)
    }

    /// In what it is otherwise than it is asked to be.
    fn differences(&self, asked: &Settings) -> Vec<String> {
        self.greeting.character.differences(asked)
    }

    /// Where it is.
    pub(super) fn state(&self) -> &StateDirectory {
        &self.state
    }

    /// What signs requests to it.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The socket to its machines, for [`hello`](Self::hello) and a machine's bytes after it.
    pub fn way_in(&self) -> PathBuf {
        self.state.run().join("way-in")
    }

    /// The line that asks the way in for a TCP port of a machine, by instance id or address, without its line feed. It is
    /// answered with `ok`, or with `error` and a text, each ending with a line feed; after `ok` come the machine's bytes.
    pub fn hello(machine: &str, port: u16) -> String {
        format!("connect {machine} {port}")
    }
}

/// Finds the running endpoint of this user and build.
///
/// # Errors
///
/// [`EndpointError::NotRunning`], or the state directory can't be used.
pub fn connect() -> Result<Client, EndpointError> {
    let state = StateDirectory::of_user()?;
    greet(&state)?.ok_or(EndpointError::NotRunning)
}

/// Finds the running endpoint of this user and build, or starts it from the running executable, which must have called
/// [`roles::run_named`](crate::roles::run_named) before anything else.
///
/// What the settings name must be so. A running endpoint that is otherwise makes way for a new one where it was started on demand
/// and has no other client, no instance and no open connection. What isn't named is as it is where it is served for everybody, and
/// the default where another client has named it for an endpoint that was started on demand. How long it stays is up to
/// whoever has started it.
///
/// # Errors
///
/// The state directory can't be used, or the endpoint doesn't come up; the text has what it said.
/// [`EndpointError::OtherSettings`]: the one that runs is otherwise, and is in use.
pub fn ensure(settings: &Settings) -> Result<Client, EndpointError> {
    let state = StateDirectory::of_user()?;
    let since = Instant::now();
    loop {
        if let Some(client) = greet(&state)?
            && client.differences(settings).is_empty()
        {
            return Ok(client);
        }
        // Whoever comes second finds what the first has started.
        let lock = state.lock()?;
        if let Some(client) = greet(&state)? {
            let differences = client.differences(settings);
            if differences.is_empty() {
                return Ok(client);
            }
            let (pid, stay) = (client.pid(), client.greeting.character.stay);
            // Its own presence must not be what keeps it.
            drop(client);
            match ask(&state, making_way::REQUEST) {
                // Those who have just used it may take a moment to be gone, as may others who have looked at it.
                Err(_) if stay == Stay::WhileNeeded && since.elapsed() < MAKING_WAY_PATIENCE => {
                    drop(lock);
                    thread::sleep(LOOK);
                    continue;
                }
                Err(reason) => return Err(EndpointError::OtherSettings { pid, differences, reason }),
                Ok(_) => {}
            }
        }
        start(&state, settings)?;
        let client = greet(&state)?;
        drop(lock);
        return client.ok_or_else(|| EndpointError::Start { reason: "it ended at once".into(), log: state.log() });
    }
}

/// Asks what is answered in one line; the answer, or why there is none.
pub(super) fn ask(state: &StateDirectory, request: &str) -> Result<String, String> {
    let ask = || {
        let mut stream = UnixStream::connect(state.way_in().map_err(io::Error::other)?)?;
        stream.set_read_timeout(Some(START_TIMEOUT))?;
        writeln!(stream, "{request}")?;
        let mut line = String::new();
        BufReader::new(stream).take(ANSWER_MAX).read_line(&mut line)?;
        Ok(line)
    };
    let line = ask().map_err(|e: io::Error| e.to_string())?;
    match line.trim_end().split_once(' ').unwrap_or((line.trim_end(), "")) {
        ("ok", answer) => Ok(answer.to_owned()),
        ("error", reason) => Err(reason.to_owned()),
        _ => Err("it hung up".to_owned()),
    }
}

/// Says hello; `None` if nobody is there.
pub(super) fn greet(state: &StateDirectory) -> Result<Option<Client>, EndpointError> {
    let run = state.run();
    if !run.exists() {
        return Ok(None);
    }
    let Ok(presence) = UnixStream::connect(state.way_in()?) else { return Ok(None) };
    let credentials = state.credentials()?;
    let greeting = (|| {
        presence.set_read_timeout(Some(START_TIMEOUT))?;
        (&presence).write_all(b"hello\n")?;
        let mut line = String::new();
        // Buffering is harmless: nothing follows the greeting.
        BufReader::new(&presence).take(ANSWER_MAX).read_line(&mut line)?;
        serde_json::from_str(line.trim_end().strip_prefix("ok ").unwrap_or_default()).map_err(std::io::Error::other)
    })();
    // An endpoint that is just ending closes the connection without a greeting.
    Ok(greeting.ok().map(|greeting| Client { greeting, credentials, state: state.clone(), _presence: presence }))
}

fn start(state: &StateDirectory, settings: &Settings) -> Result<(), EndpointError> {
    make_directory(&state.run())?;
    let log_path = state.log();
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&log_path)
        .map_err(failed("open the log", &log_path))?;
    let wrong = |reason: String| EndpointError::Start { reason, log: log_path.clone() };
    let settings = serde_json::to_string(settings).map_err(|e| wrong(e.to_string()))?;
    let mut command = Command::new(executable());
    // No credentials, tokens or proxies of the user: who may call RunInstances may run code.
    command.env_clear().env("EC2_LOCAL_STATE_DIR", state.path()).env("EC2_LOCAL_SETTINGS", settings);
    for name in ["PATH", "HOME", "RUST_LOG", "RUST_BACKTRACE", "LANG", "LD_LIBRARY_PATH"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    Role::Endpoint.name_in(&mut command);
    let mut child = command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(|e| wrong(format!("{}: {e}", executable().display())))?;
    // It says `ready`, or why it can't be, and closes the pipe; it also closes if it dies.
    let mut said = String::new();
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_string(&mut said).map_err(|e| wrong(e.to_string()))?;
    }
    match said.trim_end() {
        "ready" => Ok(()),
        "" => {
            let ended = child.wait().map(|status| status.to_string()).unwrap_or_default();
            Err(wrong(format!("it ended before it was ready ({ended})")))
        }
        reason => Err(wrong(reason.to_owned())),
    }
}

/// The running executable; valid even if its file was replaced by a new build since.
fn executable() -> &'static Path {
    Path::new("/proc/self/exe")
}
