//! Machines under test, and what is asked of them.

use ec2_local::{
    machine::{
        Description, Event, Hypervisor, Machine, Specification,
        sandbox::{Sandbox, remove_disk},
    },
    network::Nic,
};
use std::{
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::{UnboundedReceiver, error::TryRecvError, unbounded_channel};

/// Long enough for anything that is going to happen: the kernel makes and ends namespaces and cgroups one after the other, which
/// takes many seconds beside hundreds of others.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Runs what is left in a file, and leaves what it wrote in another. No name comes twice: a machine whose root is an overlay
/// remembers what wasn't there. In quotes, or else the pattern that matched nothing would match what came a moment later, and
/// all answers that are there already.
pub const JOBS: &str = "cd /var/tmp; chmod 1777 .; echo ready; while :; do for job in job-*; do if [ -e \"$job\" ]; then
                    mv \"$job\" running; sh ./running >part 2>&1; echo \"exit $?\" >>part; mv part \"answer-$job\"; fi; done
                    sleep 0.01; done";

pub struct Running {
    pub machine: Box<dyn Machine>,
    pub events: UnboundedReceiver<(String, Event)>,
    pub console: String,
    pub disk: PathBuf,
    pub plugged: std::sync::mpsc::Receiver<(Nic, OwnedFd)>,
}

pub fn specification(disk: &Path, boot_id: &str) -> Specification {
    let machine = Description {
        instance: "i-0123456789abcdef0".into(),
        hostname: "ip-172-31-0-5.ec2.internal".into(),
        login_user: "admin".into(),
        nics: vec![Nic {
            id: "eni-1".into(),
            vpc: "vpc-1".into(),
            mac: [0x02, 0, 0, 0, 0, 5],
            addresses: vec![[172, 31, 0, 5].into(), [172, 31, 0, 6].into()],
            subnet: ([172, 31, 0, 0].into(), 20),
            ipv6: Vec::new(),
            subnet6: None,
        }],
        dhcp: None,
        memory_mib: 1024,
        vcpus: 2,
        disk_gib: None,
        volumes: Vec::new(),
        boot_id: boot_id.into(),
    };
    Specification { machine, disk: disk.into(), image: None, layers: Vec::new() }
}

pub const FIRST_BOOT: &str = "11111111-1111-4111-8111-111111111111";
pub const SECOND_BOOT: &str = "22222222-2222-4222-8222-222222222222";

impl Running {
    pub fn start(specification: Specification) -> Self {
        Self::start_program(specification, &["/bin/sh", "-c", JOBS])
    }

    pub fn start_program(specification: Specification, program: &[&str]) -> Self {
        let (plug, plugged) = std::sync::mpsc::channel();
        let hypervisor =
            Sandbox::with_plug(move |nic, frames| Box::new(plug.send((nic, frames)))).program(program.iter().copied());
        Self { plugged, ..Self::start_on(&hypervisor, specification) }
    }

    /// One whose NICs are plugged in by this hypervisor, which runs [`JOBS`].
    pub fn start_on(hypervisor: &Sandbox, specification: Specification) -> Self {
        let (sender, events) = unbounded_channel();
        let disk = specification.disk.clone();
        let machine = hypervisor.start(specification, sender).unwrap();
        Self { machine, events, console: String::new(), disk, plugged: std::sync::mpsc::channel().1 }
    }

    pub fn booted(disk: &Path, boot_id: &str) -> Self {
        Self::until_ready(specification(disk, boot_id))
    }

    pub fn until_ready(specification: Specification) -> Self {
        Self::start(specification).ready()
    }

    pub fn until_ready_on(hypervisor: &Sandbox, specification: Specification) -> Self {
        Self::start_on(hypervisor, specification).ready()
    }

    fn ready(mut self) -> Self {
        assert_eq!(self.next(), Some(Event::Started), "{}", self.console);
        self.until_console("ready");
        self
    }

    pub fn until_console(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.console.contains(text) {
            self.collect_console();
            assert!(Instant::now() < deadline, "no {text:?} on the console: {:?}", self.console);
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn collect_console(&mut self) {
        while let Ok((_, event)) = self.events.try_recv() {
            match event {
                Event::Console(bytes) => self.console.push_str(&String::from_utf8_lossy(&bytes)),
                other => panic!("{other:?}, {}", self.console),
            }
        }
    }

    /// The next event that is no console output.
    pub fn next(&mut self) -> Option<Event> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.events.try_recv() {
                Ok((_, Event::Console(bytes))) => self.console.push_str(&String::from_utf8_lossy(&bytes)),
                Ok((_, event)) => return Some(event),
                Err(TryRecvError::Empty) => thread::sleep(Duration::from_millis(2)),
                Err(TryRecvError::Disconnected) => return None,
            }
        }
        panic!("nothing happened; the console: {}", self.console)
    }

    /// Runs a shell script as the machine's root; its output, and `exit N` at the end.
    pub fn run(&self, script: &str) -> String {
        let answer = self.send_job(script);
        let deadline = Instant::now() + PATIENCE;
        while !answer.exists() {
            assert!(
                Instant::now() < deadline,
                "{script:?} was not answered; so far: {:?}; it runs {}",
                fs::read_to_string(self.file("var/tmp/part")),
                self.processes()
            );
            thread::sleep(Duration::from_millis(2));
        }
        fs::read_to_string(&answer).unwrap()
    }

    /// What runs in the machine, as its host sees it: each process's name, state, and where in the kernel it waits.
    fn processes(&self) -> String {
        let name = self.disk.parent().unwrap().to_str().unwrap();
        let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
        let described = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let process = entry.unwrap().path();
            let is_its_own = read(process.join("mountinfo")).contains(name);
            let [stat, wait] = ["stat", "wchan"].map(|file| read(process.join(file)));
            is_its_own.then(|| format!("{} {wait}", stat.split(' ').take(4).collect::<Vec<_>>().join(" ")))
        });
        format!("{:?}", described.collect::<Vec<_>>())
    }

    /// Has a shell script run; where its answer will be.
    pub fn send_job(&self, script: &str) -> PathBuf {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let part = self.file("var/tmp/part-of-job");
        fs::write(&part, script).unwrap();
        fs::rename(part, self.file(&format!("var/tmp/job-{number}"))).unwrap();
        self.file(&format!("var/tmp/answer-job-{number}"))
    }

    /// Where a file of the machine's lies on the host.
    pub fn file(&self, path: &str) -> PathBuf {
        self.disk.join("files/root").join(path)
    }

    pub fn end(mut self) -> String {
        self.machine.power_off();
        assert_eq!(self.next(), Some(Event::PoweredOff), "{}", self.console);
        assert_eq!(self.next(), None);
        self.console
    }
}

pub struct Disk(tempfile::TempDir);

impl Disk {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> PathBuf {
        let path = self.0.path().join("disk, with:odd\\name");
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Where it lies.
    pub fn directory(&self) -> &Path {
        self.0.path()
    }

    pub fn remove(self) {
        remove_disk(&self.path()).unwrap();
        assert!(!self.0.path().join("disk, with:odd\\name").exists());
        assert_eq!(fs::read_dir(self.0.path()).unwrap().count(), 0);
    }
}

/// In how many processes' mount tables a directory occurs.
pub fn mounts_of(disk: &Path) -> usize {
    let name = disk.parent().unwrap().to_str().unwrap();
    let tables = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path().join("mountinfo"));
    tables.filter(|table| fs::read_to_string(table).is_ok_and(|table| table.contains(name))).count()
}

/// The cgroups of a machine, wherever on the host.
pub fn cgroups_of(instance: &str) -> Vec<PathBuf> {
    fn below(directory: &Path, name: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok) {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy().contains(name) {
                    found.push(entry.path());
                }
                below(&entry.path(), name, found);
            }
        }
    }
    let mut found = Vec::new();
    below(Path::new("/sys/fs/cgroup"), instance, &mut found);
    found
}
