//! Launching: from what a test says to a machine that is ready.

use super::{
    Ec2, Instance, Machine, api_error, caps,
    connection::Connection,
    end::terminate,
    image::{self, Image},
    machine::{Begin, Reached},
    per_run, ready, tags,
};
use crate::{
    config::Config,
    engine,
    error::{Error, ErrorKind},
    progress::Line,
    run,
    task::operation,
    teardown::{live, signals, watchdog},
};
use aws_sdk_ec2::{
    operation::run_instances::builders::RunInstancesFluentBuilder,
    types::{
        BlockDeviceMapping, EbsBlockDevice, Filter, HttpTokensState, InstanceMetadataOptionsRequest, ResourceType, Tag,
    },
};
use base64::Engine as _;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// How often RunInstances is tried again, with the same token, while something that we have just made isn't visible yet,
/// and how long the whole may take.
const VISIBLE_WITHIN: Duration = Duration::from_secs(60);

/// The pause between two tries where a quota of the account is used up.
const QUOTA_PAUSE: Duration = Duration::from_secs(15);

type Customize = Arc<dyn Fn(RunInstancesFluentBuilder) -> RunInstancesFluentBuilder + Send + Sync>;

/// A launch that is being prepared; see [`Ec2::launch`].
///
/// What isn't said comes from the configuration. Instance metadata is served by version 2 only, every volume ends with
/// the machine, and the machine is waited for until it is ready: running, SSH answers, cloud-init, if there is one, is
/// done.
#[must_use = "nothing is launched before `.await`, `.wait()` or `.start()`"]
#[derive(Clone)]
pub struct Launch {
    ec2: Ec2,
    image: Option<String>,
    name: Option<String>,
    instance_type: Option<String>,
    user_data: Option<String>,
    user: Option<String>,
    key: Option<(String, crate::ssh::PrivateKey)>,
    subnet: Option<String>,
    security_groups: Option<Vec<String>>,
    root_gib: Option<i32>,
    tags: Vec<(String, String)>,
    ready_within: Option<Duration>,
    wait: bool,
    customize: Vec<Customize>,
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launch")
            .field("image", &self.image)
            .field("name", &self.name)
            .field("instance_type", &self.instance_type)
            .finish_non_exhaustive()
    }
}

impl Launch {
    pub(crate) fn new(ec2: Ec2, image: Option<String>) -> Self {
        Self {
            ec2,
            image,
            name: None,
            instance_type: None,
            user_data: None,
            user: None,
            key: None,
            subnet: None,
            security_groups: None,
            root_gib: None,
            tags: Vec::new(),
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
    pub fn instance_type(mut self, instance_type: impl Into<String>) -> Self {
        self.instance_type = Some(instance_type.into());
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

    /// The subnet. Default: the configuration's, else one of the default VPC.
    pub fn subnet(mut self, subnet: impl Into<String>) -> Self {
        self.subnet = Some(subnet.into());
        self
    }

    /// The security groups, by id, instead of the configuration's or the run's own.
    pub fn security_groups<S: Into<String>>(mut self, groups: impl IntoIterator<Item = S>) -> Self {
        self.security_groups = Some(groups.into_iter().map(Into::into).collect());
        self
    }

    /// The size of the root volume in GiB. Default: the image's.
    pub fn root_size(mut self, gib: i32) -> Self {
        self.root_gib = Some(gib);
        self
    }

    /// A tag on the machine and on all that comes with it, beside the configuration's and our own. Ours,
    /// `ec2-harness:…`, can't be replaced.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.push((key.into(), value.into()));
        self
    }

    /// How long the machine may take until it is ready. Default: the configuration's, ten minutes.
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

    /// Changes the SDK's own request, for all that isn't named here. What teardown needs (tags, client token, count,
    /// volume mappings that end with the machine) is applied after it.
    pub fn run_instances(
        mut self,
        customize: impl Fn(RunInstancesFluentBuilder) -> RunInstancesFluentBuilder + Send + Sync + 'static,
    ) -> Self {
        self.customize.push(Arc::new(customize));
        self
    }

    async fn run(self) -> Result<Instance, Error> {
        let scope = self.ec2.scope.clone();
        let image = self.image_name().to_owned();
        let result = scope.run(|| format!("launch {image}"), self.launch()).await;
        if result.is_err() {
            scope.note_failed_launch();
        }
        result
    }

    fn image_name(&self) -> &str {
        self.image.as_deref().unwrap_or(&self.ec2.config.image)
    }

    fn machine_name(&self) -> String {
        self.name
            .clone()
            .or_else(|| self.ec2.scope.test_name().map(str::to_owned))
            .unwrap_or_else(|| "ec2-harness".into())
    }

    #[tracing::instrument(name = "launch", skip_all, fields(machine = self.machine_name(), image = self.image_name()))]
    async fn launch(self) -> Result<Instance, Error> {
        signals::install()?;
        let connection = self.ec2.connection.clone();
        let config = self.ec2.config.clone();
        watchdog::ensure(connection.run, &config, &connection.region, &per_run::place(&connection))?;
        let instance_type = self.instance_type.clone().unwrap_or_else(|| config.instance_type.clone());
        let deadline = Instant::now() + self.ready_within.unwrap_or(config.ready_timeout);
        let line = Line::begin(config.progress, &self.machine_name(), "preparing");
        let (image, key, groups) = tokio::try_join!(
            image::resolve_once(&connection, &config, self.image_name()),
            self.key_pair(&connection, &config),
            self.groups(&connection, &config),
        )?;
        if self.root_gib.is_some() && image.described.is_none() {
            return Err(Error::new(
                ErrorKind::Configuration,
                format!("set the size of the root volume of `{}`", image.id),
            )
            .because("EC2 resolves this image by itself, so its root device isn't known before")
            .advise("give the mapping with `.run_instances(|r| r.block_device_mappings(…))`, or the AMI's id"));
        }
        let reservation = caps::reserve(&connection, &config, &instance_type).await?;
        line.phase("launching");
        let request = Request {
            launch: &self,
            connection: &connection,
            config: &config,
            image: &image,
            instance_type: &instance_type,
            key: &key.name,
            groups,
        };
        let launched = request.send(deadline).await.inspect_err(|_| line.end("was not launched"))?;
        let machine = Machine::begin(Begin {
            ec2: self.ec2.clone(),
            id: launched.instance_id().unwrap_or_default().to_owned(),
            name: self.machine_name(),
            ours: true,
            key: Some(key.private),
            user: self.user.clone().or(image.user),
            reservation,
        });
        live::add(&machine);
        // From here on whatever goes wrong ends the machine.
        let instance = Instance::new(machine);
        if image.described.is_none() {
            instance.end_volumes_with_it(&launched).await?;
        }
        if self.wait {
            match ready::wait(&instance, Reached::Ready, deadline, Some(&line)).await {
                Ok(()) => line.end(&format!("({}) is ready", instance.id())),
                Err(error) => {
                    line.end(&format!("({}) did not become ready", instance.id()));
                    return Err(error);
                }
            }
        } else {
            line.end(&format!("({}) is launched", instance.id()));
        }
        Ok(instance)
    }

    async fn key_pair(&self, connection: &Connection, config: &Config) -> Result<per_run::Key, Error> {
        match &self.key {
            Some((name, private)) => Ok(per_run::Key { name: name.clone(), private: private.clone() }),
            None => per_run::key(connection, config).await,
        }
    }

    async fn groups(&self, connection: &Connection, config: &Config) -> Result<Vec<String>, Error> {
        match &self.security_groups {
            Some(groups) => Ok(groups.clone()),
            None => per_run::security_groups(connection, config).await,
        }
    }
}

operation!(Launch -> Instance, "launch an instance", Finish);

/// Sends a RunInstances that is never abandoned: should nobody wait for its answer any more, what it has made is ended.
async fn sent(
    connection: &Arc<Connection>,
    tried: &str,
    builder: RunInstancesFluentBuilder,
) -> Result<aws_sdk_ec2::types::Instance, Error> {
    let (answered, answer) = oneshot::channel();
    let (connection, task_tried) = (connection.clone(), tried.to_owned());
    // A task of its own, on the engine: it goes on when this future is dropped.
    tokio::spawn(async move {
        let result = match builder.send().await {
            Ok(answer) => answer
                .instances
                .unwrap_or_default()
                .into_iter()
                .next()
                .map(|instance| Unclaimed { connection, instance: Some(instance) })
                .ok_or_else(|| Error::new(ErrorKind::Internal, task_tried).because("EC2 answered without an instance")),
            Err(e) => Err(api_error::failed("RunInstances", task_tried, e)),
        };
        // Dropped here, or within the channel, it is ended.
        let _ = answered.send(result);
    });
    let lost = || Error::new(ErrorKind::Internal, tried).because("the call was lost within ec2-harness");
    answer.await.map_err(|_| lost())??.claim().ok_or_else(lost)
}

/// An instance that nobody has taken charge of yet.
struct Unclaimed {
    connection: Arc<Connection>,
    instance: Option<aws_sdk_ec2::types::Instance>,
}

impl Unclaimed {
    fn claim(mut self) -> Option<aws_sdk_ec2::types::Instance> {
        self.instance.take()
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        let Some(id) = self.instance.take().and_then(|instance| instance.instance_id) else { return };
        let connection = self.connection.clone();
        let ending = engine::spawn(async move {
            if let Err((_, error)) = terminate(&connection, vec![id], &|_| false).await {
                tracing::error!("failed to {error}");
            }
        });
        if let Err(error) = ending {
            tracing::error!("failed to {error}");
        }
    }
}

/// One RunInstances, with what it takes to get it through.
struct Request<'a> {
    launch: &'a Launch,
    connection: &'a Arc<Connection>,
    config: &'a Config,
    image: &'a Image,
    instance_type: &'a str,
    key: &'a str,
    groups: Vec<String>,
}

impl Request<'_> {
    /// Tries zone after zone while there is no capacity, and waits while a quota is used up.
    async fn send(&self, deadline: Instant) -> Result<aws_sdk_ec2::types::Instance, Error> {
        let mut untried = None;
        let mut subnet = self.launch.subnet.clone().or_else(|| self.config.subnet.clone());
        let chosen = subnet.is_some();
        loop {
            let error = match self.send_to(subnet.as_deref()).await {
                Ok(instance) => return Ok(instance),
                Err(error) => error,
            };
            match error.kind() {
                ErrorKind::Capacity if !chosen => {
                    let untried = match &mut untried {
                        Some(untried) => untried,
                        none => none.insert(self.subnets_by_zone().await?),
                    };
                    subnet = Some(untried.pop().ok_or(error)?);
                    tracing::info!(?subnet, "no capacity: trying another zone");
                }
                ErrorKind::Quota if Instant::now() + QUOTA_PAUSE < deadline => {
                    tracing::info!("a quota is used up: waiting for others to end");
                    tokio::time::sleep(QUOTA_PAUSE).await;
                }
                _ => return Err(error),
            }
        }
    }

    /// One attempt, with a token of its own; repeated with the same token while our own key or group isn't visible.
    async fn send_to(&self, subnet: Option<&str>) -> Result<aws_sdk_ec2::types::Instance, Error> {
        let token = run::random_id()?;
        let _launching = live::Launching::new(token.clone(), self.launch.ec2.clone());
        let tried =
            format!("launch {} as {} in {}", self.launch.image_name(), self.instance_type, self.connection.region);
        let since = Instant::now();
        let mut pause = Duration::from_millis(50);
        loop {
            match sent(self.connection, &tried, self.builder(subnet, &token)).await {
                Ok(instance) => return Ok(instance),
                Err(error) => {
                    let ours = match error.code() {
                        Some("InvalidKeyPair.NotFound") => self.launch.key.is_none() && self.config.key_name.is_none(),
                        Some("InvalidGroup.NotFound") => {
                            self.launch.security_groups.is_none() && self.config.security_groups.is_empty()
                        }
                        _ => false,
                    };
                    if !ours || since.elapsed() > VISIBLE_WITHIN {
                        if ours {
                            per_run::forget(self.connection).await;
                        }
                        return Err(error);
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
            }
        }
    }

    fn builder(&self, subnet: Option<&str>, token: &str) -> RunInstancesFluentBuilder {
        let launch = self.launch;
        let mut builder = self
            .connection
            .client
            .run_instances()
            .image_id(&self.image.id)
            .instance_type(self.instance_type.into())
            .key_name(self.key)
            .set_security_group_ids(Some(self.groups.clone()))
            .set_subnet_id(subnet.map(str::to_owned))
            .set_user_data(launch.user_data.as_ref().map(|text| base64::engine::general_purpose::STANDARD.encode(text)))
            .metadata_options(InstanceMetadataOptionsRequest::builder().http_tokens(HttpTokensState::Required).build());
        for customize in &launch.customize {
            builder = customize(builder);
        }
        let tags = self.tags(&builder);
        let mappings = self.mappings(builder.get_block_device_mappings().clone().unwrap_or_default());
        let types = [ResourceType::Instance, ResourceType::Volume, ResourceType::NetworkInterface];
        // Whoever hands in network interfaces says subnet and groups there; EC2 refuses both together.
        if builder.get_network_interfaces().as_ref().is_some_and(|interfaces| !interfaces.is_empty()) {
            builder = builder.set_security_group_ids(None).set_subnet_id(None);
        }
        builder
            .client_token(token)
            .min_count(1)
            .max_count(1)
            .set_tag_specifications(Some(tags::specifications(&types, &tags)))
            .set_block_device_mappings((!mappings.is_empty()).then_some(mappings))
    }

    /// What the user's own request says, then the launch, then what teardown needs.
    fn tags(&self, builder: &RunInstancesFluentBuilder) -> Vec<Tag> {
        let own: Vec<(String, String)> = builder
            .get_tag_specifications()
            .iter()
            .flatten()
            .filter(|specification| specification.resource_type() == Some(&ResourceType::Instance))
            .flat_map(|specification| specification.tags())
            .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
            .chain([("Name".to_owned(), self.launch.machine_name())])
            .chain(self.launch.tags.iter().cloned())
            .collect();
        tags::tags(self.config, self.connection.run, &own, self.launch.ec2.scope.test_name(), self.config.lease)
    }

    /// The image's own mappings, and those of the request, such that every volume ends with the machine.
    fn mappings(&self, requested: Vec<BlockDeviceMapping>) -> Vec<BlockDeviceMapping> {
        let mut mappings = requested;
        if let Some(image) = &self.image.described {
            for mapping in image.block_device_mappings() {
                let known = mappings.iter().any(|other| other.device_name() == mapping.device_name());
                if !known && mapping.ebs().is_some() {
                    // Of the image's own mapping only what must change: the rest EC2 knows, and some of it it refuses.
                    let ebs = EbsBlockDevice::builder().build();
                    mappings.push(
                        BlockDeviceMapping::builder().set_device_name(mapping.device_name.clone()).ebs(ebs).build(),
                    );
                }
            }
        }
        let root = self.image.described.as_ref().and_then(|image| image.root_device_name());
        for mapping in &mut mappings {
            if let Some(ebs) = &mut mapping.ebs {
                ebs.delete_on_termination = Some(true);
                if self.launch.root_gib.is_some() && mapping.device_name.as_deref() == root {
                    ebs.volume_size = self.launch.root_gib;
                }
            }
        }
        mappings
    }

    async fn subnets_by_zone(&self) -> Result<Vec<String>, Error> {
        let answer = self
            .connection
            .client
            .describe_subnets()
            .filters(Filter::builder().name("default-for-az").values("true").build())
            .send()
            .await
            .map_err(|e| api_error::failed("DescribeSubnets", "find the default subnets", e))?;
        Ok(answer.subnets.unwrap_or_default().into_iter().filter_map(|subnet| subnet.subnet_id).collect())
    }
}
