//! CreateNetworkInterface, DeleteNetworkInterface, and what interfaces are made of, there and at a launch.

use super::{Addresses6, Attachment, NetworkInterface};
use crate::{
    account::{
        Context,
        address::draw_mac,
        ids::{NetworkInterfaceId, SecurityGroupId, SubnetId},
        instance::groups,
        quota,
        request::{combination, given, invalid, only, required, unsupported},
        subnet::Subnet,
        tags::TagSpecifications,
    },
    error::{ApiError, Code},
    wire::Structure,
};
use std::{collections::BTreeSet, net::Ipv4Addr};

/// The action whose client tokens interfaces hold.
pub(super) const ACTION: &str = "CreateNetworkInterface";

/// The most private addresses of an interface of any instance type.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/AvailableIpPerENI.html>.
const MOST_ADDRESSES: u64 = 50;

/// The private addresses that an interface is to have.
#[derive(Debug, Clone, Default)]
pub(in crate::account) struct Addresses {
    primary: Option<Ipv4Addr>,
    secondary: Vec<Ipv4Addr>,
    /// How many more secondary ones are drawn.
    more: u64,
}

impl Addresses {
    /// Reads what a request or one of its structures says of them; `path` names that in messages, with a dot at its end.
    pub(in crate::account) fn read(holder: &Structure, path: &str) -> Result<Self, ApiError> {
        let mut this = Self { primary: holder.string("PrivateIpAddress").map(parse).transpose()?, ..Self::default() };
        for listed in holder.structures("PrivateIpAddresses") {
            only(listed, &format!("{path}PrivateIpAddresses."), &["Primary", "PrivateIpAddress"])?;
            let address = parse(required(listed, "PrivateIpAddress")?)?;
            if listed.boolean("Primary") != Some(true) {
                this.secondary.push(address);
            } else if this.primary.replace(address).is_some() {
                return Err(combination("Only one primary private IP address can be specified."));
            }
        }
        if this.primary.is_none() && !this.secondary.is_empty() {
            return Err(combination("One of the private IP addresses must be the primary one"));
        }
        if let Some(count) = holder.integer("SecondaryPrivateIpAddressCount") {
            if !this.secondary.is_empty() {
                return Err(combination(
                    "The parameters privateIpAddresses and secondaryPrivateIpAddressCount cannot be used together",
                ));
            }
            this.more = count_of(count, "secondaryPrivateIpAddressCount", 0)?;
        }
        let named: BTreeSet<Ipv4Addr> = this.named().collect();
        if named.len() < this.named().count() {
            return Err(invalid("A private IP address is specified more than once."));
        }
        if this.count() > MOST_ADDRESSES {
            return Err(too_many());
        }
        Ok(this)
    }

    /// Those that the request names.
    pub(in crate::account) fn named(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.primary.into_iter().chain(self.secondary.iter().copied())
    }

    /// How many there are to be.
    pub(in crate::account) fn count(&self) -> u64 {
        1 + self.secondary.len() as u64 + self.more
    }

    /// Sees that a subnet can give those that are named.
    pub(in crate::account) fn check(&self, subnet: &Subnet) -> Result<(), ApiError> {
        self.named().try_for_each(|address| subnet.check(address).map(drop))
    }
}

/// Reads an address.
pub(super) fn parse(text: &str) -> Result<Ipv4Addr, ApiError> {
    text.parse().map_err(|_| invalid(format!("Value ({text}) for parameter address is invalid. Invalid IPv4 address.")))
}

/// Reads how many of something there are to be.
pub(super) fn count_of(count: i64, parameter: &str, least: i64) -> Result<u64, ApiError> {
    if count < least {
        return Err(invalid(format!(
            "Value ({count}) for parameter {parameter} is invalid. Minimum allowed value is {least}."
        )));
    }
    Ok(count.unsigned_abs())
}

/// More private addresses than an interface can have.
pub(in crate::account) fn too_many() -> ApiError {
    ApiError::new(Code::PrivateIpAddressLimitExceeded, "Number of private addresses will exceed limit.")
}

/// An interface that is to be made.
#[derive(Debug, Clone)]
pub(in crate::account) struct New {
    pub(in crate::account) subnet: SubnetId,
    pub(in crate::account) groups: Vec<SecurityGroupId>,
    pub(in crate::account) addresses: Addresses,
    pub(in crate::account) ipv6: Addresses6,
    pub(in crate::account) associate_public: bool,
    pub(in crate::account) description: String,
    pub(in crate::account) client_token: Option<String>,
}

impl New {
    /// Takes the addresses that are named, so that none of them is drawn for another one.
    pub(in crate::account) fn reserve(&self, context: &mut Context<'_>, id: &NetworkInterfaceId) {
        context.region.subnets.derive(&self.subnet, |subnet| {
            subnet.holders.extend(self.addresses.named().map(|address| (address, id.clone())));
            subnet.holders6.extend(self.ipv6.named().map(|address| (address, id.clone())));
        });
    }

    /// Makes it; the addresses that are named are reserved.
    pub(in crate::account) fn make(
        &self,
        context: &mut Context<'_>,
        id: &NetworkInterfaceId,
        attachment: Option<Attachment>,
    ) -> Result<(), ApiError> {
        let vpc = context.region.subnets.require(&self.subnet)?.vpc.clone();
        let draw = |context: &mut Context<'_>| take(context, &self.subnet, None, id);
        let address = match self.addresses.primary {
            Some(address) => address,
            None => draw(context)?,
        };
        let mut secondary = self.addresses.secondary.clone();
        for _ in 0..self.addresses.more {
            secondary.push(draw(context)?);
        }
        let ipv6 = self.ipv6.take(context, &self.subnet, id)?;
        let interface = NetworkInterface {
            vpc,
            subnet: self.subnet.clone(),
            mac: draw_mac(&mut context.shared.source),
            address,
            secondary,
            ipv6,
            public_address: None,
            associate_public: self.associate_public,
            elastic: std::collections::BTreeMap::new(),
            groups: self.groups.clone(),
            description: self.description.clone(),
            source_dest_check: true,
            attachment,
            client_token: self.client_token.clone(),
            nat_gateway: None,
        };
        context.region.network_interfaces.insert(id.clone(), interface);
        context.interface_changed(id);
        Ok(())
    }
}

/// Takes an address of a subnet for an interface: the one that is wanted, or a free one.
pub(super) fn take(
    context: &mut Context<'_>,
    id: &SubnetId,
    wanted: Option<Ipv4Addr>,
    holder: &NetworkInterfaceId,
) -> Result<Ipv4Addr, ApiError> {
    let source = &mut context.shared.source;
    let mut taken = Err(ApiError::new(Code::InternalError, format!("the subnet {id} is gone")));
    context.region.subnets.derive(id, |subnet| taken = subnet.take(id, wanted, holder, source));
    taken
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateNetworkInterface.html>.
pub(in crate::account) fn create(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    let token = match region.tokens.read(ACTION, input)? {
        Ok(token) => token,
        Err(made) => {
            let id = region.network_interfaces.iter().find(|(id, _)| id.as_ref() == made).map(|(id, _)| id.clone());
            return id.map_or_else(
                || Err(ApiError::new(Code::InternalError, format!("the network interface {made} is gone"))),
                |id| answer(context, &id, given(input, "ClientToken")),
            );
        }
    };
    let subnet = region.subnets.parse(required(input, "SubnetId")?)?;
    let ids: Vec<&str> = input.strings("Groups").collect();
    let new = New {
        groups: groups(region, &subnet, &ids, &[])?,
        addresses: Addresses::read(input, "")?,
        ipv6: Addresses6::read(input, "", &subnet, region.subnets.require(&subnet)?)?,
        associate_public: false,
        description: description(input)?,
        client_token: token.clone(),
        subnet,
    };
    if input.string("InterfaceType").is_some_and(|kind| kind != "interface") {
        return Err(unsupported("A network interface of a type other than 'interface'"));
    }
    let tags = TagSpecifications::read(input, &["network-interface"])?.of("network-interface");
    let subnet = region.subnets.require(&new.subnet)?;
    new.addresses.check(subnet)?;
    if subnet.free() < new.addresses.count() {
        let message =
            format!("The specified subnet does not have enough free addresses to satisfy the request: {}", new.subnet);
        return Err(ApiError::new(Code::InsufficientFreeAddressesInSubnet, message));
    }
    quota::network_interfaces(context).admit(1, 1)?;
    let id: NetworkInterfaceId = context.shared.source.id();
    new.reserve(context, &id);
    new.make(context, &id, None)?;
    context.region.tags.set(&id, tags);
    context.region.tokens.remember(ACTION, token.clone(), input, id.as_ref(), 1);
    answer(context, &id, token.as_deref())
}

fn answer(context: &Context<'_>, id: &NetworkInterfaceId, token: Option<&str>) -> Result<Structure, ApiError> {
    let interface = context.region.network_interfaces.require(id)?;
    let shown = interface.described(id, context.region, context.settings, context.now);
    Ok(Structure::new().with("NetworkInterface", shown).with_some("ClientToken", token))
}

/// Reads a description.
pub(super) fn description(input: &Structure) -> Result<String, ApiError> {
    let description = input.string("Description").unwrap_or_default();
    if description.chars().count() > 255 {
        return Err(invalid("The description of a network interface may have up to 255 characters."));
    }
    Ok(description.to_owned())
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteNetworkInterface.html>.
pub(in crate::account) fn delete(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = super::own(context.region, required(input, "NetworkInterfaceId")?)?;
    if context.region.network_interfaces.require(&id)?.attachment.is_some() {
        return Err(invalid(format!("Network interface '{id}' is currently in use.")));
    }
    super::delete(context, &id);
    Ok(Structure::new())
}
