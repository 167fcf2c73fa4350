//! RunInstances: the one call that makes machines, and what it takes to get it through.

mod places;
mod request;

use super::{
    Ec2, VpcHandle,
    image::{self, Image},
    launch::Customize,
    per_run,
    specification::{Key, Specification},
};
use crate::{
    caps::{self, Reservation},
    config::Spot,
    connection::{
        Connection, api_error, once,
        patience::{LOOK_PAUSE, LOOK_PAUSE_MAX, OTHERS_VISIBLE_WITHIN, VISIBLE_WITHIN, pauses, quota_pause},
    },
    engine,
    error::{Error, ErrorKind},
    resource::{Ending, INSTANCE, spot_request_of},
    run,
    teardown::{journal::Journal, live::Begun, signals},
};
use aws_sdk_ec2::{operation::run_instances::builders::RunInstancesFluentBuilder, types::Instance as Description};
use places::Places;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// What was launched.
pub(super) struct Launched {
    pub(super) instances: Vec<Description>,
    /// Until its machine is known as living.
    pub(super) launching: Arc<Begun>,
    /// One of each, where instances are capped.
    pub(super) reservations: Vec<Reservation>,
    pub(super) image: Image,
    /// The devices of the volumes that the launch asks for, in its order.
    pub(super) devices: Vec<String>,
}

/// One RunInstances, with what it takes to get it through.
pub(super) struct Request<'a> {
    pub(super) wanted: &'a Specification,
    pub(super) customize: &'a [Customize],
    pub(super) ec2: &'a Ec2,
    pub(super) key: &'a str,
    pub(super) groups: Vec<String>,
    /// For each of the types.
    pub(super) images: &'a [Image],
}

/// One of the ways in which a launch may be tried.
#[derive(Clone, Copy)]
struct Variant<'a> {
    instance_type: &'a str,
    image: &'a Image,
    is_spot: bool,
}

impl Variant<'_> {
    /// What a person calls it.
    fn name(&self) -> String {
        if self.is_spot { format!("{} as a Spot Instance", self.instance_type) } else { self.instance_type.to_owned() }
    }
}

impl Request<'_> {
    fn connection(&self) -> &Arc<Connection> {
        &self.ec2.connection
    }

    /// Tries type after type, and of each zone after zone, while there is no capacity; waits while a quota is used up.
    pub(super) async fn send(&self, deadline: Instant) -> Result<Launched, Error> {
        let markets: &[bool] = match self.wanted.spot {
            Spot::No => &[false],
            Spot::Only => &[true],
            Spot::OrOnDemand => &[true, false],
        };
        let types = || self.wanted.instance_types.iter().zip(self.images);
        let variants: Vec<Variant<'_>> = markets
            .iter()
            .flat_map(|&is_spot| types().map(move |(instance_type, image)| Variant { instance_type, image, is_spot }))
            .collect();
        let (mut places, mut tried, mut first) = (Places::of(self), Vec::new(), None);
        for (n, variant) in variants.iter().enumerate() {
            let rest = &variants[n + 1..];
            // A quota of Spot Instances says nothing of those on demand.
            let waits = !(variant.is_spot && rest.iter().any(|other| !other.is_spot));
            let error = match self.send_as(*variant, &mut places, waits.then_some(deadline), &mut tried).await {
                Ok(launched) => return Ok(launched),
                Err(error) => error,
            };
            match error.kind() {
                ErrorKind::Capacity if !rest.is_empty() => {}
                ErrorKind::Quota if !waits => {}
                ErrorKind::Capacity if !tried.is_empty() => {
                    let all = tried.join("; ");
                    return Err(error.advise(format!(
                        "{}{all}; try another instance type, or another region",
                        places.said_before()
                    )));
                }
                _ => return Err(error),
            }
            tracing::info!(
                "{}: trying {}: {error}",
                variant.name(),
                rest.first().map(Variant::name).unwrap_or_default()
            );
            first.get_or_insert(error);
        }
        // Only where there was nothing to try.
        Err(first.unwrap_or_else(|| Error::new(ErrorKind::Internal, "launch").because("no instance type was named")))
    }

    /// Tries a variant in zone after zone; waits for a quota until the deadline, if there is one.
    async fn send_as(
        &self,
        variant: Variant<'_>,
        places: &mut Places,
        deadline: Option<Instant>,
        tried: &mut Vec<String>,
    ) -> Result<Launched, Error> {
        let mut reservations = Vec::new();
        for _ in 0..self.wanted.count {
            reservations.extend(caps::reserve(self.connection(), &self.ec2.config, variant.instance_type).await?);
        }
        let (quota_pause, since) = (quota_pause(self.connection()), Instant::now());
        let (mut zones, mut untried) = (Vec::new(), None);
        let mut place = places.first(self).await?;
        let error = loop {
            let error = match self.send_to(variant, place.subnet.as_deref()).await {
                Ok((instances, launching)) => {
                    let devices = self.devices(variant);
                    let image = variant.image.clone();
                    return Ok(Launched { instances, launching, reservations, image, devices });
                }
                Err(error) => error,
            };
            match error.kind() {
                ErrorKind::Capacity => {
                    zones.extend(place.zone.take().filter(|_| !place.again));
                    let untried = match &mut untried {
                        Some(untried) => untried,
                        none => none.insert(places.others(self).await),
                    };
                    let Some(next) = untried.pop() else { break error };
                    tracing::info!(?next, "no capacity: trying another zone");
                    if next.again && !place.again {
                        tokio::time::sleep(quota_pause).await;
                    }
                    place = next;
                }
                ErrorKind::Quota if deadline.is_some_and(|deadline| Instant::now() + quota_pause < deadline) => {
                    tracing::info!("a quota is used up: waiting for others to end");
                    tokio::time::sleep(quota_pause).await;
                }
                _ => return Err(api_error::after_waiting(error, since.elapsed())),
            }
        };
        if !zones.is_empty() {
            tried.push(format!("{} was tried in {}", variant.name(), zones.join(", ")));
        }
        Err(error)
    }

    /// One attempt, with a token of its own; repeated with the same token while its key, group or subnet isn't visible, and
    /// while EC2 throttles it or doesn't answer.
    async fn send_to(
        &self,
        variant: Variant<'_>,
        subnet: Option<&str>,
    ) -> Result<(Vec<Description>, Arc<Begun>), Error> {
        let token = run::random_id()?;
        let connection = self.connection();
        let journaled = Journal::of(connection).intend_many(&INSTANCE, &token, self.wanted.count.into()).await?;
        let launching = Arc::new(Begun::new(journaled, connection.clone()));
        let tried = format!("launch {} as {} in {}", self.wanted.image, variant.name(), connection.region);
        // Only now: anyone who ends all that lives either sees this one, or is seen here.
        signals::check(&tried).inspect_err(|_| launching.journaled().settle())?;
        let since = Instant::now();
        let mut pauses = pauses(LOOK_PAUSE, LOOK_PAUSE_MAX);
        // Once: to EC2 another request with the same token is a mistake, and our tags tell the time.
        let request = self.builder(variant, subnet, &token);
        // Whether an earlier try may have made something that EC2 hasn't told of.
        let mut is_unknown = false;
        loop {
            launching.journaled().sent();
            match sent(connection, &tried, request.clone(), launching.clone()).await {
                Ok(instances) => return Ok((instances, launching)),
                Err(error) => {
                    let ours = match error.code() {
                        Some("InvalidKeyPair.NotFound") => matches!(self.wanted.key, Key::OfRun(_)),
                        Some("InvalidGroup.NotFound") => self.wanted.network.security_groups.is_none(),
                        Some("InvalidSubnetID.NotFound") => {
                            self.wanted.network.vpc.as_ref().is_some_and(VpcHandle::is_ours)
                        }
                        _ => false,
                    };
                    let patience = match error.code() {
                        Some(
                            "InvalidAMIID.NotFound"
                            | "InvalidKeyPair.NotFound"
                            | "InvalidGroup.NotFound"
                            | "InvalidSubnetID.NotFound",
                        ) if !ours => connection.paced(OTHERS_VISIBLE_WITHIN),
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
                        return Err(image::advised(error, connection, variant.instance_type, variant.image));
                    }
                    is_unknown |= error.is_transient() && error.kind() != ErrorKind::Throttled;
                    pauses.next().await;
                }
            }
        }
    }
}

/// Sends a RunInstances that is never abandoned: should nobody wait for its answer any more, what it has made is ended.
async fn sent(
    connection: &Arc<Connection>,
    tried: &str,
    builder: RunInstancesFluentBuilder,
    launching: Arc<Begun>,
) -> Result<Vec<Description>, Error> {
    let (answered, answer) = oneshot::channel();
    let (connection, task_tried) = (connection.clone(), tried.to_owned());
    // A task of its own, on the engine: it goes on when this future is dropped.
    tokio::spawn(async move {
        // The SDK takes a lack of capacity for something that passes, and would try for long where another zone has some.
        let result = match builder.customize().config_override(once()).send().await {
            Ok(answer) => match answer.instances.filter(|instances| !instances.is_empty()) {
                Some(instances) => Ok(Unclaimed { connection, instances: Some(instances), launching }),
                None => Err(Error::new(ErrorKind::Internal, task_tried).because("EC2 answered without an instance")),
            },
            Err(e) => Err(api_error::failed("RunInstances", task_tried, e)),
        };
        // Dropped here, or within the channel, it is ended.
        let _ = answered.send(result);
    });
    let lost = || Error::new(ErrorKind::Internal, tried).because("the call was lost within ec2-harness");
    answer.await.map_err(|_| lost())??.claim().ok_or_else(lost)
}

/// Instances that nobody has taken charge of yet.
struct Unclaimed {
    connection: Arc<Connection>,
    instances: Option<Vec<Description>>,
    launching: Arc<Begun>,
}

impl Unclaimed {
    fn claim(mut self) -> Option<Vec<Description>> {
        self.instances.take()
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        let Some(instances) = self.instances.take() else { return };
        let endings: Vec<Ending> = instances
            .iter()
            .filter_map(|instance| {
                Some(Ending { spot_request: spot_request_of(instance), ..Ending::new(instance.instance_id()?, false) })
            })
            .collect();
        let (connection, launching) = (self.connection.clone(), self.launching.clone());
        let ending = engine::spawn(async move {
            match (INSTANCE.end)(&connection, endings).await {
                Ok(()) => launching.journaled().settle(),
                Err(left) => tracing::error!("failed to {}", left.error),
            }
        });
        if let Err(error) = ending {
            tracing::error!("failed to {error}");
        }
    }
}
