//! Machines of namespaces, booted for real, as whoever runs the tests; as root also as ordinary users of several kinds.

use ec2_local::{
    machine::{
        Event, Hypervisor, Machine, Specification,
        sandbox::{self, Sandbox, remove_disk},
    },
    network::Nic,
};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::{UnboundedReceiver, error::TryRecvError, unbounded_channel};

/// Long enough for anything that is going to happen.
const PATIENCE: Duration = Duration::from_secs(30);
/// Runs what is left in a file, and leaves what it wrote in another.
const JOBS: &str = "cd /var/tmp; chmod 1777 .; echo ready; while :; do if [ -e job ]; then mv job running; \
                    sh ./running >part 2>&1; echo \"exit $?\" >>part; mv part answer; fi; sleep 0.01; done";

/// Plays the roles of this executable before the test harness starts.
extern "C" fn play_role() {
    match std::env::var(sandbox::ROLE_VARIABLE).as_deref() {
        Ok(sandbox::ROLE) => sandbox::role_main(),
        Ok("test-endpoint") => endpoint_main(),
        _ => {}
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static PLAY_ROLE: extern "C" fn() = play_role;

struct Running {
    machine: Box<dyn Machine>,
    events: UnboundedReceiver<(String, Event)>,
    console: String,
    disk: PathBuf,
    plugged: std::sync::mpsc::Receiver<(Nic, OwnedFd)>,
}

fn specification(disk: &Path, boot_id: &str) -> Specification {
    Specification {
        instance: "i-0123456789abcdef0".into(),
        disk: disk.into(),
        hostname: "ip-172-31-0-5.ec2.internal".into(),
        login_user: "admin".into(),
        nics: vec![Nic {
            id: "eni-1".into(),
            vpc: "vpc-1".into(),
            mac: [0x02, 0, 0, 0, 0, 5],
            addresses: vec![[172, 31, 0, 5].into(), [172, 31, 0, 6].into()],
            subnet: ([172, 31, 0, 0].into(), 20),
        }],
        boot_id: boot_id.into(),
    }
}

const FIRST_BOOT: &str = "11111111-1111-4111-8111-111111111111";
const SECOND_BOOT: &str = "22222222-2222-4222-8222-222222222222";

impl Running {
    fn start(specification: Specification) -> Self {
        let (plug, plugged) = std::sync::mpsc::channel();
        let hypervisor =
            Sandbox::with_plug(move |nic, frames| Box::new(plug.send((nic, frames)))).program(["/bin/sh", "-c", JOBS]);
        let (sender, events) = unbounded_channel();
        let disk = specification.disk.clone();
        let machine = hypervisor.start(specification, sender).unwrap();
        Self { machine, events, console: String::new(), disk, plugged }
    }

    fn booted(disk: &Path, boot_id: &str) -> Self {
        let mut running = Self::start(specification(disk, boot_id));
        assert_eq!(running.next(), Some(Event::Started), "{}", running.console);
        running.until_console("ready");
        running
    }

    fn until_console(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.console.contains(text) {
            self.collect_console();
            assert!(Instant::now() < deadline, "no {text:?} on the console: {:?}", self.console);
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn collect_console(&mut self) {
        while let Ok((_, event)) = self.events.try_recv() {
            match event {
                Event::Console(bytes) => self.console.push_str(&String::from_utf8_lossy(&bytes)),
                other => panic!("{other:?}, {}", self.console),
            }
        }
    }

    /// The next event that is no console output.
    fn next(&mut self) -> Option<Event> {
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
    fn run(&self, script: &str) -> String {
        self.send_job(script);
        let answer = self.file("var/tmp/answer");
        let deadline = Instant::now() + PATIENCE;
        while !answer.exists() {
            assert!(Instant::now() < deadline, "{script:?} was not answered");
            thread::sleep(Duration::from_millis(2));
        }
        let text = fs::read_to_string(&answer).unwrap();
        fs::rename(&answer, self.file("var/tmp/answered")).or_else(|_| fs::remove_file(&answer)).unwrap();
        text
    }

    fn send_job(&self, script: &str) {
        let part = self.file("var/tmp/job.part");
        fs::write(&part, script).unwrap();
        fs::rename(part, self.file("var/tmp/job")).unwrap();
    }

    /// Where a file of the machine's lies on the host.
    fn file(&self, path: &str) -> PathBuf {
        self.disk.join("files/root").join(path)
    }

    fn end(mut self) -> String {
        self.machine.power_off();
        assert_eq!(self.next(), Some(Event::PoweredOff), "{}", self.console);
        assert_eq!(self.next(), None);
        self.console
    }
}

struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        let path = self.0.path().join("disk, with:odd\\name");
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn remove(self) {
        remove_disk(&self.path()).unwrap();
        assert!(!self.0.path().join("disk, with:odd\\name").exists());
        assert_eq!(fs::read_dir(self.0.path()).unwrap().count(), 0);
    }
}

#[test]
fn boots_as_a_machine_of_its_own() {
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let (nic, _frames) = machine.plugged.recv_timeout(PATIENCE).unwrap();
    assert_eq!(nic.id, "eni-1");
    let script = "set -e; id -u; cat /proc/sys/kernel/random/boot_id; hostname; cat /etc/hostname; cat /proc/1/comm
        cat /sys/class/net/eth0/mtu /sys/class/net/eth0/address; cat /sys/class/net/lo/operstate
        grep -c . /proc/net/route; getent passwd admin root | cut -d: -f1,6; . /etc/os-release; echo $ID
        test -w /dev/null; test -c /dev/urandom; test -w /dev/shm; test -w /tmp; test -w /usr/local; ls -d /proc/[0-9]* | wc -l";
    let answer = machine.run(script);
    let lines: Vec<&str> = answer.lines().collect();
    let host = fs::read_to_string("/etc/os-release").unwrap();
    let host = host.lines().find_map(|line| line.strip_prefix("ID=")).unwrap();
    let name = "ip-172-31-0-5.ec2.internal";
    assert_eq!(lines[..5], ["0", FIRST_BOOT, name, name, "init"], "{answer}");
    assert_eq!(lines[5..8], ["9001", "02:00:00:00:00:05", "unknown"], "{answer}");
    // The heading, the subnet (twice: a route per address would be one), the default route, the metadata service.
    assert_eq!(lines[8], "4", "{answer}");
    assert_eq!(lines[9..11], ["admin:/home/admin", "root:/root"], "{answer}");
    assert_eq!(lines[11], host.trim_matches('"'), "{answer}");
    assert!(lines[12].parse::<u32>().unwrap() < 10, "{answer}");
    assert_eq!(lines[13], "exit 0", "{answer}");
    let console = machine.end();
    assert!(console.contains("init: powering off"), "{console}");
    disk.remove();
}

#[test]
fn keeps_its_disk_over_stop_and_start() {
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let script = "for file in /root/kept /etc/kept /home/admin/kept /var/lib/kept /usr/local/bin/kept /usr/share/kept; do
        echo content >$file || exit; done; echo gone >/tmp/gone; echo gone >/run/gone; rm /usr/bin/true; cat /etc/machine-id";
    let first = machine.run(script);
    assert!(first.ends_with("exit 0\n"), "{first}");
    machine.end();

    let machine = Running::booted(&disk.path(), SECOND_BOOT);
    let script = "cat /etc/machine-id; cat /root/kept /etc/kept /home/admin/kept /var/lib/kept /usr/local/bin/kept /usr/share/kept
        cat /proc/sys/kernel/random/boot_id; ls /tmp /run /usr/bin/true";
    let second = machine.run(script);
    let (machine_id, rest) = second.split_once('\n').unwrap();
    assert_eq!(Some(machine_id), first.lines().next());
    assert_eq!(rest.matches("content").count(), 6, "{second}");
    assert!(rest.contains(SECOND_BOOT) && !rest.contains("gone"), "{second}");
    assert!(rest.contains("/usr/bin/true': No such file"), "{second}");
    assert!(Path::new("/usr/bin/true").exists());
    machine.end();
    disk.remove();
}

#[test]
fn ends_as_its_root_asks() {
    let reboot = "perl -e 'syscall(169, 0xfee1dead, 672274793, 0x1234567)'";
    let halt = "perl -e 'syscall(169, 0xfee1dead, 672274793, 0x4321fedc)'";
    let disk = Disk::new();
    let mut ways = vec![("kill -TERM 1", Event::PoweredOff), ("kill -INT 1", Event::Rebooting)];
    if cfg!(target_arch = "x86_64") {
        ways.extend([(reboot, Event::Rebooting), (halt, Event::PoweredOff)]);
    }
    for (way, expected) in ways {
        let mut machine = Running::booted(&disk.path(), FIRST_BOOT);
        machine.send_job(way);
        assert_eq!(machine.next(), Some(expected), "{way}: {}", machine.console);
        assert_eq!(machine.next(), None);
    }
    disk.remove();
}

#[test]
fn ends_a_process_that_ignores_the_button() {
    let disk = Disk::new();
    let mut machine = Running::booted(&disk.path(), FIRST_BOOT);
    machine.run("(trap '' TERM HUP; echo stubborn >/dev/console; while :; do sleep 1; done) >/dev/null 2>&1 &");
    machine.until_console("stubborn");
    let console = machine.end();
    assert!(console.contains("stubborn") && console.contains("init: killing"), "{console}");
    disk.remove();
}

#[test]
fn is_gone_when_killed_or_dropped() {
    let disk = Disk::new();
    for drop_it in [false, true] {
        let mut machine = Running::booted(&disk.path(), FIRST_BOOT);
        if drop_it {
            struct Gone;
            impl Machine for Gone {
                fn power_off(&self) {}
                fn kill(&self) {}
            }
            drop(std::mem::replace(&mut machine.machine, Box::new(Gone)));
        } else {
            machine.machine.kill();
        }
        assert_eq!(machine.next(), Some(Event::PoweredOff), "{}", machine.console);
        assert_eq!(mounts_of(&disk.path()), 0);
    }
    // Before it has come up.
    let mut machine = Running::start(specification(&disk.path(), FIRST_BOOT));
    machine.machine.kill();
    let end = machine.next();
    let end = if end == Some(Event::Started) { machine.next() } else { end };
    assert_eq!(end, Some(Event::PoweredOff), "{}", machine.console);
    disk.remove();
}

#[test]
fn starts_its_program_again() {
    let disk = Disk::new();
    let mut machine = Running::booted(&disk.path(), FIRST_BOOT);
    machine.console.clear();
    machine.send_job("kill -9 $PPID");
    machine.until_console("starting it again");
    machine.until_console("ready");
    machine.end();
    disk.remove();
}

#[test]
fn sees_nothing_of_the_host() {
    let canary = tempfile::Builder::new().prefix("canary-").tempdir().unwrap();
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let paths = [canary.path(), disk.0.path(), Path::new(env!("CARGO_MANIFEST_DIR"))];
    for path in paths {
        let answer = machine.run(&format!("ls -d '{}' 2>&1", path.display()));
        assert!(answer.contains("No such file") || answer.contains("Permission denied"), "{answer}");
    }
    let own: Vec<String> =
        fs::read_dir("/etc").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let inside = machine.run("ls /etc; ls /var/log /var/lib /root /home /opt /srv");
    assert!(own.iter().any(|name| name == "fstab"));
    for secret in ["sudoers", "passwd-", "shadow-", "machine-info", "hosts.allow", "npmrc", "pip.conf"] {
        assert!(!inside.lines().any(|name| name == secret), "{secret}");
    }
    assert!(machine.run("mknod /root/disk b 254 0").contains("not permitted"));
    let answer = machine.run("echo 1 >/proc/sys/kernel/panic");
    assert!(!answer.contains("exit 0"), "{answer}");
    let answer = machine.run("ls /proc/1/fd /proc/1/root/ 2>&1; cat /proc/1/environ");
    assert!(answer.matches("denied").count() == 3, "{answer}");
    let answer = machine.run(&format!("kill -0 {}", std::process::id()));
    assert!(answer.contains("No such process"), "{answer}");
    machine.end();
    disk.remove();
}

#[test]
fn its_root_is_root_and_nobody_elses() {
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let alone = machine.run("awk '{ ids += $3 } END { print ids }' /proc/self/uid_map") == "1\nexit 0\n";
    for place in ["/var/tmp", "/usr/local/bin"] {
        let answer = machine.run(&format!(
            "cp /usr/bin/id {place}/whoami; chmod 4755 {place}/whoami; setpriv --reuid 1000 --clear-groups {place}/whoami -u"
        ));
        // A program that is set-uid root is, whoever starts it; without other users there is nobody to start it.
        assert_eq!(answer == "0\nexit 0\n", !alone, "{answer}");
    }
    let owner = machine.run("stat -c %U /usr/bin/env /etc/passwd /home/admin");
    let root = rustix::process::geteuid().is_root();
    let expected = match (root, alone) {
        (true, _) => "root\nroot\nadmin\nexit 0\n",
        (_, true) => "nobody\nroot\nroot\nexit 0\n",
        _ => "nobody\nroot\nadmin\nexit 0\n",
    };
    assert_eq!(owner, expected);
    if root {
        let on_host = std::os::unix::fs::MetadataExt::uid(&fs::metadata(machine.file("etc/passwd")).unwrap());
        assert!(on_host >= 0x7000_0000, "{on_host}");
    }
    let answer = machine.run("mount -t tmpfs none /mnt && touch /mnt/file; ip link set lo down 2>/dev/null; ls /mnt");
    assert!(answer.contains("file"), "{answer}");
    machine.end();
    disk.remove();
}

#[test]
fn packages_are_known() {
    let (query, package) = if Path::new("/var/lib/dpkg/status").exists() {
        ("dpkg-query -W -f '${Status}' dpkg", "installed")
    } else if Path::new("/usr/bin/rpm").exists() {
        ("rpm -q rpm", "rpm-")
    } else {
        return eprintln!("skipped: this host has neither dpkg nor rpm");
    };
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let answer = machine.run(query);
    assert!(answer.contains(package) && answer.ends_with("exit 0\n"), "{answer}");
    machine.end();
    disk.remove();
}

#[test]
fn many_at_once() {
    let disks: Vec<Disk> = (0..12).map(|_| Disk::new()).collect();
    let running: Vec<Running> =
        disks.iter().map(|disk| Running::start(specification(&disk.path(), FIRST_BOOT))).collect();
    for mut machine in running {
        assert_eq!(machine.next(), Some(Event::Started), "{}", machine.console);
        machine.end();
    }
    disks.into_iter().for_each(Disk::remove);
}

#[test]
fn what_fails_says_why() {
    let mut machine = Running::start(specification(Path::new("/nonexistent/disk"), FIRST_BOOT));
    let Some(Event::Failed(why)) = machine.next() else { panic!("{}", machine.console) };
    assert!(why.contains("/nonexistent/disk"), "{why}");
    assert_eq!(machine.next(), None);
}

/// An endpoint of its own, with one machine.
struct Endpoint {
    process: Child,
    machine: Vec<u32>,
}

impl Endpoint {
    fn start(disk: &Disk) -> Self {
        let mut process = Command::new("/proc/self/exe")
            .env(sandbox::ROLE_VARIABLE, "test-endpoint")
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
        disk.remove();
    }
}

/// The role of [`Endpoint`].
fn endpoint_main() -> ! {
    let disk = PathBuf::from(std::env::var_os("DISK").unwrap());
    let (plug, _plugged) = std::sync::mpsc::channel();
    let hypervisor = Sandbox::with_plug(move |nic, frames| Box::new(plug.send((nic, frames))));
    let (sender, mut events) = unbounded_channel();
    let _machine = hypervisor.start(specification(&disk, FIRST_BOOT), sender).unwrap();
    assert!(matches!(events.blocking_recv(), Some((_, Event::Started))));
    // The agent is up once it has made the host's key.
    while !disk.join("files/root/etc/ssh/ssh_host_ed25519_key.pub").exists() {
        thread::sleep(Duration::from_millis(1));
    }
    println!("started");
    std::io::stdout().flush().unwrap();
    let mut line = String::new();
    let _ = std::io::stdin().read_line(&mut line);
    std::process::exit(1)
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

#[test]
fn is_small_when_idle() {
    let disk = Disk::new();
    let endpoint = Endpoint::start(&disk);
    let proportional = |pid: &u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        text.lines().find_map(|line| line.strip_prefix("Pss:")?.split_whitespace().next()?.parse::<u64>().ok())
    };
    // Init and agent hide themselves from all but the host's root.
    let sizes: Option<Vec<u64>> = endpoint.machine.iter().map(proportional).collect();
    match sizes {
        Some(sizes) => assert!(sizes.iter().sum::<u64>() <= 12 << 10, "keeper, init, agent: {sizes:?} KiB"),
        None => eprintln!("skipped: only root may know how large the machine is"),
    }
    endpoint.kill(disk);
}

/// Runs all the other tests as an ordinary user, in a mount namespace in which that user exists and may use TAP devices.
fn as_user(delegated: bool) {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can become somebody else; the other tests ran as this user");
    }
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let executable = directory.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &executable).unwrap();
    let scratch = directory.path().join("tmp");
    fs::create_dir(&scratch).unwrap();
    std::os::unix::fs::chown(&scratch, Some(4242), Some(4242)).unwrap();
    let passwd = fs::read_to_string("/etc/passwd").unwrap() + "tester:x:4242:4242::/nonexistent:/bin/sh\n";
    let ids = if delegated { "tester:3000000:65536\n" } else { "" };
    let script = format!(
        "set -e; mount --make-rprivate /; mount --bind {} /etc/passwd; mount --bind {} /etc/subuid; mount --bind {} /etc/subgid
         mount -t tmpfs none /dev/net; mknod -m 666 /dev/net/tun c 10 200
         exec setpriv --reuid 4242 --regid 4242 --clear-groups env TMPDIR={} {} --skip ordinary_user",
        file("passwd", &passwd), file("subuid", ids), file("subgid", ids), scratch.display(), executable.display(),
    );
    let output = Command::new("unshare").args(["--mount", "sh", "-c", &script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0, "{said}");
}

#[test]
fn works_for_an_ordinary_user_with_newuidmap() {
    as_user(true);
}

#[test]
fn works_for_an_ordinary_user_without_newuidmap() {
    as_user(false);
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

/// In how many processes' mount tables a directory occurs.
fn mounts_of(disk: &Path) -> usize {
    let name = disk.parent().unwrap().to_str().unwrap();
    let tables = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path().join("mountinfo"));
    tables.filter(|table| fs::read_to_string(table).is_ok_and(|table| table.contains(name))).count()
}
