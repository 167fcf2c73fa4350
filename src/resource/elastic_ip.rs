//! Elastic addresses.

use super::{Found, Kind, Life, Token};
use crate::{
    connection::{Connection, api_error},
    error::Error,
};
use aws_sdk_ec2::types::{Address, Filter};

/// An elastic address, by its allocation's id. It is taken away from whatever has it.
pub(crate) static KIND: Kind = Kind {
    word: "elastic-ip",
    token: Token::Attempt,
    life: Life::Test,
    rank: 1,
    in_use: &["InvalidIPAddress.InUse"],
    users: None,
    find: |connection, filters| Box::pin(find(connection, filters)),
    end: |connection, endings| {
        Box::pin(super::left::end_each(connection, endings, move |id| async move {
            match release(connection, &id).await {
                Err(error) if error.code() == Some("InvalidIPAddress.InUse") => {
                    disassociate(connection, &id).await?;
                    release(connection, &id).await
                }
                other => other,
            }
        }))
    },
};

async fn release(connection: &Connection, id: &str) -> Result<(), Error> {
    let call = connection.client.release_address().allocation_id(id).send().await;
    let tried = format!("release the address {id}");
    call.map(drop).map_err(|e| api_error::failed("ReleaseAddress", tried, e))
}

async fn disassociate(connection: &Connection, id: &str) -> Result<(), Error> {
    let by_id = Filter::builder().name("allocation-id").values(id).build();
    for association in addresses(connection, vec![by_id]).await?.into_iter().filter_map(|it| it.association_id) {
        let call = connection.client.disassociate_address().association_id(&association).send().await;
        match call.map_err(|e| api_error::failed("DisassociateAddress", format!("disassociate the address {id}"), e)) {
            // What had it has ended meanwhile.
            Err(error) if error.code() == Some("InvalidAssociationID.NotFound") => {}
            other => drop(other?),
        }
    }
    Ok(())
}

async fn find(connection: &Connection, filters: Vec<Filter>) -> Result<Vec<Found>, Error> {
    let found = addresses(connection, filters).await?.into_iter().filter_map(|address| {
        let (tags, id) = (address.tags.unwrap_or_default(), address.allocation_id?);
        Some(Found::new(&KIND, id, tags, false))
    });
    Ok(found.collect())
}

async fn addresses(connection: &Connection, filters: Vec<Filter>) -> Result<Vec<Address>, Error> {
    let call = connection.client.describe_addresses().set_filters(Some(filters)).send().await;
    Ok(call.map_err(|e| api_error::failed("DescribeAddresses", "find addresses", e))?.addresses.unwrap_or_default())
}
