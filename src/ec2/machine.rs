//! A machine: identity and console of an instance, without the duty to end it.

use super::{
    Ec2, api_error,
    caps::Reservation,
    patience::{OTHERS_VISIBLE_WITHIN, until_visible, until_visible_within},
    ready, tags,
};
use crate::{
    error::{Error, ErrorKind},
    scope::Scope,
    ssh::{Command, KnownHost, PrivateKey, Session},
    task::{OnDrop, Operation},
    teardown::{journal::Entry, live},
};
use aws_sdk_ec2::types::{Instance as Description, InstanceStateName, Tag};
use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A handle on an instance; cheap to clone. It never ends the instance by itself: [`Instance`](crate::ec2::Instance)
/// does.
#[derive(Clone)]
pub struct Machine(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) ec2: Ec2,
    pub(crate) id: String,
    pub(crate) name: String,
    /// Whether we have launched it: the run's tag finds it.
    pub(crate) ours: bool,
    pub(crate) key: Option<PrivateKey>,
    /// The user that logs in, once it is known.
    pub(crate) user: Mutex<Option<String>>,
    pub(crate) known_host: KnownHost,
    pub(crate) session: tokio::sync::Mutex<Option<Session>>,
    described: Mutex<Option<Arc<Description>>>,
    /// How and where it was ended.
    ended: Mutex<Option<String>>,
    reservation: Mutex<Option<Reservation>>,
    /// What the journal has of its launch.
    journaled: Option<Entry>,
}

/// What a machine's handle starts with.
pub(crate) struct Begin {
    pub(crate) ec2: Ec2,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) ours: bool,
    pub(crate) key: Option<PrivateKey>,
    pub(crate) user: Option<String>,
    pub(crate) reservation: Option<Reservation>,
    pub(crate) journaled: Option<Entry>,
}

/// What a failed test shows of a machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evidence {
    /// The console's last lines.
    pub(crate) console: String,
    /// The units that failed, where there is systemd.
    pub(crate) failed_units: String,
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
        write!(f, "Machine({} {})", self.0.name, self.0.id)
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.name == self.0.id { write!(f, "{}", self.0.id) } else { write!(f, "{} ({})", self.0.name, self.0.id) }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Machine {
    pub(crate) fn begin(begin: Begin) -> Self {
        Self(Arc::new(Inner {
            ec2: begin.ec2,
            id: begin.id,
            name: begin.name,
            ours: begin.ours,
            key: begin.key,
            user: Mutex::new(begin.user),
            known_host: KnownHost::default(),
            session: tokio::sync::Mutex::default(),
            described: Mutex::default(),
            ended: Mutex::default(),
            reservation: Mutex::new(begin.reservation),
            journaled: begin.journaled,
        }))
    }

    /// The instance's id, `i-…`.
    pub fn id(&self) -> &str {
        &self.0.id
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

    /// Waits until it is ready: running, SSH answers, cloud-init, if there is one, is done.
    ///
    /// # Errors
    ///
    /// It ends or fails first, refuses the key, cloud-init reports an error, or the time for it has passed; with state,
    /// reason and the console's tail.
    pub fn wait_ready(&self) -> Operation<()> {
        let machine = self.clone();
        self.operation("wait for an instance", OnDrop::Cancel, async move {
            ready::wait(&machine, Reached::Ready, machine.deadline(), None).await
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
        if let Some(ended) = lock(&self.0.ended).as_ref() {
            return Err(Error::new(ErrorKind::Ended, format!("{name}: {self}"))
                .because(format!("it was ended {ended}"))
                .advise("keep its guard for as long as it is used"));
        }
        self.scope().run(|| format!("{name}: {self}"), future).await
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.0.ec2.scope
    }

    pub(crate) fn client(&self) -> &aws_sdk_ec2::Client {
        &self.0.ec2.connection.client
    }

    /// When a wait that begins now is over.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.0.ec2.config.ready_timeout
    }

    pub(crate) fn set_user(&self, user: &str) {
        *lock(&self.0.user) = Some(user.to_owned());
    }

    pub(crate) fn set_described(&self, described: Arc<Description>) {
        *lock(&self.0.described) = Some(described);
    }

    pub(crate) fn mark_ended(&self, how: String) {
        lock(&self.0.ended).get_or_insert(how);
    }

    /// What a failed test shows; best effort, within ten seconds.
    pub(crate) async fn evidence(&self) -> Evidence {
        let limit = Duration::from_secs(10);
        let console = async { ready::console(self).await.map(|text| ready::tail(&text, 40)).unwrap_or_default() };
        let units = async {
            // Only where SSH has answered before: a machine that is down would cost the whole limit.
            let session = self.0.session.lock().await.clone()?;
            let list = "[ -d /run/systemd/system ] && systemctl list-units --failed --no-legend --plain";
            Some(session.exec(Command::new(list).timeout(limit)).await.ok()?.stdout)
        };
        let gathered = tokio::time::timeout(limit, async { tokio::join!(console, units) }).await;
        let (console, failed_units) = gathered.unwrap_or_default();
        Evidence { console, failed_units: failed_units.unwrap_or_default() }
    }

    /// Makes sure that EC2 knows it, which it may do a moment after whoever made it.
    pub(crate) async fn look_up(&self) -> Result<(), Error> {
        until_visible_within(self.visible_within(), || self.look_once()).await
    }

    /// How long it may be that EC2 doesn't show it, though somebody knows its id.
    pub(crate) fn visible_within(&self) -> Duration {
        // What is seen late is seen sooner at a local EC2, as all is.
        OTHERS_VISIBLE_WITHIN.mul_f64(self.0.ec2.connection.pace().clamp(0.2, 1.0))
    }

    async fn look_once(&self) -> Result<(), Error> {
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
        if let Some(session) = self.0.session.lock().await.as_ref() {
            return Ok(session.clone());
        }
        ready::wait(self, Reached::Ssh, self.deadline(), None).await?;
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

    /// Leaves the machine running: it is forgotten here, and its lease begins anew. Says how to reach it.
    pub(crate) async fn keep(&self) -> Result<String, Error> {
        self.0.ec2.connection.run.note_kept(self.id())?;
        self.forget();
        let lease = self.0.ec2.config.lease;
        let until = humantime::format_rfc3339_seconds(std::time::SystemTime::now() + lease).to_string();
        let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
        let tried = format!("renew the lease of {self}");
        let call = self.client().create_tags().resources(self.id());
        let call = call.tags(tag(tags::EXPIRES_AT, &until)).tags(tag(tags::KEPT, "yes"));
        until_visible(|| async { call.clone().send().await.map_err(|e| api_error::failed("CreateTags", &tried, e)) })
            .await?;
        let key = self.0.ec2.connection.run.directory().join("private-key");
        let (id, user) = (self.id(), self.user().unwrap_or_else(|| "USER".into()));
        let (tunnel, host) = match (self.0.ec2.target(), self.public_ip().or(self.private_ip())) {
            (crate::target::Target::Local, _) | (_, None) => {
                (" -o ProxyCommand='ec2-harness connect %h %p'", id.to_owned())
            }
            (_, Some(address)) => ("", address.to_string()),
        };
        Ok(format!(
            "{self} is kept until {until}\n  log in: ssh -i {}{tunnel} {user}@{host}\n  end it: ec2-harness sweep --instance {id}",
            key.display()
        ))
    }

    /// Gives back what ends with the machine.
    pub(crate) fn release(&self) {
        self.forget();
        lock(&self.0.reservation).take();
    }

    /// Nobody is to end it any more.
    fn forget(&self) {
        live::remove(self.id());
        if let Some(journaled) = &self.0.journaled {
            journaled.settle();
        }
    }
}
