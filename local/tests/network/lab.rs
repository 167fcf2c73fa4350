//! What every test here needs: a switch, machines on it, and the way in.

use crate::machine::Machine;
use ec2_local::network::{
    Attached, Attributes, Change, Direction, Metadata, MetadataSource, Nic, Outside, Peer, Route, Rule, Switch,
    Traffic, Via,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    collections::HashMap,
    io,
    net::Ipv4Addr,
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Metadata by NIC, as the account would give it.
#[derive(Default)]
pub struct Account(Mutex<HashMap<String, Metadata>>);

impl Account {
    pub fn set(&self, nic: &Nic, metadata: Metadata) {
        self.0.lock().unwrap().insert(nic.id.clone(), metadata);
    }
}

impl MetadataSource for Account {
    fn metadata(&self, nic: &str) -> Option<Metadata> {
        self.0.lock().unwrap().get(nic).cloned()
    }
}

/// The group that lets everything through.
pub const OPEN: &str = "sg-open";

/// A switch, and what it asks.
pub struct Lab {
    pub switch: Switch,
    pub account: Arc<Account>,
}

impl Lab {
    /// One from which nothing leads outside.
    pub fn new() -> Self {
        let account = Arc::new(Account::default());
        Self::with_switch(Switch::start(account.clone()).unwrap(), account)
    }

    /// One whose machines reach the outside over this process's sockets.
    pub fn with_outside(outside: Outside) -> Self {
        let account = Arc::new(Account::default());
        Self::with_switch(Switch::with_outside(account.clone(), outside).unwrap(), account)
    }

    fn with_switch(switch: Switch, account: Arc<Account>) -> Self {
        let lab = Self { switch, account };
        lab.set_rules(
            OPEN,
            vec![rule(Direction::Ingress, Traffic::All, anyone()), rule(Direction::Egress, Traffic::All, anyone())],
        );
        lab
    }

    /// A machine that is up and plugged in, of a group that lets everything through.
    pub fn machine(&self, nic: &Nic) -> (Machine, Attached) {
        self.machine_of(&[OPEN], nic)
    }

    /// A machine that is up and plugged in, of these groups.
    pub fn machine_of(&self, groups: &[&str], nic: &Nic) -> (Machine, Attached) {
        let mut machine = Machine::start(nic);
        let attached = self.attach_to(groups, nic, &mut machine);
        (machine, attached)
    }

    /// Plugs a machine in, of a group that lets everything through.
    pub fn attach(&self, nic: &Nic, machine: &mut Machine) -> Attached {
        self.attach_to(&[OPEN], nic, machine)
    }

    fn attach_to(&self, groups: &[&str], nic: &Nic, machine: &mut Machine) -> Attached {
        self.set_attributes(nic, |attributes| attributes.groups = groups.iter().map(ToString::to_string).collect());
        self.switch.attach(nic.clone(), machine.take_tap())
    }

    /// Gives a security group its rules.
    pub fn set_rules(&self, group: &str, rules: Vec<Rule>) {
        self.switch.heed(Change::SecurityGroup { id: group.to_owned(), rules: Some(rules) });
    }

    /// Gives a NIC its attributes.
    pub fn set_attributes(&self, nic: &Nic, change: impl FnOnce(&mut Attributes)) {
        let routes = vec![Route::everywhere(Via::Internet)];
        let mut attributes =
            Attributes { source_dest_check: true, reaches_internet: true, routes, ..Attributes::default() };
        change(&mut attributes);
        self.switch.heed(Change::NetworkInterface { id: nic.id.clone(), attributes: Some(attributes) });
        self.settle();
    }

    /// Waits until what the switch was told holds: it answers in order.
    fn settle(&self) {
        let (_ours, theirs) = UnixStream::pair().unwrap();
        wait(self.switch.connect("eni-of-nobody", 1, theirs)).unwrap_err();
    }

    /// Connects to a machine from outside.
    pub fn reach(&self, nic: &Nic, port: u16) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        wait(self.switch.connect(&nic.id, port, theirs)).map(|()| ours)
    }
}

/// A rule of a security group.
pub fn rule(direction: Direction, traffic: Traffic, peer: Peer) -> Rule {
    Rule { direction, traffic, peer }
}

/// 0.0.0.0/0.
pub fn anyone() -> Peer {
    Peer::Network(Ipv4Addr::UNSPECIFIED, 0)
}

/// Waits until something holds that is about to.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for a future, as a caller without a runtime would.
pub fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A NIC with an address of its own in a subnet of 24 bits.
pub fn nic(vpc: &str, address: [u8; 4]) -> Nic {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let address = Ipv4Addr::from(address);
    Nic {
        id: format!("eni-{number}"),
        vpc: vpc.to_owned(),
        mac: [0x0a, 0, 0, 0, 1, number],
        addresses: vec![address],
        subnet: (Ipv4Addr::from_bits(address.to_bits() & 0xffff_ff00), 24),
        ipv6: Vec::new(),
        subnet6: None,
    }
}

/// Lets this process have as many files open as it may.
pub fn raise_limit_of_files() {
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }).unwrap();
}
