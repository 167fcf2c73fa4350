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
    io::Read,
    os::unix::net::UnixStream,
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
        Some(Metadata { enabled: true, token_required: true, tree, user_data: None })
    }
}

struct Account {
    key: PrivateKey,
    switch: Switch,
}

struct Running {
    _machine: Box<dyn Machine>,
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
        Running { _machine: machine, events }
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
        // The answer may or may not arrive before the connection is gone.
        let _ = session.channel_session().unwrap().exec(way);
        let (console, end) = machine.end();
        assert_eq!(end, Some(expected), "{console}");
    }
    assert_eq!(keys[0], keys[1]);
    disk.remove();
}
