//! The client's side: find the endpoint of this user and build, or start it.

use super::{
    EndpointError, Greeting, Settings, Stay, abandoned_accounts, handover,
    journal::Story,
    run_directory::is_held,
    settings_diff::PACE,
    state::{Credentials, SocketPath, StateDirectory},
};
use crate::machine::ROLE_VARIABLE;
use ec2_state_directory::Directory;
use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long an endpoint may take until it answers; it needs some 20 ms on an idle machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest answer that is read.
const ANSWER_MAX: u64 = 1024 * 1024;

/// How long an endpoint with other settings than those asked for may be in use before that is told.
const MAKING_WAY_PATIENCE: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(20);

/// A running endpoint, which stays as long as this value lives.
#[derive(Debug)]
pub struct Client {
    greeting: Greeting,
    credentials: Credentials,
    state: StateDirectory,
    way_in: SocketPath,
    // As long as this is open, the endpoint has a client.
    presence: UnixStream,
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
        self.greeting.in_force.now.seed.unwrap_or_default()
    }

    /// The factor on all times that AWS takes.
    pub fn pace(&self) -> f64 {
        self.greeting.in_force.now.pace.unwrap_or(PACE)
    }

    /// Where it is.
    pub(super) fn state(&self) -> &StateDirectory {
        &self.state
    }

    /// What signs requests to it.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The socket to its machines, for [`hello`](Self::hello) and a machine's bytes after it. The path is of use to this process
    /// alone, as long as this value lives: one that is too long for a socket's address leads through an open directory.
    pub fn way_in(&self) -> PathBuf {
        self.way_in.as_ref().to_owned()
    }

    /// The line that asks the way in for a TCP port of a machine, by instance id or address, without its line feed. It is
    /// answered with `ok`, or with `error` and a text, or with `never` and one where trying again is of no use, each ending with a
    /// line feed; after `ok` come the machine's bytes.
    pub fn hello(machine: &str, port: u16) -> String {
        format!("connect {machine} {port}")
    }
}

impl Client {
    /// Whether the endpoint is still there; one that is at a stop is.
    pub fn is_connected(&self) -> bool {
        let looked = recv(&self.presence, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        matches!(looked, Err(Errno::AGAIN | Errno::INTR)) || looked.is_ok_and(|(_, length)| length > 0)
    }
}

/// What there is of the local EC2, without anything being started.
#[derive(Debug)]
#[non_exhaustive]
pub enum Presence {
    /// An endpoint of this user and build runs.
    Running(Box<Client>),
    /// There is one that doesn't answer: it may be at a stop, or very busy.
    Silent,
    /// None runs, but some were killed: the next starts take their accounts over, one at a time. What tells these apart
    /// ([`Client::identity`]).
    Killed(Vec<String>),
    /// There is none, and nothing to be taken over.
    Absent,
}

/// How long an endpoint that doesn't answer may be about to begin, or to end: one that was killed still has its lock for a moment.
const CHANGES_WITHIN: Duration = Duration::from_secs(10);

/// Looks what there is of the local EC2.
///
/// # Errors
///
/// The state directory can't be used.
pub fn look() -> Result<Presence, EndpointError> {
    let state = StateDirectory::of_user()?;
    let identity = |directory: &PathBuf| Some(Story::find(&Directory::find(directory).ok()?).ok()??.header.account);
    let since = Instant::now();
    loop {
        if let Some(client) = greet(&state)? {
            return Ok(Presence::Running(Box::new(client)));
        }
        if !is_held(&state)? {
            let killed: Vec<_> = abandoned_accounts(&state).iter().filter_map(identity).collect();
            if !killed.is_empty() {
                return Ok(Presence::Killed(killed));
            }
            // Meanwhile the next one may have begun to take over what we would have found.
            if !is_held(&state)? {
                return Ok(Presence::Absent);
            }
        }
        if since.elapsed() > CHANGES_WITHIN {
            return Ok(Presence::Silent);
        }
        thread::sleep(LOOK);
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
/// What the settings name must be so. A running endpoint with others is replaced by a new one where it was started on demand
/// and has no other client, no instance and no open connection. What isn't named is as it is where it is served for everybody, and
/// the default where another client has named it for an endpoint that was started on demand. How long it stays is up to
/// the client that has started it.
///
/// # Errors
///
/// The state directory can't be used, or the endpoint doesn't come up; the text has what it said.
/// [`EndpointError::OtherSettings`]: the one that runs is otherwise, and is in use.
pub fn ensure(settings: &Settings) -> Result<Client, EndpointError> {
    let state = StateDirectory::of_user()?;
    loop {
        let found = match greet(&state)? {
            Some(client) => client,
            None => {
                // The client that comes second finds what the first has started.
                let _lock = state.lock()?;
                match greet(&state)? {
                    Some(client) => client,
                    None => return start(&state, settings),
                }
            }
        };
        let differences = found.greeting.in_force.differences(settings);
        if differences.is_empty() {
            return Ok(found);
        }
        if let Some(client) = found.replace(settings, differences)? {
            return Ok(client);
        }
    }
}

impl Client {
    /// Has the endpoint make way, and starts another; none if it has ended meanwhile.
    fn replace(self, settings: &Settings, differences: Vec<String>) -> Result<Option<Self>, EndpointError> {
        let since = Instant::now();
        loop {
            let lock = self.state.lock()?;
            let Ok(answer) = exchange(&self.presence, handover::REQUEST) else { return Ok(None) };
            let Err(reason) = answer else { return start(&self.state, settings).map(Some) };
            let is_served = self.greeting.in_force.stay == Stay::UntilTold;
            if is_served || since.elapsed() > MAKING_WAY_PATIENCE {
                return Err(EndpointError::OtherSettings { pid: self.pid(), differences, reason });
            }
            // Those who have just used it may take a moment to be gone.
            drop(lock);
            thread::sleep(LOOK);
        }
    }
}

/// Asks an endpoint what it answers in one line; the answer, or why there is none.
pub(super) fn ask(state: &StateDirectory, request: &str) -> Result<String, String> {
    let stream = state.way_in().map_err(io::Error::other).and_then(UnixStream::connect);
    stream.and_then(|stream| exchange(&stream, request)).unwrap_or_else(|error| Err(error.to_string()))
}

/// Says a line; the answer to it, or what is said against it.
fn exchange(mut stream: &UnixStream, request: &str) -> io::Result<Result<String, String>> {
    stream.set_read_timeout(Some(START_TIMEOUT))?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut line = String::new();
    // Buffering is harmless: nothing follows the answer.
    BufReader::new(stream).take(ANSWER_MAX).read_line(&mut line)?;
    match line.trim_end().split_once(' ').unwrap_or((line.trim_end(), "")) {
        ("ok", answer) => Ok(Ok(answer.to_owned())),
        ("error", reason) => Ok(Err(reason.to_owned())),
        _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up")),
    }
}

/// Says hello; `None` if nobody is there.
pub(super) fn greet(state: &StateDirectory) -> Result<Option<Client>, EndpointError> {
    let run = state.run();
    if !run.exists() {
        return Ok(None);
    }
    let way_in = state.way_in()?;
    let Ok(presence) = UnixStream::connect(&way_in) else { return Ok(None) };
    let credentials = state.credentials()?;
    let greeting = exchange(&presence, "hello").ok().and_then(Result::ok);
    let greeting = greeting.and_then(|greeting| serde_json::from_str(&greeting).ok());
    // An endpoint that is just ending closes the connection without a greeting.
    Ok(greeting.map(|greeting| Client { greeting, credentials, state: state.clone(), way_in, presence }))
}

/// Starts an endpoint, under the lock that the caller holds.
fn start(state: &StateDirectory, settings: &Settings) -> Result<Client, EndpointError> {
    let settings = serde_json::to_string(settings);
    let log = state.log();
    let settings = settings.map_err(|e| EndpointError::Start { reason: e.to_string(), log: log.clone() })?;
    let (_, client) = spawn(state, state, super::ROLE, &settings, Stdio::null())?;
    Ok(client)
}

/// Starts an endpoint's process in a role, once it answers; its log is that of another state directory, if need be.
pub(super) fn spawn(
    state: &StateDirectory,
    logging: &StateDirectory,
    role: &str,
    settings: &str,
    stdin: Stdio,
) -> Result<(Child, Client), EndpointError> {
    let log_path = logging.log();
    let log = logging.open()?.appended_file("log")?;
    let wrong = |reason: String| EndpointError::Start { reason, log: log_path.clone() };
    let mut command = Command::new(executable());
    // No credentials, tokens or proxies of the user: who may call RunInstances may run code.
    command.env_clear().env("EC2_LOCAL_STATE_DIR", state.path()).env("EC2_LOCAL_SETTINGS", settings);
    for name in ["PATH", "HOME", "RUST_LOG", "RUST_BACKTRACE", "LANG", "LD_LIBRARY_PATH"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.env(ROLE_VARIABLE, role);
    let mut child = command
        .current_dir("/")
        .stdin(stdin)
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
        "ready" => match greet(state)? {
            Some(client) => Ok((child, client)),
            None => Err(wrong("it ended at once".to_owned())),
        },
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
