//! Account, machines and network, wired together: calls go in, effects go out, events come back.

use super::{
    EndpointError, StateDirectory,
    clock::Clock,
    control::{Control, Status},
    disks::Disks,
    images::{Images, Shelf},
    instance_identity::InstanceIdentity,
    journaling::{Journaling, Opened, unavailable},
    layers::Layers,
    machines::Machines,
    public_addresses::{self, PublicAddresses},
};
use crate::{
    account::Account,
    conditions::{Conditions, Delivery},
    error::ApiError,
    machine::{Event, Hypervisors},
    network::{CONNECT_DEADLINE, Connection, DhcpOptions, Metadata, MetadataSource, Outside, Switch},
    wire::{Failure, Request, Service, Structure},
};
use std::{
    future::Future,
    io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};
use time::OffsetDateTime;
use tokio::sync::{Notify, mpsc};

/// How soon a machine that has just got power is tried again.
const POWER_ON_PAUSE: Duration = Duration::from_millis(2);

/// How many events of machines are told to the account, and written down, together.
const EVENTS_AT_ONCE: usize = 256;

/// How long machines may take to be gone once their power was taken.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// Everything behind the door.
pub(super) struct Datacenter {
    account: Mutex<Account>,
    journaling: Journaling,
    clock: Clock,
    machines: Machines,
    switch: Switch,
    public_addresses: PublicAddresses,
    shelf: Shelf,
    identity: InstanceIdentity,
    /// When the next timed transition is due.
    due: Mutex<Option<OffsetDateTime>>,
    /// It is due at another time than it was, or the clock was put forward.
    changed: Notify,
}

/// The account as the metadata service sees it; the switch is started before there is a datacenter.
#[derive(Default)]
struct Source(OnceLock<std::sync::Weak<Datacenter>>);

impl MetadataSource for Source {
    fn metadata(&self, nic: &str) -> Option<Metadata> {
        let datacenter = self.0.get()?.upgrade()?;
        let account = datacenter.account();
        let mut metadata = account.metadata(nic)?;
        metadata.tree.extend(account.role_metadata(datacenter.clock.now(), nic));
        Some(metadata)
    }

    fn domain(&self, nic: &str) -> Option<String> {
        self.0.get()?.upgrade()?.account().private_domain(nic)
    }

    fn dhcp_options(&self, nic: &str) -> Option<DhcpOptions> {
        self.0.get()?.upgrade()?.account().dhcp_options(nic)
    }

    fn resource_name(&self, nic: &str, instance: &str) -> Option<Vec<IpAddr>> {
        self.0.get()?.upgrade()?.account().resource_name(nic, instance)
    }

    fn identity(&self, document: &str) -> Vec<(String, String)> {
        let datacenter = self.0.get().and_then(std::sync::Weak::upgrade);
        datacenter.map_or_else(Vec::new, |datacenter| datacenter.identity.prove(document))
    }

    fn is_ready(&self, nic: &str) -> bool {
        let datacenter = self.0.get().and_then(std::sync::Weak::upgrade);
        datacenter.is_none_or(|datacenter| datacenter.account().metadata_is_ready(datacenter.clock.now(), nic))
    }
}

impl Datacenter {
    /// Opens it, and starts carrying events; within a tokio runtime.
    pub(super) fn open(
        opened: Opened,
        outside: Outside,
        state: &StateDirectory,
        disks: Disks,
        layers: Layers,
    ) -> Result<Arc<Self>, EndpointError> {
        let wrong =
            |tried: &str, e: std::io::Error| EndpointError::Start { reason: format!("{tried}: {e}"), log: state.log() };
        let source = Arc::new(Source::default());
        let switch = Switch::with_outside(source.clone(), outside).map_err(|e| wrong("the switch did not start", e))?;
        let (events, received) = mpsc::unbounded_channel();
        let shelf = Shelf::new(Images::of(state));
        let machines = Machines::new(Hypervisors::new(&switch), (disks, layers), shelf.images().clone(), events)
            .map_err(|e| wrong("the thread of the machines did not start", e))?;
        let Opened { account, journaling, clock, .. } = opened;
        let this = Arc::new(Self {
            account: Mutex::new(account),
            journaling,
            clock,
            machines,
            switch,
            public_addresses: PublicAddresses::default(),
            shelf,
            identity: InstanceIdentity::new(state),
            due: Mutex::default(),
            changed: Notify::new(),
        });
        let _ = source.0.set(Arc::downgrade(&this));
        // A new account has groups, and nothing to be done; one that was taken over has machines to be started.
        this.follow(&mut this.account());
        tokio::spawn(this.clone().write_through());
        tokio::spawn(this.clone().carry_events(received));
        tokio::spawn(this.clone().keep_time());
        Ok(this)
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        // A panic within the account is answered with an internal error; its state is still the best there is.
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets an account be asked or changed; what has changed is written down before anybody hears of it. Where that fails,
    /// nothing has changed: the account is what is written of it.
    fn ask<T>(&self, changes: bool, ask: impl FnOnce(&mut Account) -> Result<T, ApiError>) -> Result<T, ApiError> {
        let mut account = self.account();
        if changes {
            // What machines have told must not be lost with the request.
            self.journaling.keep(&mut account, &self.clock).map_err(|e| unavailable(&e))?;
        }
        let answer = ask(&mut account);
        match self.journaling.keep(&mut account, &self.clock) {
            Err(error) if changes => {
                if let Err(e) = self.journaling.go_back(&mut account) {
                    tracing::error!("failed to {e}; what was refused may be seen until the endpoint is started again");
                }
                Err(unavailable(&error))
            }
            _ => {
                self.follow(&mut account);
                answer
            }
        }
    }

    /// What the account is like, and changes of it by request.
    pub(super) fn control(&self, control: Control) -> Result<Status, ApiError> {
        self.ask(control != Control::Status, |account| {
            match control {
                Control::Status => {}
                Control::Conditions(conditions) => account.set_conditions(conditions),
                Control::Fault(fault) => account.add_fault(fault)?,
                Control::ClearFaults => account.clear_faults(),
                Control::Interrupt { instance, notice } => account.interrupt(self.clock.now(), &instance, notice)?,
                Control::Advance(time) => {
                    self.clock.advance(time);
                    account.advance(self.clock.now());
                }
            }
            let conditions = account.conditions();
            let faults = account.faults().iter().map(ToString::to_string).collect();
            Ok(Status { conditions, faults, advanced: self.clock.advanced() })
        })
    }

    /// What AWS does to you now.
    pub(super) fn conditions(&self) -> Conditions {
        self.account().conditions()
    }

    /// The account ends, and nobody is to take it over.
    pub(super) fn end_account(&self) {
        self.journaling.end();
    }

    /// The account's files aren't there any more; it is left as it is, wherever they are.
    pub(super) fn leave_account(&self) {
        self.journaling.leave();
    }

    /// How many instances are neither terminated nor on their way there, with or without power.
    pub(super) fn instances(&self) -> usize {
        self.account().live_instances()
    }

    /// Connects to a machine's port, by instance id, address or DNS name; returns once the machine has accepted. A machine
    /// that is just being started is waited for; `Unsupported` if nothing will ever answer.
    pub(super) async fn reach(&self, machine: &str, port: u16) -> io::Result<Connection> {
        let since = Instant::now();
        loop {
            let found = self
                .account()
                .find(machine)
                .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no machine `{machine}`")))?;
            if !found.has_machine {
                let never = format!("{}: its image holds no system, so nothing in it ever answers", found.instance);
                return Err(io::Error::new(io::ErrorKind::Unsupported, never));
            }
            match self.switch.open_at(&found.nic, found.address, port).await {
                // Its init has not plugged it in yet, or its server doesn't listen yet.
                Err(e)
                    if matches!(e.kind(), io::ErrorKind::NotConnected | io::ErrorKind::ConnectionRefused)
                        && found.state == "pending"
                        && since.elapsed() < CONNECT_DEADLINE =>
                {
                    tokio::time::sleep(POWER_ON_PAUSE).await;
                }
                other => {
                    let tried = |e: &io::Error| format!("connect to port {port} of {}: {e}", found.instance);
                    return other.map_err(|e| io::Error::new(e.kind(), tried(&e)));
                }
            }
        }
    }

    async fn carry_events(self: Arc<Self>, mut received: mpsc::UnboundedReceiver<(String, Event)>) {
        let mut events = Vec::new();
        while received.recv_many(&mut events, EVENTS_AT_ONCE).await > 0 {
            let mut account = self.account();
            // What is said on consoles can wait: it is lost at most, and comes in many pieces.
            let is_important = events.iter().any(|(_, event)| !matches!(event, Event::Console(_)));
            for (instance, event) in events.drain(..) {
                self.note(&instance, &event);
                account.machine_event(self.clock.now(), &instance, event);
            }
            if is_important {
                // What can't be written is tried again; it has happened all the same.
                let _ = self.journaling.keep(&mut account, &self.clock);
            } else {
                self.journaling.keep_soon();
            }
            self.follow(&mut account);
        }
    }

    fn note(&self, instance: &str, event: &Event) {
        tracing::debug!(instance, ?event, "machine event");
        if matches!(event, Event::PoweredOff | Event::Rebooting | Event::Failed(_)) {
            self.machines.forget(instance);
        }
        if let Event::Failed(reason) = event {
            tracing::warn!(instance, reason, "machine failed");
        }
    }

    /// Writes the journal through to the disk, and what could not be written before.
    async fn write_through(self: Arc<Self>) {
        loop {
            self.journaling.due().await;
            let _ = self.journaling.keep(&mut self.account(), &self.clock);
            if self.journaling.is_failing() {
                self.journaling.keep_soon();
                continue;
            }
            let written = match self.journaling.handle() {
                Ok(file) => {
                    tokio::task::spawn_blocking(move || file.sync_data()).await.map_err(io::Error::other).flatten()
                }
                Err(error) => Err(error),
            };
            if let Err(error) = written {
                tracing::warn!("failed to write the journal through to the disk: {error}");
            }
        }
    }

    async fn keep_time(self: Arc<Self>) {
        loop {
            let due = self.account().next_due();
            let changed = self.changed.notified();
            match due {
                None => changed.await,
                Some(due) => {
                    let wait = (due - self.clock.now()).try_into().unwrap_or_default();
                    tokio::select! {
                        () = changed => continue,
                        () = tokio::time::sleep(wait) => {}
                    }
                    let mut account = self.account();
                    account.advance(self.clock.now());
                    let _ = self.journaling.keep(&mut account, &self.clock);
                    self.follow(&mut account);
                }
            }
        }
    }

    /// Tells the switch, the machines and the task that keeps the time what has changed and what is to be done, while nobody can
    /// change it again.
    fn follow(&self, account: &mut Account) {
        let due = account.next_due();
        if std::mem::replace(&mut *self.due.lock().unwrap_or_else(PoisonError::into_inner), due) != due {
            self.changed.notify_one();
        }
        let changes = account.take_changes();
        for address in self.public_addresses.follow(&changes, &self.switch) {
            if let Some(machine) = account.find(&address.to_string()) {
                self.machines.say(machine.instance, format!("endpoint: {}\n", public_addresses::warning(address)));
            }
        }
        changes.into_iter().for_each(|change| self.switch.heed(change));
        self.machines.carry_out(account.take_effects());
    }

    /// Takes the power of all machines, and waits until nothing of them is left.
    pub(super) async fn close(&self) {
        let gone = async {
            self.machines.close().await;
            while self.machines.have_power() {
                tokio::time::sleep(POWER_ON_PAUSE).await;
            }
        };
        if tokio::time::timeout(CLOSE_PATIENCE, gone).await.is_err() {
            tracing::warn!("some machines are not gone {CLOSE_PATIENCE:?} after their power was taken");
        }
    }
}

impl Service for Datacenter {
    fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<Structure, Failure>> + Send + '_>> {
        let changes = !["Describe", "Get", "List"].iter().any(|start| request.action.starts_with(start));
        let mut delivery = Delivery::default();
        let answer = self.ask(changes, |account| {
            if let Some(images) = self.shelf.news() {
                account.offer(images);
            }
            let answer = account.call(self.clock.now(), &request.region, request.action, &request.input);
            delivery = account.take_delivery();
            answer
        });
        Box::pin(async move {
            match delivery {
                Delivery::Late(time) => tokio::time::sleep(time).await,
                Delivery::Lost => return Err(Failure::Lost),
                _ => {}
            }
            Ok(answer?)
        })
    }
}
