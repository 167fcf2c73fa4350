//! The bonds of route tables: with their VPC as its main one, and with subnets.

use super::RouteTable;
use crate::{
    account::{
        Context,
        ids::{Id, RouteTableAssociationId, RouteTableId, SubnetId},
        region::Region,
        request::{invalid, required},
    },
    error::{ApiError, Code},
    wire::Structure,
};

fn associated(structure: Structure) -> Structure {
    structure.with("AssociationState", Structure::new().with("State", "associated"))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AssociateRouteTable.html>.
pub(in crate::account) fn associate(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &mut *context.region;
    let id = region.route_tables.parse(required(input, "RouteTableId")?)?;
    let subnet = region.subnets.parse(required(input, "SubnetId")?)?;
    let vpc = region.route_tables.require(&id)?.vpc.clone();
    if region.subnets.require(&subnet)?.vpc != vpc {
        return Err(invalid(format!("route table {id} and subnet {subnet} belong to different networks")));
    }
    if region.route_tables.iter().any(|(_, table)| table.subnets().any(|known| *known == subnet)) {
        let message = format!("the specified association for route table {id} conflicts with an existing association");
        return Err(ApiError::new(Code::ResourceAlreadyAssociated, message));
    }
    let association: RouteTableAssociationId = context.shared.source.id();
    region.route_tables.require_mut(&id)?.associations.push((association.clone(), subnet));
    context.network_changed(&vpc);
    Ok(associated(Structure::new().with("AssociationId", &association)))
}

/// The table that has a bond, and whether that makes it the main one.
fn named(region: &Region, input: &Structure) -> Result<(RouteTableId, RouteTableAssociationId, bool), ApiError> {
    let association = RouteTableAssociationId::parse(required(input, "AssociationId")?)?;
    let is_main = |table: &RouteTable| table.main.as_ref() == Some(&association);
    let has_it = |table: &RouteTable| table.associations.iter().any(|(known, _)| *known == association);
    let found = region.route_tables.iter().find(|(_, table)| is_main(table) || has_it(table));
    match found {
        Some((id, table)) => {
            let is_main = is_main(table);
            Ok((id.clone(), association, is_main))
        }
        None => {
            let message = RouteTableAssociationId::not_found(&[association.as_ref()]);
            Err(ApiError::new(RouteTableAssociationId::NOT_FOUND, message))
        }
    }
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DisassociateRouteTable.html>.
pub(in crate::account) fn disassociate(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let (id, association, is_main) = named(context.region, input)?;
    if is_main {
        return Err(invalid(format!("cannot disassociate the main route table association {association}")));
    }
    let table = context.region.route_tables.require_mut(&id)?;
    table.associations.retain(|(known, _)| *known != association);
    let vpc = table.vpc.clone();
    context.network_changed(&vpc);
    Ok(Structure::new())
}

/// The subnet, or the VPC for its main one, gets another table.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ReplaceRouteTableAssociation.html>.
pub(in crate::account) fn replace_association(
    context: &mut Context<'_>,
    input: &Structure,
) -> Result<Structure, ApiError> {
    let (before, association, is_main) = named(context.region, input)?;
    let region = &mut *context.region;
    let id = region.route_tables.parse(required(input, "RouteTableId")?)?;
    let vpc = region.route_tables.require(&before)?.vpc.clone();
    if region.route_tables.require(&id)?.vpc != vpc {
        return Err(invalid(format!("route table {id} and route table {before} belong to different networks")));
    }
    let new: RouteTableAssociationId = context.shared.source.id();
    if is_main {
        region.route_tables.require_mut(&before)?.main = None;
        region.route_tables.require_mut(&id)?.main = Some(new.clone());
    } else {
        let table = region.route_tables.require_mut(&before)?;
        let subnet =
            table.associations.iter().find(|(known, _)| *known == association).map(|(_, subnet)| subnet.clone());
        table.associations.retain(|(known, _)| *known != association);
        let table = region.route_tables.require_mut(&id)?;
        table.associations.extend(subnet.map(|subnet| (new.clone(), subnet)));
    }
    context.network_changed(&vpc);
    Ok(associated(Structure::new().with("NewAssociationId", &new)))
}

/// Forgets a subnet that is gone.
pub(in crate::account) fn forget_subnet(region: &mut Region, subnet: &SubnetId) {
    let found = region.route_tables.iter().find(|(_, table)| table.subnets().any(|known| known == subnet));
    if let Some(id) = found.map(|(id, _)| id.clone())
        && let Some(table) = region.route_tables.get_mut(&id)
    {
        table.associations.retain(|(_, known)| known != subnet);
    }
}
