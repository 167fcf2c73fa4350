//! The machines: what the account wants done to them is done here, one thing after another, in the account's order.
//!
//! What was decided first is carried out first, however many requests are served at once: a kill that overtook its start would
//! find no machine, and the machine would run on. So the holder of the account enqueues what it decided before letting go of it,
//! and one thread carries it out. That a machine is off comes by the same way, since its start may not be through yet.

use super::{disks::Disks, images::Images, layers::Layers};
use crate::{
    account::{Effect, Kind, Start},
    machine::{BlockDevice, Event, Hypervisors, Machine, Specification},
};
use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
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
    /// The endpoint ends: no machine gets power from now on. Answered when the power was taken from all.
    Close(oneshot::Sender<()>),
}

/// The machines that have power, by instance.
#[derive(Default)]
struct Powered(Mutex<HashMap<String, Arc<dyn Machine>>>);

impl Powered {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<dyn Machine>>> {
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
            runtime: Handle::current(),
        };
        thread::Builder::new().name("machines".into()).spawn(move || worker.work(&received))?;
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

/// What the thread works with.
struct Worker {
    powered: Arc<Powered>,
    hypervisors: Hypervisors,
    disks: Arc<Disks>,
    layers: Arc<Layers>,
    images: Images,
    events: UnboundedSender<(String, Event)>,
    runtime: Handle,
}

impl Worker {
    fn work(self, orders: &mpsc::Receiver<Order>) {
        let mut is_closed = false;
        for order in orders {
            match order {
                Order::CarryOut(effect) if !is_closed => self.carry_out(effect),
                Order::CarryOut(_) => {}
                // Nobody listens any more when the endpoint ends.
                Order::Say(instance, text) => drop(self.events.send((instance, Event::Console(text.into_bytes())))),
                Order::Forget(instance) => drop(self.powered.lock().remove(&instance)),
                Order::Close(closed) => {
                    is_closed = true;
                    self.powered.lock().values().for_each(|machine| machine.kill());
                    // Who asked may not have waited.
                    let _ = closed.send(());
                }
            }
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
            Effect::TakeLayer { snapshot, volume, kind, root, instance } => {
                let taken = self.take_layer(&snapshot, &volume, (kind, root), instance.as_deref());
                let event = taken.map_or_else(|error| Event::Failed(error.to_string()), |()| Event::Taken);
                drop(self.events.send((snapshot, event)));
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
        let Start { kind, root, volume, layers, has_disk, machine, .. } = start;
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

    /// Has what is on a root volume in its snapshot's layer. Whoever wants something of the volume waits meanwhile.
    fn take_layer(
        &self,
        snapshot: &str,
        volume: &str,
        (kind, root): (Kind, Option<String>),
        instance: Option<&str>,
    ) -> io::Result<()> {
        let Some(into) = self.layers.begin(snapshot)? else { return Ok(()) };
        if let Some(root) = root {
            self.images.hold(&root, snapshot, instance.unwrap_or(volume)).map_err(io::Error::other)?;
        }
        let running = instance.and_then(|instance| self.powered.lock().get(instance).cloned());
        match running.map(|machine| machine.take_layer(&into)) {
            Some(Ok(())) => {}
            // It may just have gone off by itself.
            Some(Err(error)) if error.kind() != io::ErrorKind::NotConnected => return Err(error),
            _ => kind.take_layer(&self.disks.path(volume), &into)?,
        }
        self.layers.finish(snapshot)
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

fn sweep(images: &Images) {
    if let Err(e) = images.sweep() {
        tracing::warn!("failed to {e}");
    }
}
