//! The actions of all rooms.

use super::{
    absent, account_attributes, account_options, action::Action, console, dhcp_options, egress_only_gateway,
    elastic_address, image, instance, instance_profile, instance_type, internet_gateway, key_pair, launch_template,
    nat_gateway, network_acl, network_interface, peering, place, placement_group, root_volume, route_table,
    security_group, snapshot, spot, subnet, tags, volume, vpc,
};
use crate::{error::ApiError, wire};
use std::sync::LazyLock;

/// Those of all rooms, by name.
static ACTIONS: LazyLock<Vec<&Action>> = LazyLock::new(|| {
    let rooms = [
        absent::ACTIONS,
        account_attributes::ACTIONS,
        account_options::ACTIONS,
        console::ACTIONS,
        dhcp_options::ACTIONS,
        egress_only_gateway::ACTIONS,
        elastic_address::ACTIONS,
        image::ACTIONS,
        instance::ACTIONS,
        instance_profile::ACTIONS,
        instance_type::ACTIONS,
        internet_gateway::ACTIONS,
        key_pair::ACTIONS,
        launch_template::ACTIONS,
        nat_gateway::ACTIONS,
        network_acl::ACTIONS,
        network_interface::ACTIONS,
        peering::ACTIONS,
        place::ACTIONS,
        placement_group::ACTIONS,
        root_volume::ACTIONS,
        route_table::ACTIONS,
        security_group::ACTIONS,
        snapshot::ACTIONS,
        spot::ACTIONS,
        subnet::ACTIONS,
        tags::ACTIONS,
        volume::ACTIONS,
        vpc::ACTIONS,
    ];
    let mut actions: Vec<&Action> = rooms.into_iter().flatten().collect();
    actions.sort_unstable_by_key(|action| action.name);
    actions
});

/// All of them, by name.
pub(super) fn all() -> impl Iterator<Item = &'static Action> {
    ACTIONS.iter().copied()
}

/// The action of a name.
pub(super) fn find(name: &str) -> Result<&'static Action, ApiError> {
    let index = ACTIONS.binary_search_by(|action| action.name.cmp(name)).map_err(|_| wire::unserved(name))?;
    Ok(ACTIONS[index])
}
