//! A route, and where it leads.

use crate::{
    account::{
        address6::Range,
        ids::{
            EgressOnlyInternetGatewayId, InternetGatewayId, NatGatewayId, NetworkInterfaceId, VpcId,
            VpcPeeringConnectionId,
        },
        instance::State,
        region::Region,
    },
    wire::Structure,
};
use serde::{Deserialize, Serialize};

/// A route.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Route {
    pub(super) destination: Range,
    pub(super) target: Target,
}

/// To what a route leads, whether or not that is still there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Target {
    InternetGateway(InternetGatewayId),
    EgressOnlyGateway(EgressOnlyInternetGatewayId),
    /// An instance is told by its interface.
    NetworkInterface(NetworkInterfaceId),
    NatGateway(NatGatewayId),
    Peering(VpcPeeringConnectionId),
}

/// What a route leads by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::account) enum Via {
    /// An internet gateway.
    Internet,
    /// An egress-only internet gateway.
    EgressOnly,
    /// A machine that sends on what comes.
    NetworkInterface(NetworkInterfaceId),
    /// A NAT gateway.
    NatGateway(NatGatewayId),
    /// A peering connection, and the VPC at its other end.
    Peering(VpcId),
    /// Nothing that is there any more.
    Nothing,
}

impl Route {
    /// What it leads by.
    pub(super) fn via(&self, region: &Region, vpc: &VpcId) -> Via {
        match &self.target {
            Target::InternetGateway(id) => match region.internet_gateways.get(id) {
                Some(gateway) if gateway.vpc.as_ref() == Some(vpc) => Via::Internet,
                _ => Via::Nothing,
            },
            Target::EgressOnlyGateway(id) => match region.egress_only_gateways.get(id) {
                Some(gateway) if gateway.vpc == *vpc => Via::EgressOnly,
                _ => Via::Nothing,
            },
            Target::NetworkInterface(id) if forwards(region, id) => Via::NetworkInterface(id.clone()),
            Target::NetworkInterface(_) => Via::Nothing,
            Target::NatGateway(id) => match region.nat_gateways.get(id) {
                Some(gateway) if gateway.is_there() => Via::NatGateway(id.clone()),
                _ => Via::Nothing,
            },
            Target::Peering(id) => {
                let peering = region.peering_connections.get(id).filter(|peering| peering.is_active());
                peering.and_then(|peering| peering.other(vpc)).map_or(Via::Nothing, |vpc| Via::Peering(vpc.clone()))
            }
        }
    }

    /// As DescribeRouteTables shows it.
    /// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Route.html>.
    pub(super) fn shown(&self, region: &Region, vpc: &VpcId, account: &str) -> Structure {
        let member = if self.destination.is_v6() { "DestinationIpv6CidrBlock" } else { "DestinationCidrBlock" };
        let route = Structure::new()
            .with(member, self.destination.to_string())
            .with("Origin", "CreateRoute")
            .with("State", if self.via(region, vpc) == Via::Nothing { "blackhole" } else { "active" });
        match &self.target {
            Target::InternetGateway(id) => route.with("GatewayId", id),
            Target::EgressOnlyGateway(id) => route.with("EgressOnlyInternetGatewayId", id),
            Target::NatGateway(id) => route.with("NatGatewayId", id),
            Target::Peering(id) => route.with("VpcPeeringConnectionId", id),
            Target::NetworkInterface(id) => {
                let instance = region.network_interfaces.get(id).and_then(|interface| interface.instance());
                route
                    .with("NetworkInterfaceId", id)
                    .with_some("InstanceId", instance)
                    .with_some("InstanceOwnerId", instance.map(|_| account))
            }
        }
    }
}

/// Whether there is a machine behind an interface that could send on what comes.
fn forwards(region: &Region, id: &NetworkInterfaceId) -> bool {
    let instance = region.network_interfaces.get(id).and_then(|interface| interface.instance());
    let instance = instance.and_then(|id| region.instances.get(id));
    instance.is_some_and(|instance| matches!(instance.state, State::Pending | State::Running))
}
