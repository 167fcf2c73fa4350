//! Tags for what a user's own client creates, as for all that we make: the sweep goes by them.

use super::tags;
use aws_sdk_ec2::{
    config::{ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeSerializationInterceptorContextMut},
    error::BoxError,
    operation::{
        allocate_address::AllocateAddressInput, copy_image::CopyImageInput, copy_snapshot::CopySnapshotInput,
        create_dhcp_options::CreateDhcpOptionsInput,
        create_egress_only_internet_gateway::CreateEgressOnlyInternetGatewayInput, create_image::CreateImageInput,
        create_internet_gateway::CreateInternetGatewayInput, create_key_pair::CreateKeyPairInput,
        create_launch_template::CreateLaunchTemplateInput, create_nat_gateway::CreateNatGatewayInput,
        create_network_acl::CreateNetworkAclInput, create_network_interface::CreateNetworkInterfaceInput,
        create_placement_group::CreatePlacementGroupInput, create_route_table::CreateRouteTableInput,
        create_security_group::CreateSecurityGroupInput, create_snapshot::CreateSnapshotInput,
        create_snapshots::CreateSnapshotsInput, create_subnet::CreateSubnetInput, create_volume::CreateVolumeInput,
        create_vpc::CreateVpcInput, create_vpc_endpoint::CreateVpcEndpointInput,
        create_vpc_peering_connection::CreateVpcPeeringConnectionInput, import_key_pair::ImportKeyPairInput,
        register_image::RegisterImageInput, request_spot_instances::RequestSpotInstancesInput,
        run_instances::RunInstancesInput,
    },
    types::{MarketType, ResourceType, Tag, TagSpecification},
};
use aws_smithy_runtime_api::client::interceptors::context::Input;
use std::fmt;

/// Adds tags to what create calls say of theirs; what a call says itself stays, but for our own keys.
pub(crate) struct Tagging(pub(crate) Box<dyn Fn() -> Vec<Tag> + Send + Sync>);

impl fmt::Debug for Tagging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tagging")
    }
}

impl Intercept for Tagging {
    fn name(&self) -> &'static str {
        "ec2-harness tags"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some((types, specifications)) = of(context.input_mut()) {
            let tags = (self.0)();
            let given = specifications.get_or_insert_with(Vec::new);
            types.iter().for_each(|kind| add(given, kind, &tags));
        }
        Ok(())
    }
}

type Tagged<'a> = (Vec<ResourceType>, &'a mut Option<Vec<TagSpecification>>);

/// What a call creates, and what it says of the tags of that.
fn of(input: &mut Input) -> Option<Tagged<'_>> {
    macro_rules! of {
        ($($input:ty: $($kind:ident),+;)+) => {$(
            if input.downcast_ref::<$input>().is_some() {
                let input = input.downcast_mut::<$input>()?;
                return Some((vec![$(ResourceType::$kind),+], &mut input.tag_specifications));
            }
        )+};
    }
    if let Some(run) = input.downcast_ref::<RunInstancesInput>() {
        let mut types = vec![ResourceType::Instance, ResourceType::Volume, ResourceType::NetworkInterface];
        // EC2 refuses tags of a Spot request where there is none.
        if run.instance_market_options().is_some_and(|market| market.market_type() == Some(&MarketType::Spot)) {
            types.push(ResourceType::SpotInstancesRequest);
        }
        return Some((types, &mut input.downcast_mut::<RunInstancesInput>()?.tag_specifications));
    }
    of! {
        AllocateAddressInput: ElasticIp;
        CopyImageInput: Image, Snapshot;
        CopySnapshotInput: Snapshot;
        CreateDhcpOptionsInput: DhcpOptions;
        CreateEgressOnlyInternetGatewayInput: EgressOnlyInternetGateway;
        CreateImageInput: Image, Snapshot;
        CreateInternetGatewayInput: InternetGateway;
        CreateKeyPairInput: KeyPair;
        CreateLaunchTemplateInput: LaunchTemplate;
        CreateNatGatewayInput: Natgateway;
        CreateNetworkAclInput: NetworkAcl;
        CreateNetworkInterfaceInput: NetworkInterface;
        CreatePlacementGroupInput: PlacementGroup;
        CreateRouteTableInput: RouteTable;
        CreateSecurityGroupInput: SecurityGroup;
        CreateSnapshotInput: Snapshot;
        CreateSnapshotsInput: Snapshot;
        CreateSubnetInput: Subnet;
        CreateVolumeInput: Volume;
        CreateVpcInput: Vpc;
        CreateVpcEndpointInput: VpcEndpoint;
        CreateVpcPeeringConnectionInput: VpcPeeringConnection;
        ImportKeyPairInput: KeyPair;
        RegisterImageInput: Image;
        RequestSpotInstancesInput: SpotInstancesRequest;
    }
    None
}

fn add(given: &mut Vec<TagSpecification>, kind: &ResourceType, tags: &[Tag]) {
    let has_said = given.iter().position(|specification| specification.resource_type() == Some(kind));
    let Some(position) = has_said else {
        let specification = TagSpecification::builder().resource_type(kind.clone()).set_tags(Some(tags.to_vec()));
        return given.push(specification.build());
    };
    let said = given[position].tags.take().unwrap_or_default();
    let is_free = |tag: &&Tag| {
        let is_ours = tag.key().is_some_and(|key| key.starts_with(tags::OURS));
        is_ours || !said.iter().any(|other| other.key() == tag.key())
    };
    let ours: Vec<Tag> = tags.iter().filter(is_free).cloned().collect();
    let is_replaced = |tag: &Tag| ours.iter().any(|other| other.key() == tag.key());
    let kept = said.iter().filter(|tag| !is_replaced(tag)).cloned();
    given[position].tags = Some(kept.chain(ours.iter().cloned()).collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> Tag {
        Tag::builder().key(key).value(value).build()
    }

    #[test]
    fn what_a_call_says_itself_stays_but_for_our_keys() {
        let said = [tag("team", "mine"), tag("ec2-harness:run", "stolen"), tag("only", "here")];
        let mut given =
            vec![TagSpecification::builder().resource_type(ResourceType::Vpc).set_tags(Some(said.to_vec())).build()];
        let ours = [tag("team", "ours"), tag("ec2-harness:run", "r")];
        add(&mut given, &ResourceType::Vpc, &ours);
        add(&mut given, &ResourceType::Subnet, &ours);
        assert_eq!(given[0].tags(), [tag("team", "mine"), tag("only", "here"), tag("ec2-harness:run", "r")]);
        assert_eq!((given[1].resource_type(), given[1].tags()), (Some(&ResourceType::Subnet), &ours[..]));
    }
}
