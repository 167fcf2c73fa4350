//! What one region of the account holds.

use super::{
    account_options::AccountOptions,
    console::Consoles,
    dhcp_options::{self, DhcpOptions},
    egress_only_gateway::EgressOnlyGateway,
    elastic_address::ElasticAddress,
    idempotency::Tokens,
    ids::{
        AllocationId, DhcpOptionsId, EgressOnlyInternetGatewayId, IamInstanceProfileAssociationId, Id, ImageId,
        InstanceId, InternetGatewayId, KeyPairId, LaunchTemplateId, NatGatewayId, NetworkAclId, NetworkInterfaceId,
        PlacementGroupId, ReplaceRootVolumeTaskId, RouteTableId, SecurityGroupId, SecurityGroupRuleId, SnapshotId,
        Source, SpotInstanceRequestId, SubnetId, VolumeId, VpcId, VpcPeeringConnectionId,
    },
    image::{self, Image},
    instance::Instance,
    instance_profile::Association,
    internet_gateway::InternetGateway,
    key_pair::KeyPair,
    launch_template::LaunchTemplate,
    nat_gateway::NatGateway,
    network_acl::NetworkAcl,
    network_interface::NetworkInterface,
    peering::Peering,
    place::Place,
    placement_group::PlacementGroup,
    root_volume::Task,
    route_table::RouteTable,
    security_group::{Rule, SecurityGroup},
    settings::Settings,
    snapshot::Snapshot,
    spot::SpotRequest,
    stored::Stored,
    subnet::Subnet,
    table::{Eventual, Table},
    tags::Tags,
    volume::{Volume, encryption::Encryption},
    vpc::{self, Vpc},
};
use crate::{
    conditions::View,
    error::{ApiError, Code},
    wire::Structure,
};
use std::net::Ipv4Addr;
use time::OffsetDateTime;

/// What one region of the account holds.
#[derive(Debug, Clone)]
pub(super) struct Region {
    pub(super) place: &'static Place,
    pub(super) images: Table<ImageId, Image>,
    pub(super) instances: Table<InstanceId, Instance>,
    pub(super) instance_profile_associations: Table<IamInstanceProfileAssociationId, Association>,
    pub(super) key_pairs: Table<KeyPairId, KeyPair>,
    pub(super) launch_templates: Table<LaunchTemplateId, LaunchTemplate>,
    pub(super) spot_requests: Table<SpotInstanceRequestId, SpotRequest>,
    pub(super) placement_groups: Table<PlacementGroupId, PlacementGroup>,
    pub(super) security_groups: Table<SecurityGroupId, SecurityGroup>,
    pub(super) security_group_rules: Table<SecurityGroupRuleId, Rule>,
    pub(super) vpcs: Table<VpcId, Vpc>,
    pub(super) subnets: Table<SubnetId, Subnet>,
    pub(super) network_interfaces: Table<NetworkInterfaceId, NetworkInterface>,
    pub(super) elastic_addresses: Table<AllocationId, ElasticAddress>,
    pub(super) volumes: Table<VolumeId, Volume>,
    pub(super) snapshots: Table<SnapshotId, Snapshot>,
    pub(super) replace_root_volume_tasks: Table<ReplaceRootVolumeTaskId, Task>,
    pub(super) route_tables: Table<RouteTableId, RouteTable>,
    pub(super) internet_gateways: Table<InternetGatewayId, InternetGateway>,
    pub(super) egress_only_gateways: Table<EgressOnlyInternetGatewayId, EgressOnlyGateway>,
    pub(super) network_acls: Table<NetworkAclId, NetworkAcl>,
    pub(super) nat_gateways: Table<NatGatewayId, NatGateway>,
    pub(super) peering_connections: Table<VpcPeeringConnectionId, Peering>,
    pub(super) dhcp_option_sets: Table<DhcpOptionsId, DhcpOptions>,
    /// The set that the region has by itself.
    pub(super) dhcp_options: DhcpOptionsId,
    pub(super) tags: Tags,
    pub(super) consoles: Consoles,
    pub(super) tokens: Tokens,
    pub(super) encryption: Encryption,
    pub(super) options: AccountOptions,
}

impl Region {
    /// What a new account has.
    pub(super) fn new(place: &'static Place, settings: &Settings, source: &mut Source) -> Self {
        let mut region = Self::bare(place, source.id());
        image::install(&mut region, &settings.images);
        dhcp_options::complete(&mut region);
        if settings.default_vpc {
            vpc::make_default(&mut region, source);
        }
        region.note(None);
        region
    }

    /// Nothing but what every region has.
    pub(super) fn bare(place: &'static Place, dhcp_options: DhcpOptionsId) -> Self {
        Self {
            place,
            images: Table::default(),
            instances: Table::default(),
            instance_profile_associations: Table::default(),
            key_pairs: Table::default(),
            launch_templates: Table::default(),
            spot_requests: Table::default(),
            placement_groups: Table::default(),
            security_groups: Table::default(),
            security_group_rules: Table::default(),
            vpcs: Table::default(),
            subnets: Table::default(),
            network_interfaces: Table::default(),
            elastic_addresses: Table::default(),
            volumes: Table::default(),
            snapshots: Table::default(),
            replace_root_volume_tasks: Table::default(),
            route_tables: Table::default(),
            internet_gateways: Table::default(),
            egress_only_gateways: Table::default(),
            network_acls: Table::default(),
            nat_gateways: Table::default(),
            peering_connections: Table::default(),
            dhcp_option_sets: Table::default(),
            dhcp_options,
            tags: Tags::default(),
            consoles: Consoles::default(),
            tokens: Tokens::default(),
            encryption: Encryption::default(),
            options: AccountOptions::default(),
        }
    }

    /// All that is kept beyond the endpoint's life, by the names under which it is stored.
    pub(super) fn stored(&mut self) -> [(&'static str, &mut dyn Stored); 29] {
        [
            ("images", &mut self.images),
            ("instances", &mut self.instances),
            ("iam-instance-profile-associations", &mut self.instance_profile_associations),
            ("key-pairs", &mut self.key_pairs),
            ("launch-templates", &mut self.launch_templates),
            ("spot-requests", &mut self.spot_requests),
            ("placement-groups", &mut self.placement_groups),
            ("security-groups", &mut self.security_groups),
            ("security-group-rules", &mut self.security_group_rules),
            ("vpcs", &mut self.vpcs),
            ("subnets", &mut self.subnets),
            ("network-interfaces", &mut self.network_interfaces),
            ("elastic-addresses", &mut self.elastic_addresses),
            ("volumes", &mut self.volumes),
            ("snapshots", &mut self.snapshots),
            ("replace-root-volume-tasks", &mut self.replace_root_volume_tasks),
            ("route-tables", &mut self.route_tables),
            ("internet-gateways", &mut self.internet_gateways),
            ("egress-only-internet-gateways", &mut self.egress_only_gateways),
            ("network-acls", &mut self.network_acls),
            ("nat-gateways", &mut self.nat_gateways),
            ("peering-connections", &mut self.peering_connections),
            ("dhcp-option-sets", &mut self.dhcp_option_sets),
            ("dhcp-options", &mut self.dhcp_options),
            ("tags", self.tags.stored()),
            ("consoles", &mut self.consoles),
            ("tokens", self.tokens.stored()),
            ("volume-encryption", self.encryption.stored()),
            ("account-options", self.options.stored()),
        ]
    }

    /// All that isn't known everywhere at once.
    fn eventual(&mut self) -> [&mut dyn Eventual; 24] {
        [
            &mut self.images,
            &mut self.instances,
            &mut self.instance_profile_associations,
            &mut self.key_pairs,
            &mut self.launch_templates,
            &mut self.spot_requests,
            &mut self.placement_groups,
            &mut self.security_groups,
            &mut self.security_group_rules,
            &mut self.vpcs,
            &mut self.subnets,
            &mut self.network_interfaces,
            &mut self.elastic_addresses,
            &mut self.volumes,
            &mut self.snapshots,
            &mut self.replace_root_volume_tasks,
            &mut self.route_tables,
            &mut self.internet_gateways,
            &mut self.egress_only_gateways,
            &mut self.network_acls,
            &mut self.nat_gateways,
            &mut self.peering_connections,
            &mut self.dhcp_option_sets,
            &mut self.tags,
        ]
    }

    /// From now on, what a request names or lists is what a replica knows of it.
    pub(super) fn look(&mut self, view: Option<View>) {
        self.eventual().into_iter().for_each(|table| table.look(view));
    }

    /// What was made or tagged since the last time was so at this time; with none, it is known everywhere already.
    pub(super) fn note(&mut self, made: Option<OffsetDateTime>) {
        self.eventual().into_iter().for_each(|table| table.note(made));
    }

    /// The instances that have a machine, or are on their way to have one: all but the stopped and the terminated.
    pub(super) fn live_instances(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().map(|(_, instance)| instance).filter(|instance| instance.state.is_live())
    }

    /// The VPC where things go whose VPC isn't named.
    pub(super) fn require_default_vpc(&self) -> Result<&VpcId, ApiError> {
        let message = "No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC.";
        self.default_vpc().ok_or_else(|| ApiError::new(Code::VpcIdNotSpecified, message))
    }

    /// The same, if there is one.
    pub(super) fn default_vpc(&self) -> Option<&VpcId> {
        self.vpcs.iter().find(|(_, vpc)| vpc.is_default).map(|(id, _)| id)
    }

    /// The group that a VPC's instances get where none is named.
    pub(super) fn default_group(&self, vpc: &VpcId) -> Option<&SecurityGroupId> {
        self.group_named(vpc, "default")
    }

    /// The group of a name in a VPC, whether or not it is seen: names are unique at once.
    pub(super) fn group_named(&self, vpc: &VpcId, name: &str) -> Option<&SecurityGroupId> {
        self.security_groups.iter().find(|(_, group)| group.vpc == *vpc && group.name == name).map(|(id, _)| id)
    }

    /// Whether a VPC has a group of a name, whatever its case: that much names must differ.
    /// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html>.
    pub(super) fn has_group_named(&self, vpc: &VpcId, name: &str) -> bool {
        let mut groups = self.security_groups.iter().map(|(_, group)| group).filter(|group| group.vpc == *vpc);
        groups.any(|group| group.name.eq_ignore_ascii_case(name))
    }

    /// The group of a name in a VPC, as the present request sees it.
    pub(super) fn find_group(&self, vpc: &VpcId, name: &str) -> Option<&SecurityGroupId> {
        self.group_named(vpc, name).filter(|id| self.security_groups.sees(id))
    }

    /// Whether an id is of an instance that shows its tags in its metadata.
    pub(super) fn shows_tags_in_metadata(&self, id: &str) -> bool {
        InstanceId::parse(id)
            .ok()
            .and_then(|id| self.instances.get(&id))
            .is_some_and(|instance| instance.metadata_options.tags)
    }

    /// The interfaces that hold a private address; one for each VPC at most.
    pub(super) fn network_interfaces_at(
        &self,
        address: Ipv4Addr,
    ) -> impl Iterator<Item = (&NetworkInterfaceId, &NetworkInterface)> {
        let holders = self.subnets.iter().filter_map(move |(_, subnet)| subnet.holders.get(&address));
        holders.filter_map(|holder| Some((holder, self.network_interfaces.get(holder)?)))
    }

    /// Groups as Describe shows them: id and name.
    pub(super) fn group_identifiers(&self, groups: &[SecurityGroupId]) -> Vec<Structure> {
        let shown = |id: &SecurityGroupId| {
            let name = self.security_groups.get(id).map(|group| group.name.as_str());
            Structure::new().with("GroupId", id).with_some("GroupName", name)
        };
        groups.iter().map(shown).collect()
    }

    /// Key pairs by name, whether or not they are seen: names are unique at once.
    pub(super) fn key_pair_named(&self, name: &str) -> Option<(&KeyPairId, &KeyPair)> {
        self.key_pairs.iter().find(|(_, key)| key.name == name)
    }

    /// Key pairs by name, as the present request sees them.
    pub(super) fn find_key_pair(&self, name: &str) -> Option<(&KeyPairId, &KeyPair)> {
        self.key_pair_named(name).filter(|(id, _)| self.key_pairs.sees(id))
    }
}
