//! `sandbox`: a machine of Linux namespaces over the host's system directories, or over an image's root directory. It boots in
//! milliseconds and needs nothing to be installed.
//!
//! A machine is three processes of this very executable: its `keeper` on the host, its init ([`crate::guest::init`]) as
//! process 1 in namespaces of its own, and the agent, init's child. Its root directory is its own, with the host's `/usr`
//! and the like under a writable layer (`root`), or all of an image's (`image_root`); its users are its own (`identity`); its
//! network is a TAP device per NIC (`interfaces`), whose other end is plugged into the switch.
//!
//! When the endpoint ends, however it ends, so do its machines, and a machine leaves nothing but its disk: all its mounts
//! and interfaces live in its namespaces.
//!
//! What this isn't: a kernel, a boot loader or a service manager of its own, nor an imitation of one.

mod advice;
mod block_devices;
mod boot;
mod cgroup;
mod clock;
mod contents;
mod copy;
mod devices;
mod disks;
mod errand;
mod hierarchy;
mod holdings;
mod identity;
mod image_files;
mod image_root;
mod inside;
mod interfaces;
mod keeper;
mod kernel;
mod kernel_views;
mod kind;
mod layer;
mod limits;
mod mounting;
mod nameless;
mod package_sources;
mod pam;
mod plugs;
mod processes;
mod protocol;
mod question;
mod ranges;
mod remains;
mod room;
mod root;
mod seccomp;
mod seclusion;
mod shared;
mod shortage;
mod sources;
mod standstill;
mod system_accounts;
mod system_files;
mod tables;
mod taken;
mod taking;
mod volume;
mod watch;

pub use super::ROLE_VARIABLE;
pub use block_devices::describe as describe_block_devices;
pub use cgroup::clear_remains;
pub use errand::{remove_disk, unpack_image};
pub(super) use kind::SandboxKind;
pub use tables::describe as describe_tables;

use super::{BlockDevice, Event, Hypervisor, Machine, Specification, Take};
use crate::network::{Nic, Switch};
use limits::Limits;

use plugs::Plugs;
use protocol::{Boot, Command, Report, Request};
use ranges::{Range, Ranges};
use root::told;
use std::{
    fs,
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
    process::{Child, Stdio},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};
use tables::Share;
use tokio::sync::mpsc::UnboundedSender;
use watch::{Tenant, Watch};

/// The role of a machine's keeper.
pub const ROLE: &str = "sandbox";

/// What a pipe holds (pipe(7)), and what is passed on of a console at once.
const PIPE: usize = 64 << 10;
/// How long a console that is flooded has to wait: a serial line is a thousand times slower, and who listens must keep up.
const FLOOD_PAUSE: Duration = Duration::from_millis(10);

/// Whether no machine's root may mount its volumes.
static NO_MOUNTS: AtomicBool = AtomicBool::new(false);

/// From now on no root of a machine that starts may mount its volumes: what is on them doesn't reach the host's kernel then, as a file
/// system.
pub fn forbid_volume_mounts() {
    NO_MOUNTS.store(true, Ordering::Relaxed);
}

/// How a NIC is plugged in: what is returned unplugs it on drop.
type Plug = dyn Fn(Nic, OwnedFd) -> Box<dyn Send> + Send + Sync;

/// Starts machines of namespaces.
#[derive(Clone)]
pub struct Sandbox {
    plug: Arc<Plug>,
    ranges: Ranges,
    watch: Arc<Watch>,
    program: Option<Vec<String>>,
}

impl Sandbox {
    /// Machines whose NICs are plugged into this switch.
    #[must_use]
    pub fn new(switch: Switch) -> Self {
        Self::with_plug(move |nic, frames| Box::new(switch.attach(nic, frames)))
    }

    /// Machines whose NICs are plugged in by this function; what it returns unplugs the NIC on drop. It is given a TAP
    /// device's descriptor, non-blocking, as [`Switch::attach`] wants it.
    #[must_use]
    pub fn with_plug(plug: impl Fn(Nic, OwnedFd) -> Box<dyn Send> + Send + Sync + 'static) -> Self {
        // It takes a while, where it is needed at all; what fails will be told by the first machine.
        let _ = thread::Builder::new().name("covers".into()).spawn(shared::covers);
        Self { plug: Arc::new(plug), ranges: Ranges::default(), watch: Arc::default(), program: None }
    }

    /// Runs a program of the machine's own, with its arguments, where the agent would run: no SSH server, no user data.
    /// Its output goes to the console, and it is started again when it ends. Default: the agent.
    #[must_use]
    pub fn program(mut self, program: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.program = Some(program.into_iter().map(Into::into).collect());
        self
    }
}

impl Hypervisor for Sandbox {
    fn start(
        &self,
        specification: Specification,
        events: UnboundedSender<(String, Event)>,
    ) -> io::Result<Box<dyn Machine>> {
        let (control, keepers) = protocol::connection()?;
        let control = Arc::new(control);
        let range = self.ranges.take(&specification)?;
        let usual = Limits::of(specification.machine.memory_mib, specification.machine.vcpus);
        let mut share = Share::now(self.watch.tables(), usual);
        share.notes.extend(range.note().map(str::to_owned));
        // Sent before anybody can send a command, which must come after it.
        let boot = Boot {
            first_id: range.first(),
            share,
            program: self.program.clone(),
            mounts: !NO_MOUNTS.load(Ordering::Relaxed),
            covers: if specification.image.is_none() { shared::covers().transpose()? } else { None },
            specification: specification.clone(),
        };
        protocol::send(&control, &Request::Boot(Box::new(boot)), &[])?;
        let tenant = Tenant::new(&specification.disk, control.clone());
        for device in &specification.machine.volumes {
            tenant.note_volume(&device.volume, true);
        }
        let known = Arc::downgrade(&tenant);
        let thread = format!("a thread for {}", specification.machine.instance);
        self.watch.admit(&tenant).map_err(told("start", &thread))?;
        let (answers, received) = mpsc::channel();
        let plugs = Arc::new(Plugs::new(&specification.machine.nics));
        let running = Running {
            control: control.clone(),
            plug: self.plug.clone(),
            plugs: plugs.clone(),
            specification,
            range,
            tenant,
            events,
            answers,
        };
        // A thread per machine: a process is told of its parent's death when the thread that started it ends, so this
        // thread must live as long as the machine does, and not a moment longer.
        thread::Builder::new()
            .name("sandbox".into())
            .stack_size(256 << 10)
            .spawn(move || running.attend_until_gone(keepers))
            .map_err(told("start", thread))?;
        Ok(Box::new(SandboxMachine { control, answers: Mutex::new(received), plugs, tenant: known }))
    }
}

struct SandboxMachine {
    control: Arc<OwnedFd>,
    /// What came of taking its snapshots, in order.
    answers: Mutex<mpsc::Receiver<Vec<Option<String>>>>,
    plugs: Arc<Plugs>,
    tenant: Weak<Tenant>,
}

impl SandboxMachine {
    fn command(&self, command: Command) {
        // A machine that is gone needs no command.
        let _ = protocol::send(&self.control, &command, &[]);
    }
}

impl Machine for SandboxMachine {
    fn power_off(&self) {
        self.command(Command::PowerOff);
    }

    fn kill(&self) {
        self.command(Command::Kill);
    }

    fn take(&self, takes: &[Take]) -> io::Result<Vec<io::Result<()>>> {
        let open = |take: &Take| fs::File::open(&take.into).map_err(told("open", take.into.display()));
        let directories = takes.iter().map(open).collect::<io::Result<Vec<_>>>()?;
        let beside: Vec<_> = directories.iter().map(AsFd::as_fd).collect();
        let wanted = takes.iter().map(|take| take.volume.clone()).collect();
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        protocol::send(&self.control, &Command::Take(wanted), &beside)?;
        let gone = || io::Error::new(io::ErrorKind::NotConnected, "take the machine's snapshots: it is off");
        let outcomes = answers.recv().map_err(|_| gone())?;
        Ok(outcomes.into_iter().map(|why| why.map_or(Ok(()), |why| Err(io::Error::other(why)))).collect())
    }

    fn plug(&self, nic: Nic) {
        if let Some(nic) = self.plugs.want(nic) {
            self.command(Command::Plug(nic));
        }
    }

    fn unplug(&self, nic: &str) {
        self.plugs.unplug(nic);
    }

    fn attach(&self, device: BlockDevice) {
        if let Some(tenant) = self.tenant.upgrade() {
            tenant.note_volume(&device.volume, true);
        }
        self.command(Command::Attach(device));
    }

    fn detach(&self, volume: &str, force: bool) {
        self.command(Command::Detach(volume.to_owned(), force));
    }

    fn resize(&self, volume: &str, gib: u64) {
        self.command(Command::Resize(volume.to_owned(), gib));
    }
}

impl Drop for SandboxMachine {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A machine as its thread sees it.
struct Running {
    control: Arc<OwnedFd>,
    plug: Arc<Plug>,
    plugs: Arc<Plugs>,
    specification: Specification,
    range: Range,
    tenant: Arc<Tenant>,
    events: UnboundedSender<(String, Event)>,
    answers: mpsc::Sender<Vec<Option<String>>>,
}

impl Running {
    fn attend_until_gone(self, keepers: OwnedFd) {
        let outcome = self.run(keepers).unwrap_or_else(|error| Event::Failed(error.to_string()));
        self.plugs.clear();
        let outcome = self.tenant.verdict().map_or(outcome, |why| Event::Failed(why.to_owned()));
        let Self { specification, range, events, .. } = self;
        drop(range);
        // Nobody listens any more when the endpoint itself is ending.
        let _ = events.send((specification.machine.instance, outcome));
    }

    fn tell(&self, event: Event) {
        let _ = self.events.send((self.specification.machine.instance.clone(), event));
    }

    fn run(&self, keepers: OwnedFd) -> io::Result<Event> {
        let mut keeper = start_keeper(keepers)?;
        let result = self.attend(&mut keeper);
        if result.is_err() {
            // Its init dies with it.
            keeper.kill()?;
        }
        keeper.wait()?;
        result
    }

    /// Passes on what the machine says until nothing of it is left.
    fn attend(&self, keeper: &mut Child) -> io::Result<Event> {
        let mut console: Option<fs::File> = None;
        let mut init: Option<OwnedFd> = None;
        let mut outcome = None;
        loop {
            let [reported, written] = match &console {
                Some(console) => protocol::wait_readable([self.control.as_fd(), console.as_fd()])?,
                None => protocol::wait_readable([self.control.as_fd()]).map(|[reported]| [reported, false])?,
            };
            if written && !console.as_mut().is_some_and(|console| self.pass_on(console)) {
                console = None;
            }
            if !reported {
                continue;
            }
            let Some((report, descriptors)) = protocol::receive::<Report>(&*self.control)? else { break };
            match report {
                Report::Created => init = descriptors.into_iter().next(),
                Report::Started => {
                    let mut descriptors = descriptors.into_iter();
                    console = descriptors.next().map(fs::File::from);
                    for (nic, frames) in self.specification.machine.nics.iter().zip(descriptors) {
                        self.plugs.plug(nic.clone(), |nic| (self.plug)(nic, frames));
                    }
                    for nic in self.plugs.up() {
                        // A machine that is gone needs none.
                        let _ = protocol::send(&self.control, &Command::Plug(nic), &[]);
                    }
                    self.tell(Event::Started);
                }
                Report::Plugged(nic) => {
                    if let Some(frames) = descriptors.into_iter().next() {
                        self.plugs.plug(nic, |nic| (self.plug)(nic, frames));
                    }
                }
                Report::NotPlugged(nic, why) => {
                    self.tell(Event::Console(format!("endpoint: failed to plug in {nic}: {why}\r\n").into_bytes()));
                }
                // The first word on the end is the most precise one.
                Report::PoweredOff => outcome = outcome.or(Some(Event::PoweredOff)),
                Report::Rebooting => outcome = outcome.or(Some(Event::Rebooting)),
                Report::Failed(why) => outcome = outcome.or(Some(Event::Failed(why))),
                Report::Detached(volume) => {
                    self.tenant.note_volume(&volume, false);
                    self.tell(Event::Detached(volume));
                }
                Report::Note(text) => self.tell(Event::Console(format!("\r\nendpoint: {text}\r\n").into_bytes())),
                Report::Holds(question, holding) => self.tenant.note(question, holding),
                Report::Nameless(question, taken) => self.tenant.note_nameless(question, taken),
                // Whoever has asked may have gone.
                Report::Snapshots(outcomes) => drop(self.answers.send(outcomes)),
                // Nobody has asked a running machine for these.
                Report::Unpacked(_) | Report::Taken(_) | Report::Layer(_) => {}
            }
        }
        // The keeper reports after init's end. If it was killed itself, its init is about to die.
        if let Some(init) = init {
            protocol::wait_readable([init.as_fd()])?;
        }
        if let Some(mut console) = console {
            self.pass_on(&mut console);
        }
        let status = keeper.wait()?;
        if !status.success() {
            // It was killed, and has not cleared up after itself.
            clear_remains();
        }
        Ok(outcome.unwrap_or_else(|| Event::Failed(format!("keep the machine running: its keeper ended ({status})"))))
    }

    /// Passes on what stands in the console; says whether more can come.
    fn pass_on(&self, console: &mut fs::File) -> bool {
        let mut text = vec![0; PIPE];
        let mut passed = 0;
        loop {
            match console.read(&mut text) {
                Ok(0) => return false,
                Ok(length) => {
                    self.tell(Event::Console(text[..length].to_vec()));
                    passed += length;
                    if passed >= PIPE {
                        thread::sleep(FLOOD_PAUSE);
                        return true;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }
}

/// Starts this executable again in the role of a keeper, which finds its connection on standard input.
fn start_keeper(connection: OwnedFd) -> io::Result<Child> {
    let start = seclusion::Start::choose();
    start
        .command()
        .env(ROLE_VARIABLE, ROLE)
        .current_dir("/")
        .stdin(Stdio::from(connection))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(told("start", "this executable again for a machine"))
}

/// Plays the role of a keeper, to the machine's end. To be called before the process has a second thread, when
/// [`ROLE_VARIABLE`] is [`ROLE`].
pub fn role_main() -> ! {
    keeper::main()
}
