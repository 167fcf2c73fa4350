//! Key pairs.

use super::{Found, Kind, Life, Token};
use crate::{
    connection::{Connection, api_error},
    error::Error,
};
use aws_sdk_ec2::types::Filter;

/// A key pair; one a run. It is ended by its name, which is unique in a region.
pub(crate) static KIND: Kind = Kind {
    word: "key-pair",
    token: Token::Attempt,
    life: Life::Run,
    rank: 1,
    in_use: &[],
    users: None,
    find: |connection, filters| Box::pin(find(connection, filters)),
    end: |connection, endings| {
        Box::pin(super::left::end_each(connection, endings, move |name| async move {
            let call = connection.client.delete_key_pair().key_name(&name).send().await;
            // One that isn't there is no error of EC2's either.
            call.map(drop).map_err(|e| api_error::failed("DeleteKeyPair", format!("delete the key pair {name}"), e))
        }))
    },
};

async fn find(connection: &Connection, filters: Vec<Filter>) -> Result<Vec<Found>, Error> {
    let keys = connection.client.describe_key_pairs().set_filters(Some(filters)).send().await;
    let keys = keys.map_err(|e| api_error::failed("DescribeKeyPairs", "find key pairs", e))?.key_pairs;
    let found = keys.into_iter().flatten().filter_map(|key| {
        let tags = key.tags.unwrap_or_default();
        Some(Found { resource_id: key.key_pair_id?, ..Found::new(&KIND, key.key_name?, tags, false) })
    });
    Ok(found.collect())
}
