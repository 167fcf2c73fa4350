//! A machine: identity and console of an instance, without the duty to end it.

use super::{Ec2, NetworkInterface, NewVolume, guard::Guard, made::Made, ready};
use crate::{
    caps::Reservation,
    connection::{
        api_error,
        patience::{OTHERS_VISIBLE_WITHIN, VISIBLE_WITHIN, until_visible, until_visible_within},
    },
    error::{Error, ErrorKind},
    resource::INSTANCE,
    scope::Scope,
    ssh::{KnownHost, PrivateKey, Session},
    task::{OnDrop, Operation},
    teardown::{journal::Entry, owned::Identity},
};
use aws_sdk_ec2::types::{Instance as Description, InstanceStateName, Tag};
use std::{
    fmt,
    net::IpAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// A handle on an instance; cheap to clone. It never ends the instance by itself: [`Instance`](crate::ec2::Instance)
/// does.
#[derive(Clone)]
pub struct Machine(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) ec2: Ec2,
    pub(super) identity: Identity,
    pub(crate) name: String,
    pub(crate) key: Option<PrivateKey>,
    /// Where the key is, for anyone who logs in by hand.
    pub(super) key_path: Option<PathBuf>,
    /// The user that logs in, once it is known.
    pub(crate) user: Mutex<Option<String>>,
    pub(crate) known_host: KnownHost,
    pub(crate) session: tokio::sync::Mutex<Option<Session>>,
    /// How often its local EC2 was killed, and the machine taken over by the next, when the session was used last.
    takeovers: AtomicUsize,
    /// Since when it is known here: that is when we have launched it, if we have.
    pub(super) begun: Instant,
    /// The Spot request that the launch has told of.
    pub(super) spot_request: Option<String>,
    /// As EC2 showed it last, and when.
    described: Mutex<Option<(Arc<Description>, Instant)>>,
    /// When a description that shows it stopped begins to count.
    stopped_counts_from: Mutex<Instant>,
    /// What cloud-init said of its last boot, where that has ended with recoverable errors.
    pub(super) degraded: Mutex<Option<String>>,
    pub(super) reservation: Mutex<Option<Reservation>>,
    /// The volumes that it was launched with, by their devices, until EC2 has shown which they are.
    pub(super) launched_with: tokio::sync::Mutex<Vec<(String, NewVolume)>>,
    /// What it was launched with, and what was added to it since, and ends with it.
    pub(super) parts: Mutex<Vec<Arc<Made>>>,
    /// Those beside the first, in the order in which they were added.
    pub(super) network_interfaces: Mutex<Vec<NetworkInterface>>,
    /// What is held for as long as it lives, outside of a test.
    pub(super) held: Mutex<Vec<Guard<Arc<Made>>>>,
    /// The public addresses of interfaces that were added to it, each with its interface; they don't end with it by themselves.
    pub(super) addresses: Mutex<Vec<(Arc<Made>, Arc<Made>)>>,
    /// Those of them that were kept with it, and end when somebody ends it.
    pub(super) kept: Mutex<Vec<Arc<Made>>>,
    /// How long it may take until it is ready.
    ready_within: Duration,
    /// The boot before a reboot that nobody has waited for yet.
    pub(super) rebooting: Mutex<Option<Arc<ready::Boot>>>,
    /// Held while something is attached to it.
    pub(super) attaching: tokio::sync::Mutex<()>,
}

/// What a machine's handle starts with.
pub(crate) struct Begin {
    pub(crate) ec2: Ec2,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) key: Option<PrivateKey>,
    pub(crate) key_path: Option<PathBuf>,
    pub(crate) user: Option<String>,
    pub(crate) reservation: Option<Reservation>,
    /// What the journal has of its launch; `None` if somebody else has launched it.
    pub(crate) journaled: Option<Entry>,
    /// The volumes that it is launched with beside the root, each with its device.
    pub(crate) volumes: Vec<(String, NewVolume)>,
    /// The Spot request that the launch has told of.
    pub(crate) spot_request: Option<String>,
    pub(crate) ready_within: Duration,
}

/// How far a wait goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    /// SSH answers.
    Ssh,
    /// It is running, SSH answers, and cloud-init, if there is one, is done.
    Ready,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Machine({} {})", self.name(), self.id())
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name() == self.id() { f.write_str(self.id()) } else { write!(f, "{} ({})", self.name(), self.id()) }
    }
}

pub(in crate::ec2) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Machine {
    pub(crate) fn begin(begin: Begin) -> Self {
        let connection = begin.ec2.connection.clone();
        Self(Arc::new(Inner {
            ec2: begin.ec2,
            identity: Identity::new(&INSTANCE, begin.id, connection, begin.journaled),
            name: begin.name,
            key: begin.key,
            key_path: begin.key_path,
            user: Mutex::new(begin.user),
            known_host: KnownHost::default(),
            session: tokio::sync::Mutex::default(),
            takeovers: AtomicUsize::new(0),
            begun: Instant::now(),
            spot_request: begin.spot_request,
            described: Mutex::default(),
            stopped_counts_from: Mutex::new(Instant::now()),
            degraded: Mutex::default(),
            reservation: Mutex::new(begin.reservation),
            launched_with: tokio::sync::Mutex::new(begin.volumes),
            parts: Mutex::default(),
            network_interfaces: Mutex::default(),
            held: Mutex::default(),
            addresses: Mutex::default(),
            kept: Mutex::default(),
            ready_within: begin.ready_within,
            rebooting: Mutex::default(),
            attaching: tokio::sync::Mutex::default(),
        }))
    }

    /// The instance's id, `i-…`.
    pub fn id(&self) -> &str {
        &self.0.identity.id
    }

    /// The name that progress and errors use.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The account that it is in.
    pub fn ec2(&self) -> &Ec2 {
        &self.0.ec2
    }

    /// The user that logs in; `None` as long as it isn't known.
    pub fn user(&self) -> Option<String> {
        lock(&self.0.user).clone()
    }

    /// The instance as EC2 described it last; `None` before the first look. [`describe`](Self::describe) looks anew.
    pub fn last_described(&self) -> Option<Arc<Description>> {
        self.last_shown().map(|(described, _)| described)
    }

    /// The same, and when that was.
    pub(super) fn last_shown(&self) -> Option<(Arc<Description>, Instant)> {
        lock(&self.0.described).clone()
    }

    /// The private address, as EC2 described it last.
    pub fn private_ip(&self) -> Option<IpAddr> {
        self.last_described()?.private_ip_address()?.parse().ok()
    }

    /// The public address, as EC2 described it last; it changes with every stop and start.
    pub fn public_ip(&self) -> Option<IpAddr> {
        self.last_described()?.public_ip_address()?.parse().ok()
    }

    /// The availability zone, as EC2 described it last.
    pub fn zone(&self) -> Option<String> {
        self.last_described()?.placement()?.availability_zone().map(str::to_owned)
    }

    /// The instance type, as EC2 described it last.
    pub fn instance_type(&self) -> Option<String> {
        Some(self.last_described()?.instance_type()?.as_str().to_owned())
    }

    /// The tags, as EC2 described them last.
    pub fn tags(&self) -> Vec<(String, String)> {
        let pair = |tag: &Tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()));
        self.last_described().map(|it| it.tags().iter().filter_map(pair).collect()).unwrap_or_default()
    }

    /// Looks at the instance anew.
    ///
    /// # Errors
    ///
    /// EC2 refuses, or doesn't show it within the time that a machine may take to be ready.
    pub fn describe(&self) -> Operation<Arc<Description>> {
        let machine = self.clone();
        self.operation("describe an instance", OnDrop::Cancel, async move {
            machine.await_state(|_| true, "be visible").await
        })
    }

    /// The console's output, as EC2 has it now: its last 64 KiB. EC2 may lag by minutes, and shows nothing at first.
    ///
    /// # Errors
    ///
    /// EC2 refuses. The console shows host keys, and the one that we talk to isn't among them.
    pub fn console_log(&self) -> Operation<String> {
        let machine = self.clone();
        self.operation("read a console", OnDrop::Cancel, async move {
            let console = ready::console(&machine).await?;
            ready::verify_host_key(&machine, &console)?;
            Ok(console)
        })
    }

    /// An operation of this machine's scope: until the test's deadline, and not after the machine's end.
    pub(crate) fn operation<T, F>(&self, name: &'static str, on_drop: OnDrop, future: F) -> Operation<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let machine = self.clone();
        Operation::new(name, on_drop, async move { machine.within_scope(name, future).await })
    }

    /// Runs a future until the test's deadline; not at all after the machine's end.
    pub(crate) async fn within_scope<T>(
        &self,
        name: &str,
        future: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        if let Some(ended) = self.0.identity.ended() {
            return Err(Error::new(ErrorKind::Ended, format!("{name}: {self}"))
                .because(format!("it was ended {ended}"))
                .advise("keep its guard for as long as it is used"));
        }
        self.scope().run(|| format!("{name}: {self}"), future).await
    }

    /// What is done over SSH; where the connection breaks, its error has the machine's state, if that explains it.
    pub(super) async fn over_ssh<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        match work.await {
            Err(error) => Err(ready::with_state(self, error).await),
            done => done,
        }
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.0.ec2.scope
    }

    pub(crate) fn client(&self) -> &aws_sdk_ec2::Client {
        &self.0.ec2.connection.client
    }

    /// When a wait that begins now is over.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.0.ready_within
    }

    pub(crate) fn set_user(&self, user: &str) {
        *lock(&self.0.user) = Some(user.to_owned());
    }

    pub(crate) fn set_described(&self, described: Arc<Description>) {
        *lock(&self.0.described) = Some((described, Instant::now()));
    }

    /// Makes sure that EC2 knows it, which it may do a moment after it was made.
    pub(crate) async fn look_up(&self) -> Result<(), Error> {
        until_visible_within(self.visible_within(), || self.look_once()).await
    }

    /// How long it may be that EC2 doesn't show it, though somebody knows its id.
    pub(crate) fn visible_within(&self) -> Duration {
        self.0.ec2.connection.paced(OTHERS_VISIBLE_WITHIN)
    }

    /// EC2 has accepted to start it, and may still show it as it was before.
    pub(super) fn was_started(&self) {
        *lock(&self.0.stopped_counts_from) = Instant::now() + self.0.ec2.connection.paced(VISIBLE_WITHIN);
    }

    /// Before this, a description that shows it stopped may be from before its start.
    pub(super) fn stopped_counts_from(&self) -> Instant {
        *lock(&self.0.stopped_counts_from)
    }

    pub(super) async fn look_once(&self) -> Result<(), Error> {
        let tried = format!("find {}", self.id());
        let call = self.client().describe_instances().instance_ids(self.id()).send().await;
        let answer = call.map_err(|e| api_error::failed("DescribeInstances", &tried, e))?;
        let described =
            answer.reservations.unwrap_or_default().into_iter().flat_map(|r| r.instances.unwrap_or_default()).next();
        match described {
            Some(described) => {
                self.set_described(Arc::new(described));
                Ok(())
            }
            None => Err(Error::new(ErrorKind::NotFound, tried).because("EC2 doesn't know it")),
        }
    }

    /// The session, connected if there is none.
    pub(crate) async fn session(&self) -> Result<Session, Error> {
        let takeovers = self.0.ec2.connection.takeovers().await;
        if self.0.takeovers.swap(takeovers, Ordering::Relaxed) != takeovers {
            // It boots again, and is waited for.
            self.disconnect().await;
        }
        if let Some(session) = self.0.session.lock().await.as_ref() {
            return Ok(session.clone());
        }
        let deadline = self.deadline();
        self.await_reboot(deadline).await?;
        ready::wait(self, Reached::Ssh, deadline, None).await?;
        self.0.session.lock().await.clone().ok_or_else(|| Error::new(ErrorKind::Internal, format!("connect to {self}")))
    }

    /// Forgets the session: the machine goes down.
    pub(crate) async fn disconnect(&self) {
        self.0.session.lock().await.take();
    }

    /// Sets volumes that would outlive the machine to end with it: where only EC2 resolves the image, the mappings can't be
    /// said at the launch.
    pub(crate) async fn end_volumes_with_it(&self) -> Result<(), Error> {
        use aws_sdk_ec2::types::{
            EbsInstanceBlockDeviceSpecification as Ebs, InstanceBlockDeviceMappingSpecification as Mapping,
        };

        let described = self.await_state(|state| *state == InstanceStateName::Running, "run").await?;
        let outliving: Vec<Mapping> = described
            .block_device_mappings()
            .iter()
            .filter(|mapping| mapping.ebs().is_some_and(|ebs| ebs.delete_on_termination() != Some(true)))
            .map(|mapping| {
                let ebs = Ebs::builder().delete_on_termination(true).build();
                Mapping::builder().set_device_name(mapping.device_name.clone()).ebs(ebs).build()
            })
            .collect();
        if outliving.is_empty() {
            return Ok(());
        }
        let tried = format!("have the volumes of {self} end with it");
        let call = self.client().modify_instance_attribute().instance_id(self.id());
        let call = call.set_block_device_mappings(Some(outliving));
        until_visible(|| async {
            let answer = call.clone().send().await;
            answer.map(drop).map_err(|e| api_error::failed("ModifyInstanceAttribute", &tried, e))
        })
        .await
    }
}
