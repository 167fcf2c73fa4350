//! Requests for Spot Instances.

use super::{Found, Kind, Life, Token};
use crate::{
    connection::{Connection, api_error},
    error::Error,
};
use aws_sdk_ec2::types::{Filter, SpotInstanceRequest, SpotInstanceState, SpotInstanceType};

/// A request for a Spot Instance. It is cancelled before its instance ends: one that persists would launch another.
pub(crate) static KIND: Kind = Kind {
    word: "spot-instances-request",
    token: Token::Attempt,
    life: Life::Test,
    rank: 0,
    in_use: &[],
    users: None,
    find: |connection, filters| Box::pin(find(connection, filters)),
    end: |connection, endings| {
        Box::pin(super::left::end_each(connection, endings, move |id| async move {
            let call = connection.client.cancel_spot_instance_requests().spot_instance_request_ids(&id).send().await;
            let tried = format!("cancel the Spot request {id}");
            call.map(drop).map_err(|e| api_error::failed("CancelSpotInstanceRequests", tried, e))
        }))
    },
};

async fn find(connection: &Connection, filters: Vec<Filter>) -> Result<Vec<Found>, Error> {
    let call = connection.client.describe_spot_instance_requests().set_filters(Some(filters));
    let mut pages = call.into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page =
            page.map_err(|e| api_error::failed("DescribeSpotInstanceRequests", "find requests for Spot Instances", e))?;
        found.extend(page.spot_instance_requests.into_iter().flatten().filter_map(|request| {
            let has_ended = has_ended(&request);
            let (tags, id) = (request.tags.unwrap_or_default(), request.spot_instance_request_id?);
            Some(Found { kind: &KIND, resource_id: id.clone(), id, client_token: None, tags, has_ended })
        }));
    }
    Ok(found)
}

/// Whether nothing can come of it any more: it is over, or was for once and has its instance, with which it ends.
fn has_ended(request: &SpotInstanceRequest) -> bool {
    let is_for_once = request.r#type() != Some(&SpotInstanceType::Persistent);
    match request.state() {
        Some(SpotInstanceState::Cancelled | SpotInstanceState::Closed | SpotInstanceState::Failed) => true,
        Some(SpotInstanceState::Active) => is_for_once,
        _ => false,
    }
}
