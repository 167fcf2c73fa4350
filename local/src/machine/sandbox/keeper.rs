//! The role `sandbox`: a process of the host's, one per machine, which makes the namespaces, maps the users, and stays
//! with init until the machine's end.
//!
//! It has one thread, and nothing in it is within a machine's reach. It ends when the endpoint does, and init ends when it
//! does: by a signal on the parent's death, and by the end of the connection where that signal is missed.

use super::{
    advice,
    block_devices::{self, BlockDevices},
    boot,
    cgroup::Cgroup,
    clock::Beginning,
    devices, errand,
    holdings::{self, Holding},
    identity::{self, FILES, Identity},
    interfaces,
    kernel::{self, Side},
    layer,
    limits::{self, Limits},
    mounting::Mounter,
    nameless,
    protocol::{self, Boot, Command, Go, Report, Request, Shown, Users},
    remains,
    root::told,
    seclusion, shared, sources, standstill,
    taken::{self, Taken},
    taking::Taking,
};
use crate::{
    guest::init::{End, OomScore},
    machine::{BlockDevice, descriptors::allow_many},
    network::Nic,
};
use rustix::{
    fs::{Mode, OFlags},
    process::{
        Pid, PidfdFlags, Signal, Uid, WaitOptions, WaitStatus, geteuid, pidfd_open, pidfd_send_signal,
        set_parent_process_death_signal, setsid, waitpid,
    },
    thread::{capabilities, set_capabilities, set_thread_res_uid},
};
use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io, iter,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    process::exit,
    time::Instant,
};

/// What init's exit status says when it wants to be started again.
const REBOOT: i32 = 64;

/// Runs the role; ends with the machine.
pub fn main() -> ! {
    exit(i32::from(run().is_err()))
}

fn run() -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It leads a session already if it has become this executable again.
    let _ = setsid();
    rustix::process::umask(Mode::from_raw_mode(0o022));
    rustix::process::chdir("/")?;
    let endpoint = take_stdin()?;
    // The process that started the endpoint may have had anything open, and may wait for its end.
    // And this process has descriptors to send, however many the machines of its user have on their way.
    let alone = allow_many().and_then(|()| {
        kernel::close_all_from(3, endpoint.as_fd()).map_err(told("close", "what was open before (close_range(2))"))
    });
    if let Err(error) = alone.and_then(|()| seclusion::enter(&endpoint)) {
        // Anyone who leaves what was said unread cuts off what they say themselves.
        protocol::receive::<Request>(&endpoint)?;
        return report(Err(error), &endpoint);
    }
    for variable in [super::ROLE_VARIABLE, seclusion::VARIABLE] {
        // SAFETY: this process has one thread, so nobody reads the environment meanwhile.
        unsafe { std::env::remove_var(variable) };
    }
    match protocol::receive::<Request>(&endpoint)? {
        Some((Request::Boot(boot), _)) => report(keep(&boot, &endpoint), &endpoint),
        Some((Request::Clear, directory)) => report(errand::clear(directory), &endpoint),
        Some((Request::Layer, directories)) => report(layer::errand(directories), &endpoint),
        Some((Request::Measure(disk), _)) => report(measure(&disk), &endpoint),
        Some((Request::Unpack { into, limits }, archive)) => report(errand::unpack(archive, &into, &limits), &endpoint),
        // The endpoint died in between.
        None => Ok(()),
    }
}

fn measure(disk: &Path) -> io::Result<Report> {
    taken::measure(disk, Instant::now() + taken::PATIENCE).map(Report::Taken)
}

fn report(outcome: io::Result<Report>, endpoint: &OwnedFd) -> io::Result<()> {
    let report = outcome.unwrap_or_else(|error| {
        // One that says nothing yet of what was tried, wherever it comes from.
        let shortage = advice::on_shortage(&error);
        Report::Failed(format!("{}{shortage}", advice::on_refusal(error)))
    });
    protocol::send(endpoint, &report, &[])
}

/// The connection to the endpoint comes as standard input, since that is what a child process can be given.
fn take_stdin() -> io::Result<OwnedFd> {
    let connection = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?;
    rustix::stdio::dup2_stdin(rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)?;
    Ok(connection)
}

fn keep(boot: &Boot, endpoint: &OwnedFd) -> io::Result<Report> {
    let files = boot.specification.disk.join(FILES);
    identity::check_owner(&files)?;
    let identity = Identity::choose(Some(&files), boot.first_id);
    identity.check()?;
    sources::prepare(&files, &identity)?;
    let mut notes = Vec::new();
    let volume = sources::mount_volume(boot, &files, &identity, &mut notes)?;
    // What is mounted in the machine alone can be read here as long as it is there.
    let mounted = volume.as_ref().map(|volume| volume.try_clone()).transpose()?.map(fs::File::from);
    let root_device = volume.as_ref().and_then(|volume| rustix::fs::fstat(volume).ok()).map(|found| found.st_dev);
    let limits =
        Limits::of(boot.specification.machine.memory_mib, boot.specification.machine.vcpus).within(&boot.share);
    let limits = if matches!(identity, Identity::Range(_)) { limits } else { limits.beside_others() };
    notes.extend_from_slice(&boot.share.notes);
    if let Err(error) = boot.share.hold_by_user() {
        notes.push(format!("the machine shares what the host's user may have (user.max_*): failed to {error}"));
    }
    notes.extend(limits::note_on_cores());
    let cgroup = Cgroup::make(&cgroup_name(boot), limits);
    notes.extend_from_slice(&cgroup.notes);
    let has_cgroup_namespace = cgroup.is_missing() && !matches!(identity, Identity::Range(_));
    if has_cgroup_namespace && let Err(error) = seclusion::hide_cgroups() {
        notes.push(format!("root can list the cgroups below its endpoint's: failed to {error}"));
    }
    let (connection, theirs) = protocol::connection()?;
    let beginning = Beginning::now();
    let init = match fork(&identity, limits).map_err(|error| advice::on_namespaces(&error))? {
        Side::Child => {
            drop(connection);
            cgroup.let_go();
            drop((volume, mounted));
            exit(init_main(boot, limits, beginning, theirs, endpoint))
        }
        Side::Parent(init) => init,
    };
    drop(theirs);
    let handle = pidfd_open(init, PidfdFlags::empty()).map_err(told("watch", "the machine's init (pidfd_open(2))"))?;
    protocol::send(endpoint, &Report::Created, &[handle.as_fd()])?;

    // Before init may mount anything.
    let noted = remains::note(&boot.specification.disk, init)
        .map_err(told("write to", boot.specification.disk.display()))
        .and_then(|()| cgroup.enter(init));
    let released =
        noted.and_then(|()| release(init, boot, volume, &identity, has_cgroup_namespace, notes, &connection));
    let mut volumes = match identity {
        Identity::Range(owner) => Some(BlockDevices::new(init, owner, &boot.specification.disk, root_device)),
        _ => None,
    };
    // Init waits for its volumes. From then on the connection's end tells that nothing more will come.
    let mut mounter: Option<Mounter> = None;
    let mut connection = Some(connection).filter(|_| released.is_ok());
    let mut killed = released.is_err();
    if killed {
        pidfd_send_signal(&handle, Signal::KILL)?;
    }
    loop {
        let waits = volumes.as_ref().is_some_and(BlockDevices::wait_for_machine);
        let calls = mounter.as_mut().and_then(Mounter::listener).map(|calls| calls.try_clone_to_owned()).transpose()?;
        let waits = waits || mounter.as_ref().is_some_and(Mounter::is_busy);
        // Nobody listens to both: init has nothing to mount before it has its volumes.
        let third = connection.as_ref().map(AsFd::as_fd).or(calls.as_ref().map(AsFd::as_fd));
        let polled: Vec<_> = [endpoint.as_fd(), handle.as_fd()].into_iter().chain(third).collect();
        let readable = protocol::wait_for_any(&polled, waits.then_some(block_devices::LOOK))?;
        let is_readable = |index: usize| readable.get(index).is_some_and(|readable| *readable);
        let (commanded, ended) = (is_readable(0), is_readable(1));
        if ended {
            break;
        }
        if is_readable(2)
            && connection.is_none()
            && let (Some(mounter), Some(volumes)) = (&mut mounter, &volumes)
        {
            mounter.answer(&volumes.numbers());
        }
        if is_readable(2)
            && let Some(connection) = connection.take()
            && let Some(((), listeners)) = protocol::receive::<()>(&connection)?
        {
            mounter = listeners.into_iter().next().map(|listener| Mounter::new(init, listener));
            for device in &boot.specification.machine.volumes {
                attach(volumes.as_mut(), device, endpoint)?;
            }
            // It may just have ended.
            let _ = protocol::send(&connection, &(), &[]);
        }
        for volume in volumes.iter_mut().flat_map(BlockDevices::released) {
            protocol::send(endpoint, &Report::Detached(volume), &[])?;
        }
        if commanded {
            let (command, beside) = protocol::receive::<Command>(endpoint)?.unwrap_or((Command::Kill, Vec::new()));
            let command = match command {
                Command::Plug(nic) => {
                    plug(nic, init, endpoint)?;
                    continue;
                }
                Command::Take(wanted) => {
                    let mut taking = Taking {
                        mounted: mounted.as_ref(),
                        files: &files,
                        volumes: volumes.as_ref(),
                        identity: &identity,
                    };
                    // What is written by now needn't be while the machine stands still.
                    taking.flush(&wanted);
                    let outcomes = standstill::during(init, &cgroup, || taking.take(&wanted, beside));
                    protocol::send(endpoint, &Report::Snapshots(outcomes), &[])?;
                    continue;
                }
                Command::Attach(device) => {
                    attach(volumes.as_mut(), &device, endpoint)?;
                    continue;
                }
                Command::Detach(volume, force) => {
                    if volumes.as_mut().is_none_or(|volumes| volumes.detach(&volume, force)) {
                        protocol::send(endpoint, &Report::Detached(volume), &[])?;
                    }
                    continue;
                }
                Command::Resize(volume, gib) => {
                    if let Some(Err(error)) = volumes.as_mut().map(|volumes| volumes.resize(&volume, gib)) {
                        note(endpoint, &format!("{volume} is as large as it was: failed to {error}"))?;
                    }
                    continue;
                }
                other => other,
            };
            if let Some(answer) = answer(&command, init, boot, &cgroup) {
                protocol::send(endpoint, &answer, &[])?;
                continue;
            }
            let signal = if command == Command::Kill { Signal::KILL } else { Signal::TERM };
            killed |= command == Command::Kill;
            pidfd_send_signal(&handle, signal).map_err(told("signal", "the machine's init (pidfd_send_signal(2))"))?;
            if killed {
                break;
            }
        }
    }
    // Returns once every process of the machine is gone.
    let (_, status) = waitpid(Some(init), WaitOptions::empty())?.ok_or(io::ErrorKind::NotFound)?;
    released?;
    Ok(if killed { Report::PoweredOff } else { meaning(status) })
}

/// Gives the machine a network interface more.
fn plug(nic: Nic, init: Pid, endpoint: &OwnedFd) -> io::Result<()> {
    match interfaces::add(init, &nic) {
        Ok(end) => protocol::send(endpoint, &Report::Plugged(nic), &[end.as_fd()]),
        Err(error) => protocol::send(endpoint, &Report::NotPlugged(nic.id, error.to_string()), &[]),
    }
}

/// Gives the machine a volume, or says on its console why not.
fn attach(volumes: Option<&mut BlockDevices>, device: &BlockDevice, endpoint: &OwnedFd) -> io::Result<()> {
    let attached = match volumes {
        Some(volumes) => volumes.attach(device),
        None => Err(io::Error::other("make a block device: only the host's root can")),
    };
    match attached {
        Ok(()) => Ok(()),
        Err(error) => note(endpoint, &format!("{} is not in /dev: failed to {error}", device.volume)),
    }
}

fn note(endpoint: &OwnedFd, text: &str) -> io::Result<()> {
    protocol::send(endpoint, &Report::Note(text.to_owned()), &[])
}

/// The answer to a question about the machine.
fn answer(command: &Command, init: Pid, boot: &Boot, cgroup: &Cgroup) -> Option<Report> {
    match *command {
        Command::Count(entry, question) => {
            let (found, is_certain) = standstill::look(init, cgroup, |processes| holdings::count(processes, entry));
            let is_complete = found.is_complete && is_certain;
            Some(Report::Holds(question, Holding { is_complete, ..found }))
        }
        Command::CountNameless(question) => {
            let (found, is_certain) =
                standstill::look(init, cgroup, |processes| nameless::measure(processes, &boot.specification.disk));
            let is_complete = found.is_complete && is_certain;
            Some(Report::Nameless(question, Taken { is_complete, ..found }))
        }
        _ => None,
    }
}

/// Forks into the machine's namespaces, held to its limits.
///
/// The kernel counts the processes of a user namespace as those of its maker, too, and holds them to the maker's limit as
/// it was then; root has none. So for root the machine's own first user is its maker. Anyone who isn't root has the keeper's
/// namespace in between, in which nobody else counts.
fn fork(identity: &Identity, limits: Limits) -> io::Result<Side> {
    limits.hold()?;
    let Identity::Range(first) = identity else {
        let quarter = Limits::hold_quarter()?;
        let side = kernel::clone_into_namespaces()?;
        return quarter.end().map(|()| side);
    };
    let all = capabilities(None)?;
    let user = Uid::from_raw(*first);
    set_thread_res_uid(user, user, Uid::ROOT)?;
    // The change has taken away the effective ones, and files must still be reached as root.
    set_capabilities(None, all)?;
    kernel::reach_files_as(Uid::ROOT);
    let side = kernel::clone_into_namespaces();
    if !matches!(side, Ok(Side::Child)) {
        set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?;
        // It doesn't outlast a change of users.
        set_parent_process_death_signal(Some(Signal::KILL))?;
    }
    side
}

/// What init's end says, see reboot(2) for that of a pid namespace.
fn meaning(status: WaitStatus) -> Report {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(0), _) | (_, Some(libc::SIGINT)) => Report::PoweredOff,
        (Some(REBOOT), _) | (_, Some(libc::SIGHUP)) => Report::Rebooting,
        (Some(code), _) => Report::Failed(format!("run the machine: its init ended with exit status {code}")),
        (_, Some(libc::SIGKILL)) => {
            Report::Failed("run the machine: its init was killed from outside, or for lack of memory".into())
        }
        (_, signal) => Report::Failed(format!("run the machine: its init was ended by signal {}", signal.unwrap_or(0))),
    }
}

fn init_main(boot: &Boot, limits: Limits, beginning: Beginning, keeper: OwnedFd, endpoint: &OwnedFd) -> i32 {
    match boot::run(boot, limits, beginning, keeper, endpoint) {
        Ok(End::PowerOff) => 0,
        Ok(End::Reboot) => REBOOT,
        Err(error) => {
            // If the endpoint is gone as well, there is nobody left to be told.
            let _ = protocol::send(endpoint, &Report::Failed(advice::on_refusal(error).to_string()), &[]);
            1
        }
    }
}

/// What a machine's cgroup is called: its disk makes it unlike those of other endpoints.
fn cgroup_name(boot: &Boot) -> String {
    let mut hasher = DefaultHasher::new();
    boot.specification.disk.hash(&mut hasher);
    format!("{}.{:016x}", boot.specification.machine.instance, hasher.finish())
}

/// Maps init's users and lets it go on.
fn release(
    init: Pid,
    boot: &Boot,
    volume: Option<OwnedFd>,
    identity: &Identity,
    has_cgroup_namespace: bool,
    mut notes: Vec<String>,
    connection: &OwnedFd,
) -> io::Result<()> {
    identity.apply(init)?;
    // Where memory is short the machine goes, and nothing else; within it, init goes last.
    if let Err(error) = fs::write(format!("/proc/{}/oom_score_adj", init.as_raw_pid()), OomScore::INIT) {
        notes.push(format!("the host may end others before this machine when it is short of memory: {error}"));
    }
    if identity.users() == Users::RootOnly {
        notes.push("root is the only user: install newuidmap (package uidmap) and give the user a range in /etc/subuid for more".into());
    }
    let below = boot.specification.image.clone().map_or_else(shared::layers, |image| vec![image]);
    let snapshots = boot.specification.layers.iter().map(|layer| layer.join(FILES));
    let snapshots: Vec<_> = snapshots.filter(|files| files.is_dir()).collect();
    let layers = snapshots.len();
    let paths: Vec<_> = iter::once(boot.specification.disk.join(FILES)).chain(snapshots).chain(below).collect();
    let mut unowned = Vec::new();
    let mut trees = if geteuid().is_root() {
        sources::trees(init, boot, (&paths, layers), volume, identity, &mut unowned, &mut notes)?
    } else {
        Vec::new()
    };
    let devices = match identity {
        Identity::Range(_) => devices::make().map_err(|error| {
            notes.push(format!("root can hear when others of the host open /dev/null and its like: failed to {error}"));
        }),
        _ => Err(()),
    };
    let has_devices = devices.is_ok();
    trees.extend(devices);
    let shown = boot.covers.clone().map_or(Shown::ToStrangers { unowned }, Shown::AllBut);
    let beside: Vec<_> = trees.iter().map(AsFd::as_fd).collect();
    protocol::send(
        connection,
        &Go { users: identity.users(), trees: paths, layers, has_devices, shown, has_cgroup_namespace, notes },
        &beside,
    )
}
