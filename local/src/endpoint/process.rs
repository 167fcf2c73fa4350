//! The process: starts behind its locks, serves until nobody is left, and takes everything with it.

use super::{
    BUILD, EndpointError, Greeting, Opening, Settings,
    datacenter::Datacenter,
    handover::Handover,
    idle::{Clients, idle_for},
    journaling,
    log::{begin_log, fault_of_log},
    public_addresses,
    run_directory::RunDirectory,
    settings_diff::{PACE, SettingsInForce},
    state::{Credentials, StateDirectory, failed},
    way_in,
};
use crate::{
    account::{self, ImageSettings},
    machine::clear_remains,
    network::Outside,
    peer,
    wire::{self, Door},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::UnixListener,
    signal::unix::{SignalKind, signal},
    sync::{Notify, oneshot},
};

/// How often an endpoint looks whether it can still be found.
const LOOK_FOR_PREMISES: Duration = Duration::from_secs(1);

/// The user that logs in on the `host` image, as on Amazon's own.
pub const LOGIN_USER: &str = "ec2-user";

/// Until when an endpoint stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stay {
    /// Until nobody needs it any more.
    WhileNeeded,
    /// Until it is told to end by a signal.
    UntilTold,
}

/// Runs an endpoint on this thread until it ends. `ready` is called once it answers, with what it has to say.
///
/// # Errors
///
/// The state directory can't be used, an endpoint of this build runs already, an account that one has left can't be taken
/// over, or a part of it can't be started.
pub fn run(settings: &Settings, stay: Stay, ready: impl FnOnce(&Opening)) -> Result<(), EndpointError> {
    let state = StateDirectory::of_user()?;
    let start_error = |reason: String| EndpointError::Start { reason, log: state.log() };
    if let Err(error) = crate::machine::allow_many_descriptors() {
        tracing::warn!("failed to raise the limit of open files: {error}; some hundred machines may be too many");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("ec2-local")
        .enable_all()
        .build()
        .map_err(|e| start_error(format!("no runtime: {e}")))?;
    // The client that started us on demand holds the lock for us until we say that we are ready.
    let lock = match stay {
        Stay::WhileNeeded => None,
        Stay::UntilTold => Some(state.lock()?),
    };
    let Some(mut run_directory) = RunDirectory::claim(state.clone())? else {
        return Err(start_error("one of this build is running already; `ec2-local env` tells where".into()));
    };
    let result = runtime.block_on(serve(&state, &mut run_directory, settings, stay, |opening| {
        drop(lock);
        ready(opening);
    }));
    runtime.shutdown_timeout(Duration::from_secs(2));
    drop(run_directory);
    clear_remains();
    result.map(drop)
}

/// Serves until the end; the lock that comes back keeps others out until the directory is cleared.
async fn serve(
    state: &StateDirectory,
    run_directory: &mut RunDirectory,
    settings: &Settings,
    stay: Stay,
    ready: impl FnOnce(&Opening),
) -> Result<Option<File>, EndpointError> {
    let wrong = |what: &str, e: &dyn std::fmt::Display| EndpointError::Start {
        reason: format!("{what}: {e}"),
        log: state.log(),
    };
    let credentials = state.credentials()?;
    // All that may fail comes first: an account is not taken over in vain.
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, settings.port));
    let listener = peer::listen(address).map_err(|e| wrong(&format!("can't listen on {address}"), &e))?;
    let address = listener.local_addr().map_err(|e| wrong("no address", &e))?;
    let url = format!("http://{address}");
    let clients = Clients::default();
    let socket = state.way_in()?;
    let way_in_listener =
        UnixListener::bind(socket.as_ref() as &std::path::Path).map_err(failed("listen on", socket.as_ref()))?;
    let mut signals = Vec::new();
    for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
        signals.push(signal(kind).map_err(|e| wrong("can't watch for signals", &e))?);
    }
    let opened = journaling::open(run_directory, state, settings, &credentials)?;
    clear_remains();
    let opening = Opening {
        url: url.clone(),
        conditions: opened.account.conditions(),
        seed: opened.seed,
        taken_over: opened.taken_over.clone(),
        left: run_directory.left().to_vec(),
        ssh: public_addresses::general_warning(),
    };
    if let Some(warning) = &opening.ssh {
        tracing::info!("{warning}");
    }
    let mut outside = Outside::default();
    outside.private_networks.clone_from(&settings.private_networks);
    let (identity, sessions) = (opened.identity.clone(), opened.account.session_key());
    let mut now = Settings { port: address.port(), ..settings.clone() };
    (now.conditions, now.pace, now.seed) = (Some(opening.conditions), Some(opened.pace), Some(opening.seed));
    let in_force = SettingsInForce { stay, named: settings.clone(), now };
    let datacenter = Datacenter::open(opened, outside, state, run_directory.disks()?, run_directory.layers()?)?;
    let door = Door::new(wire::Credentials::new(credentials.access_key, credentials.secret_key), ACCOUNT);
    let door = door.with_sessions(sessions);
    let activity = door.activity();
    let greeting = Greeting { pid: std::process::id(), url, account: ACCOUNT.to_owned(), identity, in_force };
    let way = Arc::new(Handover {
        stay,
        clients: clients.clone(),
        datacenter: datacenter.clone(),
        activity: activity.clone(),
        is_made: Notify::new(),
    });
    let way_in = tokio::spawn(way_in::serve(way_in_listener, way.clone(), greeting));
    let (close, closed) = oneshot::channel::<()>();
    let serving = tokio::spawn(wire::serve(listener, door, datacenter.clone(), async {
        let _ = closed.await;
    }));
    let Opening { url, conditions, seed, .. } = &opening;
    tracing::info!(url, build = BUILD, pid = std::process::id(), %conditions, seed, "ready");
    ready(&opening);

    let told = async {
        let [terminate, interrupt, hangup] = &mut signals[..] else { return };
        tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} _ = hangup.recv() => {} }
    };
    let busy = || clients.count() > 0 || datacenter.instances() > 0 || activity.requests() > 0;
    let idle = || activity.idle().unwrap_or_default();
    let mut is_forsaken = false;
    let lock = tokio::select! {
        () = told => None,
        () = forsaken(run_directory) => {
            is_forsaken = true;
            None
        }
        () = way.is_made.notified() => None,
        lock = unneeded(state, settings, &clients, busy, idle), if stay == Stay::WhileNeeded => lock,
    };
    tracing::info!("ending");
    // What nobody can find was ended by nobody: the next start takes it over.
    if run_directory.is_there() && !is_forsaken {
        datacenter.end_account();
    } else {
        datacenter.leave_account();
    }
    way_in.abort();
    let _ = close.send(());
    datacenter.close().await;
    if let Ok(Err(e)) = serving.await {
        tracing::warn!("the door: {e}");
    }
    Ok(lock)
}

/// Returns once nobody can find the endpoint any more.
async fn forsaken(run_directory: &RunDirectory) {
    let mut missing = 0;
    while missing < 2 {
        tokio::time::sleep(LOOK_FOR_PREMISES).await;
        missing = if run_directory.is_there() && run_directory.has_way_in() { 0 } else { missing + 1 };
    }
    tracing::warn!("the directory of this endpoint was removed, so nobody can find it any more");
}

/// Returns once nobody needs the endpoint, with the lock that keeps others from finding it.
async fn unneeded(
    state: &StateDirectory,
    settings: &Settings,
    clients: &Clients,
    busy: impl Fn() -> bool,
    idle: impl Fn() -> Duration,
) -> Option<File> {
    loop {
        idle_for(settings.linger, &busy, &idle).await;
        // A client that is just starting one has the lock, and will find this one; without the lock nobody can.
        if let Some(lock) = state.try_lock()
            && !busy()
            && clients.close()
        {
            return Some(lock);
        }
    }
}

/// The number of the local account; AWS gives out no such number.
const ACCOUNT: &str = "000000000000";

/// What an account is made with, or taken over; ids and keys follow from `seed` and the secret.
pub(super) fn account_settings(settings: &Settings, credentials: &Credentials, seed: u64) -> account::Settings {
    let os_release = ["/etc/os-release", "/usr/lib/os-release"].iter().find_map(|path| fs::read_to_string(path).ok());
    let host = ImageSettings::host(LOGIN_USER, &os_release.unwrap_or_default());
    // Keys follow from the account's seed, so it must not follow from what is shown alone.
    let own = Sha256::new().chain_update(&credentials.secret_key).chain_update(seed.to_be_bytes()).finalize();
    let mut made = account::Settings::new(own.into(), host);
    made.conditions = settings.conditions.unwrap_or_default();
    made.conditions_seed = seed;
    made.account = ACCOUNT.to_owned();
    made.pace = settings.pace.unwrap_or(PACE);
    made.default_vpc = settings.default_vpc;
    made.quotas = settings.quotas.clone();
    made.capacity = settings.capacity.clone();
    made.instance_profiles = settings.instance_profiles.clone();
    made
}

/// What this process makes is its user's alone, whatever mask it was started with. Everything is below a directory of mode 0700;
/// this holds should that be changed.
pub fn keep_files_private() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

/// The role of a process that was started on demand: settings come by the environment, `ready` or a reason goes to stdout.
pub(crate) fn role_main() -> ! {
    begin_role();
    let result = told_settings()
        .and_then(|settings| run(&settings, Stay::WhileNeeded, |_| say("ready")).map_err(|e| e.to_string()));
    end_role(result)
}

/// What every endpoint's process begins with that another process has started.
pub(super) fn begin_role() {
    // Ctrl-C at the terminal is for the process that started us.
    let _ = rustix::process::setsid();
    keep_files_private();
    begin_log("info");
}

/// What the process that started us wants.
pub(super) fn told_settings<T: DeserializeOwned>() -> Result<T, String> {
    let text = std::env::var("EC2_LOCAL_SETTINGS").map_err(|e| e.to_string())?;
    serde_json::from_str(&text).map_err(|e| e.to_string())
}

/// Ends the process; a failure is told to the one that started it, and to the log.
pub(super) fn end_role(result: Result<(), String>) -> ! {
    if let Err(reason) = &result {
        tracing::error!("failed to {reason}");
        let lost = fault_of_log().map(|error| format!("; nor can that be written to the log: {error}"));
        say(&format!("{reason}{}", lost.unwrap_or_default()));
    }
    std::process::exit(i32::from(result.is_err()));
}

/// Tells the process that started us, and closes the pipe: its end is what is waited for.
pub(super) fn say(text: &str) {
    let mut stdout = io::stdout();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    if let Ok(null) = OpenOptions::new().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(null);
    }
}
