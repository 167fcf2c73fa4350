//! Requests for Spot Instances.

use super::{Found, Kind, Life, SpotRequest, Token, pages::all_pages};
use crate::{
    connection::{
        Connection, api_error,
        patience::{VISIBLE_WITHIN, until_answered, until_visible_within},
    },
    error::{Error, ErrorKind},
};
use aws_sdk_ec2::types::{Filter, SpotInstanceRequest, SpotInstanceState, SpotInstanceType};
use std::sync::Arc;

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
        Box::pin(super::left::end_each(connection, endings, move |id| async move { cancel(connection, &id).await }))
    },
};

async fn cancel(connection: &Connection, id: &str) -> Result<(), Error> {
    let call = connection.client.cancel_spot_instance_requests().spot_instance_request_ids(id).send().await;
    call.map(drop)
        .map_err(|e| api_error::failed("CancelSpotInstanceRequests", format!("cancel the Spot request {id}"), e))
}

/// Has the request of an instance that is about to end launch no other in its place, should it persist. One that isn't seen is waited for
/// until it must be; after that it is gone, as a request is hours after its end. What fails here is left to the sweep.
pub(super) async fn cancel_first(connection: &Arc<Connection>, request: SpotRequest) {
    let SpotRequest { id, age } = request;
    let limit = connection.paced(VISIBLE_WITHIN).saturating_sub(age);
    let cancelled = until_visible_within(limit, || until_answered(connection, || cancel(connection, &id))).await;
    if let Err(error) = cancelled
        && error.kind() != ErrorKind::NotFound
        && !connection.is_gone().await
    {
        tracing::warn!("failed to {error}");
    }
}

async fn find(connection: &Connection, filters: Vec<Filter>) -> Result<Vec<Found>, Error> {
    let call = connection.client.describe_spot_instance_requests().set_filters(Some(filters));
    let requests =
        all_pages!("DescribeSpotInstanceRequests", "find requests for Spot Instances", call, spot_instance_requests);
    let found = requests.into_iter().filter_map(|request| {
        let has_ended = has_ended(&request);
        let (tags, id) = (request.tags.unwrap_or_default(), request.spot_instance_request_id?);
        Some(Found::new(&KIND, id, tags, has_ended))
    });
    Ok(found.collect())
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
