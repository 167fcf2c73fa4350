//! Sets of DHCP options: what machines are told of their network.

use super::{
    Context,
    action::{Action, action},
    address::private_domain,
    describe::Listing,
    ids::{DhcpOptionsId, VpcId},
    region::Region,
    request::{invalid, required},
    tags::TagSpecifications,
    vpc::{Dhcp, has_dependencies},
};
use crate::{error::ApiError, network, wire::Structure};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

pub(super) const ACTIONS: &[Action] = &[
    action("AssociateDhcpOptions", associate, &["DhcpOptionsId", "VpcId"]),
    action("CreateDhcpOptions", create, &["DhcpConfigurations", "TagSpecifications"]),
    action("DeleteDhcpOptions", delete, &["DhcpOptionsId"]),
    action("DescribeDhcpOptions", describe, &["DhcpOptionsIds", "Filters", "MaxResults", "NextToken"]),
];

/// A set of DHCP options.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DhcpOptions {
    /// Keys and their values, as they were said.
    configurations: Vec<(String, Vec<String>)>,
}

const DOMAIN: &str = "domain-name";
const NAME_SERVERS: &str = "domain-name-servers";
const NTP: &str = "ntp-servers";
const NETBIOS: &str = "netbios-name-servers";
const NODE_TYPE: &str = "netbios-node-type";
/// What stands for EC2's own name server.
const AMAZON: &str = "AmazonProvidedDNS";
/// How many servers of a kind there may be.
const SERVERS: usize = 4;
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateDhcpOptions.html>.
const NODE_TYPES: [&str; 4] = ["1", "2", "4", "8"];

/// Makes the set that each region has, where it isn't there.
pub(super) fn complete(region: &mut Region) {
    let id = region.dhcp_options.clone();
    if !region.dhcp_option_sets.contains(&id) {
        let configurations = vec![
            (DOMAIN.to_owned(), vec![private_domain(region.place)]),
            (NAME_SERVERS.to_owned(), vec![AMAZON.to_owned()]),
        ];
        region.dhcp_option_sets.insert(id, DhcpOptions { configurations });
    }
}

const LISTING: Listing = Listing {
    action: "DescribeDhcpOptions",
    ids: "DhcpOptionsIds",
    id: "DhcpOptionsId",
    sizes: 5..=1000,
    filters: &[
        ("dhcp-options-id", "DhcpOptionsId"),
        ("key", "DhcpConfigurations.Key"),
        ("owner-id", "OwnerId"),
        ("value", "DhcpConfigurations.Values.Value"),
    ],
};

pub(super) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    LISTING
        .answer("DhcpOptions", input, &region.dhcp_option_sets, &region.tags, |id, options| shown(context, id, options))
}

fn shown(context: &Context<'_>, id: &DhcpOptionsId, options: &DhcpOptions) -> Structure {
    let configurations = options.configurations.iter().map(|(key, values)| {
        let values: Vec<Structure> =
            values.iter().map(|value| Structure::new().with("Value", value.as_str())).collect();
        Structure::new().with("Key", key.as_str()).with("Values", values)
    });
    Structure::new()
        .with("DhcpOptionsId", id)
        .with("OwnerId", context.settings.account.as_str())
        .with("DhcpConfigurations", configurations.collect::<Vec<_>>())
        .with("Tags", context.region.tags.shown(id))
}

pub(super) fn create(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let mut configurations: Vec<(String, Vec<String>)> = Vec::new();
    for configuration in input.structures("DhcpConfigurations") {
        let key = required(configuration, "Key")?;
        let values: Vec<String> = configuration.strings("Values").map(str::to_owned).collect();
        check(key, &values)?;
        if configurations.iter().any(|(known, _)| known == key) {
            return Err(invalid(format!("Duplicate DHCP option '{key}' specified.")));
        }
        configurations.push((key.to_owned(), values));
    }
    if configurations.is_empty() {
        return Err(super::request::missing("dhcpConfiguration"));
    }
    let tags = TagSpecifications::read(input, &["dhcp-options"])?.of("dhcp-options");
    let id: DhcpOptionsId = context.shared.source.id();
    context.region.tags.set(&id, tags);
    let options = DhcpOptions { configurations };
    let shown = shown(context, &id, &options);
    context.region.dhcp_option_sets.insert(id, options);
    Ok(Structure::new().with("DhcpOptions", shown))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateDhcpOptions.html>.
fn check(key: &str, values: &[String]) -> Result<(), ApiError> {
    let bad = |value: &str| Err(invalid(format!("Value ({value}) for parameter {key} is invalid.")));
    let refused = match key {
        DOMAIN => values.iter().find(|value| !is_domain(value)),
        NAME_SERVERS => values.iter().find(|value| *value != AMAZON && value.parse::<Ipv4Addr>().is_err()),
        NTP | NETBIOS => values.iter().find(|value| value.parse::<Ipv4Addr>().is_err()),
        NODE_TYPE => values.iter().find(|value| !NODE_TYPES.contains(&value.as_str())),
        _ => {
            return Err(invalid(format!(
                "Value ({key}) for parameter dhcpConfiguration.key is invalid. Unknown DHCP option"
            )));
        }
    };
    let most = if matches!(key, DOMAIN | NODE_TYPE) { 1 } else { SERVERS };
    match (refused, values.get(most).or(values.is_empty().then_some(&String::new()))) {
        (Some(value), _) => bad(value),
        (None, Some(value)) => bad(value),
        (None, None) => Ok(()),
    }
}

/// Some systems take several, in one text.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        label.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    text.len() <= 253 && text.split(' ').all(|domain| domain.trim_end_matches('.').split('.').all(is_label))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteDhcpOptions.html>.
pub(super) fn delete(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &mut *context.region;
    let id = region.dhcp_option_sets.parse(required(input, "DhcpOptionsId")?)?;
    let is_used = region.vpcs.iter().any(|(_, vpc)| vpc.dhcp_options == Dhcp::Own(id.clone()));
    if is_used || id == region.dhcp_options {
        return Err(has_dependencies("dhcpOptions", &id));
    }
    region.dhcp_option_sets.remove(&id);
    region.tags.forget(&id);
    Ok(Structure::new())
}

/// `default` stands for no options at all.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AssociateDhcpOptions.html>.
pub(super) fn associate(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let vpc = context.region.vpcs.parse(required(input, "VpcId")?)?;
    let options = match required(input, "DhcpOptionsId")? {
        "default" => Dhcp::None,
        id => match context.region.dhcp_option_sets.parse(id)? {
            id if id == context.region.dhcp_options => Dhcp::Regional,
            id => Dhcp::Own(id),
        },
    };
    context.region.vpcs.require_mut(&vpc)?.dhcp_options = options;
    context.network_changed(&vpc);
    Ok(Structure::new())
}
/// What machines of a VPC are told.
pub(super) fn of(region: &Region, vpc: &VpcId) -> network::DhcpOptions {
    let id = match region.vpcs.get(vpc).map(|vpc| &vpc.dhcp_options) {
        Some(Dhcp::Own(id)) => id,
        Some(Dhcp::None) => return network::DhcpOptions::default(),
        Some(Dhcp::Regional) | None => &region.dhcp_options,
    };
    let values = |key: &str| {
        let configurations = region.dhcp_option_sets.get(id).into_iter().flat_map(|options| &options.configurations);
        configurations.filter(move |(known, _)| known == key).flat_map(|(_, values)| values).collect::<Vec<_>>()
    };
    let addresses = |key| values(key).into_iter().filter_map(|value| value.parse().ok()).collect();
    let servers = values(NAME_SERVERS).into_iter();
    network::DhcpOptions {
        domain: values(DOMAIN).first().map(ToString::to_string),
        name_servers: servers.map(|server| server.parse().ok()).collect(),
        time_servers: addresses(NTP),
        netbios_servers: addresses(NETBIOS),
        netbios_node: values(NODE_TYPE).first().and_then(|value| value.parse().ok()),
    }
}
