//! Quotas: how much of a kind each region of the account may hold.

use super::{Context, instance::Instance, instance_type::InstanceType};
use crate::error::{ApiError, Code};
use serde::{Deserialize, Serialize};

/// How much each region of the account may hold.
///
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-resource-limits.html>, and
/// <https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html>.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Quotas {
    /// Instances that are neither stopped nor terminated; default 10,000.
    pub instances: u64,
    /// vCPUs of such instances; default none. New accounts of AWS have as few as 5.
    pub vcpus: Option<u64>,
    /// vCPUs of Spot Instances, beside those; default none.
    pub spot_vcpus: Option<u64>,
    /// Key pairs; default 5,000.
    pub key_pairs: u64,
    /// Placement groups; default 500.
    pub placement_groups: u64,
    /// Launch templates; default 5,000.
    pub launch_templates: u64,
    /// Versions of a launch template; default 10,000.
    pub versions_per_launch_template: u64,
    /// Security groups; default 2,500.
    pub security_groups: u64,
    /// Rules of a security group, in each direction, of IPv4 and of IPv6; default 60.
    pub rules_per_security_group: u64,
    /// Network interfaces; default 5,000.
    pub network_interfaces: u64,
    /// Elastic addresses; default 5.
    pub elastic_addresses: u64,
    /// VPCs, the default one among them, and as many internet gateways; default 5.
    pub vpcs: u64,
    /// Subnets of a VPC, and as many route tables and network ACLs; default 200.
    pub subnets_per_vpc: u64,
    /// IPv4 ranges of a VPC, the first one among them; default 5.
    pub ranges_per_vpc: u64,
    /// Routes of a route table, without those within its VPC; default 500.
    pub routes_per_table: u64,
    /// Rules of a network ACL in each direction, the last one not among them; default 20.
    pub rules_per_network_acl: u64,
    /// NAT gateways of a zone; default 5.
    pub nat_gateways_per_zone: u64,
    /// Peering connections of a VPC that are active or wait; default 50.
    pub peering_connections_per_vpc: u64,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            instances: 10_000,
            vcpus: None,
            spot_vcpus: None,
            key_pairs: 5_000,
            placement_groups: 500,
            launch_templates: 5_000,
            versions_per_launch_template: 10_000,
            security_groups: 2_500,
            rules_per_security_group: 60,
            network_interfaces: 5_000,
            elastic_addresses: 5,
            vpcs: 5,
            subnets_per_vpc: 200,
            ranges_per_vpc: 5,
            routes_per_table: 500,
            rules_per_network_acl: 20,
            nat_gateways_per_zone: 5,
            peering_connections_per_vpc: 50,
        }
    }
}

/// How many more there may be of something, and what is said if that isn't enough.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) count: u64,
    pub(super) refusal: ApiError,
}

impl Room {
    /// How many of those that are wanted there is room for; at least the least, or the refusal.
    pub(super) fn admit(self, least: u64, most: u64) -> Result<u64, ApiError> {
        if self.count < least { Err(self.refusal) } else { Ok(most.min(self.count)) }
    }
}

/// The instances that count: those that are live, and those that the same request starts ahead of the next one.
pub(super) fn counted<'a>(context: &'a Context<'_>, ahead: &'a [&Instance]) -> impl Iterator<Item = &'a Instance> {
    context.region.live_instances().chain(ahead.iter().copied())
}

/// What the quota of instances leaves. `wanted` is for the message.
pub(super) fn instances(context: &Context<'_>, ahead: &[&Instance], wanted: u64) -> Room {
    let quota = context.settings.quotas.instances;
    let live = counted(context, ahead).count() as u64;
    let message = format!(
        "You have requested more instances ({}) than your current instance limit of {quota} allows for the specified \
         instance type. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.",
        live.saturating_add(wanted)
    );
    Room { count: quota.saturating_sub(live), refusal: ApiError::new(Code::InstanceLimitExceeded, message) }
}

/// What the quota of vCPUs leaves of instances of a type on demand.
pub(super) fn vcpus(context: &Context<'_>, ahead: &[&Instance], instance_type: &InstanceType) -> Room {
    let quota = context.settings.quotas.vcpus;
    let message = format!(
        "You have requested more vCPU capacity than your current vCPU limit of {} allows for the instance bucket that \
         the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an \
         adjustment to this limit.",
        quota.unwrap_or(u64::MAX)
    );
    vcpus_left(context, (ahead, false), instance_type, quota, ApiError::new(Code::VcpuLimitExceeded, message))
}

/// The same of Spot Instances, which have a quota of their own.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-spot-limits.html>.
pub(super) fn spot_vcpus(context: &Context<'_>, ahead: &[&Instance], instance_type: &InstanceType) -> Room {
    let quota = context.settings.quotas.spot_vcpus;
    let refusal = ApiError::new(Code::MaxSpotInstanceCountExceeded, "Max spot instance count exceeded");
    vcpus_left(context, (ahead, true), instance_type, quota, refusal)
}

fn vcpus_left(
    context: &Context<'_>,
    (ahead, spot): (&[&Instance], bool),
    instance_type: &InstanceType,
    quota: Option<u64>,
    refusal: ApiError,
) -> Room {
    // As many as anybody likes: then there is nothing to be counted.
    let Some(quota) = quota else { return Room { count: u64::MAX, refusal } };
    let of_kind = counted(context, ahead).filter(|instance| instance.spot.is_some() == spot);
    let used: u64 = of_kind.map(|instance| instance.instance_type.vcpus()).sum();
    Room { count: quota.saturating_sub(used) / instance_type.vcpus().max(1), refusal }
}

/// What the quota of network interfaces leaves.
pub(super) fn network_interfaces(context: &Context<'_>) -> Room {
    let (count, quota) = (context.region.network_interfaces.len() as u64, context.settings.quotas.network_interfaces);
    let message = "You have reached the limit on the number of network interfaces that you can create.";
    let refusal = ApiError::new(Code::NetworkInterfaceLimitExceeded, message);
    Room { count: quota.saturating_sub(count), refusal }
}

/// Sees that there may be one more of what there is so many of.
pub(super) fn one_more(count: usize, quota: u64, code: Code, message: impl Into<String>) -> Result<(), ApiError> {
    if (count as u64) < quota { Ok(()) } else { Err(ApiError::new(code, message)) }
}
