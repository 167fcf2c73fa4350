//! The kinds of which there is none, with the filters of each.
//!
//! Source of each: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/>, the page of its action; of codes that AWS doesn't list there,
//! see [`Code::source`].

use super::Kind;
use crate::{
    account::Context,
    error::{ApiError, Code},
    wire::Structure,
};

macro_rules! kinds {
    ($($function:ident = $action:literal, $member:literal, $ids:expr, $filters:expr, $tags:literal, $sizes:expr;)+) => {
        $(pub(in crate::account) fn $function(_: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
            const KIND: Kind = Kind {
                action: $action,
                member: $member,
                ids: $ids,
                filters: $filters,
                has_tags: $tags,
                sizes: $sizes,
            };
            KIND.answer(input)
        })+
    };
}

kinds! {
    block_public_access_exclusions = "DescribeVpcBlockPublicAccessExclusions", "VpcBlockPublicAccessExclusions",
        Some(("ExclusionIds", Code::InvalidParameterValue)),
        &["internet-gateway-exclusion-mode", "resource-arn", "state"],
        true, Some(5..=1000);
    bundle_tasks = "DescribeBundleTasks", "BundleTasks",
        Some(("BundleIds", Code::InvalidBundleIdNotFound)),
        &["bundle-id", "error-code", "error-message", "instance-id", "progress", "s3-bucket", "s3-prefix", "start-time", "state", "update-time"],
        false, None;
    capacity_reservations = "DescribeCapacityReservations", "CapacityReservations",
        Some(("CapacityReservationIds", Code::InvalidCapacityReservationIdNotFound)),
        &["availability-zone", "end-date", "end-date-type", "instance-match-criteria", "instance-platform", "instance-type", "outpost-arn", "owner-id", "placement-group-arn", "start-date", "state", "tenancy"],
        true, Some(1..=1000);
    carrier_gateways = "DescribeCarrierGateways", "CarrierGateways",
        Some(("CarrierGatewayIds", Code::InvalidCarrierGatewayIdNotFound)),
        &["carrier-gateway-id", "owner-id", "state", "vpc-id"],
        true, Some(5..=1000);
    coip_pools = "DescribeCoipPools", "CoipPools",
        Some(("PoolIds", Code::InvalidPoolIdNotFound)),
        &["coip-pool.local-gateway-route-table-id", "coip-pool.pool-id"],
        true, Some(5..=1000);
    customer_gateways = "DescribeCustomerGateways", "CustomerGateways",
        Some(("CustomerGatewayIds", Code::InvalidCustomerGatewayIdNotFound)),
        &["bgp-asn", "customer-gateway-id", "ip-address", "state", "type"],
        true, None;
    elastic_gpus = "DescribeElasticGpus", "ElasticGpuSet",
        Some(("ElasticGpuIds", Code::InvalidElasticGpuIdNotFound)),
        &["availability-zone", "elastic-gpu-health", "elastic-gpu-state", "elastic-gpu-type", "instance-id"],
        false, Some(10..=1000);
    endpoints = "DescribeVpcEndpoints", "VpcEndpoints",
        Some(("VpcEndpointIds", Code::InvalidVpcEndpointIdNotFound)),
        &["ip-address-type", "service-name", "service-region", "vpc-endpoint-id", "vpc-endpoint-state", "vpc-endpoint-type", "vpc-id"],
        true, Some(5..=1000);
    export_tasks = "DescribeExportTasks", "ExportTasks",
        Some(("ExportTaskIds", Code::InvalidExportTaskIdNotFound)),
        &[],
        true, None;
    fast_snapshot_restores = "DescribeFastSnapshotRestores", "FastSnapshotRestores",
        None,
        &["availability-zone", "availability-zone-id", "owner-id", "snapshot-id", "state"],
        false, Some(0..=200);
    flow_logs = "DescribeFlowLogs", "FlowLogs",
        Some(("FlowLogIds", Code::InvalidFlowLogIdNotFound)),
        &["deliver-log-status", "flow-log-id", "log-destination-type", "log-group-name", "resource-id", "traffic-type"],
        true, Some(5..=1000);
    host_reservations = "DescribeHostReservations", "HostReservationSet",
        Some(("HostReservationIdSet", Code::InvalidParameterValue)),
        &["instance-family", "payment-option", "state"],
        true, Some(5..=500);
    hosts = "DescribeHosts", "Hosts",
        Some(("HostIds", Code::InvalidHostIdNotFound)),
        &["auto-placement", "availability-zone", "client-token", "host-reservation-id", "instance-type", "state"],
        true, Some(5..=500);
    import_image_tasks = "DescribeImportImageTasks", "ImportImageTasks",
        Some(("ImportTaskIds", Code::InvalidConversionTaskIdMalformed)),
        &["task-state"],
        true, Some(5..=1000);
    import_snapshot_tasks = "DescribeImportSnapshotTasks", "ImportSnapshotTasks",
        Some(("ImportTaskIds", Code::InvalidConversionTaskIdMalformed)),
        &["task-state"],
        true, Some(5..=1000);
    instance_event_windows = "DescribeInstanceEventWindows", "InstanceEventWindows",
        Some(("InstanceEventWindowIds", Code::InvalidParameterValue)),
        &["dedicated-host-id", "event-window-name", "instance-id", "instance-tag", "instance-tag-key", "instance-tag-value"],
        true, Some(20..=500);
    local_gateway_group_associations = "DescribeLocalGatewayRouteTableVirtualInterfaceGroupAssociations", "LocalGatewayRouteTableVirtualInterfaceGroupAssociations",
        Some(("LocalGatewayRouteTableVirtualInterfaceGroupAssociationIds", Code::InvalidParameterValue)),
        &["local-gateway-id", "local-gateway-route-table-arn", "local-gateway-route-table-id", "local-gateway-route-table-virtual-interface-group-association-id", "local-gateway-route-table-virtual-interface-group-id", "owner-id", "state"],
        true, Some(5..=1000);
    local_gateway_interface_groups = "DescribeLocalGatewayVirtualInterfaceGroups", "LocalGatewayVirtualInterfaceGroups",
        Some(("LocalGatewayVirtualInterfaceGroupIds", Code::InvalidParameterValue)),
        &["local-gateway-id", "local-gateway-virtual-interface-group-id", "local-gateway-virtual-interface-id", "owner-id"],
        true, Some(5..=1000);
    local_gateway_interfaces = "DescribeLocalGatewayVirtualInterfaces", "LocalGatewayVirtualInterfaces",
        Some(("LocalGatewayVirtualInterfaceIds", Code::InvalidParameterValue)),
        &["local-address", "local-bgp-asn", "local-gateway-id", "local-gateway-virtual-interface-id", "owner-id", "peer-address", "peer-bgp-asn", "vlan"],
        true, Some(5..=1000);
    local_gateway_route_tables = "DescribeLocalGatewayRouteTables", "LocalGatewayRouteTables",
        Some(("LocalGatewayRouteTableIds", Code::InvalidParameterValue)),
        &["local-gateway-id", "local-gateway-route-table-arn", "local-gateway-route-table-id", "outpost-arn", "owner-id", "state"],
        true, Some(5..=1000);
    local_gateway_vpc_associations = "DescribeLocalGatewayRouteTableVpcAssociations", "LocalGatewayRouteTableVpcAssociations",
        Some(("LocalGatewayRouteTableVpcAssociationIds", Code::InvalidParameterValue)),
        &["local-gateway-id", "local-gateway-route-table-arn", "local-gateway-route-table-id", "local-gateway-route-table-vpc-association-id", "owner-id", "state", "vpc-id"],
        true, Some(5..=1000);
    local_gateways = "DescribeLocalGateways", "LocalGateways",
        Some(("LocalGatewayIds", Code::InvalidParameterValue)),
        &["local-gateway-id", "outpost-arn", "owner-id", "state"],
        true, Some(5..=1000);
    managed_prefix_lists = "DescribeManagedPrefixLists", "PrefixLists",
        Some(("PrefixListIds", Code::InvalidPrefixListIdNotFound)),
        &["owner-id", "prefix-list-id", "prefix-list-name"],
        true, Some(1..=100);
    prefix_lists = "DescribePrefixLists", "PrefixLists",
        Some(("PrefixListIds", Code::InvalidPrefixListIdNotFound)),
        &["prefix-list-id", "prefix-list-name"],
        true, Some(5..=1000);
    public_ipv4_pools = "DescribePublicIpv4Pools", "PublicIpv4Pools",
        Some(("PoolIds", Code::InvalidPublicIpv4PoolIdNotFound)),
        &[],
        true, Some(1..=10);
    reserved_instances = "DescribeReservedInstances", "ReservedInstances",
        Some(("ReservedInstancesIds", Code::InvalidReservedInstancesId)),
        &["availability-zone", "availability-zone-id", "duration", "end", "fixed-price", "instance-type", "product-description", "reserved-instances-id", "scope", "start", "state", "usage-price"],
        true, None;
    reserved_instances_offerings = "DescribeReservedInstancesOfferings", "ReservedInstancesOfferings",
        Some(("ReservedInstancesOfferingIds", Code::InvalidReservedInstancesOfferingId)),
        &["availability-zone", "availability-zone-id", "duration", "fixed-price", "instance-type", "marketplace", "product-description", "reserved-instances-offering-id", "scope", "usage-price"],
        false, Some(5..=100);
    scheduled_instances = "DescribeScheduledInstances", "ScheduledInstanceSet",
        Some(("ScheduledInstanceIds", Code::InvalidScheduledInstance)),
        &["availability-zone", "instance-type", "platform"],
        false, Some(5..=300);
    security_group_vpc_associations = "DescribeSecurityGroupVpcAssociations", "SecurityGroupVpcAssociations",
        None,
        &["group-id", "group-owner-id", "state", "vpc-id", "vpc-owner-id"],
        false, Some(5..=1000);
    transit_gateways = "DescribeTransitGateways", "TransitGateways",
        Some(("TransitGatewayIds", Code::InvalidTransitGatewayIdNotFound)),
        &["options.amazon-side-asn", "options.association-default-route-table-id", "options.auto-accept-shared-attachments", "options.default-route-table-association", "options.default-route-table-propagation", "options.dns-support", "options.propagation-default-route-table-id", "options.vpn-ecmp-support", "owner-id", "state", "transit-gateway-id"],
        true, Some(5..=1000);
    vpn_connections = "DescribeVpnConnections", "VpnConnections",
        Some(("VpnConnectionIds", Code::InvalidVpnConnectionIdNotFound)),
        &["bgp-asn", "customer-gateway-configuration", "customer-gateway-id", "option.static-routes-only", "route.destination-cidr-block", "state", "transit-gateway-id", "type", "vpn-connection-id", "vpn-gateway-id"],
        true, None;
    vpn_gateways = "DescribeVpnGateways", "VpnGateways",
        Some(("VpnGatewayIds", Code::InvalidVpnGatewayIdNotFound)),
        &["amazon-side-asn", "attachment.state", "attachment.vpc-id", "availability-zone", "state", "type", "vpn-gateway-id"],
        true, None;
}

/// Services are asked for by their names.
pub(in crate::account) fn endpoint_services(_: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    const KIND: Kind = Kind {
        action: "DescribeVpcEndpointServices",
        member: "ServiceDetails",
        ids: Some(("ServiceNames", Code::InvalidServiceName)),
        filters: &["owner", "service-name", "service-region", "service-type", "supported-ip-address-types"],
        has_tags: true,
        sizes: Some(5..=1000),
    };
    Ok(KIND.answer(input)?.with("ServiceNames", Vec::<String>::new()))
}
