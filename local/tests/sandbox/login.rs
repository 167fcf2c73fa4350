//! The whole of a machine: switch, metadata, agent, and a login over SSH.

use crate::fixture::{Disk, FIRST_BOOT, PATIENCE, SECOND_BOOT, specification};
use ec2_local::{
    machine::{Event, Hypervisor, Machine, sandbox::Sandbox},
    network::{Attributes, Change, Direction, Metadata, MetadataSource, OUTSIDE, Peer, Rule, Switch, Traffic},
};
use russh::keys::{
    PrivateKey,
    ssh_key::{
        LineEnding,
        private::{Ed25519Keypair, KeypairData},
    },
};
use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::{fs::MetadataExt, net::UnixStream},
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

struct PublicKey(String);

impl MetadataSource for PublicKey {
    fn metadata(&self, _nic: &str) -> Option<Metadata> {
        let tree = [("meta-data/instance-id", "i-0123456789abcdef0"), ("meta-data/public-keys/0/openssh-key", &self.0)];
        let tree = tree.map(|(path, text)| (path.to_owned(), text.to_owned())).to_vec();
        Some(Metadata { enabled: true, ipv6: false, token_required: true, tree, user_data: None })
    }
}

struct Account {
    key: PrivateKey,
    switch: Switch,
}

struct Running {
    machine: Box<dyn Machine>,
    events: UnboundedReceiver<(String, Event)>,
}

impl Account {
    fn new() -> Self {
        let pair = KeypairData::from(Ed25519Keypair::from_seed(&[7; 32]));
        let key = PrivateKey::new(pair, "test").unwrap();
        let switch = Switch::start(Arc::new(PublicKey(key.public_key().to_openssh().unwrap()))).unwrap();
        let ssh = Rule {
            direction: Direction::Ingress,
            traffic: Traffic::Tcp(22..=22),
            peer: Peer::Network(OUTSIDE.0, OUTSIDE.1),
        };
        switch.heed(Change::SecurityGroup { id: "sg-1".to_owned(), rules: Some(vec![ssh]) });
        let attributes = Attributes { groups: vec!["sg-1".to_owned()], ..Attributes::default() };
        switch.heed(Change::NetworkInterface { id: "eni-1".to_owned(), attributes: Some(attributes) });
        Self { key, switch }
    }

    fn start(&self, disk: &Path, boot_id: &str) -> Running {
        let (sender, events) = unbounded_channel();
        let machine = Sandbox::new(self.switch.clone()).start(specification(disk, boot_id), sender).unwrap();
        Running { machine, events }
    }

    /// Logs in, as soon as the machine lets us.
    fn log_in(&self) -> ssh2::Session {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let private = self.key.to_openssh(LineEnding::LF).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (here, there) = UnixStream::pair().unwrap();
            let attempt = || {
                runtime.block_on(self.switch.connect("eni-1", 22, there)).map_err(|error| error.to_string())?;
                let mut session = ssh2::Session::new().unwrap();
                session.set_tcp_stream(here);
                session.handshake().map_err(|error| error.to_string())?;
                session.userauth_pubkey_memory("admin", None, &private, None).map_err(|error| error.to_string())?;
                Ok::<_, String>(session)
            };
            match attempt() {
                Ok(session) => return session,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn exec(session: &ssh2::Session, command: &str) -> String {
    let mut channel = session.channel_session().unwrap();
    channel.exec(command).unwrap();
    let (mut output, mut errors) = (String::new(), String::new());
    channel.read_to_string(&mut output).unwrap();
    channel.stderr().read_to_string(&mut errors).unwrap();
    output + &errors
}

impl Running {
    fn end(mut self) -> (String, Option<Event>) {
        let mut console = String::new();
        loop {
            match self.events.blocking_recv() {
                Some((_, Event::Started)) => {}
                Some((_, Event::Console(text))) => console.push_str(&String::from_utf8_lossy(&text)),
                other => return (console, other.map(|(_, event)| event)),
            }
        }
    }
}

#[test]
fn is_logged_in_to_and_ended_from_within() {
    let disk = Disk::new();
    let account = Account::new();
    let mut keys = Vec::new();
    let ways = [(FIRST_BOOT, "sudo reboot", Event::Rebooting), (SECOND_BOOT, "sudo poweroff", Event::PoweredOff)];
    for (boot_id, way, expected) in ways {
        let machine = account.start(&disk.path(), boot_id);
        let session = account.log_in();
        keys.push(session.host_key().unwrap().0.to_vec());
        let answer =
            exec(&session, "id -un; sudo -n id -u; hostname; cat /proc/sys/kernel/random/boot_id; echo >~/mine");
        let alone = exec(&session, "awk '{ ids += $3 } END { print ids }' /proc/self/uid_map") == "1\n";
        // Alone, root goes by the first name of that number.
        let name = if alone { "root" } else { "admin" };
        assert_eq!(answer, format!("{name}\n0\nip-172-31-0-5.ec2.internal\n{boot_id}\n"));
        // The agent may have many files open, for all its clients; what it runs may have the usual number.
        let limits = exec(&session, "awk '/Max open files/ { print $4 == $5 }' /proc/$PPID/limits; ulimit -Sn");
        assert_eq!(limits, "1\n1024\n");
        // The answer may or may not arrive before the connection is gone.
        let _ = session.channel_session().unwrap().exec(way);
        let (console, end) = machine.end();
        assert_eq!(end, Some(expected), "{console}");
    }
    assert_eq!(keys[0], keys[1]);
    disk.remove();
}

#[test]
fn has_no_service_managers_commands_and_a_sudo_with_rules() {
    let disk = Disk::new();
    let account = Account::new();
    for boot_id in [FIRST_BOOT, SECOND_BOOT] {
        let machine = account.start(&disk.path(), boot_id);
        let session = account.log_in();
        let look = "for name in systemctl journalctl runlevel telinit; do command -v $name; ls -d /bin/$name /usr/bin/$name
            done 2>/dev/null; ls -d /run/systemd /dev/.run/systemd 2>/dev/null; command -v reboot cloud-init sudo | wc -l";
        assert_eq!(exec(&session, look), "3\n");
        let alone = exec(&session, "awk '{ ids += $3 } END { print ids }' /proc/self/uid_map") == "1\n";
        if Path::new("/usr/bin/sudo").exists() {
            assert_eq!(
                exec(&session, "sudo grep ^@ /etc/sudoers; stat -c %a /etc/sudoers"),
                "@includedir /etc/sudoers.d\n440\n"
            );
        }
        if !alone {
            assert_eq!(exec(&session, "sudo su - -c 'id -u; echo $HOME'"), "0\n/root\n");
            let rules = "sudo useradd -M bo; sudo useradd -M al; printf '# bo\n\nbo ALL=(ALL) NOPASSWD: ALL\n' | sudo tee /etc/sudoers.d/bo >/dev/null
                sudo -u bo sudo -n id -u; sudo -u al sudo -n id -u; sudo grep -c . /etc/shadow >/dev/null";
            assert_eq!(
                exec(&session, &format!("{rules}; sudo userdel bo; sudo userdel al")),
                "0\nsudo: a password is required\n"
            );
        }
        machine.machine.power_off();
        machine.end();
    }
    disk.remove();
}

/// What finds names are modules of the machine's own, which must not come into the agent.
#[test]
fn looks_names_up_as_the_user_who_asks() {
    let disk = Disk::new();
    let account = Account::new();
    let machine = account.start(&disk.path(), FIRST_BOOT);
    let session = account.log_in();
    let banner = |host: &str| {
        let mut banner = [0; 8];
        let mut channel = session.channel_direct_tcpip(host, 22, None).map_err(|error| error.to_string())?;
        channel.read_exact(&mut banner).map_err(|error| error.to_string())?;
        Ok::<_, String>(String::from_utf8_lossy(&banner).into_owned())
    };
    for host in ["127.0.0.1", "localhost", "ip-172-31-0-5"] {
        assert_eq!(banner(host).unwrap(), "SSH-2.0-", "{host}");
    }
    banner("no-such-host.invalid").unwrap_err();
    banner("--help").unwrap_err();
    let own = "printf '#!/bin/sh\necho \"$*\" as $(id -u) >/tmp/asked; echo 127.0.0.1 STREAM x\n' | sudo tee /usr/local/bin/getent >/dev/null
        sudo chmod 755 /usr/local/bin/getent; id -u";
    let uid = exec(&session, own);
    assert_eq!(banner("name.of.nobody").unwrap(), "SSH-2.0-");
    assert_eq!(exec(&session, "cat /tmp/asked"), format!("ahosts name.of.nobody as {uid}"));
    machine.machine.power_off();
    machine.end();
    disk.remove();
}

/// Init and agent are the host's executable, which belongs to the machine's root where a user runs it.
#[test]
fn changes_no_executable_of_the_host() {
    let disk = Disk::new();
    let account = Account::new();
    let machine = account.start(&disk.path(), FIRST_BOOT);
    let session = account.log_in();
    let executable = std::env::current_exe().unwrap();
    let before = fs::metadata(&executable).unwrap();
    let files = session.sftp().unwrap();
    let mode = |perm| ssh2::FileStat { size: None, uid: None, gid: None, perm: Some(perm), atime: None, mtime: None };
    let own = Path::new("/proc/self/exe");
    files.setstat(own, mode(0o4777)).unwrap_err();
    files.open_mode(own, ssh2::OpenFlags::WRITE, 0, ssh2::OpenType::File).map(drop).unwrap_err();
    let answer =
        exec(&session, "sudo sh -c 'for process in /proc/[0-9]*; do chmod 4777 $process/exe; done; echo tried'");
    assert!(answer.contains("tried"), "{answer}");
    // Nor is it told where the host has it, by the file server either, which is the agent.
    let told = files.readlink(own).map(|target| target.display().to_string()).unwrap_or_default();
    let mut maps = String::new();
    if let Ok(mut file) = files.open(Path::new("/proc/self/maps")) {
        let _ = file.read_to_string(&mut maps);
    }
    let place = executable.parent().unwrap().to_str().unwrap();
    assert!(!told.contains(place) && !maps.contains(place), "{told}: {maps}");
    let after = fs::metadata(&executable).unwrap();
    let shown = |found: &fs::Metadata| (found.mode(), found.len(), found.mtime(), found.ctime());
    assert_eq!(shown(&after), shown(&before));
    machine.machine.kill();
    machine.end();
    disk.remove();
}

#[test]
fn reaches_no_port_of_the_host() {
    let disk = Disk::new();
    let account = Account::new();
    let machine = account.start(&disk.path(), FIRST_BOOT);
    let session = account.log_in();
    // As the endpoint's door and sshd's are; who reached it would be greeted.
    let host = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = host.local_addr().unwrap().port();
    thread::spawn(move || host.incoming().for_each(|client| client.unwrap().write_all(b"reached\n").unwrap()));
    let ask = |address: &str, port: u16| {
        exec(&session, &format!("timeout 2 bash -c 'exec 3<>/dev/tcp/{address}/{port} && head -n 1 <&3' 2>/dev/null"))
    };
    // The machine's own, its router, its resolver, the metadata service, others of its network and of the host's.
    for address in ["127.0.0.1", "127.0.0.2", "172.31.0.1", "172.31.0.2", "169.254.169.254", "169.254.0.1", "0.0.0.0"] {
        assert_eq!(ask(address, port), "", "{address}");
    }
    // What stands at the metadata service's address is this machine's own.
    let token = "printf \"PUT /latest/api/token HTTP/1.1\\r\\nHost: x\\r\\nX-aws-ec2-metadata-token-ttl-seconds: 60\\r\\nConnection: close\\r\\n\\r\\n\" >&3; head -n 1 <&3";
    let answer = exec(&session, &format!("timeout 5 bash -c 'exec 3<>/dev/tcp/169.254.169.254/80; {token}'"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // So that silence above was the machine's, not the listener's.
    let mut reached = String::new();
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap().read_to_string(&mut reached).unwrap();
    assert_eq!(reached, "reached\n");
    machine.machine.kill();
    machine.end();
    disk.remove();
}
