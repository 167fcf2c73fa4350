//! EC2's ids: one type for each kind of resource, and the source that makes them.

use crate::error::{ApiError, Code};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// An id of one kind of resource.
pub trait Id: Clone + Ord + fmt::Display + AsRef<str> {
    /// What stands before the hyphen.
    const PREFIX: &'static str;
    /// The code of an id that isn't one.
    const MALFORMED: Code;
    /// The code of an id that belongs to nothing.
    const NOT_FOUND: Code;

    /// An id that is known to be well-formed.
    fn new(text: String) -> Self;

    /// EC2's message about ids that belong to nothing.
    fn not_found(ids: &[&str]) -> String;

    /// Reads an id; only its form is checked.
    fn parse(text: &str) -> Result<Self, ApiError> {
        if is_well_formed(text, Self::PREFIX) {
            return Ok(Self::new(text.to_owned()));
        }
        let expecting =
            if Self::PREFIX == "i" { String::new() } else { format!(" (expecting \"{}-...\")", Self::PREFIX) };
        Err(ApiError::new(Self::MALFORMED, format!("Invalid id: \"{text}\"{expecting}")))
    }
}

fn is_well_formed(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-')).is_some_and(|digits| {
        matches!(digits.len(), 8 | 17) && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

macro_rules! ids {
    ($($(#[doc = $doc:literal])+ $name:ident = $prefix:literal, $resource:literal, $malformed:ident, $missing:ident, $one:literal, $many:literal;)+) => {
        $($(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(String);

        impl Id for $name {
            const PREFIX: &'static str = $prefix;
            const MALFORMED: Code = Code::$malformed;
            const NOT_FOUND: Code = Code::$missing;

            fn new(text: String) -> Self {
                Self(text)
            }

            fn not_found(ids: &[&str]) -> String {
                let pattern = if ids.len() == 1 { $one } else { $many };
                pattern.replace("{}", &ids.join(", "))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl From<&$name> for crate::wire::Value {
            fn from(id: &$name) -> Self {
                id.0.as_str().into()
            }
        })+

        /// The kind of resource that an id is of, by its prefix, as in `ResourceType` of a tag.
        pub(super) fn resource_type(id: &str) -> Option<&'static str> {
            $(if is_well_formed(id, $prefix) {
                return Some($resource);
            })+
            None
        }

        /// The error about an id that belongs to nothing, by its prefix.
        pub(super) fn unknown(id: &str) -> ApiError {
            $(if is_well_formed(id, $prefix) {
                return ApiError::new(Code::$missing, <$name as Id>::not_found(&[id]));
            })+
            ApiError::new(Code::InvalidId, format!("The ID '{id}' is not valid"))
        }
    };
}

ids! {
    /// An instance.
    InstanceId = "i", "instance", InvalidInstanceIdMalformed, InvalidInstanceIdNotFound,
        "The instance ID '{}' does not exist", "The instance IDs '{}' do not exist";
    /// An image.
    ImageId = "ami", "image", InvalidAmiIdMalformed, InvalidAmiIdNotFound,
        "The image id '[{}]' does not exist", "The image ids '[{}]' do not exist";
    /// A reservation: what one RunInstances launched.
    ReservationId = "r", "reservation", InvalidParameterValue, InvalidReservationIdNotFound,
        "The reservation ID '{}' does not exist", "The reservation IDs '{}' do not exist";
    /// A key pair.
    KeyPairId = "key", "key-pair", InvalidKeyPairMalformed, InvalidKeyPairNotFound,
        "The key pair ID '{}' does not exist", "The key pair IDs '{}' do not exist";
    /// A placement group.
    PlacementGroupId = "pg", "placement-group", InvalidParameterValue, InvalidPlacementGroupUnknown,
        "The Placement Group '{}' is unknown.", "The Placement Groups '{}' are unknown.";
    /// A launch template.
    LaunchTemplateId = "lt", "launch-template", InvalidLaunchTemplateIdMalformed, InvalidLaunchTemplateIdNotFound,
        "The specified launch template, with template ID {}, does not exist.",
        "The specified launch templates, with template IDs {}, do not exist.";
    /// A request for a Spot Instance.
    SpotInstanceRequestId = "sir", "spot-instances-request", InvalidSpotInstanceRequestIdMalformed, InvalidSpotInstanceRequestIdNotFound,
        "The spot instance request ID '{}' does not exist", "The spot instance request IDs '{}' do not exist";
    /// A security group.
    SecurityGroupId = "sg", "security-group", InvalidGroupIdMalformed, InvalidGroupNotFound,
        "The security group '{}' does not exist", "The security groups '{}' do not exist";
    /// A rule of a security group.
    SecurityGroupRuleId = "sgr", "security-group-rule", InvalidSecurityGroupRuleIdMalformed, InvalidSecurityGroupRuleIdNotFound,
        "The security group rule ID '{}' does not exist", "The security group rule IDs '{}' do not exist";
    /// A VPC.
    VpcId = "vpc", "vpc", InvalidVpcIdMalformed, InvalidVpcIdNotFound,
        "The vpc ID '{}' does not exist", "The vpc IDs '{}' do not exist";
    /// A subnet.
    SubnetId = "subnet", "subnet", InvalidSubnetIdMalformed, InvalidSubnetIdNotFound,
        "The subnet ID '{}' does not exist", "The subnet IDs '{}' do not exist";
    /// A network interface.
    NetworkInterfaceId = "eni", "network-interface", InvalidNetworkInterfaceIdMalformed, InvalidNetworkInterfaceIdNotFound,
        "The networkInterface ID '{}' does not exist", "The networkInterface IDs '{}' do not exist";
    /// The bond between a network interface and an instance.
    AttachmentId = "eni-attach", "network-interface-attachment", InvalidNetworkInterfaceAttachmentIdMalformed, InvalidAttachmentIdNotFound,
        "The attachment ID '{}' does not exist", "The attachment IDs '{}' do not exist";
    /// An elastic address.
    AllocationId = "eipalloc", "elastic-ip", InvalidParameterValue, InvalidAllocationIdNotFound,
        "The allocation ID '{}' does not exist", "The allocation IDs '{}' do not exist";
    /// The bond between an elastic address and a private one.
    AssociationId = "eipassoc", "elastic-ip-association", InvalidParameterValue, InvalidAssociationIdNotFound,
        "The association ID '{}' does not exist", "The association IDs '{}' do not exist";
    /// The bond between an instance and an instance profile.
    IamInstanceProfileAssociationId = "iip-assoc", "iam-instance-profile-association", InvalidParameterValue, InvalidAssociationIdNotFound,
        "An invalid association-id of '{}' was given", "Invalid association-ids of '{}' were given";
    /// A volume.
    VolumeId = "vol", "volume", InvalidVolumeIdMalformed, InvalidVolumeNotFound,
        "The volume '{}' does not exist.", "The volumes '{}' do not exist.";
    /// A snapshot.
    SnapshotId = "snap", "snapshot", InvalidSnapshotIdMalformed, InvalidSnapshotNotFound,
        "The snapshot '{}' does not exist.", "The snapshots '{}' do not exist.";
    /// A task to replace a root volume.
    ReplaceRootVolumeTaskId = "replacevol", "replace-root-volume-task", InvalidParameterValue, InvalidParameterValue,
        "The replaceRootVolumeTask ID '{}' does not exist", "The replaceRootVolumeTask IDs '{}' do not exist";
    /// A route table.
    RouteTableId = "rtb", "route-table", InvalidRouteTableIdMalformed, InvalidRouteTableIdNotFound,
        "The routeTable ID '{}' does not exist", "The routeTable IDs '{}' do not exist";
    /// The bond between a route table and a VPC or subnet.
    RouteTableAssociationId = "rtbassoc", "route-table-association", InvalidParameterValue, InvalidAssociationIdNotFound,
        "The association ID '{}' does not exist", "The association IDs '{}' do not exist";
    /// The bond between a VPC and one of its address ranges.
    VpcCidrAssociationId = "vpc-cidr-assoc", "vpc-cidr-association", InvalidParameterValue, InvalidVpcCidrBlockAssociationIdNotFound,
        "The vpc CIDR block association ID '{}' does not exist", "The vpc CIDR block association IDs '{}' do not exist";
    /// The bond between a subnet and its IPv6 range.
    SubnetCidrAssociationId = "subnet-cidr-assoc", "subnet-cidr-association", InvalidSubnetCidrBlockAssociationIdMalformed, InvalidSubnetCidrBlockAssociationIdNotFound,
        "The subnet CIDR block association ID '{}' does not exist", "The subnet CIDR block association IDs '{}' do not exist";
    /// An egress-only internet gateway.
    EgressOnlyInternetGatewayId = "eigw", "egress-only-internet-gateway", InvalidEgressOnlyInternetGatewayIdMalformed, InvalidEgressOnlyInternetGatewayIdNotFound,
        "The eigw ID '{}' does not exist", "The eigw IDs '{}' do not exist";
    /// An internet gateway.
    InternetGatewayId = "igw", "internet-gateway", InvalidInternetGatewayIdMalformed, InvalidInternetGatewayIdNotFound,
        "The internetGateway ID '{}' does not exist", "The internetGateway IDs '{}' do not exist";
    /// A set of DHCP options.
    DhcpOptionsId = "dopt", "dhcp-options", InvalidDhcpOptionsIdMalformed, InvalidDhcpOptionIdNotFound,
        "The dhcpOption ID '{}' does not exist", "The dhcpOption IDs '{}' do not exist";
    /// A network ACL.
    NetworkAclId = "acl", "network-acl", InvalidNetworkAclIdMalformed, InvalidNetworkAclIdNotFound,
        "The networkAcl ID '{}' does not exist", "The networkAcl IDs '{}' do not exist";
    /// The bond between a network ACL and a subnet.
    NetworkAclAssociationId = "aclassoc", "network-acl-association", InvalidParameterValue, InvalidAssociationIdNotFound,
        "The association ID '{}' does not exist", "The association IDs '{}' do not exist";
    /// A NAT gateway.
    NatGatewayId = "nat", "natgateway", NatGatewayMalformed, NatGatewayNotFound,
        "The Nat Gateway {} was not found", "The Nat Gateways {} were not found";
    /// A peering connection of two VPCs.
    VpcPeeringConnectionId = "pcx", "vpc-peering-connection", InvalidVpcPeeringConnectionIdMalformed, InvalidVpcPeeringConnectionIdNotFound,
        "The vpcPeeringConnection ID '{}' does not exist", "The vpcPeeringConnection IDs '{}' do not exist";
}

/// Where all that looks random comes from: a seed and a counter.
#[derive(Debug, Clone)]
pub(super) struct Source {
    seed: [u8; 32],
    drawn: u64,
}

impl Source {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self { seed, drawn: 0 }
    }

    /// How much was drawn.
    pub(super) fn drawn(&self) -> u64 {
        self.drawn
    }

    /// Goes on where so much was drawn.
    pub(super) fn resume(&mut self, drawn: u64) {
        self.drawn = self.drawn.max(drawn);
    }

    /// The next 32 bytes.
    pub(super) fn draw(&mut self) -> [u8; 32] {
        self.drawn += 1;
        Sha256::new().chain_update(self.seed).chain_update(self.drawn.to_be_bytes()).finalize().into()
    }

    /// The next number.
    pub(super) fn number(&mut self) -> u64 {
        u64::from_be_bytes(std::array::from_fn({
            let bytes = self.draw();
            move |i| bytes[i]
        }))
    }

    /// A fresh id.
    pub(super) fn id<I: Id>(&mut self) -> I {
        make(&self.draw())
    }

    /// A fresh UUID, version 4.
    pub(super) fn uuid(&mut self) -> String {
        let bytes = self.draw();
        uuid::Builder::from_random_bytes(std::array::from_fn(|i| bytes[i])).into_uuid().to_string()
    }
}

/// The id that follows from a name: the same in every run.
pub(super) fn derived<I: Id>(parts: &[&str]) -> I {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    make(&hash.finalize().into())
}

/// All ids of today begin with a zero: the digits of the 8 digit ids of old have no such room.
fn make<I: Id>(bytes: &[u8; 32]) -> I {
    I::new(format!("{}-0{}", I::PREFIX, hex::encode(&bytes[..8])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form() {
        for good in ["i-12345678", "i-0123456789abcdef0"] {
            assert_eq!(InstanceId::parse(good).unwrap().as_ref(), good);
        }
        for bad in ["", "i", "i-", "i-123", "i-0123456789ABCDEF0", "i-0123456789abcdefg", "vol-12345678", "i-é2345678"]
        {
            let error = InstanceId::parse(bad).unwrap_err();
            assert_eq!(error.code, Code::InvalidInstanceIdMalformed);
            assert_eq!(error.message, format!("Invalid id: \"{bad}\""));
        }
        let error = ImageId::parse("ami-x").unwrap_err();
        assert_eq!(error.to_string(), "InvalidAMIID.Malformed: Invalid id: \"ami-x\" (expecting \"ami-...\")");
    }

    #[test]
    fn ids_are_fresh_well_formed_and_follow_from_the_seed() {
        let mut source = Source::new([7; 32]);
        let first: Vec<InstanceId> = (0..100).map(|_| source.id()).collect();
        let unique: std::collections::BTreeSet<_> = first.iter().collect();
        assert_eq!(unique.len(), 100);
        assert!(first.iter().all(|id| InstanceId::parse(id.as_ref()).is_ok()));
        let mut again = Source::new([7; 32]);
        assert_eq!(first[0], again.id());
        assert_eq!(derived::<ImageId>(&["a", "b"]), derived::<ImageId>(&["a", "b"]));
        assert_ne!(derived::<ImageId>(&["a", "b"]), derived::<ImageId>(&["ab", ""]));
    }

    #[test]
    fn the_kind_is_known_by_the_prefix() {
        assert_eq!(resource_type("sgr-0123456789abcdef0"), Some("security-group-rule"));
        assert_eq!(resource_type("x-0123456789abcdef0"), None);
        assert_eq!(unknown("vol-0123456789abcdef0").code, Code::InvalidVolumeNotFound);
        assert_eq!(unknown("nothing").code, Code::InvalidId);
    }
}
