//! Launching: from what a test says to a machine that is ready.

use super::{
    Ec2, ImageSource, Imds, Instance, Machine, NewNetworkInterface, NewVolume, VpcHandle, image,
    machine::{Begin, Reached},
    network_interface, per_run, ready,
    run_instances::{Launched, Request},
    specification::{Specification, instance_types},
};
use crate::{
    check::Size,
    config::{ImageQuery, KeyType, Spot},
    engine,
    error::{Error, ErrorKind},
    progress::Line,
    task::operation,
    teardown::{live, signals, watchdog},
};
use aws_sdk_ec2::{operation::run_instances::builders::RunInstancesFluentBuilder, types::Instance as Description};
use futures_util::future::try_join_all;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

pub(super) type Customize = Arc<dyn Fn(RunInstancesFluentBuilder) -> RunInstancesFluentBuilder + Send + Sync>;

/// A launch that is being prepared; see [`Ec2::launch`].
///
/// What isn't said comes from the configuration. Instance metadata is served by version 2 only, every volume ends with
/// the machine, one whose host fails isn't recovered, and the machine is waited for until it is ready: running, SSH
/// answers, cloud-init, if there is one, is done.
#[must_use = "nothing is launched before `.await`, `.wait()` or `.start()`"]
#[derive(Clone)]
pub struct Launch {
    pub(super) ec2: Ec2,
    image: Option<ImageSource>,
    name: Option<String>,
    pub(super) instance_types: Option<Vec<String>>,
    pub(super) spot: Option<Spot>,
    pub(super) zones: Option<Vec<String>>,
    pub(super) user_data: Option<String>,
    pub(super) user: Option<String>,
    pub(super) key: Option<(String, crate::ssh::PrivateKey)>,
    pub(super) key_type: Option<KeyType>,
    pub(super) subnet: Option<String>,
    pub(super) vpc: Option<VpcHandle>,
    pub(super) security_groups: Option<Vec<String>>,
    pub(super) ipv6: bool,
    pub(super) root_size: Option<Size>,
    pub(super) root_encrypted: bool,
    pub(super) root_kms_key: Option<String>,
    pub(super) volumes: Vec<NewVolume>,
    pub(super) network_interfaces: Vec<NewNetworkInterface>,
    pub(super) instance_profile: Option<String>,
    pub(super) imds: Option<Imds>,
    pub(super) tags: Vec<(String, String)>,
    /// Ours.
    pub(super) own_tags: Vec<(String, String)>,
    pub(super) ready_within: Option<Duration>,
    pub(super) wait: bool,
    pub(super) customize: Vec<Customize>,
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launch")
            .field("image", &self.image)
            .field("name", &self.name)
            .field("instance_types", &self.instance_types)
            .finish_non_exhaustive()
    }
}

impl Launch {
    pub(crate) fn new(ec2: Ec2, image: Option<ImageSource>) -> Self {
        Self {
            ec2,
            image,
            name: None,
            instance_types: None,
            spot: None,
            zones: None,
            user_data: None,
            user: None,
            key: None,
            key_type: None,
            subnet: None,
            vpc: None,
            security_groups: None,
            ipv6: false,
            root_size: None,
            root_encrypted: false,
            root_kms_key: None,
            volumes: Vec::new(),
            network_interfaces: Vec::new(),
            instance_profile: None,
            imds: None,
            tags: Vec::new(),
            own_tags: Vec::new(),
            ready_within: None,
            wait: true,
            customize: Vec::new(),
        }
    }

    /// The name by which progress and errors speak of the machine, and its `Name` tag. Default: the test's name, else
    /// `ec2-harness`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The instance type. Default: the configuration's, `t3.micro`.
    pub fn instance_type(self, instance_type: impl Into<String>) -> Self {
        self.instance_types([instance_type])
    }

    /// The instance types that will do: each is tried in every zone before the next, where there is no capacity for it or where a zone
    /// doesn't offer it. The image is looked up for the architecture of each. Default: the configuration's.
    pub fn instance_types<S: Into<String>>(mut self, instance_types: impl IntoIterator<Item = S>) -> Self {
        self.instance_types = Some(instance_types.into_iter().map(Into::into).collect());
        self
    }

    /// Launches it as a Spot Instance: of a request for once, which ends with the machine. EC2 may take it away at two minutes'
    /// notice. Default: the configuration's, on demand.
    pub fn spot(mut self) -> Self {
        self.spot = Some(Spot::Only);
        self
    }

    /// Launches it as a Spot Instance, and on demand where no type has Spot capacity in any zone, or the quota of Spot Instances is used
    /// up. Default: the configuration's, on demand.
    pub fn spot_or_on_demand(mut self) -> Self {
        self.spot = Some(Spot::OrOnDemand);
        self
    }

    /// Launches it on demand, whatever is configured.
    pub fn on_demand(mut self) -> Self {
        self.spot = Some(Spot::No);
        self
    }

    /// The availability zone, in whose default subnet it is launched. Default: the configuration's, else whichever EC2 chooses, and then
    /// the others.
    pub fn zone(self, zone: impl Into<String>) -> Self {
        self.zones([zone])
    }

    /// The availability zones that will do, tried in turn where there is no capacity. Default: the configuration's, else whichever EC2
    /// chooses, and then the others.
    pub fn zones<S: Into<String>>(mut self, zones: impl IntoIterator<Item = S>) -> Self {
        self.zones = Some(zones.into_iter().map(Into::into).collect());
        self
    }

    /// The user data, as cloud-init reads it. Default: none.
    pub fn user_data(mut self, user_data: impl Into<String>) -> Self {
        self.user_data = Some(user_data.into());
        self
    }

    /// The user that logs in. Default: the configuration's, else known by the image, else probed.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// An existing key pair, by its name in EC2, and its private half. Default: the configuration's, else the run's own.
    pub fn key(mut self, name: impl Into<String>, private: crate::ssh::PrivateKey) -> Self {
        self.key = Some((name.into(), private));
        self
    }

    /// The type of the run's own key that logs in. Default: the configuration's, else Ed25519, and RSA where the image is known to refuse
    /// that.
    pub fn key_type(mut self, key_type: KeyType) -> Self {
        self.key_type = Some(key_type);
        self
    }

    /// The subnet; it wins over [`vpc`](Self::vpc). Default: one of the VPC's, else the configuration's, else one of the default VPC.
    pub fn subnet(mut self, subnet: impl Into<String>) -> Self {
        self.subnet = Some(subnet.into());
        self
    }

    /// The VPC: its subnets are tried in turn on a lack of capacity, and the machine is in [its group](VpcHandle::security_group). Default:
    /// the test's own VPC, if it has one, else the configured subnet's, else the default one.
    pub fn vpc(mut self, vpc: &VpcHandle) -> Self {
        self.vpc = Some(vpc.clone());
        self
    }

    /// The security groups, by id, instead of the configuration's or the run's own.
    pub fn security_groups<S: Into<String>>(mut self, groups: impl IntoIterator<Item = S>) -> Self {
        self.security_groups = Some(groups.into_iter().map(Into::into).collect());
        self
    }

    /// The size of the root volume, of whole GiB: `gib(20)`. Default: the image's.
    pub fn root_size(mut self, size: Size) -> Self {
        self.root_size = Some(size);
        self
    }

    /// Encrypts the root volume with the account's key though the image's isn't. Default: the configuration's, as the image's is.
    pub fn root_encrypted(mut self) -> Self {
        self.root_encrypted = true;
        self
    }

    /// Encrypts the root volume with this key: its id, alias or ARN. Default: the configuration's.
    pub fn root_kms_key(mut self, key: impl Into<String>) -> Self {
        self.root_kms_key = Some(key.into());
        self
    }

    /// Volumes beside the root, `[gp3(20)]`, and beside those that were said before: made with the machine, and ended with it. Each is the
    /// next free device unless it names one. Default: those of the image.
    pub fn volumes(mut self, volumes: impl IntoIterator<Item = NewVolume>) -> Self {
        self.volumes.extend(volumes);
        self
    }

    /// Network interfaces beside the first, and beside those that were said before: added once it runs, so that it keeps its public address,
    /// which EC2 gives to none that is launched with several. They are [`Machine::network_interfaces`], and end with it. Default: none.
    pub fn network_interfaces(mut self, interfaces: impl IntoIterator<Item = NewNetworkInterface>) -> Self {
        self.network_interfaces.extend(interfaces);
        self
    }

    /// The instance profile, by its name or ARN: what may be done by the machine's own credentials. Default: the configuration's, else
    /// none. Whoever launches needs the right to `iam:PassRole` on its role.
    pub fn instance_profile(mut self, profile: impl Into<String>) -> Self {
        self.instance_profile = Some(profile.into());
        self
    }

    /// Its metadata service. Default: version 2 only.
    pub fn imds(mut self, imds: Imds) -> Self {
        self.imds = Some(imds);
        self
    }

    /// Gives it an IPv6 address beside the others; its subnet must have a range of them. Default: it has one only where its subnet gives
    /// one to all.
    pub fn ipv6(mut self) -> Self {
        self.ipv6 = true;
        self
    }

    /// A tag on the machine and on all that comes with it, beside the configuration's and our own. Ours,
    /// `ec2-harness:…`, can't be replaced.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.push((key.into(), value.into()));
        self
    }

    /// A tag of ours, which no user can say.
    pub(crate) fn own_tag(mut self, key: &str, value: impl Into<String>) -> Self {
        self.own_tags.push((key.to_owned(), value.into()));
        self
    }

    /// How long the machine may take until it is ready. Default: the configuration's, ten minutes; three times that if one of the instance
    /// types is bare metal. The test's own `timeout` counts, too.
    pub fn ready_within(mut self, limit: Duration) -> Self {
        self.ready_within = Some(limit);
        self
    }

    /// Returns as soon as EC2 has accepted the launch. The first operation that needs SSH waits for it then; nothing
    /// waits for cloud-init unless [`Machine::wait_ready`] is called.
    pub fn without_waiting(mut self) -> Self {
        self.wait = false;
        self
    }

    /// Changes the SDK's own request, for all that isn't named here. What teardown needs (client token, count, volume mappings that
    /// end with the machine, and tags beside those of each of the request's tag specifications) is applied after it, and network
    /// interfaces are in the launch's subnet and groups unless they say otherwise.
    pub fn run_instances(
        mut self,
        customize: impl Fn(RunInstancesFluentBuilder) -> RunInstancesFluentBuilder + Send + Sync + 'static,
    ) -> Self {
        self.customize.push(Arc::new(customize));
        self
    }

    async fn run(self) -> Result<Instance, Error> {
        let tried = format!("launch {}", self.image_name());
        let mut launched = self.run_many(None).await?;
        launched.pop().ok_or_else(|| Error::new(ErrorKind::Internal, tried).because("nothing was launched"))
    }

    /// Launches several, which have numbers behind their name then; or one.
    pub(super) async fn run_many(self, count: Option<u16>) -> Result<Vec<Instance>, Error> {
        let scope = self.ec2.scope.clone();
        let image = self.image_name();
        let result = scope.run(|| format!("launch {image}"), self.launch_from(count)).await;
        if result.is_err() {
            scope.note_failed_launch();
        }
        result
    }

    pub(super) fn image_name(&self) -> String {
        self.image.as_ref().map_or_else(|| self.ec2.config.image.to_string(), ImageSource::name)
    }

    /// What it is looked up by; what makes its image has made it by then.
    pub(super) fn image_query(&self) -> &ImageQuery {
        self.image.as_ref().and_then(ImageSource::as_query).unwrap_or(&self.ec2.config.image)
    }

    /// Launches it. An image that is made when it is needed is made before, and once again should it have vanished meanwhile.
    async fn launch_from(self, count: Option<u16>) -> Result<Vec<Instance>, Error> {
        let Some(maker) = self.image.as_ref().and_then(ImageSource::maker) else { return self.launch(count).await };
        let instance_types = instance_types(&self);
        let mut gone = None;
        loop {
            let image = maker.provide(&self.ec2, &instance_types, gone.clone()).await?;
            let launch = Self { image: Some(image.as_str().into()), ..self.clone() };
            match launch.launch(count).await {
                Err(error) if gone.is_none() && is_image_gone(&error, &image) => gone = Some(image),
                launched => return launched,
            }
        }
    }

    pub(super) fn machine_name(&self) -> String {
        self.name
            .clone()
            .or_else(|| self.ec2.scope.test_name().map(str::to_owned))
            .unwrap_or_else(|| "ec2-harness".into())
    }

    #[tracing::instrument(name = "launch", skip_all, fields(machine = self.machine_name(), image = %self.image_name()))]
    async fn launch(self, count: Option<u16>) -> Result<Vec<Instance>, Error> {
        signals::install()?;
        let mut wanted = Specification::of(&self)?;
        wanted.count = count.unwrap_or(1);
        let connection = self.ec2.connection.clone();
        let config = self.ec2.config.clone();
        let (run, watched) = (connection.clone(), config.clone());
        engine::blocking("join the run", move || watchdog::ensure(&run, &watched)).await?;
        let deadline = Instant::now() + wanted.ready_within;
        let line = Line::begin(config.progress, &wanted.name, "preparing");
        let tried = format!("launch {}", wanted.image);
        let key = async {
            let images = image::for_types(&self.ec2, &wanted.image, &wanted.instance_types).await?;
            wanted.root.check(&images)?;
            // A type that doesn't take what it is to have is told before anything is made.
            let interfaces = &wanted.network_interfaces;
            for instance_type in wanted.instance_types.iter().filter(|_| !interfaces.is_empty()) {
                let tried = format!("{tried} as {instance_type}");
                network_interface::check_launch(&connection, instance_type, interfaces, &tried).await?;
            }
            let login = per_run::key(&connection, &config, &image::choose_key(&wanted.key, &images)).await?;
            image::check_key(&tried, &images, &login.name, &login.private)?;
            Ok((login, images))
        };
        let groups = per_run::security_groups(&connection, &config, &wanted.network);
        let ((login, images), groups) = tokio::try_join!(key, groups)?;
        line.phase("launching");
        let request = Request {
            wanted: &wanted,
            customize: &self.customize,
            ec2: &self.ec2,
            key: &login.name,
            groups,
            images: &images,
        };
        let launched = request.send(deadline).await.inspect_err(|_| line.end("was not launched"))?;
        let is_described = launched.image.described.is_some();
        let first = launched.instances.first().cloned();
        // From here on whatever goes wrong ends the machines.
        let instances = self.begin(&wanted, launched, &login, count.is_some());
        if !is_described
            && instances.iter().any(|instance| instance.user().is_none())
            && let Some(user) = image::user_of(&connection, first.as_ref()).await
        {
            instances.iter().for_each(|instance| instance.set_user(&user));
        }
        let mut lines = vec![line];
        if count.is_some() {
            lines.remove(0).end(&format!("is launched {} times", instances.len()));
            lines.extend(instances.iter().map(|instance| Line::begin(config.progress, instance.name(), "pending")));
        }
        let waits = instances.iter().zip(&lines).map(async |(instance, line)| {
            if !is_described {
                instance.end_volumes_with_it().await?;
            }
            if !wanted.wait {
                line.end(&format!("({}) is launched", instance.id()));
                return Ok(());
            }
            wait(instance, &wanted.network_interfaces, deadline, line).await
        });
        try_join_all(waits).await?;
        Ok(instances)
    }

    /// Takes charge of what was launched.
    fn begin(
        &self,
        wanted: &Specification,
        launched: Launched,
        login: &per_run::Login,
        is_numbered: bool,
    ) -> Vec<Instance> {
        let Launched { instances, launching, reservations, image, devices } = launched;
        let mut reservations = reservations.into_iter();
        let begin = |(n, instance): (usize, &Description)| {
            let name = if is_numbered { format!("{}[{n}]", wanted.name) } else { wanted.name.clone() };
            let machine = Machine::begin(Begin {
                ec2: self.ec2.clone(),
                id: instance.instance_id().unwrap_or_default().to_owned(),
                name,
                key: Some(login.private.clone()),
                key_path: login.path.clone(),
                user: wanted.user.clone().or_else(|| image.user.clone()),
                reservation: reservations.next(),
                journaled: Some(launching.journaled().clone()),
                volumes: devices.iter().cloned().zip(wanted.volumes.iter().cloned()).collect(),
                spot_request: instance.spot_instance_request_id().map(str::to_owned),
                ready_within: wanted.ready_within,
            });
            live::add(Arc::new(machine.clone()));
            Instance::new(machine)
        };
        instances.iter().enumerate().map(begin).collect()
    }
}

/// Whether an error says that there is no such image any more.
fn is_image_gone(error: &Error, image: &str) -> bool {
    let is_of_it = match error.code() {
        Some(code) => code.starts_with("InvalidAMIID."),
        None => error.tried().contains(image),
    };
    error.kind() == ErrorKind::NotFound && is_of_it
}

/// Waits until a machine is ready, and gives it these interfaces; shows how far it is.
async fn wait(
    instance: &Instance,
    interfaces: &[NewNetworkInterface],
    deadline: Instant,
    line: &Line,
) -> Result<(), Error> {
    match ready::wait(instance, Reached::Ready, deadline, Some(line)).await {
        Ok(()) => {
            instance.know_volumes().await?;
            for interface in interfaces {
                line.phase("adding network interfaces");
                let added = network_interface::add(instance, interface.clone()).await;
                added.inspect_err(|_| line.end(&format!("({}) lacks a network interface", instance.id())))?;
            }
            line.end(&format!("({}) is ready", instance.id()));
            Ok(())
        }
        Err(error) => {
            line.end(&format!("({}) did not become ready", instance.id()));
            Err(match error.kind() {
                // What never answers can be launched all the same.
                ErrorKind::Configuration => error.or_advise("use `.without_waiting()` if nothing in it is to answer"),
                _ => error,
            })
        }
    }
}

operation!(Launch -> Instance, "launch an instance", Finish);
