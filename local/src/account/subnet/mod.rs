//! Subnets, and who holds which of their addresses; by files how they come and go, and their attributes.

mod actions;
mod attribute;
mod create;
mod range6;

pub(super) use actions::ACTIONS;

pub(super) use attribute::modify_attribute;
pub(super) use create::{create, create_default, delete};
pub(super) use range6::{associate, disassociate, has_none};

use super::{
    Context,
    address::Cidr,
    address6::Cidr6,
    describe::Listing,
    ids::{NetworkAclAssociationId, NetworkInterfaceId, Source, SubnetCidrAssociationId, SubnetId, VpcId},
    instance::names::PrivateNames,
    network_acl,
    place::Zone,
    region::Region,
    request::invalid,
};
use crate::{
    error::{ApiError, Code},
    wire::Structure,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
};

/// A subnet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Subnet {
    pub(super) vpc: VpcId,
    pub(super) zone: Zone,
    pub(super) cidr: Cidr,
    pub(super) default_for_zone: bool,
    pub(super) map_public_ip: bool,
    /// Its IPv6 range.
    #[serde(default)]
    ipv6: Option<(SubnetCidrAssociationId, Cidr6)>,
    /// Whether interfaces that are made have an IPv6 address of it where nobody says anything.
    #[serde(default)]
    pub(super) assign_ipv6: bool,
    /// The names that instances get here for which nothing else is said.
    #[serde(default)]
    pub(super) names: PrivateNames,
    /// Who holds which address. Not stored: it follows from the interfaces.
    #[serde(skip)]
    pub(super) holders: BTreeMap<Ipv4Addr, NetworkInterfaceId>,
    #[serde(skip)]
    pub(super) holders6: BTreeMap<Ipv6Addr, NetworkInterfaceId>,
}

/// The first four addresses and the last one are EC2's own.
/// Source: <https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html>.
const RESERVED: u64 = 5;

impl Subnet {
    /// The default subnet of a zone.
    pub(super) fn default_of(vpc: VpcId, zone: Zone, cidr: Cidr) -> Self {
        Self { default_for_zone: true, map_public_ip: true, ..Self::of(vpc, zone, cidr) }
    }

    /// A subnet without IPv6.
    fn of(vpc: VpcId, zone: Zone, cidr: Cidr) -> Self {
        Self {
            vpc,
            zone,
            cidr,
            default_for_zone: false,
            map_public_ip: false,
            names: PrivateNames::default(),
            ipv6: None,
            assign_ipv6: false,
            holders: BTreeMap::new(),
            holders6: BTreeMap::new(),
        }
    }

    /// Puts it where it belongs; each subnet has a network ACL, and at first that is its VPC's.
    pub(super) fn settle(self, region: &mut Region, id: SubnetId, acl: NetworkAclAssociationId) {
        network_acl::join_default(region, &self.vpc, id.clone(), acl);
        region.subnets.insert(id, self);
    }

    /// How many addresses are free.
    pub(super) fn free(&self) -> u64 {
        self.cidr.size().saturating_sub(RESERVED + self.holders.len() as u64)
    }

    /// Gives an address to an interface: the one that is wanted, or a free one, drawn at random so that one that was
    /// released is not given out again soon.
    pub(super) fn take(
        &mut self,
        id: &SubnetId,
        wanted: Option<Ipv4Addr>,
        holder: &NetworkInterfaceId,
        source: &mut Source,
    ) -> Result<Ipv4Addr, ApiError> {
        let address = match wanted {
            Some(address) => self.check(address)?,
            None => self.draw(source).ok_or_else(|| {
                let message = format!(
                    "There are not enough free addresses in subnet '{id}' to satisfy the requested number of instances."
                );
                ApiError::new(Code::InsufficientFreeAddressesInSubnet, message)
            })?,
        };
        self.holders.insert(address, holder.clone());
        Ok(address)
    }

    /// Whether an address can be given away.
    pub(super) fn check(&self, address: Ipv4Addr) -> Result<Ipv4Addr, ApiError> {
        let number = u64::from(address.to_bits().wrapping_sub(self.cidr.address.to_bits()));
        if !self.cidr.contains(address) {
            return Err(invalid(format!("Address {address} does not fall within the subnet's address range")));
        }
        if number < 4 || number == self.cidr.size() - 1 {
            return Err(invalid(format!("Address {address} is in subnet's reserved address range")));
        }
        if self.holders.contains_key(&address) {
            return Err(ApiError::new(Code::InvalidIpAddressInUse, format!("Address {address} is in use.")));
        }
        Ok(address)
    }

    fn draw(&self, source: &mut Source) -> Option<Ipv4Addr> {
        if self.free() == 0 {
            return None;
        }
        let usable = self.cidr.size() - RESERVED;
        let start = source.number() % usable;
        (0..usable)
            .map(|n| self.cidr.nth(u32::try_from(4 + (start + n) % usable).unwrap_or(4)))
            .find(|address| !self.holders.contains_key(address))
    }
}

const LISTING: Listing = Listing {
    action: "DescribeSubnets",
    ids: "SubnetIds",
    id: "SubnetId",
    sizes: 5..=1000,
    filters: &[
        ("availability-zone", "AvailabilityZone"),
        ("availabilityZone", "AvailabilityZone"),
        ("availability-zone-id", "AvailabilityZoneId"),
        ("availabilityZoneId", "AvailabilityZoneId"),
        ("available-ip-address-count", "AvailableIpAddressCount"),
        ("cidr-block", "CidrBlock"),
        ("cidr", "CidrBlock"),
        ("cidrBlock", "CidrBlock"),
        ("customer-owned-ipv4-pool", ""),
        ("default-for-az", "DefaultForAz"),
        ("defaultForAz", "DefaultForAz"),
        ("enable-dns64", "EnableDns64"),
        ("enable-lni-at-device-index", ""),
        ("ipv6-cidr-block-association.ipv6-cidr-block", "Ipv6CidrBlockAssociationSet.Ipv6CidrBlock"),
        ("ipv6-cidr-block-association.association-id", "Ipv6CidrBlockAssociationSet.AssociationId"),
        ("ipv6-cidr-block-association.state", "Ipv6CidrBlockAssociationSet.Ipv6CidrBlockState.State"),
        ("ipv6-native", "Ipv6Native"),
        ("map-customer-owned-ip-on-launch", "MapCustomerOwnedIpOnLaunch"),
        ("map-public-ip-on-launch", "MapPublicIpOnLaunch"),
        ("outpost-arn", ""),
        ("owner-id", "OwnerId"),
        ("private-dns-name-options-on-launch.hostname-type", "PrivateDnsNameOptionsOnLaunch.HostnameType"),
        (
            "private-dns-name-options-on-launch.enable-resource-name-dns-a-record",
            "PrivateDnsNameOptionsOnLaunch.EnableResourceNameDnsARecord",
        ),
        (
            "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record",
            "PrivateDnsNameOptionsOnLaunch.EnableResourceNameDnsAAAARecord",
        ),
        ("state", "State"),
        ("subnet-arn", "SubnetArn"),
        ("subnet-id", "SubnetId"),
        ("vpc-id", "VpcId"),
    ],
};

pub(super) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    LISTING.answer("Subnets", input, &region.subnets, &region.tags, |id, subnet| shown(context, id, subnet))
}

fn shown(context: &Context<'_>, id: &SubnetId, subnet: &Subnet) -> Structure {
    let (region, account) = (&*context.region, context.settings.account.as_str());
    let ranges6 = subnet.ipv6.iter().map(|(association, range)| range6::shown(association, *range, "associated"));
    Structure::new()
        .with("SubnetId", id)
        .with("SubnetArn", format!("arn:aws:ec2:{}:{account}:subnet/{id}", region.place.name))
        .with("VpcId", &subnet.vpc)
        .with("OwnerId", account)
        .with("State", "available")
        .with("CidrBlock", subnet.cidr.to_string())
        .with("AvailableIpAddressCount", i64::try_from(subnet.free()).unwrap_or(i64::MAX))
        .with("AvailabilityZone", subnet.zone.name())
        .with("AvailabilityZoneId", subnet.zone.id())
        .with("DefaultForAz", subnet.default_for_zone)
        .with("MapPublicIpOnLaunch", subnet.map_public_ip)
        .with("MapCustomerOwnedIpOnLaunch", false)
        .with("AssignIpv6AddressOnCreation", subnet.assign_ipv6)
        .with("Ipv6CidrBlockAssociationSet", ranges6.collect::<Vec<_>>())
        .with("EnableDns64", false)
        .with("Ipv6Native", false)
        .with("PrivateDnsNameOptionsOnLaunch", subnet.names.shown())
        .with("Tags", region.tags.shown(id))
}
