//! A machine with its agent on a switch, in an endpoint of its own that can be killed.

use crate::fixture::{Disk, FIRST_BOOT, PATIENCE, cgroups_of, mounts_of, specification};
use ec2_local::machine::{
    Event, Hypervisor,
    sandbox::{self, Sandbox},
};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::unbounded_channel;

const SECRET: &str = "the secret of the user who started the endpoint";

/// An endpoint of its own, with one machine.
struct Endpoint {
    process: Child,
    machine: Vec<u32>,
}

impl Endpoint {
    fn start(disk: &Disk) -> Self {
        // Anyone who starts an endpoint has secrets, and things open that a child inherits.
        let open = fs::File::open("/etc/passwd").unwrap();
        rustix::io::fcntl_setfd(&open, rustix::io::FdFlags::empty()).unwrap();
        let mut process = Command::new("/proc/self/exe")
            .env(sandbox::ROLE_VARIABLE, "test-endpoint")
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("DISK", disk.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "started\n");
        let machine = descendants(process.id());
        assert_eq!(machine.len(), 3, "keeper, init, agent: {machine:?}");
        Self { process, machine }
    }

    /// Ends it by SIGKILL, and waits for its machine's end.
    fn kill(mut self, disk: Disk) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while self.machine.iter().any(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
            assert!(Instant::now() < deadline, "{:?} outlived their endpoint", self.machine);
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(mounts_of(&disk.path()), 0);
        // What nobody was left to remove goes when the next endpoint starts. One of another test that starts right now may be
        // at it already.
        let left = || {
            sandbox::clear_remains();
            cgroups_of(&instance(self.process.id()))
        };
        while !left().is_empty() {
            assert!(Instant::now() < deadline, "{:?} are left", left());
            thread::sleep(Duration::from_millis(1));
        }
        disk.remove();
    }
}

/// The instance of an endpoint's machine: like no other's.
fn instance(endpoint: u32) -> String {
    format!("i-endpoint-{endpoint}")
}

/// The role of [`Endpoint`].
pub fn endpoint_main() -> ! {
    let disk = PathBuf::from(std::env::var_os("DISK").unwrap());
    let (plug, _plugged) = std::sync::mpsc::channel();
    let hypervisor = Sandbox::with_plug(move |nic, frames| Box::new(plug.send((nic, frames))));
    let (sender, mut events) = unbounded_channel();
    let mut specification = specification(&disk, FIRST_BOOT);
    specification.machine.instance = instance(std::process::id());
    let _machine = hypervisor.start(specification, sender).unwrap();
    assert!(matches!(events.blocking_recv(), Some((_, Event::Started))));
    // The agent is up once it has made the host's key; the metadata service that it then asks isn't there.
    while !disk.join("files/root/etc/ssh/ssh_host_ed25519_key.pub").exists() {
        thread::sleep(Duration::from_millis(1));
    }
    println!("started");
    std::io::stdout().flush().unwrap();
    let mut line = String::new();
    let _ = std::io::stdin().read_line(&mut line);
    std::process::exit(1)
}

fn descendants(of: u32) -> Vec<u32> {
    let parent = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()
    };
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let mut found = Vec::new();
    for pid in pids.filter(|pid| parent(*pid) == Some(of)) {
        found.push(pid);
        found.extend(descendants(pid));
    }
    found
}

#[test]
fn dies_with_its_endpoint() {
    let disk = Disk::new();
    Endpoint::start(&disk).kill(disk);
}

#[test]
fn survives_neither_of_its_own() {
    for which in 0..2 {
        let disk = Disk::new();
        let endpoint = Endpoint::start(&disk);
        // Only the keeper, then only init; what is left must follow.
        assert!(Command::new("kill").args(["-9", &endpoint.machine[which].to_string()]).status().unwrap().success());
        let deadline = Instant::now() + PATIENCE;
        while endpoint.machine.iter().any(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
            assert!(Instant::now() < deadline, "{:?}", endpoint.machine);
            thread::sleep(Duration::from_millis(1));
        }
        endpoint.kill(disk);
    }
}

/// What a process has open.
#[derive(Debug)]
struct Open {
    file: PathBuf,
    /// Whether its mount is one of those that the process sees.
    within: bool,
}

impl Open {
    /// None where it was closed meanwhile, or is another file now: whatever came by inheritance is held for good.
    fn of(pid: u32, number: &str) -> Option<Self> {
        let link = format!("/proc/{pid}/fd/{number}");
        let file = fs::read_link(&link).ok()?;
        let about = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).ok()?;
        let mount = about.lines().find_map(|line| line.strip_prefix("mnt_id:")).unwrap().trim().to_owned();
        let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
        let within = mounts.lines().any(|line| line.split(' ').next() == Some(&mount));
        (fs::read_link(&link).ok()? == file).then_some(Self { file, within })
    }

    /// Sockets and their like are of no mount; the three files stem from before the machine had mounts.
    fn is_the_machines(&self) -> bool {
        self.within
            || self.file.is_relative()
            || ["/dev/null", "/dev/net/tun"].iter().any(|file| self.file == Path::new(file))
            || self.file.ends_with("oom_score_adj")
    }
}

#[test]
fn inherits_nothing() {
    let disk = Disk::new();
    let endpoint = Endpoint::start(&disk);
    if rustix::process::geteuid().is_root() {
        for pid in &endpoint.machine {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
            assert!(!String::from_utf8_lossy(&environment).contains(SECRET), "{pid}");
            let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(|entry| entry.unwrap().file_name());
            let open = open.filter_map(|number| Open::of(*pid, number.to_str().unwrap()));
            let open: Vec<Open> = open.collect();
            assert!(
                !open.is_empty() && open.iter().all(|open| open.file != Path::new("/etc/passwd")),
                "{pid}: {open:?}"
            );
            // The keeper is on the host; of init and its agent nothing leads back there.
            assert!(Some(pid) == endpoint.machine.first() || open.iter().all(Open::is_the_machines), "{pid}: {open:?}");
        }
    } else {
        eprintln!("skipped: only root may know what processes of the machine have open");
    }
    endpoint.kill(disk);
}

#[test]
fn is_small_when_idle() {
    let disk = Disk::new();
    let endpoint = Endpoint::start(&disk);
    // Not the pages of the executable: all machines share them, and how many there are just now decides what one's part is.
    let of_its_own = |pid: &u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        text.lines().find_map(|line| line.strip_prefix("Pss_Anon:")?.split_whitespace().next()?.parse::<u64>().ok())
    };
    // Init and agent hide themselves from all but the host's root.
    let sizes: Option<Vec<u64>> = endpoint.machine.iter().map(of_its_own).collect();
    match sizes {
        Some(sizes) => assert!(sizes.iter().sum::<u64>() <= 4 << 10, "keeper, init, agent: {sizes:?} KiB"),
        None => eprintln!("skipped: only root may know how large the machine is"),
    }
    endpoint.kill(disk);
}
