//! Where a launch is tried: in the one place that was said, in the zones that were said, or in whichever EC2 chooses and then in the
//! others.

use super::Request;
use crate::{
    connection::{api_error, patience::until_answered},
    error::{Error, ErrorKind},
};
use aws_sdk_ec2::types::{Filter, Subnet};

/// A subnet, and the zone that it is in; of neither anything is known where EC2 chooses.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    pub(super) zone: Option<String>,
    pub(super) subnet: Option<String>,
}

/// Where a launch may be tried.
#[derive(Debug)]
pub(super) enum Places {
    /// There and nowhere else: in this subnet, or where the request itself says.
    Said(Option<String>),
    /// In these zones.
    Zones(Vec<String>),
    /// In any; these are known once they were looked up, the first one last.
    Any(Option<Vec<Place>>),
}

impl Places {
    pub(super) fn of(request: &Request<'_>) -> Self {
        let wanted = request.wanted;
        match &wanted.network.subnet {
            Some(subnet) => Self::Said(Some(subnet.clone())),
            None if request.says_where() => Self::Said(None),
            None if !wanted.zones.is_empty() => Self::Zones(wanted.zones.clone()),
            None => Self::Any(None),
        }
    }

    /// Where it is tried first.
    pub(super) async fn first(&mut self, request: &Request<'_>) -> Result<Place, Error> {
        match self {
            Self::Said(subnet) => Ok(Place { zone: None, subnet: subnet.clone() }),
            Self::Any(_) => Ok(Place::default()),
            Self::Zones(zones) => in_zone(request, &zones[0]).await,
        }
    }

    /// Where else, the next one last. What may not be looked at leaves the lack of capacity the reason.
    pub(super) async fn others(&mut self, request: &Request<'_>) -> Vec<Place> {
        match self {
            Self::Said(_) => Vec::new(),
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
    let place = |subnet: Subnet| Place { zone: subnet.availability_zone, subnet: subnet.subnet_id };
    let mut places: Vec<_> = answer.subnets.unwrap_or_default().into_iter().map(place).collect();
    places.sort_by(|one, other| other.zone.cmp(&one.zone));
    Ok(places)
}
