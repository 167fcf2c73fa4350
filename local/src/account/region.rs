//! What one region of the account holds.

use super::{
    idempotency::Tokens,
    ids::{
        DhcpOptionsId, Id, ImageId, InstanceId, InternetGatewayId, KeyPairId, NetworkInterfaceId, RouteTableId,
        SecurityGroupId, SecurityGroupRuleId, Source, SubnetId, VolumeId, VpcId,
    },
    image::{self, Image},
    instance::Instance,
    internet_gateway::InternetGateway,
    key_pair::KeyPair,
    network_interface::NetworkInterface,
    place::Place,
    route_table::RouteTable,
    security_group::{Rule, SecurityGroup},
    settings::Settings,
    subnet::Subnet,
    table::Table,
    tags::Tags,
    volume::Volume,
    vpc::{self, Vpc},
};
use crate::wire::Structure;
use std::net::Ipv4Addr;

/// What one region of the account holds.
#[derive(Debug, Clone)]
pub(super) struct Region {
    pub(super) place: &'static Place,
    pub(super) images: Table<ImageId, Image>,
    pub(super) instances: Table<InstanceId, Instance>,
    pub(super) key_pairs: Table<KeyPairId, KeyPair>,
    pub(super) security_groups: Table<SecurityGroupId, SecurityGroup>,
    pub(super) security_group_rules: Table<SecurityGroupRuleId, Rule>,
    pub(super) vpcs: Table<VpcId, Vpc>,
    pub(super) subnets: Table<SubnetId, Subnet>,
    pub(super) network_interfaces: Table<NetworkInterfaceId, NetworkInterface>,
    pub(super) volumes: Table<VolumeId, Volume>,
    pub(super) route_tables: Table<RouteTableId, RouteTable>,
    pub(super) internet_gateways: Table<InternetGatewayId, InternetGateway>,
    pub(super) dhcp_options: DhcpOptionsId,
    pub(super) tags: Tags,
    pub(super) tokens: Tokens,
}

impl Region {
    pub(super) fn new(place: &'static Place, settings: &Settings, source: &mut Source) -> Self {
        let mut region = Self {
            place,
            images: Table::default(),
            instances: Table::default(),
            key_pairs: Table::default(),
            security_groups: Table::default(),
            security_group_rules: Table::default(),
            vpcs: Table::default(),
            subnets: Table::default(),
            network_interfaces: Table::default(),
            volumes: Table::default(),
            route_tables: Table::default(),
            internet_gateways: Table::default(),
            dhcp_options: source.id(),
            tags: Tags::default(),
            tokens: Tokens::default(),
        };
        image::install(&mut region, settings);
        vpc::make_default(&mut region, source);
        region
    }

    /// The VPC where things go whose VPC isn't named.
    pub(super) fn default_vpc(&self) -> Option<&VpcId> {
        self.vpcs.iter().find(|(_, vpc)| vpc.is_default).map(|(id, _)| id)
    }

    /// The group that a VPC's instances get where none is named.
    pub(super) fn default_group(&self, vpc: &VpcId) -> Option<&SecurityGroupId> {
        self.group_named(vpc, "default")
    }

    /// The group of a name in a VPC.
    pub(super) fn group_named(&self, vpc: &VpcId, name: &str) -> Option<&SecurityGroupId> {
        self.security_groups.iter().find(|(_, group)| group.vpc == *vpc && group.name == name).map(|(id, _)| id)
    }

    /// Whether an id is of an instance that shows its tags in its metadata.
    pub(super) fn shows_tags_in_metadata(&self, id: &str) -> bool {
        InstanceId::parse(id)
            .ok()
            .and_then(|id| self.instances.get(&id))
            .is_some_and(|instance| instance.metadata_options.tags)
    }

    /// The interfaces that hold a private address; one for each VPC at most.
    pub(super) fn network_interfaces_at(&self, address: Ipv4Addr) -> impl Iterator<Item = &NetworkInterface> {
        self.subnets.iter().filter_map(move |(_, subnet)| self.network_interfaces.get(subnet.holders.get(&address)?))
    }

    /// Groups as Describe shows them: id and name.
    pub(super) fn group_identifiers(&self, groups: &[SecurityGroupId]) -> Vec<Structure> {
        let shown = |id: &SecurityGroupId| {
            let name = self.security_groups.get(id).map(|group| group.name.as_str());
            Structure::new().with("GroupId", id).with_some("GroupName", name)
        };
        groups.iter().map(shown).collect()
    }

    /// Key pairs by name.
    pub(super) fn key_pair_named(&self, name: &str) -> Option<(&KeyPairId, &KeyPair)> {
        self.key_pairs.iter().find(|(_, key)| key.name == name)
    }
}
