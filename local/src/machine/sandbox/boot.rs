//! Init's way up: from a fresh process in fresh namespaces to process 1 of a machine.

use super::{
    clock::{self, Beginning},
    image_root, interfaces, kernel,
    limits::Limits,
    mounting,
    protocol::{self, Boot, Go, Report},
    root::{self, Parts, told},
    seccomp,
    system_files::Settings,
};
use crate::{
    guest::{
        agent,
        init::{self, End, OomScore},
        logins,
        root::Root,
    },
    machine::descriptors::allow_many,
};
use rustix::{
    process::{Gid, Signal, Uid, set_parent_process_death_signal},
    thread::{
        CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities, set_thread_groups,
        set_thread_res_gid, set_thread_res_uid,
    },
};
use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::Command,
};

/// Where programs are found, as a login has it.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What a machine's root can't do even to what is its own: these reach for the host's kernel, hardware or clock.
const DROPPED: [CapabilitySet; 15] = [
    CapabilitySet::AUDIT_CONTROL,
    CapabilitySet::AUDIT_READ,
    CapabilitySet::BLOCK_SUSPEND,
    CapabilitySet::BPF,
    CapabilitySet::MAC_ADMIN,
    CapabilitySet::MAC_OVERRIDE,
    CapabilitySet::MKNOD,
    CapabilitySet::PERFMON,
    CapabilitySet::SYSLOG,
    CapabilitySet::SYS_MODULE,
    CapabilitySet::SYS_PACCT,
    CapabilitySet::SYS_RAWIO,
    CapabilitySet::SYS_TIME,
    CapabilitySet::SYS_TTY_CONFIG,
    CapabilitySet::WAKE_ALARM,
];

/// Where the user who runs the endpoint may not set the least that a process may set for itself.
const CAN_BE_LESS: &str = "root inside can take back that the host ends this machine first when it is short of memory: the endpoint \
                           lacks CAP_SYS_RESOURCE";

/// Boots and runs the machine to its end. `keeper` says when the ids are mapped, `endpoint` is told of the start; the machine has been
/// up since `beginning`.
pub fn run(boot: &Boot, limits: Limits, beginning: Beginning, keeper: OwnedFd, endpoint: &OwnedFd) -> io::Result<End> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The keeper may have died before that, and then its end of the connection is closed.
    let Some((go, mut trees)) = protocol::receive::<Go>(&keeper)? else { return Ok(End::PowerOff) };
    rustix::thread::set_name(c"init")?;
    if !go.has_cgroup_namespace {
        // The keeper has put this process into the machine's cgroup.
        kernel::enter_cgroup_namespace().map_err(told("make", "a cgroup namespace"))?;
    }

    let machine = &boot.specification.machine;
    // Until it becomes the machine's root below, this process still reaches files as the host's user who started it.
    let ends = interfaces::set_up(&machine.nics)?;
    let devices = if go.has_devices { trees.pop() } else { None };
    let mut trees: Vec<_> =
        if trees.is_empty() { go.trees.iter().map(|path| root::tree(path)).collect::<io::Result<_>>()? } else { trees };
    let unmapped = trees.split_off(go.trees.len().min(trees.len()));
    let mut trees = go.trees.into_iter().zip(trees);
    let Some((_, files)) = trees.next() else { return Err(io::Error::other("boot: the keeper named no disk")) };
    let snapshots: Vec<_> = trees.by_ref().take(go.layers).collect();
    let layers: Vec<_> = trees.collect();
    // What others have, too, isn't the machine's to write to, by whatever way.
    for tree in snapshots.iter().chain(&layers).map(|(_, tree)| tree).chain(&unmapped) {
        kernel::make_tree_read_only(tree).map_err(told("make read-only", "what is below the machine's files"))?;
    }
    // Once this process is the machine's, these files are the host's root's.
    let oom_score = OomScore::of_this_process();
    let time = clock::count_from(beginning);
    become_root(go.users)?;
    rustix::system::sethostname(machine.hostname.as_bytes()).map_err(told("set the host name", &machine.hostname))?;

    let settings = Settings {
        hostname: &machine.hostname,
        login_user: &machine.login_user,
        interfaces: &machine.nics,
        dhcp: machine.dhcp.as_ref(),
    };
    let parts = Parts {
        files,
        snapshots: snapshots.into_iter().map(|(_, tree)| tree).collect(),
        layers,
        unmapped,
        devices,
        shown: go.shown,
        users: go.users,
        limits,
        boot_id: &machine.boot_id,
        settings,
    };
    let mut built = if boot.specification.image.is_some() { image_root::enter(parts)? } else { root::enter(parts)? };
    let begun =
        time.map_err(|error| format!("what is told of the time since the boot is the host's: failed to {error}"));
    seccomp::forbid()?;
    // The volumes come before anything runs that may want them.
    let listener = if go.has_devices && boot.mounts { mounting::tell().ok() } else { None };
    let beside: Vec<_> = listener.iter().map(AsFd::as_fd).collect();
    protocol::send(&keeper, &(), &beside)?;
    drop(listener);
    protocol::receive::<()>(&keeper)?;
    drop(keeper);
    drop_capabilities()?;
    let noted = logins::note_boot(&Root::default()).map_err(|error| format!("failed to note the boot: {error}"));
    built.notes.extend([begun, noted].into_iter().filter_map(Result::err));

    let (read, console) = built.console;
    // From its start on the machine may be told to end.
    init::expect_signals()?;
    report_start(endpoint, read, ends)?;
    // To the others it is held since it was forked.
    limits.hold_files()?;
    for note in go.notes.iter().chain(&built.notes) {
        init::say(&console, &format!("init: {note}"));
    }
    if oom_score.can_be_less() {
        init::say(&console, &format!("init: {CAN_BE_LESS}"));
    }
    init::run(&console, &oom_score, built.first_boot, |first_boot| {
        // The caller says on the console why it failed.
        kernel::close_all_from(3, console.as_fd())?;
        match &boot.program {
            Some(program) => Err(run_program(program)),
            None => run_agent(boot, console.try_clone()?, first_boot),
        }
    })
}

/// Runs the agent on a runtime of its own: one thread, since a machine shall cost little.
fn run_agent(boot: &Boot, console: OwnedFd, first_boot: bool) -> io::Result<()> {
    // All clients share them; what the agent runs has the usual number again.
    allow_many()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let machine = &boot.specification.machine;
    let mut config = agent::Config::new(&machine.hostname, &machine.login_user, console);
    config.first_boot = first_boot;
    runtime.block_on(agent::run(config))
}

/// Becomes another program; returns only if it can't.
fn run_program(program: &[String]) -> io::Error {
    let Some((name, arguments)) = program.split_first() else { return io::ErrorKind::InvalidInput.into() };
    told("run", name)(Command::new(name).args(arguments).env("PATH", SEARCH_PATH).exec())
}

fn report_start(endpoint: &OwnedFd, console: OwnedFd, frames: Vec<OwnedFd>) -> io::Result<()> {
    let mut beside = vec![console.as_fd()];
    beside.extend(frames.iter().map(AsFd::as_fd));
    protocol::send(endpoint, &Report::Started, &beside)
}

/// Becomes the root of the user namespace, with nothing left of who started it.
pub fn become_root(users: protocol::Users) -> io::Result<()> {
    // A user who had to give up setgroups(2) keeps the groups that they have; none of them is mapped.
    if users == protocol::Users::Many {
        set_thread_groups(&[]).map_err(told("leave the groups of", "the host's user"))?;
    }
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).map_err(told("become", "the machine's root group"))?;
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).map_err(told("become", "the machine's root"))?;
    kernel::stay_closed()?;
    // Keys of the host's user stay behind; kernels without keyrings have none to leave.
    let _ = kernel::join_new_keyring();
    Ok(())
}

fn drop_capabilities() -> io::Result<()> {
    let mut kept = rustix::thread::capabilities(None)?.permitted;
    for capability in DROPPED {
        match remove_capability_from_bounding_set(capability) {
            // An older kernel doesn't know it.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(told("drop", format!("{capability:?}"))(error)),
        }
        kept -= capability;
    }
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    Ok(set_capabilities(None, sets)?)
}
