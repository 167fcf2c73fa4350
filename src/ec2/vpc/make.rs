//! How a VPC is made: itself, and then all that isn't there yet of what it needs.

use super::{
    NewVpc, Place, Vpc, VpcHandle,
    find::{self, until},
    plan::{Part, Plan},
};
use crate::{
    config::check_tags,
    connection::{
        api_error, once,
        patience::{OTHERS_VISIBLE_WITHIN, VISIBLE_WITHIN, until_answered, until_visible, until_visible_within},
    },
    ec2::{
        Ec2,
        creation::{Attempt, Creation},
        guard::Guard,
        made::Made,
    },
    error::{Error, ErrorKind},
    resource::{INTERNET_GATEWAY, Kind, SUBNET, VPC, inside},
    teardown::owned::{Owned, end_all},
};
use aws_sdk_ec2::types::{
    AttributeBooleanValue, AvailabilityZoneState, Filter, InternetGateway, SubnetState, VpcCidrBlockStateCode, VpcState,
};
use futures_util::future::join_all;
use ipnet::Ipv6Net;
use std::sync::Arc;

/// Where all goes that the subnets of a VPC don't hold.
const ANYWHERE: &str = "0.0.0.0/0";
const ANYWHERE6: &str = "::/0";

/// What makes one VPC.
pub(super) struct Maker<'a> {
    ec2: &'a Ec2,
    new: &'a NewVpc,
    plan: Plan,
    tried: String,
    /// Tags beside the configuration's and our own.
    tags: Vec<(String, String)>,
}

/// A guard of something that was made.
pub(super) type GuardOf = Guard<Arc<Made>>;

/// Makes a VPC with all that it needs.
pub(super) async fn create(ec2: &Ec2, new: &NewVpc) -> Result<Vpc, Error> {
    let maker = Maker::of(ec2, new, &[])?;
    let subnets = maker.subnets().await?;
    let vpc = maker.vpc().await?;
    let mut parts = Vec::new();
    match maker.complete(vpc.owned(), subnets, true, &mut parts).await {
        Ok(places) => Ok(Vpc::new(VpcHandle::made_with(vpc.owned().clone(), places), parts, vpc)),
        Err(error) => {
            parts.push(vpc);
            let owned = parts.into_iter().map(|part| Arc::new(part.disarm()) as Arc<dyn Owned>);
            Err(match end_all(owned.collect()).await {
                Ok(()) => error,
                Err(left) => error.with_evidence("what could not be ended", format!("failed to {left}")),
            })
        }
    }
}

impl<'a> Maker<'a> {
    /// # Errors
    ///
    /// A range or a tag is such as EC2 would never take.
    pub(super) fn of(ec2: &'a Ec2, new: &'a NewVpc, tags: &[(String, String)]) -> Result<Self, Error> {
        let tried = format!("create the VPC {}", new.range);
        let plan = Plan::of(new, &tried)?;
        check_tags(&ec2.config.tags, &new.tags)
            .map_err(|reason| Error::new(ErrorKind::Configuration, &tried).because(reason))?;
        let tags = new.tags.iter().chain(tags).cloned().collect();
        Ok(Self { ec2, new, plan, tried, tags })
    }

    /// Its subnets to be.
    pub(super) async fn subnets(&self) -> Result<Vec<Part>, Error> {
        let configured = &self.ec2.config.zones;
        let zones = match self.plan.needs_zones() {
            true if configured.is_empty() => self.zones().await?,
            true => configured.clone(),
            false => Vec::new(),
        };
        self.plan.subnets(zones, &self.tried)
    }

    /// The region's zones that the account can use.
    async fn zones(&self) -> Result<Vec<String>, Error> {
        let connection = &self.ec2.connection;
        let tried = format!("find the zones of {}", connection.region);
        let by = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
        let answer = until_answered(connection, || async {
            let call = connection.client.describe_availability_zones().filters(by("zone-type", "availability-zone"));
            call.send().await.map_err(|e| api_error::failed("DescribeAvailabilityZones", &tried, e))
        });
        let zones = answer.await?.availability_zones.unwrap_or_default().into_iter();
        let zones = zones.filter(|zone| zone.state() == Some(&AvailabilityZoneState::Available));
        Ok(zones.filter_map(|zone| zone.zone_name).collect())
    }

    /// Makes one thing.
    async fn creation<F>(
        &self,
        kind: &'static Kind,
        tried: &str,
        of_ours: bool,
        call: impl Fn(Attempt) -> F + Send + Sync + 'static,
    ) -> Result<GuardOf, Error>
    where
        F: Future<Output = Result<String, Error>> + Send,
    {
        let name = self.new.name.clone().or_else(|| self.ec2.scope.test_name().map(str::to_owned));
        let creation = Creation {
            ec2: self.ec2.clone(),
            kind,
            tried: tried.to_owned(),
            name: name.unwrap_or_else(|| "ec2-harness".into()),
            tags: self.tags.clone(),
            of_ours,
        };
        creation.send(call).await
    }

    /// Makes the VPC itself.
    pub(super) async fn vpc(&self) -> Result<GuardOf, Error> {
        let call = self.ec2.connection.client.create_vpc().cidr_block(self.plan.range.to_string());
        let (call, tried) =
            (call.set_amazon_provided_ipv6_cidr_block(self.new.ipv6.then_some(true)), self.tried.clone());
        self.creation(&VPC, &self.tried, false, move |attempt| {
            let (call, tried) = (call.clone().set_tag_specifications(Some(attempt.tags)), tried.clone());
            async move {
                let answer = call.customize().config_override(once()).send().await;
                let answer = answer.map_err(|e| match api_error::failed("CreateVpc", &tried, e) {
                    error if error.code() == Some("VpcLimitExceeded") => error.advise(
                        "delete VPCs that nobody needs (`ec2-harness sweep`), share one by `get_or_create_vpc(name)`, or ask AWS for a higher \
                         quota: by default it is five in a region",
                    ),
                    error => error,
                })?;
                answer.vpc.and_then(|vpc| vpc.vpc_id).ok_or_else(|| nothing(tried))
            }
        })
        .await
    }

    /// Makes what a VPC hasn't of what it needs; whoever else does so at the same time comes to the same. The guards of what was made
    /// are added to the parts, also where something else fails.
    pub(super) async fn complete(
        &self,
        vpc: &Arc<Made>,
        subnets: Vec<Part>,
        of_ours: bool,
        parts: &mut Vec<GuardOf>,
    ) -> Result<Vec<Place>, Error> {
        let ranges6 = self.available(vpc).await?;
        let making = subnets.iter().enumerate().map(|(number, part)| {
            let range6 = ranges6.and_then(|range| range.subnets(64).ok()?.nth(number));
            self.subnet(vpc, part, range6, of_ours)
        });
        let (made, gateway) = tokio::join!(join_all(making), self.gateway(vpc, of_ours));
        let mut failed = None;
        let mut places = Vec::new();
        for (part, made) in subnets.iter().zip(made) {
            match made {
                Ok(guard) => {
                    places.push(Place { zone: part.zone.clone(), subnet: guard.owned().id().to_owned() });
                    parts.push(guard);
                }
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        match gateway {
            Ok(guard) => parts.extend(guard),
            Err(error) => drop(failed.get_or_insert(error)),
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let settings = places.iter().map(|place| self.set_up(&place.subnet, ranges6.is_some()));
        let (gateway, names, settings) =
            tokio::join!(self.lead_outside(vpc, parts), self.name_addresses(vpc), join_all(settings));
        gateway.and(names).and(settings.into_iter().collect::<Result<(), Error>>())?;
        places.sort_by(|one, other| one.zone.cmp(&other.zone));
        Ok(places)
    }

    /// Waits until the VPC is available; its IPv6 range, if it is to have one.
    async fn available(&self, vpc: &Arc<Made>) -> Result<Option<Ipv6Net>, Error> {
        let tried = format!("wait for {vpc}");
        until(self.ec2, &tried, || async {
            let described = find::described(vpc, VISIBLE_WITHIN).await?;
            if described.state() != Some(&VpcState::Available) {
                return Ok(None);
            }
            if !self.new.ipv6 {
                return Ok(Some(None));
            }
            let associated = described.ipv6_cidr_block_association_set().iter().find(|range| {
                let state = range.ipv6_cidr_block_state().and_then(|state| state.state());
                state == Some(&VpcCidrBlockStateCode::Associated)
            });
            Ok(associated.and_then(|range| range.ipv6_cidr_block()?.parse().ok()).map(Some))
        })
        .await
    }

    /// Makes a subnet, or takes the one that is there, and waits until it is available.
    async fn subnet(&self, vpc: &Made, part: &Part, range6: Option<Ipv6Net>, of_ours: bool) -> Result<GuardOf, Error> {
        let tried = format!("create the subnet {} in {} of {}", part.range, part.zone, vpc.id());
        let connection = self.ec2.connection.clone();
        let call = connection.client.create_subnet().vpc_id(vpc.id()).cidr_block(part.range.to_string());
        let call = call.availability_zone(&part.zone).set_ipv6_cidr_block(range6.map(|range| range.to_string()));
        let by = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
        let same = vec![inside(vpc.id()), by("cidr-block", &part.range.to_string())];
        let trying = tried.clone();
        let guard = self
            .creation(&SUBNET, &tried, of_ours, move |attempt| {
                let call = call.clone().set_tag_specifications(Some(attempt.tags));
                let (tried, connection, same) = (trying.clone(), connection.clone(), same.clone());
                async move {
                    let answer = call.customize().config_override(once()).send().await;
                    match answer.map_err(|e| api_error::failed("CreateSubnet", &tried, e)) {
                        // An earlier try has made it, or somebody who completes the same VPC.
                        Err(error) if error.code() == Some("InvalidSubnet.Conflict") => {
                            let limit = connection.paced(OTHERS_VISIBLE_WITHIN);
                            let found = until_visible_within(limit, || async {
                                let found = (SUBNET.find)(&connection, same.clone()).await?.into_iter().next();
                                found.map(|found| found.id).ok_or_else(|| nothing_seen(&tried))
                            });
                            found.await.map_err(|_| error)
                        }
                        answer => {
                            answer?.subnet.and_then(|subnet| subnet.subnet_id).ok_or_else(|| nothing(tried.clone()))
                        }
                    }
                }
            })
            .await?;
        let (id, client) = (guard.owned().id(), &self.ec2.connection.client);
        until(self.ec2, &format!("wait for the subnet {id}"), || async {
            let call = client.describe_subnets().subnet_ids(id).send().await;
            let answer = call.map_err(|e| api_error::failed("DescribeSubnets", &tried, e))?;
            let state = answer.subnets().first().and_then(|subnet| subnet.state());
            Ok((state == Some(&SubnetState::Available)).then_some(()))
        })
        .await?;
        guard.owned().was_shown();
        Ok(guard)
    }

    /// Has machines in a subnet get addresses by which they are reached.
    async fn set_up(&self, subnet: &str, ipv6: bool) -> Result<(), Error> {
        let tried = format!("have machines in {subnet} get addresses");
        let yes = || AttributeBooleanValue::builder().value(true).build();
        let change = || self.ec2.connection.client.modify_subnet_attribute().subnet_id(subnet);
        // EC2 takes one attribute a call.
        let public = self.new.gateway.then(|| change().map_public_ip_on_launch(yes()));
        let ipv6 = ipv6.then(|| change().assign_ipv6_address_on_creation(yes()));
        for call in public.into_iter().chain(ipv6) {
            self.insist(|| async {
                let answer = call.clone().send().await;
                answer.map(drop).map_err(|e| api_error::failed("ModifySubnetAttribute", &tried, e))
            })
            .await?;
        }
        Ok(())
    }

    /// Has public addresses have names, as in a default VPC.
    async fn name_addresses(&self, vpc: &Made) -> Result<(), Error> {
        let tried = format!("have addresses in {} have names", vpc.id());
        let yes = AttributeBooleanValue::builder().value(true).build();
        let call = self.ec2.connection.client.modify_vpc_attribute().vpc_id(vpc.id()).enable_dns_hostnames(yes);
        self.insist(|| async {
            let answer = call.clone().send().await;
            answer.map(drop).map_err(|e| api_error::failed("ModifyVpcAttribute", &tried, e))
        })
        .await
    }

    /// The gateways that are attached to it.
    async fn gateways(&self, vpc: &Made) -> Result<Vec<InternetGateway>, Error> {
        let tried = format!("find the internet gateway of {}", vpc.id());
        let attached = Filter::builder().name("attachment.vpc-id").values(vpc.id()).build();
        let call = self.ec2.connection.client.describe_internet_gateways().filters(attached);
        let answer = until_answered(&self.ec2.connection, || async {
            call.clone().send().await.map_err(|e| api_error::failed("DescribeInternetGateways", &tried, e))
        });
        Ok(answer.await?.internet_gateways.unwrap_or_default())
    }

    /// Makes a gateway and attaches it, unless there is to be none, or is one.
    async fn gateway(&self, vpc: &Arc<Made>, of_ours: bool) -> Result<Option<GuardOf>, Error> {
        if !self.new.gateway || (!of_ours && !self.gateways(vpc).await?.is_empty()) {
            return Ok(None);
        }
        let tried = format!("create an internet gateway for {}", vpc.id());
        let (call, trying) = (self.ec2.connection.client.create_internet_gateway(), tried.clone());
        let guard = self
            .creation(&INTERNET_GATEWAY, &tried, of_ours, move |attempt| {
                let (call, tried) = (call.clone().set_tag_specifications(Some(attempt.tags)), trying.clone());
                async move {
                    let answer = call.customize().config_override(once()).send().await;
                    let answer = answer.map_err(|e| api_error::failed("CreateInternetGateway", &tried, e))?;
                    answer.internet_gateway.and_then(|it| it.internet_gateway_id).ok_or_else(|| nothing(tried))
                }
            })
            .await?;
        let (id, tried) = (guard.owned().id().to_owned(), format!("attach the internet gateway to {}", vpc.id()));
        let call = self.ec2.connection.client.attach_internet_gateway().internet_gateway_id(&id).vpc_id(vpc.id());
        let attached = self.insist(|| async {
            let answer = call.clone().send().await;
            answer.map(drop).map_err(|e| api_error::failed("AttachInternetGateway", &tried, e))
        });
        match attached.await {
            Ok(()) => Ok(Some(guard)),
            // An earlier try has come through, or somebody who completes the same VPC was faster.
            Err(error) if error.kind() == ErrorKind::Api => {
                let attached = until(self.ec2, &tried, || async {
                    Ok(self.gateways(vpc).await?.into_iter().find_map(|gateway| gateway.internet_gateway_id))
                });
                if attached.await? == id {
                    return Ok(Some(guard));
                }
                end_all(vec![Arc::new(guard.disarm())]).await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Leads all that goes elsewhere to the gateway, by the main route table, which all subnets have.
    async fn lead_outside(&self, vpc: &Made, parts: &[GuardOf]) -> Result<(), Error> {
        if !self.new.gateway {
            return Ok(());
        }
        let tried = format!("lead what leaves {} to its internet gateway", vpc.id());
        let made = parts.iter().map(Guard::owned).find(|part| part.identity.kind == &INTERNET_GATEWAY);
        let gateway = match made {
            Some(made) => made.id().to_owned(),
            None => {
                until(self.ec2, &tried, || async {
                    Ok(self.gateways(vpc).await?.into_iter().find_map(|gateway| gateway.internet_gateway_id))
                })
                .await?
            }
        };
        let client = &self.ec2.connection.client;
        let main = Filter::builder().name("association.main").values("true").build();
        let table = until(self.ec2, &tried, || async {
            let call = client.describe_route_tables().filters(inside(vpc.id())).filters(main.clone()).send().await;
            let answer = call.map_err(|e| api_error::failed("DescribeRouteTables", &tried, e))?;
            Ok(answer.route_tables.into_iter().flatten().find_map(|table| table.route_table_id))
        })
        .await?;
        let route = || client.create_route().route_table_id(&table).gateway_id(&gateway);
        let everywhere = [
            Some(route().destination_cidr_block(ANYWHERE)),
            self.new.ipv6.then(|| route().destination_ipv6_cidr_block(ANYWHERE6)),
        ];
        for call in everywhere.into_iter().flatten() {
            self.insist(|| async {
                match call.clone().send().await.map_err(|e| api_error::failed("CreateRoute", &tried, e)) {
                    // An earlier try has made it, or somebody who completes the same VPC.
                    Err(error) if error.code() == Some("RouteAlreadyExists") => Ok(()),
                    other => other.map(drop),
                }
            })
            .await?;
        }
        Ok(())
    }

    /// Tries a call again while EC2 doesn't answer, or doesn't see yet what we have just made.
    async fn insist<T, F>(&self, call: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        until_visible(|| until_answered(&self.ec2.connection, &call)).await
    }
}

fn nothing(tried: String) -> Error {
    Error::new(ErrorKind::Internal, tried).because("EC2 answered without its id")
}

fn nothing_seen(tried: &str) -> Error {
    Error::new(ErrorKind::NotFound, tried).because("EC2 doesn't show it")
}
