//! How subnets come and go.

use super::{Subnet, range6, shown};
use crate::{
    account::{
        Context,
        address::Cidr,
        ids::{SubnetId, VpcId},
        network_acl,
        place::Zone,
        quota,
        region::Region,
        request::{combination, given, invalid, required},
        route_table,
        tags::TagSpecifications,
        vpc::{PREFIXES, has_dependencies, not_a_range},
    },
    error::{ApiError, Code},
    wire::Structure,
};

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSubnet.html>.
pub(in crate::account) fn create(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let vpc = context.region.vpcs.parse(required(input, "VpcId")?)?;
    let text = required(input, "CidrBlock")?;
    let cidr = Cidr::parse(text).ok_or_else(|| not_a_range("cidrBlock", text))?;
    let is_of_vpc = context.region.vpcs.require(&vpc)?.ranges().any(|range| range.covers(cidr));
    if !PREFIXES.contains(&cidr.prefix) || !is_of_vpc {
        return Err(ApiError::new(Code::InvalidSubnetRange, format!("The CIDR '{text}' is invalid.")));
    }
    if of_vpc(context.region, &vpc).any(|subnet| subnet.cidr.overlaps(cidr)) {
        let message = format!("The CIDR '{text}' conflicts with another subnet");
        return Err(ApiError::new(Code::InvalidSubnetConflict, message));
    }
    let range6 = input.string("Ipv6CidrBlock").map(|text| range6::read(context.region, &vpc, text)).transpose()?;
    let zone = zone(context.region, input)?;
    let tags = TagSpecifications::read(input, &["subnet"])?.of("subnet");
    check_quota(context, &vpc)?;
    // Any zone will do, and EC2 says which.
    let zone = zone.or_else(|| {
        let number = usize::try_from(context.shared.source.number() % 3).unwrap_or(0);
        context.region.place.zones().nth(number)
    });
    let zone = zone.ok_or_else(|| invalid("There is no availability zone"))?;
    let id: SubnetId = context.shared.source.id();
    let acl = context.shared.source.id();
    let ipv6 = range6.map(|range| (context.shared.source.id(), range));
    Subnet { ipv6, ..Subnet::of(vpc, zone, cidr) }.settle(context.region, id.clone(), acl);
    context.region.tags.set(&id, tags);
    answer(context, &id)
}

fn answer(context: &Context<'_>, id: &SubnetId) -> Result<Structure, ApiError> {
    let subnet = context.region.subnets.require(id)?;
    Ok(Structure::new().with("Subnet", shown(context, id, subnet)))
}

fn of_vpc<'a>(region: &'a Region, vpc: &'a VpcId) -> impl Iterator<Item = &'a Subnet> {
    region.subnets.iter().map(|(_, subnet)| subnet).filter(move |subnet| subnet.vpc == *vpc)
}

fn check_quota(context: &Context<'_>, vpc: &VpcId) -> Result<(), ApiError> {
    let message = format!("The maximum number of subnets for VPC '{vpc}' has been reached.");
    let count = of_vpc(context.region, vpc).count();
    quota::one_more(count, context.settings.quotas.subnets_per_vpc, Code::SubnetLimitExceeded, message)
}

/// The zone that a request names, by name or id.
fn zone(region: &Region, input: &Structure) -> Result<Option<Zone>, ApiError> {
    let (name, id) = (given(input, "AvailabilityZone"), given(input, "AvailabilityZoneId"));
    let known = || {
        let names: Vec<String> = region.place.zones().map(Zone::name).collect();
        format!("Subnets can currently only be created in the following availability zones: {}.", names.join(", "))
    };
    let find = |parameter: &str, value: &str, is_it: &dyn Fn(&Zone) -> bool| {
        region
            .place
            .zones()
            .find(is_it)
            .map(Some)
            .ok_or_else(|| invalid(format!("Value ({value}) for parameter {parameter} is invalid. {}", known())))
    };
    match (name, id) {
        (Some(_), Some(_)) => {
            Err(combination("The parameters availabilityZone and availabilityZoneId cannot be used together"))
        }
        (Some(name), None) => find("availabilityZone", name, &|zone| zone.name() == name),
        (None, Some(id)) => find("availabilityZoneId", id, &|zone| zone.id() == id),
        (None, None) => Ok(None),
    }
}

/// For a zone whose default subnet was deleted.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateDefaultSubnet.html>.
pub(in crate::account) fn create_default(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let zone = zone(context.region, input)?.ok_or_else(|| {
        let message = "The request must contain the parameter AvailabilityZone or AvailabilityZoneId";
        ApiError::new(Code::MissingParameter, message)
    })?;
    let Some(vpc) = context.region.default_vpc().cloned() else {
        let message = "No default VPC exists for this account in this region.";
        return Err(ApiError::new(Code::DefaultVpcDoesNotExist, message));
    };
    let is_it = |subnet: &Subnet| subnet.vpc == vpc && subnet.zone == zone && subnet.default_for_zone;
    if let Some((id, _)) = context.region.subnets.iter().find(|(_, subnet)| is_it(subnet)) {
        let message = format!("'{id}' is already the default subnet in {}.", zone.name());
        return Err(ApiError::new(Code::DefaultSubnetAlreadyExists, message));
    }
    check_quota(context, &vpc)?;
    let whole = context.region.vpcs.require(&vpc)?.cidr;
    let is_free = |cidr: &Cidr| !of_vpc(context.region, &vpc).any(|subnet| subnet.cidr.overlaps(*cidr));
    let cidr = (0..16).map(|number| Cidr::new(whole.nth(number << 12), 20)).find(is_free).ok_or_else(|| {
        let message = format!("The VPC '{vpc}' has no free range of the size /20 for a default subnet");
        ApiError::new(Code::InvalidSubnetConflict, message)
    })?;
    let id: SubnetId = context.shared.source.id();
    Subnet::default_of(vpc, zone, cidr).settle(context.region, id.clone(), context.shared.source.id());
    answer(context, &id)
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteSubnet.html>.
pub(in crate::account) fn delete(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &mut *context.region;
    let id = region.subnets.parse(required(input, "SubnetId")?)?;
    if region.network_interfaces.iter().any(|(_, interface)| interface.subnet == id) {
        return Err(has_dependencies("subnet", &id));
    }
    route_table::forget_subnet(region, &id);
    network_acl::forget_subnet(region, &id);
    region.subnets.remove(&id);
    region.tags.forget(&id);
    Ok(Structure::new())
}
