//! What every test here needs: a switch, machines on it, and the way in.

use crate::machine::Machine;
use ec2_local::network::{Attached, Metadata, MetadataSource, Nic, Switch};
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

/// A switch, and what it asks.
pub struct Lab {
    pub switch: Switch,
    pub account: Arc<Account>,
}

impl Lab {
    pub fn new() -> Self {
        let account = Arc::new(Account::default());
        Self { switch: Switch::start(account.clone()).unwrap(), account }
    }

    /// A machine that is up and plugged in.
    pub fn machine(&self, nic: &Nic) -> (Machine, Attached) {
        let mut machine = Machine::start(nic);
        let attached = self.switch.attach(nic.clone(), machine.take_tap());
        (machine, attached)
    }

    /// Connects to a machine from outside.
    pub fn reach(&self, nic: &Nic, port: u16) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        wait(self.switch.connect(&nic.id, port, theirs)).map(|()| ours)
    }
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
    }
}
