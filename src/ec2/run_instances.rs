//! RunInstances: the one call that makes machines, and what it takes to get it through.

use super::{
    Ec2,
    image::Image,
    launch::Customize,
    per_run,
    specification::{Key, Specification},
};
use crate::{
    connection::{
        Connection, api_error, once,
        patience::{LOOK_PAUSE, LOOK_PAUSE_MAX, OTHERS_VISIBLE_WITHIN, VISIBLE_WITHIN, pauses, quota_pause},
        tags,
    },
    engine,
    error::{Error, ErrorKind},
    resource::{Ending, INSTANCE},
    run,
    teardown::{journal::Journal, live::Begun, signals},
};
use aws_sdk_ec2::{
    operation::run_instances::builders::RunInstancesFluentBuilder,
    types::{
        BlockDeviceMapping, EbsBlockDevice, Filter, HttpTokensState, InstanceAutoRecoveryState,
        InstanceMaintenanceOptionsRequest, InstanceMetadataOptionsRequest, InstanceNetworkInterfaceSpecification,
        ResourceType, Subnet, TagSpecification,
    },
};
use base64::Engine as _;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// What was launched.
pub(super) struct Launched {
    pub(super) instance: aws_sdk_ec2::types::Instance,
    /// Until its machine is known as living.
    pub(super) launching: Arc<Begun>,
}

/// One RunInstances, with what it takes to get it through.
pub(super) struct Request<'a> {
    pub(super) wanted: &'a Specification,
    pub(super) customize: &'a [Customize],
    pub(super) ec2: &'a Ec2,
    pub(super) image: &'a Image,
    pub(super) key: &'a str,
    pub(super) groups: Vec<String>,
}

impl Request<'_> {
    fn connection(&self) -> &Arc<Connection> {
        &self.ec2.connection
    }

    /// Tries zone after zone while there is no capacity, and waits while a quota is used up.
    pub(super) async fn send(&self, deadline: Instant) -> Result<Launched, Error> {
        let (mut untried, mut tried): (Option<Vec<Place>>, Vec<String>) = (None, Vec::new());
        let mut subnet = self.wanted.network.subnet.clone();
        let chosen = subnet.is_some() || self.says_where();
        let quota_pause = quota_pause(self.connection());
        loop {
            let error = match self.send_to(subnet.as_deref()).await {
                Ok(launched) => return Ok(launched),
                Err(error) => error,
            };
            match error.kind() {
                ErrorKind::Capacity if !chosen => {
                    let untried = match &mut untried {
                        Some(untried) => untried,
                        // What may not be looked at leaves the lack of capacity the reason.
                        none => none.insert(self.places().await.unwrap_or_default()),
                    };
                    let Some(next) = untried.pop() else {
                        if tried.is_empty() {
                            return Err(error);
                        }
                        let (kind, zones) = (&self.wanted.instance_type, tried.join(", "));
                        return Err(error.advise(format!(
                            "EC2 chose a zone itself first, and then {kind} was tried in {zones}; try another instance type, or another region"
                        )));
                    };
                    tracing::info!(?next, "no capacity: trying another zone");
                    tried.push(next.zone);
                    subnet = Some(next.subnet);
                }
                ErrorKind::Quota if Instant::now() + quota_pause < deadline => {
                    tracing::info!("a quota is used up: waiting for others to end");
                    tokio::time::sleep(quota_pause).await;
                }
                _ => return Err(error),
            }
        }
    }

    /// One attempt, with a token of its own; repeated with the same token while its key, group or subnet isn't visible, and
    /// while EC2 throttles it or doesn't answer.
    async fn send_to(&self, subnet: Option<&str>) -> Result<Launched, Error> {
        let token = run::random_id()?;
        let connection = self.connection();
        let journaled = Journal::of(connection).intend(&INSTANCE, &token).await?;
        let launching = Arc::new(Begun::new(journaled, connection.clone()));
        let tried = format!("launch {} as {} in {}", self.wanted.image, self.wanted.instance_type, connection.region);
        // Only now: anyone who ends all that lives either sees this one, or is seen here.
        signals::check(&tried).inspect_err(|_| launching.journaled().settle())?;
        let since = Instant::now();
        let mut pauses = pauses(LOOK_PAUSE, LOOK_PAUSE_MAX);
        // Once: to EC2 another request with the same token is a mistake, and our tags tell the time.
        let request = self.builder(subnet, &token);
        // Whether an earlier try may have made something that EC2 hasn't told of.
        let mut is_unknown = false;
        loop {
            launching.journaled().sent();
            match sent(connection, &tried, request.clone(), launching.clone()).await {
                Ok(instance) => return Ok(Launched { instance, launching }),
                Err(error) => {
                    let ours = match error.code() {
                        Some("InvalidKeyPair.NotFound") => matches!(self.wanted.key, Key::OfRun),
                        Some("InvalidGroup.NotFound") => self.wanted.network.security_groups.is_none(),
                        _ => false,
                    };
                    let patience = match error.code() {
                        Some("InvalidKeyPair.NotFound" | "InvalidGroup.NotFound" | "InvalidSubnetID.NotFound")
                            if !ours =>
                        {
                            connection.paced(OTHERS_VISIBLE_WITHIN)
                        }
                        _ if ours => VISIBLE_WITHIN,
                        // A local EC2 that has ended will not answer again.
                        _ if error.is_transient() && !connection.is_gone().await => VISIBLE_WITHIN,
                        _ => Duration::ZERO,
                    };
                    if since.elapsed() > patience {
                        if ours {
                            per_run::forget(connection).await;
                        }
                        if !is_unknown && error.code().is_some() && !error.is_transient() {
                            launching.journaled().settle();
                        }
                        return Err(error);
                    }
                    is_unknown |= error.is_transient() && error.kind() != ErrorKind::Throttled;
                    pauses.next().await;
                }
            }
        }
    }

    fn builder(&self, subnet: Option<&str>, token: &str) -> RunInstancesFluentBuilder {
        let wanted = self.wanted;
        let mut builder = self
            .connection()
            .client
            .run_instances()
            .image_id(&self.image.id)
            .instance_type(wanted.instance_type.as_str().into())
            .key_name(self.key)
            .set_security_group_ids(Some(self.groups.clone()))
            .set_subnet_id(subnet.map(str::to_owned))
            .set_user_data(wanted.user_data.as_ref().map(|text| base64::engine::general_purpose::STANDARD.encode(text)))
            .metadata_options(InstanceMetadataOptionsRequest::builder().http_tokens(HttpTokensState::Required).build())
            // A machine whose host fails is lost to its test; nobody would expect it back.
            .maintenance_options(
                InstanceMaintenanceOptionsRequest::builder().auto_recovery(InstanceAutoRecoveryState::Disabled).build(),
            );
        for customize in self.customize {
            builder = customize(builder);
        }
        let tags = self.tags(builder.get_tag_specifications().as_deref().unwrap_or_default());
        let mappings = self.mappings(builder.get_block_device_mappings().clone().unwrap_or_default());
        // EC2 refuses subnet and groups beside interfaces: there they are said of each.
        if let Some(interfaces) = builder.get_network_interfaces().clone().filter(|given| !given.is_empty()) {
            let interfaces = interfaces.into_iter().map(|interface| self.interface(interface, subnet)).collect();
            builder = builder.set_security_group_ids(None).set_subnet_id(None);
            builder = builder.set_network_interfaces(Some(interfaces));
        }
        builder
            .client_token(token)
            .min_count(1)
            .max_count(1)
            .set_tag_specifications(Some(tags))
            .set_block_device_mappings((!mappings.is_empty()).then_some(mappings))
    }

    /// Whether the user's own request says where the machine is to stand.
    fn says_where(&self) -> bool {
        let request = self.builder(None, "");
        let interfaces = request.get_network_interfaces().as_deref().unwrap_or_default();
        request.get_subnet_id().is_some()
            || request.get_placement().as_ref().is_some_and(|placement| placement.availability_zone().is_some())
            || interfaces.iter().any(|interface| interface.subnet_id().or(interface.network_interface_id()).is_some())
    }

    /// For each type of what is made: what the user's own request says of it, then the launch, then what teardown needs.
    fn tags(&self, requested: &[TagSpecification]) -> Vec<TagSpecification> {
        let mut types = vec![ResourceType::Instance, ResourceType::Volume, ResourceType::NetworkInterface];
        for kind in requested.iter().filter_map(TagSpecification::resource_type) {
            if !types.contains(kind) {
                types.push(kind.clone());
            }
        }
        let tags_of = |kind: &ResourceType| {
            let of_kind = requested.iter().filter(|specification| specification.resource_type() == Some(kind));
            let own: Vec<(String, String)> = of_kind
                .flat_map(TagSpecification::tags)
                .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
                .chain([("Name".to_owned(), self.wanted.name.clone())])
                .chain(self.wanted.tags.iter().cloned())
                .collect();
            let (ec2, test) = (self.ec2, self.ec2.scope.test_name());
            let tags = tags::tags(&ec2.config, self.connection().run, &own, test, ec2.config.lease);
            TagSpecification::builder().resource_type(kind.clone()).set_tags(Some(tags)).build()
        };
        types.iter().map(tags_of).collect()
    }

    /// A network interface of the request, in the launch's subnet and groups unless it says otherwise; one that exists has its own.
    fn interface(
        &self,
        mut interface: InstanceNetworkInterfaceSpecification,
        subnet: Option<&str>,
    ) -> InstanceNetworkInterfaceSpecification {
        if interface.network_interface_id.is_none() {
            interface.groups.get_or_insert_with(|| self.groups.clone());
            interface.subnet_id = interface.subnet_id.or_else(|| subnet.map(str::to_owned));
        }
        interface
    }

    /// The mappings of the request, and those of the image's that must change: such that every volume ends with the machine, and the
    /// root has its size.
    fn mappings(&self, mut mappings: Vec<BlockDeviceMapping>) -> Vec<BlockDeviceMapping> {
        let image = self.image.described.as_ref();
        let root = image.and_then(|image| image.root_device_name());
        for mapping in image.into_iter().flat_map(|image| image.block_device_mappings()) {
            let Some(ebs) = mapping.ebs() else { continue };
            let is_known = mappings.iter().any(|other| other.device_name() == mapping.device_name());
            let is_as_wanted = ebs.delete_on_termination() == Some(true)
                && !(self.wanted.root_gib.is_some() && mapping.device_name() == root);
            if !is_known && !is_as_wanted {
                // Only what must change of it: EC2 knows the rest, and refuses parts of it.
                let ebs = EbsBlockDevice::builder().build();
                mappings
                    .push(BlockDeviceMapping::builder().set_device_name(mapping.device_name.clone()).ebs(ebs).build());
            }
        }
        for mapping in &mut mappings {
            if let Some(ebs) = &mut mapping.ebs {
                ebs.delete_on_termination = Some(true);
                if self.wanted.root_gib.is_some() && mapping.device_name.as_deref() == root {
                    ebs.volume_size = self.wanted.root_gib;
                }
            }
        }
        mappings
    }

    /// Where it can be tried: a default subnet of each zone, the first one last.
    async fn places(&self) -> Result<Vec<Place>, Error> {
        let answer = self
            .connection()
            .client
            .describe_subnets()
            .filters(Filter::builder().name("default-for-az").values("true").build())
            .send()
            .await
            .map_err(|e| api_error::failed("DescribeSubnets", "find the default subnets", e))?;
        let place = |subnet: Subnet| Some(Place { zone: subnet.availability_zone?, subnet: subnet.subnet_id? });
        let mut places: Vec<_> = answer.subnets.unwrap_or_default().into_iter().filter_map(place).collect();
        places.sort_by(|one, other| other.zone.cmp(&one.zone));
        Ok(places)
    }
}

/// A subnet, and the zone that it is in.
#[derive(Debug)]
struct Place {
    zone: String,
    subnet: String,
}

/// Sends a RunInstances that is never abandoned: should nobody wait for its answer any more, what it has made is ended.
async fn sent(
    connection: &Arc<Connection>,
    tried: &str,
    builder: RunInstancesFluentBuilder,
    launching: Arc<Begun>,
) -> Result<aws_sdk_ec2::types::Instance, Error> {
    let (answered, answer) = oneshot::channel();
    let (connection, task_tried) = (connection.clone(), tried.to_owned());
    // A task of its own, on the engine: it goes on when this future is dropped.
    tokio::spawn(async move {
        // The SDK takes a lack of capacity for something that passes, and would try for long where another zone has some.
        let result = match builder.customize().config_override(once()).send().await {
            Ok(answer) => answer
                .instances
                .unwrap_or_default()
                .into_iter()
                .next()
                .map(|instance| Unclaimed { connection, instance: Some(instance), launching })
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
    launching: Arc<Begun>,
}

impl Unclaimed {
    fn claim(mut self) -> Option<aws_sdk_ec2::types::Instance> {
        self.instance.take()
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        let Some(id) = self.instance.take().and_then(|instance| instance.instance_id) else { return };
        let (connection, launching) = (self.connection.clone(), self.launching.clone());
        let ending = engine::spawn(async move {
            match (INSTANCE.end)(&connection, vec![Ending { id, seen: false }]).await {
                Ok(()) => launching.journaled().settle(),
                Err(left) => tracing::error!("failed to {}", left.error),
            }
        });
        if let Err(error) = ending {
            tracing::error!("failed to {error}");
        }
    }
}
