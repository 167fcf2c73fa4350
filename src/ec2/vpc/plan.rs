//! Which ranges a VPC and its subnets have: checked before anything is made.

use super::NewVpc;
use crate::error::{Error, ErrorKind};
use ipnet::Ipv4Net;
use std::ops::RangeInclusive;

/// How long a prefix may be, of a VPC and of a subnet.
/// <https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html>
const PREFIXES: RangeInclusive<u8> = 16..=28;
/// A subnet of ours is a part of its VPC by so many bits: a sixteenth, as in a default VPC.
const BITS: u8 = 4;

/// The range of a VPC, and of those subnets whose zones are said with them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) range: Ipv4Net,
    said: Vec<Part>,
    zones: Vec<String>,
    zone_count: usize,
}

/// A subnet to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) zone: String,
    pub(super) range: Ipv4Net,
}

impl Plan {
    /// # Errors
    ///
    /// A range is such as EC2 would never take.
    pub(super) fn of(new: &NewVpc, tried: &str) -> Result<Self, Error> {
        let range = range(&new.range, "a VPC", tried)?;
        let mut said: Vec<Part> = Vec::new();
        for (zone, text) in &new.subnets {
            let subnet = self::range(text, "a subnet", tried)?;
            if !range.contains(&subnet) {
                return Err(refused(tried, format!("the subnet {subnet} is outside of the VPC's {range}"))
                    .advise(format!("choose a part of {range}")));
            }
            if let Some(other) = said.iter().find(|other| overlap(other.range, subnet)) {
                return Err(refused(tried, format!("the subnets {} and {subnet} overlap", other.range))
                    .advise("give each subnet addresses of its own"));
            }
            said.push(Part { zone: zone.clone(), range: subnet });
        }
        if said.is_empty() && new.zones.is_empty() && new.zone_count == 0 {
            return Err(refused(tried, "it would have no subnet").advise("have one zone at least"));
        }
        Ok(Self { range, said, zones: new.zones.clone(), zone_count: new.zone_count })
    }

    /// Whether EC2 must be asked for its zones.
    pub(super) fn needs_zones(&self) -> bool {
        self.said.is_empty() && self.zones.is_empty()
    }

    /// Its subnets, where these are the region's zones.
    ///
    /// # Errors
    ///
    /// More zones are named than the range has room for.
    pub(super) fn subnets(&self, mut region: Vec<String>, tried: &str) -> Result<Vec<Part>, Error> {
        if !self.said.is_empty() {
            return Ok(self.said.clone());
        }
        region.sort();
        region.truncate(self.zone_count);
        let zones = if self.zones.is_empty() { region } else { self.zones.clone() };
        let prefix = (self.range.prefix_len() + BITS).min(*PREFIXES.end());
        // A prefix that isn't longer than 28 is a valid one.
        let places: Vec<Part> = self
            .range
            .subnets(prefix)
            .into_iter()
            .flatten()
            .zip(&zones)
            .map(|(range, zone)| Part { zone: zone.clone(), range })
            .collect();
        if places.len() < self.zones.len() {
            return Err(refused(tried, format!("{} has room for {} subnets of /28", self.range, places.len()))
                .advise("choose a larger range, or fewer zones"));
        }
        Ok(places)
    }
}

fn range(text: &str, of: &str, tried: &str) -> Result<Ipv4Net, Error> {
    let range: Ipv4Net = text.parse().map_err(|_| {
        refused(tried, format!("`{text}` is no range of IPv4 addresses")).advise("write one as `10.20.0.0/16`")
    })?;
    if !PREFIXES.contains(&range.prefix_len()) {
        return Err(refused(tried, format!("EC2 takes {of} of /16 to /28, not of /{}", range.prefix_len()))
            .advise("choose another length, as in `10.20.0.0/16`"));
    }
    if range.trunc() != range {
        return Err(refused(tried, format!("{range} has bits beyond its prefix"))
            .advise(format!("say `{}`, which is the range that it is in", range.trunc())));
    }
    Ok(range)
}

fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other) || other.contains(&one)
}

fn refused(tried: &str, reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::Configuration, tried).because(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(new: NewVpc) -> Result<Vec<String>, String> {
        let zones = ["c", "a", "b"].map(str::to_owned).to_vec();
        let plan = Plan::of(&new, "create a VPC").and_then(|plan| plan.subnets(zones, "create a VPC"));
        let shown = |place: Part| format!("{} {}", place.zone, place.range);
        plan.map(|places| places.into_iter().map(shown).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn subnets_are_parts_of_the_range_in_the_first_zones() {
        assert_eq!(planned("10.20.0.0/16".into()).unwrap(), ["a 10.20.0.0/20", "b 10.20.16.0/20"]);
        assert_eq!(planned("10.20.0.0/27".into()).unwrap(), ["a 10.20.0.0/28", "b 10.20.0.16/28"]);
        assert_eq!(planned("10.20.0.0/28".into()).unwrap(), ["a 10.20.0.0/28"]);
        assert_eq!(planned(NewVpc::new("10.20.0.0/24").zone_count(9)).unwrap().len(), 3);
        assert_eq!(planned(NewVpc::new("10.20.0.0/24").zones(["c"])).unwrap(), ["c 10.20.0.0/28"]);
        let said = NewVpc::new("10.20.0.0/16").subnet("10.20.1.0/24", "b").subnet("10.20.2.0/24", "b");
        assert_eq!(planned(said).unwrap(), ["b 10.20.1.0/24", "b 10.20.2.0/24"]);
    }

    #[test]
    fn what_ec2_would_never_take_is_refused_with_what_to_do() {
        let wide = NewVpc::new("10.0.0.0/16");
        for (new, says) in [
            ("10.20.0.0".into(), "`10.20.0.0` is no range of IPv4 addresses; write one as `10.20.0.0/16`"),
            ("10.20.0.0/8".into(), "EC2 takes a VPC of /16 to /28, not of /8"),
            ("10.20.0.0/29".into(), "not of /29"),
            ("10.20.1.0/16".into(), "say `10.20.0.0/16`"),
            ("fd00::/56".into(), "is no range of IPv4 addresses"),
            (wide.clone().subnet("10.1.0.0/24", "a"), "the subnet 10.1.0.0/24 is outside of the VPC's 10.0.0.0/16"),
            (wide.clone().subnet("10.0.0.0/30", "a"), "EC2 takes a subnet of /16 to /28, not of /30"),
            (
                wide.clone().subnet("10.0.0.0/24", "a").subnet("10.0.0.128/25", "b"),
                "the subnets 10.0.0.0/24 and 10.0.0.128/25 overlap",
            ),
            (wide.zone_count(0), "it would have no subnet"),
            (NewVpc::new("10.0.0.0/28").zones(["a", "b"]), "10.0.0.0/28 has room for 1 subnets of /28"),
        ] {
            let error = planned(new).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
