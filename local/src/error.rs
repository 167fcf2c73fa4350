//! EC2's errors: one table of codes, each with its HTTP status, its rule and where the rule is written down.
//!
//! An answer can bear no other code; and `tests/wire/codes.rs` has a request for each row that is answered with it.
//!
//! What this room isn't: the place where messages are worded. A message names the offending value, so it is made where
//! the value is known.

use std::fmt;

/// What EC2 answers instead of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// Which of EC2's codes.
    pub code: Code,
    /// What a person reads; EC2's own wording where it is known.
    pub message: String,
}

/// How much a message says at most, in bytes: it may quote what was sent, and that may be a megabyte.
const LONGEST: usize = 1000;

impl ApiError {
    /// An error of the given code. A message of more than 1,000 bytes is cut short, and ends in `…`.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > LONGEST {
            message.truncate(message.floor_char_boundary(LONGEST));
            message.push('…');
        }
        Self { code, message }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.message)
    }
}

impl std::error::Error for ApiError {}

macro_rules! codes {
    ($($(#[doc = $rule:literal])+ $variant:ident = $name:literal, $status:literal, $source:ident;)+) => {
        /// EC2's error codes, as far as this endpoint answers with them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code { $($(#[doc = $rule])+ $variant,)+ }

        impl Code {
            /// Every code of the table.
            pub const ALL: &[Code] = &[$(Code::$variant,)+];

            /// The code as it stands on the wire.
            pub fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)+ }
            }

            /// The HTTP status that it comes with.
            pub fn status(self) -> u16 {
                match self { $(Code::$variant => $status,)+ }
            }

            /// When it is answered, in words.
            pub fn rule(self) -> &'static str {
                match self { $(Code::$variant => concat!($($rule),+).trim_ascii(),)+ }
            }

            /// The page that the rule is taken from.
            pub fn source(self) -> &'static str {
                match self { $(Code::$variant => $source,)+ }
            }
        }
    };
}

/// The list of all codes.
const ERRORS: &str = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html";
const MODIFY: &str = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyInstanceAttribute.html";
const ATTACH: &str = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AttachVolume.html";
const MODIFY_VOLUME: &str = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyVolume.html";
const STATUS: &str = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceStatus.html";
const FILTERS: &str = "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html";
const IDEMPOTENCY: &str = "https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html";
/// AWS doesn't document this code; this is what it answers.
const PARAMETERS: &str = "https://github.com/aws/aws-cdk/issues/26712";
const QUOTAS: &str = "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-resource-limits.html";
const TAGS: &str = "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html";
const THROTTLING: &str = "https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html";
const VPC_QUOTAS: &str = "https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html";
const DISASSOCIATE: &str = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DisassociateVpcCidrBlock.html";
const FLEETS: &str = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeFleets.html";
const DISASSOCIATE_SUBNET: &str =
    "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DisassociateSubnetCidrBlock.html";
const DELETE_EGRESS_ONLY: &str =
    "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteEgressOnlyInternetGateway.html";
const STS: &str = "https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html";
/// Codes that AWS's own list doesn't have, as Terraform knows them.
const TERRAFORM: &str = "https://github.com/hashicorp/terraform-provider-aws/blob/main/internal/service/ec2/errors.go";
/// What is wrong with a request before it is one of EC2's.
const HTTP: &str = "https://www.rfc-editor.org/rfc/rfc9110.html";

codes! {
    /// The request lacks a signature, or names no credentials.
    MissingAuthenticationToken = "MissingAuthenticationToken", 403, ERRORS;
    /// The access key or the signature is not the one of this endpoint; or the image's attribute is one that AWS tells nobody.
    AuthFailure = "AuthFailure", 401, ERRORS;
    /// The signature does not match the request.
    SignatureDoesNotMatch = "SignatureDoesNotMatch", 403, ERRORS;
    /// The signature is older, or younger, than the time that is allowed.
    RequestExpired = "RequestExpired", 400, ERRORS;
    /// The token of temporary credentials is none of this endpoint's; it is STS that says so.
    InvalidClientTokenId = "InvalidClientTokenId", 403, STS;
    /// The time of temporary credentials is over; it is STS that says so.
    ExpiredToken = "ExpiredToken", 403, STS;
    /// EC2 has no such action.
    InvalidAction = "InvalidAction", 400, ERRORS;
    /// The version of the API is not served here.
    NoSuchVersion = "NoSuchVersion", 400, ERRORS;
    /// A parameter that the action does not have.
    UnknownParameter = "UnknownParameter", 400, ERRORS;
    /// A parameter that the action needs is missing.
    MissingParameter = "MissingParameter", 400, ERRORS;
    /// The action is missing, or the body is no query string.
    MissingAction = "MissingAction", 400, ERRORS;
    /// The query string has a syntax error.
    MalformedQueryString = "MalformedQueryString", 404, ERRORS;
    /// A value that the parameter can't have, also an unknown filter.
    InvalidParameterValue = "InvalidParameterValue", 400, ERRORS;
    /// A group or a subnet that is of another VPC.
    InvalidParameter = "InvalidParameter", 400, ERRORS;
    /// Parameters that can't be used together.
    InvalidParameterCombination = "InvalidParameterCombination", 400, ERRORS;
    /// The request would have succeeded, but DryRun was set.
    DryRunOperation = "DryRunOperation", 412, ERRORS;
    /// The request may not be made; here: by this Host, or by a web page.
    UnauthorizedOperation = "UnauthorizedOperation", 403, ERRORS;
    /// The HTTP method is neither POST nor GET.
    MethodNotAllowed = "MethodNotAllowed", 405, HTTP;
    /// The request is larger than this endpoint reads.
    RequestEntityTooLarge = "RequestEntityTooLarge", 413, HTTP;
    /// The request did not arrive as a whole, or not in time.
    RequestTimeout = "RequestTimeout", 400, HTTP;
    /// The volume type does not exist.
    UnknownVolumeType = "UnknownVolumeType", 400, ERRORS;
    /// The account or the endpoint does not offer what was asked; the message names it.
    UnsupportedOperation = "UnsupportedOperation", 400, ERRORS;
    /// The token for the next page is not one that this action gave out.
    InvalidNextToken = "InvalidNextToken", 400, ERRORS;
    /// More than the 50 filters, or the 200 filter values, that one request may have.
    FilterLimitExceeded = "FilterLimitExceeded", 400, FILTERS;
    /// The same client token came with other parameters.
    IdempotentParameterMismatch = "IdempotentParameterMismatch", 400, IDEMPOTENCY;
    /// The same client token came again after the instance was terminated.
    IdempotentInstanceTerminated = "IdempotentInstanceTerminated", 400, IDEMPOTENCY;
    /// The image id is not of the form `ami-` and 8 or 17 hexadecimal digits.
    InvalidAmiIdMalformed = "InvalidAMIID.Malformed", 400, ERRORS;
    /// The image does not exist in this region.
    InvalidAmiIdNotFound = "InvalidAMIID.NotFound", 400, ERRORS;
    /// The image is pending, disabled or has failed, so it can't be launched from or changed.
    InvalidAmiIdUnavailable = "InvalidAMIID.Unavailable", 400, ERRORS;
    /// The parameter of Systems Manager's that names the image isn't there, or is of another type than `aws:ec2:image`.
    SsmInvalidParameter = "SsmInvalidParameter", 400, PARAMETERS;
    /// A name that images can't have.
    InvalidAmiNameMalformed = "InvalidAMIName.Malformed", 400, ERRORS;
    /// Another image of the account has the name.
    InvalidAmiNameDuplicate = "InvalidAMIName.Duplicate", 400, ERRORS;
    /// A user in a permission that is no account number.
    InvalidAmiAttributeItemValue = "InvalidAMIAttributeItemValue", 400, ERRORS;
    /// A user in Owners or ExecutableUsers that is neither an account number nor a known word.
    InvalidUserIdMalformed = "InvalidUserID.Malformed", 400, ERRORS;
    /// The instance id is not of the form `i-` and 8 or 17 hexadecimal digits.
    InvalidInstanceIdMalformed = "InvalidInstanceID.Malformed", 400, ERRORS;
    /// The instance does not exist, or is gone for more than an hour.
    InvalidInstanceIdNotFound = "InvalidInstanceID.NotFound", 400, ERRORS;
    /// The instance is in a state in which this can't be done.
    IncorrectInstanceState = "IncorrectInstanceState", 400, ERRORS;
    /// The instance can't have this type: there is none of the name, or it is of another architecture.
    InvalidInstanceAttributeValue = "InvalidInstanceAttributeValue", 400, MODIFY;
    /// More than the 100 instances whose status one request may ask for by their ids.
    InvalidRequest = "InvalidRequest", 400, STATUS;
    /// An attribute of an instance that nobody can change.
    UnsupportedInstanceAttribute = "UnsupportedInstanceAttribute", 400, ERRORS;
    /// The instance was not launched for hibernation, so it can't be hibernated.
    UnsupportedHibernationConfiguration = "UnsupportedHibernationConfiguration", 400, ERRORS;
    /// The instance type does not exist.
    InvalidInstanceType = "InvalidInstanceType", 400, ERRORS;
    /// The attribute can't be changed, or the instance is protected.
    OperationNotPermitted = "OperationNotPermitted", 400, ERRORS;
    /// A block device mapping that names no device, one device twice, or a size that the image does not fit in.
    InvalidBlockDeviceMapping = "InvalidBlockDeviceMapping", 400, ERRORS;
    /// The instance type is not a burstable one, so it has no CPU credits.
    InstanceCreditSpecificationNotSupported = "InstanceCreditSpecification.NotSupported", 400, ERRORS;
    /// More instances were asked for than the account may run.
    InstanceLimitExceeded = "InstanceLimitExceeded", 400, QUOTAS;
    /// More vCPUs were asked for than the account may run.
    VcpuLimitExceeded = "VcpuLimitExceeded", 400, QUOTAS;
    /// The zone has no room for that many instances of the type. Its status is 500, so clients try again by themselves.
    InsufficientInstanceCapacity = "InsufficientInstanceCapacity", 500, ERRORS;
    /// The account may have no more key pairs.
    KeyPairLimitExceeded = "KeyPairLimitExceeded", 400, ERRORS;
    /// The account may have no more security groups.
    SecurityGroupLimitExceeded = "SecurityGroupLimitExceeded", 400, VPC_QUOTAS;
    /// No VPC or subnet was named, or a security group was named by its name, and the account has no default VPC.
    VpcIdNotSpecified = "VPCIdNotSpecified", 400, ERRORS;
    /// The account has a default VPC already.
    DefaultVpcAlreadyExists = "DefaultVpcAlreadyExists", 400, ERRORS;
    /// The account has no default VPC for the subnet.
    DefaultVpcDoesNotExist = "DefaultVpcDoesNotExist", 400, ERRORS;
    /// The zone has a default subnet already.
    DefaultSubnetAlreadyExists = "DefaultSubnetAlreadyExistsInAvailabilityZone", 400, ERRORS;
    /// The account may have no more VPCs.
    VpcLimitExceeded = "VpcLimitExceeded", 400, VPC_QUOTAS;
    /// The VPC's range is larger than /16 or smaller than /28, or one that a VPC can't have beside those that it has.
    InvalidVpcRange = "InvalidVpc.Range", 400, ERRORS;
    /// The VPC may have no more ranges, or the subnet no more IPv6 ranges.
    CidrLimitExceeded = "CidrLimitExceeded", 400, VPC_QUOTAS;
    /// The range of the VPC does not exist.
    InvalidVpcCidrBlockAssociationIdNotFound = "InvalidVpcCidrBlockAssociationID.NotFound", 400, DISASSOCIATE;
    /// The id of a subnet's IPv6 range is malformed.
    InvalidSubnetCidrBlockAssociationIdMalformed = "InvalidSubnetCidrBlockAssociationId.Malformed", 400, DISASSOCIATE_SUBNET;
    /// The IPv6 range of the subnet does not exist.
    InvalidSubnetCidrBlockAssociationIdNotFound = "InvalidSubnetCidrBlockAssociationID.NotFound", 400, DISASSOCIATE_SUBNET;
    /// The IPv6 range has subnets, or network interfaces, or the subnet gives addresses of it to all that are made.
    InvalidCidrBlockInUse = "InvalidCidrBlock.InUse", 400, DISASSOCIATE_SUBNET;
    /// The key pair does not exist.
    InvalidKeyPairNotFound = "InvalidKeyPair.NotFound", 400, ERRORS;
    /// A key pair of that name exists already.
    InvalidKeyPairDuplicate = "InvalidKeyPair.Duplicate", 400, ERRORS;
    /// A placement group of that name exists already.
    InvalidPlacementGroupDuplicate = "InvalidPlacementGroup.Duplicate", 400, ERRORS;
    /// The placement group does not exist.
    InvalidPlacementGroupUnknown = "InvalidPlacementGroup.Unknown", 400, ERRORS;
    /// Instances are in the placement group.
    InvalidPlacementGroupInUse = "InvalidPlacementGroup.InUse", 400, ERRORS;
    /// The account may have no more placement groups.
    PlacementGroupLimitExceeded = "PlacementGroupLimitExceeded", 400, ERRORS;
    /// The Spot Instance request's id is malformed.
    InvalidSpotInstanceRequestIdMalformed = "InvalidSpotInstanceRequestID.Malformed", 400, ERRORS;
    /// The Spot Instance request does not exist.
    InvalidSpotInstanceRequestIdNotFound = "InvalidSpotInstanceRequestID.NotFound", 400, ERRORS;
    /// The Spot Instance's request is in a state in which it can't be started.
    IncorrectSpotRequestState = "IncorrectSpotRequestState", 400, ERRORS;
    /// The account may have no more Spot Instances.
    MaxSpotInstanceCountExceeded = "MaxSpotInstanceCountExceeded", 400, ERRORS;
    /// The Spot Instance costs more than was said.
    SpotMaxPriceTooLow = "SpotMaxPriceTooLow", 400, ERRORS;
    /// A time that must be in the future isn't.
    InvalidTime = "InvalidTime", 400, ERRORS;
    /// The account has no data feed of Spot Instances; nobody has one here.
    InvalidSpotDatafeedNotFound = "InvalidSpotDatafeed.NotFound", 400, ERRORS;
    /// The Spot Fleet request's id is malformed.
    InvalidSpotFleetRequestIdMalformed = "InvalidSpotFleetRequestId.Malformed", 400, ERRORS;
    /// The Spot Fleet request does not exist; none does here.
    InvalidSpotFleetRequestIdNotFound = "InvalidSpotFleetRequestId.NotFound", 400, ERRORS;
    /// The EC2 Fleet does not exist; none does here.
    InvalidFleetIdNotFound = "InvalidFleetId.NotFound", 400, FLEETS;
    /// The launch template's id is malformed.
    InvalidLaunchTemplateIdMalformed = "InvalidLaunchTemplateId.Malformed", 400, ERRORS;
    /// The launch template does not exist.
    InvalidLaunchTemplateIdNotFound = "InvalidLaunchTemplateId.NotFound", 400, ERRORS;
    /// The launch template has no such version.
    InvalidLaunchTemplateIdVersionNotFound = "InvalidLaunchTemplateId.VersionNotFound", 400, ERRORS;
    /// Another launch template of the account has the name.
    InvalidLaunchTemplateNameAlreadyExists = "InvalidLaunchTemplateName.AlreadyExistsException", 400, ERRORS;
    /// A name that launch templates can't have.
    InvalidLaunchTemplateNameMalformed = "InvalidLaunchTemplateName.MalformedException", 400, ERRORS;
    /// There is no launch template of that name.
    InvalidLaunchTemplateNameNotFound = "InvalidLaunchTemplateName.NotFoundException", 400, ERRORS;
    /// The account may have no more launch templates.
    MaxTemplateLimitExceeded = "MaxTemplateLimitExceeded", 400, ERRORS;
    /// The launch template may have no more versions.
    MaxTemplateVersionLimitExceeded = "MaxTemplateVersionLimitExceeded", 400, ERRORS;
    /// The public key is no OpenSSH, PEM or DER key that EC2 takes.
    InvalidKeyFormat = "InvalidKey.Format", 400, ERRORS;
    /// The key pair's id is not of the form `key-` and 8 or 17 hexadecimal digits.
    InvalidKeyPairMalformed = "InvalidKeyPair.Format", 400, ERRORS;
    /// The security group's id is not of the form `sg-` and 8 or 17 hexadecimal digits.
    InvalidGroupIdMalformed = "InvalidGroupId.Malformed", 400, ERRORS;
    /// The security group does not exist.
    InvalidGroupNotFound = "InvalidGroup.NotFound", 400, ERRORS;
    /// A security group of that name exists already in the VPC.
    InvalidGroupDuplicate = "InvalidGroup.Duplicate", 400, ERRORS;
    /// The name `default` is reserved.
    InvalidGroupReserved = "InvalidGroup.Reserved", 400, ERRORS;
    /// The default group can't be deleted.
    CannotDelete = "CannotDelete", 400, ERRORS;
    /// Something else still uses the resource.
    DependencyViolation = "DependencyViolation", 400, ERRORS;
    /// The rule exists already in the group.
    InvalidPermissionDuplicate = "InvalidPermission.Duplicate", 400, ERRORS;
    /// The rule does not exist in the group.
    InvalidPermissionNotFound = "InvalidPermission.NotFound", 400, ERRORS;
    /// A group may hold 60 rules in each direction, of IPv4 and of IPv6.
    RulesPerSecurityGroupLimitExceeded = "RulesPerSecurityGroupLimitExceeded", 400, VPC_QUOTAS;
    /// A network interface may have 5 groups.
    SecurityGroupsPerInterfaceLimitExceeded = "SecurityGroupsPerInterfaceLimitExceeded", 400, VPC_QUOTAS;
    /// The rule's id is not of the form `sgr-` and 17 hexadecimal digits.
    InvalidSecurityGroupRuleIdMalformed = "InvalidSecurityGroupRuleId.Malformed", 400, ERRORS;
    /// The rule does not exist.
    InvalidSecurityGroupRuleIdNotFound = "InvalidSecurityGroupRuleId.NotFound", 400, ERRORS;
    /// The VPC's id is malformed.
    InvalidVpcIdMalformed = "InvalidVpcId.Malformed", 400, ERRORS;
    /// The VPC does not exist.
    InvalidVpcIdNotFound = "InvalidVpcID.NotFound", 400, ERRORS;
    /// The VPC may have no more subnets.
    SubnetLimitExceeded = "SubnetLimitExceeded", 400, VPC_QUOTAS;
    /// The subnet's range is larger than /16 or smaller than /28, or not within its VPC.
    InvalidSubnetRange = "InvalidSubnet.Range", 400, ERRORS;
    /// The subnet's range is another one's already.
    InvalidSubnetConflict = "InvalidSubnet.Conflict", 400, ERRORS;
    /// The subnet's id is malformed.
    InvalidSubnetIdMalformed = "InvalidSubnetID.Malformed", 400, ERRORS;
    /// The subnet does not exist.
    InvalidSubnetIdNotFound = "InvalidSubnetID.NotFound", 400, ERRORS;
    /// The subnet has no free address.
    InsufficientFreeAddressesInSubnet = "InsufficientFreeAddressesInSubnet", 400, ERRORS;
    /// The address is used already.
    InvalidIpAddressInUse = "InvalidIPAddress.InUse", 400, ERRORS;
    /// The address belongs to no elastic address of the account.
    InvalidAddressNotFound = "InvalidAddress.NotFound", 400, ERRORS;
    /// The elastic address does not exist.
    InvalidAllocationIdNotFound = "InvalidAllocationID.NotFound", 400, ERRORS;
    /// The bond of an elastic address, a route table, a network ACL or an instance profile does not exist.
    InvalidAssociationIdNotFound = "InvalidAssociationID.NotFound", 400, ERRORS;
    /// The elastic address, or the private one, is bound already, and the request doesn't let that move; or the subnet has a route table of its
    /// own already, or the gateway a VPC.
    ResourceAlreadyAssociated = "Resource.AlreadyAssociated", 400, ERRORS;
    /// The account may have no more elastic addresses.
    AddressLimitExceeded = "AddressLimitExceeded", 400, ERRORS;
    /// The instance is in no state in which this can be done to it, or has several interfaces where one must be named.
    InvalidInstanceId = "InvalidInstanceID", 400, ERRORS;
    /// The network interface is attached already.
    InvalidNetworkInterfaceInUse = "InvalidNetworkInterface.InUse", 400, ERRORS;
    /// The id of a network interface's attachment is malformed.
    InvalidNetworkInterfaceAttachmentIdMalformed = "InvalidNetworkInterfaceAttachmentId.Malformed", 400, ERRORS;
    /// The network interface's attachment does not exist.
    InvalidAttachmentIdNotFound = "InvalidAttachmentID.NotFound", 400, ERRORS;
    /// The account may have no more network interfaces.
    NetworkInterfaceLimitExceeded = "NetworkInterfaceLimitExceeded", 400, VPC_QUOTAS;
    /// More private addresses than the network interface may have.
    PrivateIpAddressLimitExceeded = "PrivateIpAddressLimitExceeded", 400, ERRORS;
    /// The network interface's id is malformed.
    InvalidNetworkInterfaceIdMalformed = "InvalidNetworkInterfaceId.Malformed", 400, ERRORS;
    /// The network interface does not exist.
    InvalidNetworkInterfaceIdNotFound = "InvalidNetworkInterfaceID.NotFound", 400, ERRORS;
    /// The volume's id is malformed.
    InvalidVolumeIdMalformed = "InvalidVolumeID.Malformed", 400, ERRORS;
    /// The volume does not exist.
    InvalidVolumeNotFound = "InvalidVolume.NotFound", 400, ERRORS;
    /// The volume is attached.
    VolumeInUse = "VolumeInUse", 400, ERRORS;
    /// The volume, the snapshot, or the instance that a volume is to be attached to, is in a state in which this can't be done; or the
    /// instance has an instance profile already.
    IncorrectState = "IncorrectState", 400, ERRORS;
    /// The volume is not in the zone of the instance.
    InvalidVolumeZoneMismatch = "InvalidVolume.ZoneMismatch", 400, ERRORS;
    /// The zone does not exist in this region.
    InvalidZoneNotFound = "InvalidZone.NotFound", 400, ERRORS;
    /// The volume is not attached to that instance, or not as that device.
    InvalidAttachmentNotFound = "InvalidAttachment.NotFound", 400, ERRORS;
    /// The instance's type can have no more volumes or network interfaces.
    AttachmentLimitExceeded = "AttachmentLimitExceeded", 400, ATTACH;
    /// A parameter that is of no use without another.
    InvalidParameterDependency = "InvalidParameterDependency", 400, ERRORS;
    /// The volume is still being modified.
    IncorrectModificationState = "IncorrectModificationState", 400, ERRORS;
    /// The volume was modified as often as it may be in 24 hours.
    VolumeModificationRateExceeded = "VolumeModificationRateExceeded", 400, MODIFY_VOLUME;
    /// The volume was never modified.
    InvalidVolumeModificationNotFound = "InvalidVolumeModification.NotFound", 400, MODIFY_VOLUME;
    /// The snapshot's id is malformed.
    InvalidSnapshotIdMalformed = "InvalidSnapshotID.Malformed", 400, ERRORS;
    /// The snapshot does not exist.
    InvalidSnapshotNotFound = "InvalidSnapshot.NotFound", 400, ERRORS;
    /// An image has the snapshot.
    InvalidSnapshotInUse = "InvalidSnapshot.InUse", 400, ERRORS;
    /// Five snapshots of the volume are pending, or one of an `st1` or `sc1` volume.
    ConcurrentSnapshotLimitExceeded = "ConcurrentSnapshotLimitExceeded", 400, ERRORS;
    /// The route table's id is malformed.
    InvalidRouteTableIdMalformed = "InvalidRouteTableId.Malformed", 400, ERRORS;
    /// The route table does not exist.
    InvalidRouteTableIdNotFound = "InvalidRouteTableID.NotFound", 400, ERRORS;
    /// The VPC may have no more route tables.
    RouteTableLimitExceeded = "RouteTableLimitExceeded", 400, VPC_QUOTAS;
    /// The route table may have no more routes.
    RouteLimitExceeded = "RouteLimitExceeded", 400, VPC_QUOTAS;
    /// The route table has a route to that destination already.
    RouteAlreadyExists = "RouteAlreadyExists", 400, ERRORS;
    /// The route table has no route to that destination.
    InvalidRouteNotFound = "InvalidRoute.NotFound", 400, ERRORS;
    /// The internet gateway's id is malformed.
    InvalidInternetGatewayIdMalformed = "InvalidInternetGatewayId.Malformed", 400, ERRORS;
    /// The internet gateway does not exist.
    InvalidInternetGatewayIdNotFound = "InvalidInternetGatewayID.NotFound", 400, ERRORS;
    /// The account may have no more internet gateways.
    InternetGatewayLimitExceeded = "InternetGatewayLimitExceeded", 400, VPC_QUOTAS;
    /// The internet gateway isn't attached to the VPC, or the VPC has none for an elastic address.
    GatewayNotAttached = "Gateway.NotAttached", 400, ERRORS;
    /// The egress-only internet gateway's id is malformed.
    InvalidEgressOnlyInternetGatewayIdMalformed = "InvalidEgressOnlyInternetGatewayId.Malformed", 400, DELETE_EGRESS_ONLY;
    /// The egress-only internet gateway does not exist.
    InvalidEgressOnlyInternetGatewayIdNotFound = "InvalidEgressOnlyInternetGatewayId.NotFound", 400, DELETE_EGRESS_ONLY;
    /// The network ACL's id is malformed.
    InvalidNetworkAclIdMalformed = "InvalidNetworkAclId.Malformed", 400, ERRORS;
    /// The network ACL does not exist.
    InvalidNetworkAclIdNotFound = "InvalidNetworkAclID.NotFound", 400, ERRORS;
    /// The VPC may have no more network ACLs.
    NetworkAclLimitExceeded = "NetworkAclLimitExceeded", 400, VPC_QUOTAS;
    /// The network ACL may have no more rules.
    NetworkAclEntryLimitExceeded = "NetworkAclEntryLimitExceeded", 400, VPC_QUOTAS;
    /// The network ACL has a rule of that number already.
    NetworkAclEntryAlreadyExists = "NetworkAclEntryAlreadyExists", 400, ERRORS;
    /// The network ACL has no rule of that number.
    InvalidNetworkAclEntryNotFound = "InvalidNetworkAclEntry.NotFound", 400, ERRORS;
    /// The set of DHCP options' id is malformed.
    InvalidDhcpOptionsIdMalformed = "InvalidDhcpOptionsId.Malformed", 400, ERRORS;
    /// The set of DHCP options does not exist.
    InvalidDhcpOptionIdNotFound = "InvalidDhcpOptionID.NotFound", 400, ERRORS;
    /// The NAT gateway's id is malformed.
    NatGatewayMalformed = "NatGatewayMalformed", 400, ERRORS;
    /// The NAT gateway does not exist, or is gone.
    NatGatewayNotFound = "NatGatewayNotFound", 400, ERRORS;
    /// The zone may have no more NAT gateways.
    NatGatewayLimitExceeded = "NatGatewayLimitExceeded", 400, VPC_QUOTAS;
    /// The peering connection's id is malformed.
    InvalidVpcPeeringConnectionIdMalformed = "InvalidVpcPeeringConnectionId.Malformed", 400, ERRORS;
    /// The peering connection does not exist.
    InvalidVpcPeeringConnectionIdNotFound = "InvalidVpcPeeringConnectionID.NotFound", 400, ERRORS;
    /// Both VPCs have a peering connection already.
    VpcPeeringConnectionAlreadyExists = "VpcPeeringConnectionAlreadyExists", 400, ERRORS;
    /// The VPC may have no more peering connections.
    ActiveVpcPeeringConnectionLimitExceeded = "ActiveVpcPeeringConnectionPerVpcLimitExceeded", 400, ERRORS;
    /// The peering connection is in a state in which this can't be done.
    InvalidStateTransition = "InvalidStateTransition", 400, ERRORS;
    /// The instance isn't stopped, as it must be for another placement.
    InvalidInstanceState = "InvalidInstanceState", 400, ERRORS;
    /// The instance is terminated, so its monitoring can't change.
    InvalidState = "InvalidState", 400, ERRORS;
    /// One request names an instance twice whose CPU credits it changes.
    InvalidInstanceCreditSpecificationDuplicateInstanceId = "InvalidInstanceCreditSpecification.DuplicateInstanceId", 400, ERRORS;
    /// No bundle task is there, whatever its id.
    InvalidBundleIdNotFound = "InvalidBundleID.NotFound", 400, ERRORS;
    /// No capacity reservation is there, whatever its id.
    InvalidCapacityReservationIdNotFound = "InvalidCapacityReservationId.NotFound", 400, ERRORS;
    /// No carrier gateway is there, whatever its id.
    InvalidCarrierGatewayIdNotFound = "InvalidCarrierGatewayID.NotFound", 400, ERRORS;
    /// No pool of customer-owned addresses is there, whatever its id.
    InvalidPoolIdNotFound = "InvalidPoolID.NotFound", 400, TERRAFORM;
    /// No pool of public addresses is there, whatever its id.
    InvalidPublicIpv4PoolIdNotFound = "InvalidPublicIpv4PoolID.NotFound", 400, TERRAFORM;
    /// No task that converts an instance or a volume is there, whatever its id.
    InvalidConversionTaskId = "InvalidConversionTaskId", 400, ERRORS;
    /// No task that imports an image or a snapshot is there, whatever its id.
    InvalidConversionTaskIdMalformed = "InvalidConversionTaskId.Malformed", 400, ERRORS;
    /// No customer gateway is there, whatever its id.
    InvalidCustomerGatewayIdNotFound = "InvalidCustomerGatewayID.NotFound", 400, ERRORS;
    /// No elastic GPU is there, whatever its id.
    InvalidElasticGpuIdNotFound = "InvalidElasticGpuID.NotFound", 400, ERRORS;
    /// No export task is there, whatever its id.
    InvalidExportTaskIdNotFound = "InvalidExportTaskID.NotFound", 400, ERRORS;
    /// No flow log is there, whatever its id.
    InvalidFlowLogIdNotFound = "InvalidFlowLogId.NotFound", 400, ERRORS;
    /// No dedicated host is there, whatever its id.
    InvalidHostIdNotFound = "InvalidHostID.NotFound", 400, ERRORS;
    /// No prefix list is there, whatever its id.
    InvalidPrefixListIdNotFound = "InvalidPrefixListID.NotFound", 400, ERRORS;
    /// No reserved instance is there, whatever its id.
    InvalidReservedInstancesId = "InvalidReservedInstancesId", 400, ERRORS;
    /// No offering of reserved instances is there, whatever its id.
    InvalidReservedInstancesOfferingId = "InvalidReservedInstancesOfferingId", 400, ERRORS;
    /// No scheduled instance is there, whatever its id.
    InvalidScheduledInstance = "InvalidScheduledInstance", 400, ERRORS;
    /// No service is offered to endpoints, whatever its name.
    InvalidServiceName = "InvalidServiceName", 400, ERRORS;
    /// No transit gateway is there, whatever its id.
    InvalidTransitGatewayIdNotFound = "InvalidTransitGatewayID.NotFound", 400, TERRAFORM;
    /// No VPC endpoint is there, whatever its id.
    InvalidVpcEndpointIdNotFound = "InvalidVpcEndpointId.NotFound", 400, ERRORS;
    /// No VPN connection is there, whatever its id.
    InvalidVpnConnectionIdNotFound = "InvalidVpnConnectionID.NotFound", 400, TERRAFORM;
    /// No VPN gateway is there, whatever its id.
    InvalidVpnGatewayIdNotFound = "InvalidVpnGatewayID.NotFound", 400, TERRAFORM;
    /// A kind of resource whose ids were always long.
    InvalidResourceTypeUnknown = "InvalidResourceType.Unknown", 400, ERRORS;
    /// The ARN is of no user and no role of the account's.
    InvalidTargetArnUnknown = "InvalidTargetArn.Unknown", 400, ERRORS;
    /// An id that belongs to no kind of resource.
    InvalidId = "InvalidID", 400, ERRORS;
    /// A resource may have 50 tags.
    TagLimitExceeded = "TagLimitExceeded", 400, TAGS;
    /// The reservation does not exist.
    InvalidReservationIdNotFound = "InvalidReservationID.NotFound", 400, ERRORS;
    /// Something broke on this side.
    InternalError = "InternalError", 500, ERRORS;
    /// The account has asked for more than its token buckets hold.
    RequestLimitExceeded = "RequestLimitExceeded", 503, THROTTLING;
    /// The server is over its load.
    Unavailable = "Unavailable", 503, ERRORS;
}
