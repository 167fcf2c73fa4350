//! The machines: what the account wants done to them is done here, in the account's order.
//!
//! What was decided first is carried out first, however many requests are served at once: a kill that overtook its start would
//! find no machine, and the machine would run on. So the holder of the account enqueues what it decided before letting go of it,
//! and one thread carries it out. That a machine is off comes by the same way, since its start may not be through yet.
//! What copies files takes long, and has a thread of its own: only what concerns the same instance, volume or snapshot waits for it.

use super::{
    disks::Disks,
    images::Images,
    lanes::{Concerns, Lanes},
    layers::Layers,
    taking::Taking,
};
use crate::{
    account::{Effect, Filling, Start},
    machine::{BlockDevice, Event, Hypervisors, Machine, Specification, fill_volume},
};
use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};
use tokio::{
    runtime::Handle,
    sync::{mpsc::UnboundedSender, oneshot},
};

/// The machines that have power, and the thread that gives it and takes it away.
pub(super) struct Machines {
    orders: mpsc::Sender<Order>,
    powered: Arc<Powered>,
}

/// What the thread is told.
enum Order {
    /// The account wants it done.
    CarryOut(Effect),
    /// Something is to stand on an instance's console.
    Say(String, String),
    /// An instance's machine is off, and nothing of it is left but its disk.
    Forget(String),
    /// One that takes long is done.
    Done(u64),
    /// The endpoint ends: no machine gets power from now on. Answered when the power was taken from all, and nothing is copied any more.
    Close(oneshot::Sender<()>),
    /// Nobody orders anything any more.
    End,
}

impl Concerns for Order {
    fn concerns(&self) -> Vec<&str> {
        match self {
            Self::CarryOut(effect) => match effect {
                Effect::Start(start) => {
                    let volumes = start.machine.volumes.iter().map(|device| &*device.volume);
                    volumes.chain([&*start.machine.instance, &*start.volume]).collect()
                }
                Effect::PowerOff { instance }
                | Effect::Kill { instance }
                | Effect::Plug { instance, .. }
                | Effect::Unplug { instance, .. } => vec![instance],
                Effect::Take { instance, parts } => {
                    let parts = parts.iter().flat_map(|part| [&*part.volume, &*part.snapshot]);
                    parts.chain(instance.as_deref()).collect()
                }
                Effect::Fill(filling) => vec![&filling.volume],
                Effect::DiscardLayer { snapshot } => vec![snapshot],
                Effect::Attach { instance, device } => vec![instance, &device.volume],
                Effect::Detach { instance, volume, .. } | Effect::Resize { instance, volume, .. } => {
                    vec![instance, volume]
                }
                Effect::Discard { volume } => vec![volume],
            },
            Self::Say(instance, _) | Self::Forget(instance) => vec![instance],
            Self::Done(_) | Self::Close(_) | Self::End => Vec::new(),
        }
    }

    fn takes_long(&self) -> bool {
        match self {
            Self::CarryOut(Effect::Take { .. } | Effect::Fill(_)) => true,
            Self::CarryOut(Effect::Start(start)) => !start.fillings.is_empty(),
            _ => false,
        }
    }
}

/// The machines that have power, by instance.
#[derive(Default)]
pub(super) struct Powered(Mutex<HashMap<String, Arc<dyn Machine>>>);

impl Powered {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<dyn Machine>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Machines {
    /// Starts the thread; what happens to machines is told by events. Within a tokio runtime.
    ///
    /// # Errors
    ///
    /// The thread can't be started.
    pub(super) fn new(
        hypervisors: Hypervisors,
        (disks, layers): (Disks, Layers),
        images: Images,
        events: UnboundedSender<(String, Event)>,
    ) -> io::Result<Self> {
        let (orders, received) = mpsc::channel();
        let powered = Arc::<Powered>::default();
        let worker = Worker {
            powered: powered.clone(),
            hypervisors,
            disks: Arc::new(disks),
            layers: Arc::new(layers),
            images,
            events,
            orders: orders.clone(),
            stops: AtomicBool::new(false),
            runtime: Handle::current(),
        };
        thread::Builder::new().name("machines".into()).spawn(move || Arc::new(worker).work(&received))?;
        Ok(Self { orders, powered })
    }

    /// Enqueues what the account wants done; to be called by the holder of the account.
    pub(super) fn carry_out(&self, effects: Vec<Effect>) {
        effects.into_iter().for_each(|effect| self.order(Order::CarryOut(effect)));
    }

    /// Says something on an instance's console.
    pub(super) fn say(&self, instance: String, text: String) {
        self.order(Order::Say(instance, text));
    }

    /// An instance's machine is off.
    pub(super) fn forget(&self, instance: &str) {
        self.order(Order::Forget(instance.to_owned()));
    }

    /// Takes the power of all machines once what was enqueued is done, and gives it to none any more.
    pub(super) async fn close(&self) {
        let (closed, is_closed) = oneshot::channel();
        self.order(Order::Close(closed));
        let _ = is_closed.await;
    }

    /// Whether any machine has power.
    pub(super) fn have_power(&self) -> bool {
        !self.powered.lock().is_empty()
    }

    fn order(&self, order: Order) {
        // The thread outlives everybody who may order anything.
        let _ = self.orders.send(order);
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        self.order(Order::End);
    }
}

/// What the thread works with.
struct Worker {
    powered: Arc<Powered>,
    hypervisors: Hypervisors,
    disks: Arc<Disks>,
    layers: Arc<Layers>,
    images: Images,
    events: UnboundedSender<(String, Event)>,
    orders: mpsc::Sender<Order>,
    /// Whether whoever copies is to stop.
    stops: AtomicBool,
    runtime: Handle,
}

impl Worker {
    fn work(self: Arc<Self>, orders: &mpsc::Receiver<Order>) {
        let mut lanes = Lanes::default();
        let mut closing: Option<oneshot::Sender<()>> = None;
        for order in orders {
            match order {
                Order::Done(number) => lanes.end(number),
                Order::Close(closed) => {
                    closing = Some(closed);
                    self.stops.store(true, Ordering::Relaxed);
                    lanes.forget();
                    self.powered.lock().values().for_each(|machine| machine.kill());
                }
                Order::End => return,
                Order::CarryOut(_) if self.stops.load(Ordering::Relaxed) => {}
                other => lanes.add(other),
            }
            while let Some(order) = lanes.next() {
                if order.takes_long() {
                    let number = lanes.begin(&order);
                    self.clone().begin(order, number);
                } else {
                    self.attend(order);
                }
            }
            if lanes.are_empty()
                && let Some(closed) = closing.take()
            {
                // One that was started meanwhile may have come after the others.
                self.powered.lock().values().for_each(|machine| machine.kill());
                // Who asked may not have waited.
                let _ = closed.send(());
            }
        }
    }

    /// Has a thread of its own do what takes long.
    fn begin(self: Arc<Self>, order: Order, number: u64) {
        let order = Arc::new(Mutex::new(Some(order)));
        let (worker, theirs) = (self.clone(), order.clone());
        let work = move |worker: &Self, order: &Mutex<Option<Order>>| {
            let order = order.lock().unwrap_or_else(PoisonError::into_inner).take();
            order.into_iter().for_each(|order| worker.attend(order));
            let _ = worker.orders.send(Order::Done(number));
        };
        let begun = thread::Builder::new().name("copy".into()).spawn(move || work(&worker, &theirs));
        // Then all others wait for it.
        if begun.is_err() {
            work(&self, &order);
        }
    }

    fn attend(&self, order: Order) {
        match order {
            Order::CarryOut(effect) => self.carry_out(effect),
            // Nobody listens any more when the endpoint ends.
            Order::Say(instance, text) => drop(self.events.send((instance, Event::Console(text.into_bytes())))),
            Order::Forget(instance) => drop(self.powered.lock().remove(&instance)),
            Order::Done(_) | Order::Close(_) | Order::End => {}
        }
    }

    fn carry_out(&self, effect: Effect) {
        tracing::debug!(?effect, "effect");
        let with = |instance: &str, act: &dyn Fn(&dyn Machine)| {
            if let Some(machine) = self.powered.lock().get(instance) {
                act(&**machine);
            }
        };
        match effect {
            Effect::Start(start) => self.start(*start),
            Effect::PowerOff { instance } => with(&instance, &|machine| machine.power_off()),
            Effect::Kill { instance } => with(&instance, &|machine| machine.kill()),
            Effect::Plug { instance, nic } => with(&instance, &|machine| machine.plug(nic.clone())),
            Effect::Unplug { instance, nic } => with(&instance, &|machine| machine.unplug(&nic)),
            Effect::Attach { instance, device } => self.attach(&instance, device),
            Effect::Detach { instance, volume, force } => with(&instance, &|machine| machine.detach(&volume, force)),
            Effect::Resize { instance, volume, gib } => with(&instance, &|machine| machine.resize(&volume, gib)),
            Effect::Discard { volume } => self.discard(volume),
            Effect::Take { instance, parts } => {
                let Self { powered, disks, layers, images, stops, .. } = self;
                let taking = Taking { powered, disks, layers, images, stops };
                for (snapshot, event) in taking.take(instance.as_deref(), &parts) {
                    drop(self.events.send((snapshot, event)));
                }
            }
            Effect::Fill(filling) => {
                let filled = fill(&self.disks, &self.layers, &filling, &self.stops);
                let event = filled.map_or_else(|error| Event::Failed(error.to_string()), |()| Event::Filled);
                drop(self.events.send((filling.volume, event)));
            }
            Effect::DiscardLayer { snapshot } => {
                let (layers, images) = (self.layers.clone(), self.images.clone());
                // As with disks.
                self.runtime.spawn_blocking(move || {
                    layers.discard(&snapshot);
                    sweep(&images);
                });
            }
        }
    }

    fn start(&self, start: Start) {
        let instance = start.machine.instance.clone();
        match self.started(start) {
            Ok(machine) => drop(self.powered.lock().insert(instance, machine.into())),
            // Told like any other event: the account has its state already, and must learn that there is no machine.
            Err(error) => drop(self.events.send((instance, Event::Failed(error.to_string())))),
        }
    }

    fn started(&self, start: Start) -> io::Result<Box<dyn Machine>> {
        let Start { kind, root, volume, layers, has_disk, fillings, machine, .. } = start;
        for filling in &fillings {
            fill(&self.disks, &self.layers, filling, &self.stops)?;
        }
        let (mut disk, mut image) = (PathBuf::new(), None);
        if kind.has_machine() {
            disk = self.disks.make(&volume, has_disk)?;
            for device in &machine.volumes {
                self.disks.make(&device.volume, false)?;
            }
            let hold = |root: String| self.images.hold(&root, &volume, &machine.instance);
            image = root.map(hold).transpose().map_err(io::Error::other)?;
        }
        let layers = layers.iter().map(|layer| self.layers.find(layer)).collect::<io::Result<_>>()?;
        self.hypervisors.start(kind, Specification { machine, disk, image, layers }, self.events.clone())
    }

    fn attach(&self, instance: &str, device: BlockDevice) {
        let made = self.disks.make(&device.volume, false);
        match (made, self.powered.lock().get(instance)) {
            (Ok(_), Some(machine)) => machine.attach(device),
            (Ok(_), None) => {}
            (Err(error), _) => {
                let text = format!("\r\nendpoint: failed to attach {}: {error}\r\n", device.volume);
                drop(self.events.send((instance.to_owned(), Event::Console(text.into_bytes()))));
            }
        }
    }

    fn discard(&self, volume: String) {
        let (disks, images) = (self.disks.clone(), self.images.clone());
        // Removing many files takes a while, and nothing waits for it: no machine has a volume that has ended, ever again.
        self.runtime.spawn_blocking(move || {
            disks.discard(&volume);
            // It may have been the last one to need a removed image.
            sweep(&images);
        });
    }
}

/// Gives a volume what is in the snapshot that it is made of, unless it has that.
pub(super) fn fill(disks: &Disks, layers: &Layers, filling: &Filling, stops: &AtomicBool) -> io::Result<()> {
    let taken = layers.find(&filling.snapshot)?;
    let disk = disks.make(&filling.volume, false)?;
    fill_volume(&taken, &disk, filling.gib, stops)
}

fn sweep(images: &Images) {
    if let Err(e) = images.sweep() {
        tracing::warn!("failed to {e}");
    }
}
