//! A machine as a whole: a sandbox on the switch, with the agent in it, and OpenSSH's client outside.

use ec2_local::{
    machine::{
        Description, Event, Hypervisor, Machine, Specification,
        sandbox::{self, Sandbox, remove_disk},
    },
    network::{Attributes, Change, Direction, Metadata, MetadataSource, Nic, OUTSIDE, Peer, Rule, Switch, Traffic},
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::unbounded_channel;

extern "C" fn play_role() {
    if std::env::var(sandbox::ROLE_VARIABLE).is_ok_and(|role| role == sandbox::ROLE) {
        sandbox::role_main();
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static PLAY_ROLE: extern "C" fn() = play_role;

struct Fixed(Metadata);

impl MetadataSource for Fixed {
    fn metadata(&self, _nic: &str) -> Option<Metadata> {
        Some(self.0.clone())
    }
}

struct Whole {
    directory: tempfile::TempDir,
    switch: Switch,
    running: Option<Box<dyn Machine>>,
    events: Arc<Mutex<(String, Vec<Event>)>>,
    address: SocketAddr,
}

fn nic() -> Nic {
    Nic {
        id: "eni-1".into(),
        vpc: "vpc-1".into(),
        mac: [0x02, 0, 0, 0, 0, 5],
        addresses: vec![[172, 31, 0, 5].into()],
        subnet: ([172, 31, 0, 0].into(), 20),
        ipv6: Vec::new(),
        subnet6: None,
    }
}

impl Whole {
    fn boot(user_data: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("key");
        let made = Command::new("ssh-keygen").args(["-qt", "ed25519", "-N", "", "-f"]).arg(&key).status().unwrap();
        assert!(made.success());
        let public = std::fs::read_to_string(directory.path().join("key.pub")).unwrap();
        let tree = [
            ("meta-data/instance-id", "i-0123456789abcdef0"),
            ("meta-data/public-keys/0/openssh-key", &public),
            ("meta-data/placement/region", "us-east-1"),
        ];
        let metadata = Metadata {
            enabled: true,
            ipv6: false,
            token_required: true,
            tree: tree.map(|(path, value)| (path.to_owned(), value.to_owned())).to_vec(),
            user_data: Some(user_data.as_bytes().to_vec()),
        };
        let switch = Switch::start(Arc::new(Fixed(metadata))).unwrap();
        let ssh = Rule {
            direction: Direction::Ingress,
            traffic: Traffic::Tcp(22..=22),
            peer: Peer::Network(OUTSIDE.0, OUTSIDE.1),
        };
        switch.heed(Change::SecurityGroup { id: "sg-1".to_owned(), rules: Some(vec![ssh]) });
        let attributes = Attributes { groups: vec!["sg-1".to_owned()], ..Attributes::default() };
        switch.heed(Change::NetworkInterface { id: nic().id, attributes: Some(attributes) });
        let address = way_in(switch.clone());
        let mut whole = Self { directory, switch, running: None, events: Arc::default(), address };
        whole.start();
        whole
    }

    fn disk(&self) -> PathBuf {
        let disk = self.directory.path().join("disk");
        std::fs::create_dir_all(&disk).unwrap();
        disk
    }

    fn start(&mut self) {
        let machine = Description {
            instance: "i-0123456789abcdef0".into(),
            hostname: "ip-172-31-0-5.ec2.internal".into(),
            login_user: "admin".into(),
            nics: vec![nic()],
            dhcp: None,
            memory_mib: 1024,
            vcpus: 2,
            disk_gib: None,
            volumes: Vec::new(),
            boot_id: "11111111-1111-4111-8111-111111111111".into(),
        };
        let specification = Specification { machine, disk: self.disk(), image: None, layers: Vec::new() };
        let (sender, mut received) = unbounded_channel();
        self.running = Some(Sandbox::new(self.switch.clone()).start(specification, sender).unwrap());
        let events = self.events.clone();
        thread::spawn(move || {
            while let Some((_, event)) = received.blocking_recv() {
                let mut events = events.lock().unwrap();
                match event {
                    Event::Console(bytes) => events.0.push_str(&String::from_utf8_lossy(&bytes)),
                    other => events.1.push(other),
                }
            }
        });
    }

    fn until(&self, what: &str, ready: impl Fn(&str, &[Event]) -> bool) {
        let start = Instant::now();
        loop {
            let events = self.events.lock().unwrap();
            if ready(&events.0, &events.1) {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "no {what}: {:?}\n{}", events.1, events.0);
            drop(events);
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn ssh(&self, line: &str) -> Output {
        self.ssh_with(&[], line).env_remove("SSH_AUTH_SOCK").output().unwrap()
    }

    fn ssh_with(&self, options: &[&str], line: &str) -> Command {
        let mut command = Command::new("ssh");
        command.args(["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
        command.args(["-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i"]);
        command.arg(self.directory.path().join("key")).arg("-p").arg(self.address.port().to_string());
        command.args(options).args(["admin@127.0.0.1", line]).stdin(Stdio::null());
        command
    }

    fn stdout(&self, line: &str) -> String {
        let output = self.ssh(line);
        assert!(output.status.success(), "{line}: {output:?}\n{}", self.events.lock().unwrap().0);
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        self.running = None;
        remove(&self.directory.path().join("disk"));
    }
}

fn remove(disk: &Path) {
    let removed = remove_disk(disk);
    assert!(thread::panicking() || removed.is_ok(), "{removed:?}");
}

/// A port of the host that leads to the machine's SSH server.
fn way_in(switch: Switch) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, switch) = (client.unwrap(), switch.clone());
            thread::spawn(move || join(client, &switch));
        }
    });
    address
}

fn join(client: TcpStream, switch: &Switch) -> Option<()> {
    let (ours, theirs) = UnixStream::pair().ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(switch.connect("eni-1", 22, theirs)).ok()?;
    client.set_nodelay(true).ok()?;
    let (mut from_client, mut to_machine) = (client.try_clone().ok()?, ours.try_clone().ok()?);
    let (mut from_machine, mut to_client) = (ours, client);
    let sending = thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_machine);
        let _ = to_machine.shutdown(std::net::Shutdown::Write);
    });
    let _ = io::copy(&mut from_machine, &mut to_client);
    let _ = to_client.shutdown(std::net::Shutdown::Write);
    sending.join().ok()
}

#[test]
fn it_is_logged_in_to_configured_rebooted_and_switched_off() {
    let mut whole = Whole::boot("#cloud-config\nhostname: web-1\nruncmd: [echo ran as $(id -u)]\n");
    whole.until("end of the boot", |console, _| console.contains(" finished at "));
    assert!(whole.events.lock().unwrap().0.contains("ran as 0\n"), "{}", whole.events.lock().unwrap().0);
    // Where one id alone can be had, everybody is root.
    let user = if whole.stdout("id -u") == "0\n" { "root" } else { "admin" };
    assert_eq!(whole.stdout("id -un; hostname; sudo -n id -u"), format!("{user}\nweb-1\n0\n"));
    assert_eq!(whole.stdout("cloud-init status --wait"), "status: done\n");
    assert_eq!(whole.stdout("cloud-id"), "aws\n");
    assert_eq!(whole.stdout("sudo sh -c 'echo $SUDO_USER > /root/mark; cat /root/mark'"), format!("{user}\n"));
    assert_eq!(whole.ssh("cat /etc/shadow").status.success(), user == "root");
    assert_eq!(whole.stdout("sudo stat -c %a /usr/bin/sudo"), "4755\n");
    let output = whole.ssh("sudo reboot");
    assert!(matches!(output.status.code(), Some(0 | 255)), "{output:?}");
    whole.until("reboot", |_, events| events.contains(&Event::Rebooting));
    whole.events.lock().unwrap().0.clear();
    whole.start();
    whole.until("end of the second boot", |console, _| console.contains(" finished at "));
    assert!(!whole.events.lock().unwrap().0.contains("ran as 0\n"), "{}", whole.events.lock().unwrap().0);
    assert_eq!(whole.stdout("sudo cat /root/mark"), format!("{user}\n"));
    whole.ssh("sudo poweroff");
    whole.until("power off", |_, events| events.contains(&Event::PoweredOff));
}

#[test]
fn a_terminal_can_be_had() {
    let whole = Whole::boot("");
    whole.until("end of the boot", |console, _| console.contains(" finished at "));
    assert!(whole.stdout("script -qec 'tty; sudo -n tty' /dev/null").starts_with("/dev/pts/"));
}

#[test]
fn the_clients_ports_sockets_and_agent_are_forwarded() {
    let whole = Whole::boot("");
    whole.until("end of the boot", |console, _| console.contains(" finished at "));
    let agent = whole.directory.path().join("agent");
    let mut agents = Command::new("ssh-agent").arg("-D").arg("-a").arg(&agent).stdout(Stdio::null()).spawn().unwrap();
    let add = || {
        let mut add = Command::new("ssh-add");
        add.arg("-q").arg(whole.directory.path().join("key")).env("SSH_AUTH_SOCK", &agent);
        add.stderr(Stdio::null()).status().unwrap().success()
    };
    while !add() {
        thread::sleep(Duration::from_millis(5));
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let target = listener.local_addr().unwrap();
    let serving = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        io::copy(&mut stream.try_clone().unwrap(), &mut &stream).unwrap();
    });
    let (port, socket) = (format!("8080:{target}"), format!("/tmp/socket:{target}"));
    let line = "exec 3<>/dev/tcp/127.0.0.1/8080; echo through >&3; read -r answer <&3; echo $answer
        stat -c '%a %u' /tmp/socket $SSH_AUTH_SOCK; id -u; ssh-add -l | grep -c ED25519; dirname $SSH_AUTH_SOCK";
    let output =
        whole.ssh_with(&["-A", "-R", &port, "-R", &socket], line).env("SSH_AUTH_SOCK", &agent).output().unwrap();
    let _ = agents.kill();
    agents.wait().unwrap();
    serving.join().unwrap();
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    let said: Vec<_> = said.lines().collect();
    assert_eq!(said.len(), 6, "{output:?}");
    let user = format!("600 {}", said[3]);
    assert_eq!((said[0], said[1], said[2], said[4]), ("through", &*user, &*user, "1"), "{output:?}");
    whole.stdout(&format!("while test -e {}; do sleep 0.01; done", said[5]));
}
