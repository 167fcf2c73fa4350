//! The watchdog: one per run and place, this same executable in a session of its own. When the run is over it ends what the
//! run shared (key, group), and, after a grace, whatever a killed process has left running. While the run goes on it looks after
//! the latter, too ([`upkeep`]).
//!
//! It outlives `kill -9` of a test, and nextest's. It resolves credentials by itself, from the environment of the process
//! that started it. What this room isn't: the only layer. It dies with its host; then `ec2-harness sweep` goes by the tags.

mod upkeep;

use super::{
    owned::is_in_use,
    roles::Role,
    sweep::{Remains, Sweep, remains_of_run},
};
use crate::{
    config::Config,
    connection::Connection,
    error::{Error, ErrorKind},
    lock_file::{self, Lock},
    run::{self, Members, Run},
    state_directory::OWNED,
    task::{OnDrop, Operation},
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, PidfdFlags, getppid, pidfd_open},
};
use std::{
    env,
    fs::File,
    io,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use upkeep::Upkeep;

/// How long machines that a killed process has left stay, so that a person can have a look at them.
const GRACE: Duration = Duration::from_secs(30);

/// The pause before the next try where EC2 can't be reached, or doesn't answer.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// The process whose end ends the run, beside the run's members: nextest.
const OWNER: &str = "EC2_HARNESS_OWNER";

/// The process that has started the watchdog: the first of the run's members.
const STARTED_BY: &str = "EC2_HARNESS_STARTED_BY";

/// Joins the run, and starts its watchdog for the place that a configuration names, unless it has one; before the first create call.
pub(crate) fn ensure(connection: &Connection, config: &Config) -> Result<(), Error> {
    let tried = "start the watchdog of the run";
    let (run, lock) = (connection.run, run::watchdog_lock(&connection.place()));
    run.join()?;
    let Some(mut free) = run.try_lock(&lock)? else { return Ok(()) };
    // So that a sweep by hand looks there, too.
    run::note_region(&mut free, &connection.target, &connection.region)?;
    drop(free);
    let mut command = Command::new("/proc/self/exe");
    command
        .env("EC2_HARNESS_RUN_ID", run.id())
        .env("EC2_HARNESS_TARGET", config.target.word())
        .env("EC2_HARNESS_REGION", &connection.region)
        .env("EC2_HARNESS_WATCHDOG_LOCK", lock)
        .env(run::INCARNATION, run.incarnation().unwrap_or_default())
        .env(STARTED_BY, std::process::id().to_string())
        // From its first moment on: a signal to the tests' group, such as a terminal's, is none of its business.
        .process_group(0)
        // A test's standard streams, held open, would make nextest wait for us.
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    for (name, value) in [("EC2_HARNESS_ACCOUNT", &config.account), ("EC2_HARNESS_PROFILE", &config.profile)] {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    if let Some(credentials) = &connection.credentials {
        command.env_remove("EC2_HARNESS_PROFILE").env_remove("AWS_PROFILE").env_remove("AWS_SESSION_TOKEN");
        command.env("AWS_ACCESS_KEY_ID", credentials.access_key_id());
        command.env("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key());
        command.envs(credentials.session_token().map(|token| ("AWS_SESSION_TOKEN", token)));
    }
    if env::var_os("NEXTEST_RUN_ID").is_some()
        && let Some(nextest) = getppid()
    {
        command.env(OWNER, nextest.as_raw_nonzero().to_string());
    }
    Role::Watchdog.name_in(&mut command);
    command.spawn().map(drop).map_err(|e| Error::new(ErrorKind::Internal, tried).caused_by(e))
}

/// The role: waits for the run's end, and ends what it has left.
pub(crate) fn role_main() -> ! {
    // Neither a signal to the tests' process group nor their terminal concerns us.
    let _ = rustix::process::setsid();
    let code = match watch() {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!("failed to {error}");
            1
        }
    };
    std::process::exit(code)
}

fn watch() -> Result<(), Error> {
    let run = Run::observe()?;
    let lock = env::var("EC2_HARNESS_WATCHDOG_LOCK").unwrap_or_default();
    let Some(_only) = only(run, &lock)? else { return Ok(()) };
    let place = lock.strip_prefix(run::WATCHDOG).unwrap_or_default();
    let mut members = Members::of(run.directory()).map_err(waiting)?;
    // Before the wait: who has started us may take its configuration file along.
    let config = Config::load()?;
    let upkeep = Upkeep::start(run, &config, place)?;
    wait_for_owner(run)?;
    let mut over = wait_for_members(members.as_mut())?;
    upkeep.stop();
    let since = Instant::now();
    loop {
        match end(&config, members.as_mut(), &mut over) {
            // What is kept needs what is in there; a sweep removes it with that.
            Ok(Remains { kept: true, .. }) => return Ok(()),
            Ok(_) => return over.map_or(Ok(()), |over| run::leave(run.directory(), place, over)),
            // Nobody is there to be told: whatever may pass is waited for.
            Err(error) if (error.is_transient() || is_in_use(&error)) && since.elapsed() < config.lease => {
                tracing::warn!("failed to {error}");
                // Meanwhile others may go on with the run, or sweep what is left of it.
                over.take();
                std::thread::sleep(AGAIN_AFTER);
                over = wait_for_members(members.as_mut())?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Ends what a run has left but for what is kept; says what that was. `over` shows that nobody is in the run.
fn end(config: &Config, members: Option<&mut Members>, over: &mut Option<File>) -> Result<Remains, Error> {
    if !config.target.is_there() {
        // A local EC2 that has ended took everything with it.
        return Ok(Remains::default());
    }
    let connection = connect(config.clone()).wait()?;
    let remains = remains_of_run(connection.clone()).wait()?;
    if remains.unwanted {
        // A sweep by hand must see that the run is over.
        over.take();
        std::thread::sleep(GRACE);
        *over = wait_for_members(members)?;
    }
    Sweep::new(connection, config.lease).own_run().wait()?;
    Ok(remains)
}

/// Connects to what is there already.
fn connect(config: Config) -> Operation<Arc<Connection>> {
    Operation::new("connect to EC2", OnDrop::Cancel, async move { Connection::of(&config, None, true).await })
}

/// What shows that this is the one watchdog of its run and place.
enum Only {
    Lock {
        _held: File,
    },
    /// The run's directory was removed before it could be locked.
    Removed,
}

/// Becomes the one watchdog; `None` if there is another. Anyone who only looks has the lock for a moment.
fn only(run: &Run, lock: &str) -> Result<Option<Only>, Error> {
    for _ in 0..20 {
        match run.try_lock(lock) {
            Ok(Some(held)) => return Ok(Some(Only::Lock { _held: held })),
            Err(_) if !run.directory().exists() => return Ok(Some(Only::Removed)),
            Err(error) => return Err(error),
            Ok(None) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    Ok(None)
}

/// Waits for the run's processes; where its directory was gone from the beginning, for the one that is known.
fn wait_for_members(members: Option<&mut Members>) -> Result<Option<File>, Error> {
    match members {
        Some(members) => members.wait().map(Some).map_err(waiting),
        None => {
            wait_for_process(STARTED_BY);
            Ok(None)
        }
    }
}

fn waiting(error: io::Error) -> Error {
    Error::new(ErrorKind::Internal, "wait for the end of the run").caused_by(error)
}

/// Between two tests a run under nextest has no members; others see by a lock that it is not over.
fn wait_for_owner(run: &Run) -> Result<(), Error> {
    if env::var_os(OWNER).is_none() {
        return Ok(());
    }
    let _owned = match lock_file::lock(&run.directory().join(OWNED), Lock::Shared) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        held => Some(held.map_err(|e| Error::new(ErrorKind::Internal, "hold the run for its owner").caused_by(e))?),
    };
    wait_for_process(OWNER);
    Ok(())
}

/// Waits for the end of the process that a variable names.
fn wait_for_process(variable: &str) {
    let process = env::var(variable).ok().and_then(|text| Pid::from_raw(text.parse().ok()?));
    // If it has ended already there is nothing to wait for.
    let Some(process) = process.and_then(|process| pidfd_open(process, PidfdFlags::empty()).ok()) else { return };
    while let Err(rustix::io::Errno::INTR) = poll(&mut [PollFd::new(&process, PollFlags::IN)], None) {}
}
