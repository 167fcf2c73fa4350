//! The account itself behind the door. Its machines do at once what they are told.
//!
//! It is an ordinary day, but its clock is the tests' own, and its clients are patient: before each request goes by what
//! it takes until everybody knows of those before, and until no instance is on its way any more.

use crate::fixture::{ACCOUNT, Answer, Endpoint};
use ec2_local::{
    account::{Account, Effect, ImageSettings, Settings},
    error::ApiError,
    machine::Event,
    wire::{self, Failure, Request, Service, Structure},
};
use std::{
    collections::BTreeMap,
    future::Future,
    net::Ipv6Addr,
    pin::Pin,
    sync::{Mutex, MutexGuard},
    time::Duration,
};
use time::OffsetDateTime;

/// The account as a service.
pub struct Accounts(Mutex<(Account, OffsetDateTime)>);

/// What a request waits for: 6 s of AWS's, longer than it takes until everybody knows what was made.
const PATIENCE: Duration = Duration::from_millis(60);
/// No instance is longer on its way: 100 s of AWS's.
const SETTLED: Duration = Duration::from_secs(1);

impl Service for Accounts {
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<Structure, Failure>> + Send + '_>> {
        let answer = self.answer(&request.region, request.action, &request.input);
        Box::pin(std::future::ready(answer.map_err(Failure::from)))
    }
}

impl Accounts {
    fn new(settings: Settings) -> Self {
        Self(Mutex::new((Account::new(settings), OffsetDateTime::now_utc())))
    }

    fn lock(&self) -> MutexGuard<'_, (Account, OffsetDateTime)> {
        self.0.lock().unwrap()
    }

    fn answer(&self, region: &str, action: &str, input: &Structure) -> Result<Structure, ApiError> {
        let (account, now) = &mut *self.lock();
        *now += PATIENCE;
        while let Some(due) = account.next_due().filter(|due| *due < *now + SETTLED) {
            *now = due.max(*now);
            account.advance(*now);
        }
        let answer = account.call(*now, region, action, input);
        loop {
            let effects = account.take_effects();
            if effects.is_empty() {
                break answer;
            }
            for effect in effects {
                match effect {
                    Effect::Start(start) => account.machine_event(*now, &start.machine.instance, Event::Started),
                    Effect::PowerOff { instance } | Effect::Kill { instance } => {
                        account.machine_event(*now, &instance, Event::PoweredOff);
                    }
                    Effect::Take { parts, .. } => {
                        parts.iter().for_each(|part| account.machine_event(*now, &part.snapshot, Event::Taken));
                    }
                    Effect::Fill(filling) => account.machine_event(*now, &filling.volume, Event::Filled),
                    Effect::Detach { instance, volume, .. } => {
                        account.machine_event(*now, &instance, Event::Detached(volume));
                    }
                    _ => {}
                }
            }
        }
    }
}

/// An account in which something has been made already, and what of it is named how in requests: `{instance}`.
pub struct World {
    pub endpoint: Endpoint<Accounts>,
    names: BTreeMap<&'static str, String>,
}

/// The launch of `{instance}`.
pub const LAUNCH: &str = "Action=RunInstances&ImageId={image}&InstanceType=t3.micro&MinCount=1&MaxCount=1\
    &SecurityGroupId.1={group}&ClientToken=made";

/// `ssh-ed25519 …` in base64.
const PUBLIC_KEY: &str =
    "c3NoLWVkMjU1MTkgQUFBQUMzTnphQzFsWkRJMU5URTVBQUFBSUlMeEpIeVQ3cU5udVc0Wk4vSG44TkNTeVZ1cXhyandxbXVZWG95eXlCazU%3D";

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// An empty account of these settings.
    pub fn bare(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::new([7; 32], ImageSettings::host("admin", "ID=debian\n"));
        settings.account = ACCOUNT.to_owned();
        change(&mut settings);
        let endpoint = Endpoint::with(Accounts::new(settings));
        let mut world = Self { endpoint, names: BTreeMap::new() };
        world.learn("image", "imageId", "Action=DescribeImages&Filter.1.Name=name&Filter.1.Value.1=blank");
        world
    }

    /// An account of these settings with an instance, its group and volume, and a key pair.
    pub fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut world = Self::bare(change);
        world.learn("default", "groupId", "Action=DescribeSecurityGroups");
        world.learn("vpc", "vpcId", "Action=DescribeVpcs");
        world.learn("subnet", "subnetId", "Action=DescribeSubnets");
        world.learn("group", "groupId", "Action=CreateSecurityGroup&GroupName=g&GroupDescription=of+the+tests");
        world.learn(
            "rule",
            "securityGroupRuleId",
            "Action=AuthorizeSecurityGroupIngress&GroupId={group}&IpProtocol=tcp&FromPort=22&ToPort=22&CidrIp=10.0.0.0/8",
        );
        world.learn("key", "keyPairId", &format!("Action=ImportKeyPair&KeyName=k&PublicKeyMaterial={PUBLIC_KEY}"));
        world.learn("instance", "instanceId", LAUNCH);
        world.learn("volume", "volumeId", "Action=DescribeVolumes");
        world.learn("nic", "networkInterfaceId", "Action=DescribeNetworkInterfaces");
        world.learn("address", "privateIpAddress", "Action=DescribeNetworkInterfaces");
        world.names.insert("public-key", PUBLIC_KEY.to_owned());
        world.names.insert("account", ACCOUNT.to_owned());
        let associate = "Action=AssociateIamInstanceProfile&InstanceId={instance}&IamInstanceProfile.Name=web";
        world.learn("profile", "associationId", associate);
        world.images();
        world.network();
        world.ipv6();
        world.spare();
        world
    }

    /// Takes a snapshot and makes an image, and waits until they are done.
    fn images(&mut self) {
        self.learn("snapshot", "snapshotId", "Action=CreateSnapshot&VolumeId={volume}");
        let create = "Action=CreateImage&InstanceId={instance}&Name=golden&NoReboot=true";
        self.learn("own-image", "imageId", create);
        let described = "Action=DescribeSnapshots&Filter.1.Name=description&Filter.1.Value.1=*CreateImage*";
        self.learn("image-snapshot", "snapshotId", described);
        let now = &mut self.endpoint.service.lock().1;
        *now += SETTLED;
        let tomorrow = (*now + Duration::from_secs(24 * 3600)).replace_nanosecond(0).unwrap();
        let tomorrow = tomorrow.format(&time::format_description::well_known::Rfc3339).unwrap();
        self.names.insert("tomorrow", tomorrow);
    }

    /// Makes networks beside the default one: a VPC that has what a VPC can have, and one that has nothing.
    fn network(&mut self) {
        self.learn("made-vpc", "vpcId", "Action=CreateVpc&CidrBlock=10.0.0.0/16");
        self.learn("bare-vpc", "vpcId", "Action=CreateVpc&CidrBlock=10.0.0.0/16");
        self.learn("made-subnet", "subnetId", "Action=CreateSubnet&VpcId={made-vpc}&CidrBlock=10.0.0.0/24");
        self.learn("other-subnet", "subnetId", "Action=CreateSubnet&VpcId={made-vpc}&CidrBlock=10.0.1.0/24");
        self.learn("range", "associationId", "Action=AssociateVpcCidrBlock&VpcId={made-vpc}&CidrBlock=10.9.0.0/16");
        self.learn("gateway", "internetGatewayId", "Action=CreateInternetGateway");
        self.learn("spare-gateway", "internetGatewayId", "Action=CreateInternetGateway");
        self.done("Action=AttachInternetGateway&InternetGatewayId={gateway}&VpcId={made-vpc}");
        self.learn("table", "routeTableId", "Action=CreateRouteTable&VpcId={made-vpc}");
        self.learn("spare-table", "routeTableId", "Action=CreateRouteTable&VpcId={made-vpc}");
        let route = "DestinationCidrBlock=192.0.2.0/24&GatewayId={gateway}";
        self.done(&format!("Action=CreateRoute&RouteTableId={{spare-table}}&{route}"));
        let associate = "Action=AssociateRouteTable&RouteTableId={table}&SubnetId={other-subnet}";
        self.learn("table-association", "associationId", associate);
        let bond = "Action=DescribeNetworkAcls&Filter.1.Name=association.subnet-id&Filter.1.Value.1={made-subnet}";
        self.learn("acl-association", "networkAclAssociationId", bond);
        self.learn("spare-acl", "networkAclId", "Action=CreateNetworkAcl&VpcId={made-vpc}");
        self.learn(
            "peering",
            "vpcPeeringConnectionId",
            "Action=CreateVpcPeeringConnection&VpcId={made-vpc}&PeerVpcId={vpc}",
        );
        let private = "Action=CreateNatGateway&ConnectivityType=private&SubnetId={other-subnet}";
        self.learn("nat", "natGatewayId", private);
        let options =
            "Action=CreateDhcpOptions&DhcpConfiguration.1.Key=ntp-servers&DhcpConfiguration.1.Value.1=10.0.0.9";
        self.learn("spare-options", "dhcpOptionsId", options);
        let entry = "RuleNumber=100&Protocol=-1&RuleAction=allow&Egress=false&CidrBlock=0.0.0.0/0";
        self.done(&format!("Action=CreateNetworkAclEntry&NetworkAclId={{spare-acl}}&{entry}"));
    }

    /// Gives VPCs IPv6: `{made-subnet}` has a range that nobody uses, `{other-subnet}` one with the interface `{ipv6-nic}`, and `{subnet}` may have
    /// `{other-ipv6}`.
    fn ipv6(&mut self) {
        for vpc in ["{made-vpc}", "{vpc}"] {
            self.done(&format!("Action=AssociateVpcCidrBlock&VpcId={vpc}&AmazonProvidedIpv6CidrBlock=true"));
        }
        let described = "Action=DescribeVpcs&Filter.1.Name=vpc-id&Filter.1.Value.1";
        self.learn("vpc-ipv6", "ipv6CidrBlock", &format!("{described}={{made-vpc}}"));
        self.learn("other-ipv6", "ipv6CidrBlock", &format!("{described}={{vpc}}"));
        let bond = self.call(&format!("{described}={{made-vpc}}"));
        let (_, ranges) = bond.body.split_once("<ipv6CidrBlockAssociationSet>").unwrap();
        let (_, bond) = ranges.split_once("<associationId>").unwrap();
        self.names.insert("vpc-ipv6-range", bond.split_once('<').unwrap().0.to_owned());
        // The third and the fourth of the 256 subnets of a VPC.
        let nth = |range: &str, n: u128| {
            let (address, _) = range.split_once('/').unwrap();
            let bits = address.parse::<Ipv6Addr>().unwrap().to_bits() | n << 64;
            format!("{}/64", Ipv6Addr::from_bits(bits))
        };
        let range = self.names["vpc-ipv6"].clone();
        self.names.insert("third-ipv6", nth(&range, 3));
        self.names.insert("fourth-ipv6", nth(&range, 4));
        let other = nth(&self.names["other-ipv6"], 1);
        self.names.insert("other-ipv6", other);
        let associate = "Action=AssociateSubnetCidrBlock&SubnetId";
        self.learn("ipv6-range", "associationId", &format!("{associate}={{made-subnet}}&Ipv6CidrBlock={{third-ipv6}}"));
        self.done(&format!("{associate}={{other-subnet}}&Ipv6CidrBlock={{fourth-ipv6}}"));
        let create = "Action=CreateNetworkInterface&SubnetId={other-subnet}&Ipv6AddressCount=1";
        self.learn("ipv6-nic", "networkInterfaceId", create);
        let described = "Action=DescribeNetworkInterfaces&NetworkInterfaceId.1={ipv6-nic}";
        self.learn("ipv6", "ipv6Address", described);
        let create = "Action=CreateEgressOnlyInternetGateway&VpcId={made-vpc}";
        self.learn("egress-gateway", "egressOnlyInternetGatewayId", create);
    }

    /// Stops `{instance}`.
    pub fn stop(&self) {
        self.done("Action=StopInstances&InstanceId.1={instance}");
    }

    /// Deletes the default subnet of the first zone.
    pub fn delete_default_subnet(&mut self) {
        let first = "Action=DescribeSubnets&Filter.1.Name=availability-zone&Filter.1.Value.1=us-east-1a";
        self.learn("default-subnet", "subnetId", first);
        self.done("Action=DeleteSubnet&SubnetId={default-subnet}");
    }

    /// Asks for what must succeed.
    pub fn done(&self, request: &str) {
        let answer = self.call(request);
        assert_eq!(answer.status, 200, "{request}: {answer:?}");
    }

    /// Makes what nothing uses: a group, and a volume that has outlived its instance.
    fn spare(&mut self) {
        let template = "Action=CreateLaunchTemplate&LaunchTemplateName=made&LaunchTemplateData.KernelId=aki-12345678";
        self.learn("template", "launchTemplateId", template);
        let version = "Action=CreateLaunchTemplateVersion&LaunchTemplateId={template}";
        self.done(&format!("{version}&LaunchTemplateData.InstanceType=t3.micro"));
        let spot = "Action=RequestSpotInstances&LaunchSpecification.ImageId={image}&ValidFrom={tomorrow}";
        self.learn(
            "spot-request",
            "spotInstanceRequestId",
            &format!("{spot}&LaunchSpecification.InstanceType=t3.micro"),
        );
        self.learn("placement-group", "groupId", "Action=CreatePlacementGroup&GroupName=spare&Strategy=partition");
        self.learn("spare-group", "groupId", "Action=CreateSecurityGroup&GroupName=spare&GroupDescription=unused");
        let kept = "&BlockDeviceMapping.1.DeviceName=/dev/sda1&BlockDeviceMapping.1.Ebs.DeleteOnTermination=false";
        let launch = format!("Action=RunInstances&ImageId={{image}}&InstanceType=t3.micro&MinCount=1&MaxCount=1{kept}");
        self.learn("terminated", "instanceId", &launch);
        assert_eq!(self.call("Action=TerminateInstances&InstanceId.1={terminated}").status, 200);
        self.learn(
            "spare-volume",
            "volumeId",
            "Action=DescribeVolumes&Filter.1.Name=status&Filter.1.Value.1=available",
        );
        self.learn("elsewhere-volume", "volumeId", "Action=CreateVolume&AvailabilityZone=us-east-1c&Size=1");
        self.learn("attached-volume", "volumeId", "Action=CreateVolume&AvailabilityZoneId=use1-az1&Size=1");
        let attach = "Action=AttachVolume&VolumeId={attached-volume}&InstanceId={instance}&Device=/dev/sdz";
        assert_eq!(self.call(attach).status, 200);
        self.spare_addresses();
    }

    /// Makes network interfaces and elastic addresses: `{spare-nic}` and `{allocation}` are nobody's, `{second}` is an instance
    /// with as many interfaces as it can have.
    fn spare_addresses(&mut self) {
        self.learn("spare-nic", "networkInterfaceId", "Action=CreateNetworkInterface&SubnetId={subnet}");
        let assign = "Action=AssignPrivateIpAddresses&NetworkInterfaceId={spare-nic}&SecondaryPrivateIpAddressCount=1";
        self.learn("secondary", "privateIpAddress", assign);
        let launch =
            "Action=RunInstances&ImageId={image}&InstanceType=t3.micro&MinCount=1&MaxCount=1&SubnetId={subnet}";
        self.learn("second", "instanceId", launch);
        self.learn("extra-nic", "networkInterfaceId", "Action=CreateNetworkInterface&SubnetId={subnet}");
        let attach = "Action=AttachNetworkInterface&NetworkInterfaceId={extra-nic}&InstanceId={second}&DeviceIndex=1";
        self.learn("attachment", "attachmentId", attach);
        self.learn("allocation", "allocationId", "Action=AllocateAddress");
        self.learn("bound-allocation", "allocationId", "Action=AllocateAddress");
        let associate = "Action=AssociateAddress&AllocationId={bound-allocation}&NetworkInterfaceId={extra-nic}";
        self.learn("association", "associationId", associate);
    }

    /// Names what the first element of this name in an answer holds.
    pub fn learn(&mut self, name: &'static str, element: &str, request: &str) {
        let answer = self.call(request);
        assert_eq!(answer.status, 200, "{request}: {answer:?}");
        self.names.insert(name, answer.element(element).to_owned());
    }

    /// The ids among what is named.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        let is_id = |text: &&str| {
            let number = text.rsplit_once('-').map_or("", |(_, number)| number);
            number.len() == 17 && number.bytes().all(|digit| digit.is_ascii_hexdigit())
        };
        self.names.values().map(String::as_str).filter(is_id)
    }

    /// Sends a request, the names in it replaced.
    pub fn call(&self, request: &str) -> Answer {
        self.endpoint.call(&self.filled(request))
    }

    /// Sends a request that meets a fault.
    pub fn faulty(&self, fault: &str, request: &str) -> Answer {
        self.endpoint.service.lock().0.add_fault(fault.parse().unwrap()).unwrap();
        self.call(request)
    }

    /// The same without the door: decoded, answered, encoded.
    pub fn direct(&self, request: &str) -> Result<String, ApiError> {
        let query = format!("{}&Version=2016-11-15", self.filled(request));
        let (action, input) = wire::decode(query.trim_start_matches('&').as_bytes())?;
        wire::encode(action, &self.endpoint.service.answer("us-east-1", action, &input)?, "the-id")
    }

    fn filled(&self, request: &str) -> String {
        let names = self.names.iter();
        names.fold(request.to_owned(), |request, (name, value)| request.replace(&format!("{{{name}}}"), value))
    }
}
