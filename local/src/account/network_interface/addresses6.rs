//! The IPv6 addresses of interfaces: those that one is made with, AssignIpv6Addresses, UnassignIpv6Addresses.

use super::create::count_of;
use crate::{
    account::{
        Context,
        ids::{NetworkInterfaceId, SubnetId},
        request::{combination, invalid, missing, only, required},
        subnet::{self, Subnet},
    },
    error::{ApiError, Code},
    wire::Structure,
};
use std::{collections::BTreeSet, net::Ipv6Addr};

/// The most IPv6 addresses of an interface of any instance type.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/AvailableIpPerENI.html>.
const MOST: u64 = 50;

/// The IPv6 addresses that an interface is to have.
#[derive(Debug, Clone, Default)]
pub(in crate::account) struct Addresses6 {
    named: Vec<Ipv6Addr>,
    /// How many more are drawn.
    more: u64,
}

impl Addresses6 {
    /// Reads what a request or one of its structures says of them; `path` names that in messages, with a dot at its end. Where nothing is said, the subnet
    /// says whether there is one.
    pub(in crate::account) fn read(
        holder: &Structure,
        path: &str,
        id: &SubnetId,
        subnet: &Subnet,
    ) -> Result<Self, ApiError> {
        let mut named = Vec::new();
        for listed in holder.structures("Ipv6Addresses") {
            only(listed, &format!("{path}Ipv6Addresses."), &["Ipv6Address"])?;
            named.push(parse(required(listed, "Ipv6Address")?)?);
        }
        let count = holder.integer("Ipv6AddressCount");
        let this = Self::of(named, count, 0)?;
        let is_silent = this.named.is_empty() && count.is_none();
        let this = if is_silent && subnet.assign_ipv6 { Self { more: 1, ..this } } else { this };
        if this.count() > 0 && subnet.range6().is_none() {
            return Err(subnet::has_none(id));
        }
        if this.count() > MOST {
            return Err(too_many());
        }
        this.named.iter().try_for_each(|address| subnet.check6(*address).map(drop))?;
        Ok(this)
    }

    fn of(named: Vec<Ipv6Addr>, count: Option<i64>, least: i64) -> Result<Self, ApiError> {
        if !named.is_empty() && count.is_some() {
            return Err(combination("The parameters ipv6Addresses and ipv6AddressCount cannot be used together"));
        }
        if named.iter().collect::<BTreeSet<_>>().len() < named.len() {
            return Err(invalid("An IPv6 address is specified more than once."));
        }
        let more = count.map(|count| count_of(count, "ipv6AddressCount", least)).transpose()?.unwrap_or(0);
        Ok(Self { named, more })
    }

    /// Those that the request names.
    pub(in crate::account) fn named(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.named.iter().copied()
    }

    /// How many there are to be.
    pub(in crate::account) fn count(&self) -> u64 {
        self.named.len() as u64 + self.more
    }

    /// Takes all of them for an interface; those that are named may be reserved for it already.
    pub(super) fn take(
        &self,
        context: &mut Context<'_>,
        subnet: &SubnetId,
        holder: &NetworkInterfaceId,
    ) -> Result<Vec<Ipv6Addr>, ApiError> {
        let mut taken = self.named.clone();
        let source = &mut context.shared.source;
        let mut drawn = Ok(());
        context.region.subnets.derive(subnet, |contents| {
            contents.holders6.extend(self.named().map(|address| (address, holder.clone())));
            for _ in 0..self.more {
                match contents.take6(subnet, holder, source) {
                    Ok(address) => taken.push(address),
                    Err(error) => drawn = Err(error),
                }
            }
        });
        drawn.map(|()| taken)
    }
}

/// Reads an IPv6 address.
fn parse(text: &str) -> Result<Ipv6Addr, ApiError> {
    text.parse().map_err(|_| invalid(format!("Value ({text}) for parameter address is invalid. Invalid IPv6 address.")))
}

/// More IPv6 addresses than an interface can have.
pub(in crate::account) fn too_many() -> ApiError {
    ApiError::new(Code::PrivateIpAddressLimitExceeded, "Number of IPv6 addresses will exceed limit.")
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AssignIpv6Addresses.html>.
pub(in crate::account) fn assign(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = super::own(context.region, required(input, "NetworkInterfaceId")?)?;
    let named = input.strings("Ipv6Addresses").map(parse).collect::<Result<Vec<_>, _>>()?;
    let wanted = Addresses6::of(named, input.integer("Ipv6AddressCount"), 1)?;
    if wanted.count() == 0 {
        return Err(missing("ipv6Addresses or ipv6AddressCount"));
    }
    let region = &*context.region;
    let interface = region.network_interfaces.require(&id)?;
    let subnet_id = interface.subnet.clone();
    let subnet = region.subnets.require(&subnet_id)?;
    if subnet.range6().is_none() {
        return Err(subnet::has_none(&subnet_id));
    }
    wanted.named().try_for_each(|address| subnet.check6(address).map(drop))?;
    let instance = interface.instance().and_then(|id| region.instances.get(id));
    let limit = instance.map_or(MOST, |instance| instance.instance_type.addresses6_per_interface());
    if interface.ipv6.len() as u64 + wanted.count() > limit {
        return Err(too_many());
    }
    let taken = wanted.take(context, &subnet_id, &id)?;
    context.region.network_interfaces.require_mut(&id)?.ipv6.extend(&taken);
    context.interface_changed(&id);
    Ok(Structure::new().with("NetworkInterfaceId", &id).with("AssignedIpv6Addresses", texts(&taken)))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_UnassignIpv6Addresses.html>.
pub(in crate::account) fn unassign(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = super::own(context.region, required(input, "NetworkInterfaceId")?)?;
    let named = input.strings("Ipv6Addresses").map(parse).collect::<Result<Vec<_>, _>>()?;
    if named.is_empty() {
        return Err(missing("ipv6Addresses"));
    }
    let interface = context.region.network_interfaces.require_mut(&id)?;
    if let Some(address) = named.iter().find(|address| !interface.ipv6.contains(address)) {
        return Err(invalid(format!("Some of the specified addresses are not assigned to interface {id}: {address}")));
    }
    interface.ipv6.retain(|address| !named.contains(address));
    let subnet = interface.subnet.clone();
    context.region.subnets.derive(&subnet, |subnet| named.iter().for_each(|it| drop(subnet.holders6.remove(it))));
    context.interface_changed(&id);
    Ok(Structure::new().with("NetworkInterfaceId", &id).with("UnassignedIpv6Addresses", texts(&named)))
}

fn texts(addresses: &[Ipv6Addr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}
