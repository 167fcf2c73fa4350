//! Internet gateways of our VPCs.

use super::{Found, Kind, Life, Token, left::end_each, pages::all_pages};
use crate::{
    connection::{Connection, api_error},
    error::Error,
};
use aws_sdk_ec2::types::{Filter, InternetGateway};

/// An internet gateway. Public addresses in its VPC hold it.
pub(crate) static KIND: Kind = Kind {
    word: "internet-gateway",
    token: Token::Attempt,
    life: Life::Test,
    rank: 5,
    in_use: &["DependencyViolation"],
    users: None,
    find: |connection, filters| Box::pin(find(connection, filters)),
    end: |connection, endings| {
        Box::pin(end_each(connection, endings, move |id| async move {
            match delete(connection, &id).await {
                // It is attached, which is a dependency, too.
                Err(error) if error.code() == Some("DependencyViolation") => {
                    detach(connection, &id).await?;
                    delete(connection, &id).await
                }
                other => other,
            }
        }))
    },
};

async fn delete(connection: &Connection, id: &str) -> Result<(), Error> {
    let call = connection.client.delete_internet_gateway().internet_gateway_id(id).send().await;
    let tried = format!("delete the internet gateway {id}");
    call.map(drop).map_err(|e| api_error::failed("DeleteInternetGateway", tried, e))
}

/// Detaches it from its VPC, if it is seen to have one.
async fn detach(connection: &Connection, id: &str) -> Result<(), Error> {
    let by_id = Filter::builder().name("internet-gateway-id").values(id).build();
    let gateways = gateways(connection, vec![by_id]).await?;
    for vpc in gateways.iter().flat_map(InternetGateway::attachments).filter_map(|attachment| attachment.vpc_id()) {
        let tried = format!("detach the internet gateway {id} from {vpc}");
        let call = connection.client.detach_internet_gateway().internet_gateway_id(id).vpc_id(vpc).send().await;
        match call.map_err(|e| api_error::failed("DetachInternetGateway", tried, e)) {
            // An earlier try has come through whose answer was lost.
            Err(error) if error.code() == Some("Gateway.NotAttached") => {}
            other => drop(other?),
        }
    }
    Ok(())
}

async fn gateways(connection: &Connection, filters: Vec<Filter>) -> Result<Vec<InternetGateway>, Error> {
    let call = connection.client.describe_internet_gateways().set_filters(Some(filters));
    Ok(all_pages!("DescribeInternetGateways", "find internet gateways", call, internet_gateways))
}

async fn find(connection: &Connection, filters: Vec<Filter>) -> Result<Vec<Found>, Error> {
    let found = gateways(connection, filters).await?.into_iter().filter_map(|gateway| {
        let (tags, id) = (gateway.tags.unwrap_or_default(), gateway.internet_gateway_id?);
        Some(Found::new(&KIND, id, tags, false))
    });
    Ok(found.collect())
}
