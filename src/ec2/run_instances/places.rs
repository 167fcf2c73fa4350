//! Where a launch is tried: in the one place that was said, in the zones that were said, or in whichever EC2 chooses and then in the
//! others; in a VPC of one's own in its subnets.

use super::Request;
use crate::{
    connection::{api_error, patience::until_answered},
    ec2::{VpcHandle, vpc::Place as InVpc},
    error::{Error, ErrorKind},
};
use aws_sdk_ec2::types::{Filter, Subnet};

/// A subnet, and the zone that it is in; of neither anything is known where EC2 chooses.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    pub(super) zone: Option<String>,
    pub(super) subnet: Option<String>,
    /// Whether it was tried before.
    pub(super) again: bool,
}

/// How often the zones of a VPC are gone through again: it has few of them, and capacity comes back.
const ROUNDS: usize = 2;

/// Where a launch may be tried.
#[derive(Debug)]
pub(super) enum Places {
    /// There and nowhere else: in this subnet, or where the request itself says.
    Said(Option<String>),
    /// In these zones.
    Zones(Vec<String>),
    /// In the VPC's subnets in these zones, or in any.
    Vpc(VpcHandle, Vec<String>),
    /// In any; these are known once they were looked up, the first one last.
    Any(Option<Vec<Place>>),
}

impl Places {
    pub(super) fn of(request: &Request<'_>) -> Self {
        let wanted = request.wanted;
        match &wanted.network.subnet {
            Some(subnet) => Self::Said(Some(subnet.clone())),
            None if request.says_where() => Self::Said(None),
            None if wanted.network.vpc.is_some() => {
                let vpc = wanted.network.vpc.clone();
                vpc.map_or(Self::Any(None), |vpc| Self::Vpc(vpc, wanted.zones.clone()))
            }
            None if !wanted.zones.is_empty() => Self::Zones(wanted.zones.clone()),
            None => Self::Any(None),
        }
    }

    /// Where it is tried first.
    pub(super) async fn first(&mut self, request: &Request<'_>) -> Result<Place, Error> {
        match self {
            Self::Said(subnet) => Ok(Place { subnet: subnet.clone(), ..Place::default() }),
            Self::Vpc(vpc, zones) => in_vpc(vpc, zones).await.map(|places| places[0].clone()),
            Self::Any(_) => Ok(Place::default()),
            Self::Zones(zones) => in_zone(request, &zones[0]).await,
        }
    }

    /// Where else, the next one last. What may not be looked at leaves the lack of capacity the reason.
    pub(super) async fn others(&mut self, request: &Request<'_>) -> Vec<Place> {
        match self {
            Self::Said(_) => Vec::new(),
            Self::Vpc(vpc, zones) => {
                let places = in_vpc(vpc, zones).await.unwrap_or_default();
                // Another type is a better chance than another try.
                let rounds = if request.wanted.instance_types.len() == 1 { ROUNDS } else { 0 };
                let again = places.iter().cloned().map(|place| Place { again: true, ..place }).collect::<Vec<_>>();
                let mut others: Vec<Place> = places.into_iter().skip(1).collect();
                (0..rounds).for_each(|_| others.extend(again.iter().cloned()));
                others.reverse();
                others
            }
            Self::Any(Some(known)) => known.clone(),
            Self::Any(unknown) => {
                let known = defaults(request).await.unwrap_or_default();
                unknown.insert(known).clone()
            }
            Self::Zones(zones) => {
                let known = defaults(request).await.unwrap_or_default();
                let of = |zone: &String| known.iter().find(|place| place.zone.as_ref() == Some(zone)).cloned();
                zones[1..].iter().rev().filter_map(of).collect()
            }
        }
    }

    /// What an error says before the places that were tried.
    pub(super) fn said_before(&self) -> &'static str {
        if matches!(self, Self::Any(_)) { "EC2 chose a zone itself first, and then " } else { "" }
    }
}

/// Where a VPC has subnets, in the order of these zones, if any are named; one at least.
async fn in_vpc(vpc: &VpcHandle, zones: &[String]) -> Result<Vec<Place>, Error> {
    let all = vpc.places().await?;
    let in_zone = |zone: &String| all.iter().filter(|place| place.zone == *zone).cloned().collect::<Vec<_>>();
    let chosen: Vec<_> = if zones.is_empty() { all.clone() } else { zones.iter().flat_map(in_zone).collect() };
    if chosen.is_empty() {
        let has: Vec<&str> = all.iter().map(|place| place.zone.as_str()).collect();
        return Err(Error::new(ErrorKind::NotFound, format!("launch in {vpc} in {}", zones.join(", ")))
            .because(format!("it has no subnet there; it has some in {}", has.join(", ")))
            .advise("name one of these zones, or make the VPC with `.zones(..)`"));
    }
    let place = |place: InVpc| Place { zone: Some(place.zone), subnet: Some(place.subnet), again: false };
    Ok(chosen.into_iter().map(place).collect())
}

/// The default subnet of a zone.
async fn in_zone(request: &Request<'_>, zone: &str) -> Result<Place, Error> {
    let known = defaults(request).await?;
    if let Some(place) = known.iter().find(|place| place.zone.as_deref() == Some(zone)) {
        return Ok(place.clone());
    }
    let tried = format!("launch {} in the zone {zone}", request.wanted.image);
    let mut zones: Vec<&str> = known.iter().filter_map(|place| place.zone.as_deref()).collect();
    zones.reverse();
    let reason = match zones[..] {
        [] => "this region has no default subnets at all".to_owned(),
        _ => format!("there is no default subnet in it; there are some in {}", zones.join(", ")),
    };
    Err(Error::new(ErrorKind::NotFound, tried).because(reason).advise("name another zone, or a subnet of your own"))
}

/// A default subnet of each zone, the first one last.
async fn defaults(request: &Request<'_>) -> Result<Vec<Place>, Error> {
    let connection = request.connection();
    let filter = Filter::builder().name("default-for-az").values("true").build();
    let call = connection.client.describe_subnets().filters(filter);
    let answer = until_answered(connection, || async {
        let answer = call.clone().send().await;
        answer.map_err(|e| api_error::failed("DescribeSubnets", "find the default subnets", e))
    })
    .await?;
    let place = |subnet: Subnet| Place { zone: subnet.availability_zone, subnet: subnet.subnet_id, again: false };
    let mut places: Vec<_> = answer.subnets.unwrap_or_default().into_iter().map(place).collect();
    places.sort_by(|one, other| other.zone.cmp(&one.zone));
    Ok(places)
}
