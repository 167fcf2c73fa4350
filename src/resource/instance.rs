//! Instances.

use super::{Ending, Found, Kind, Left, Life, SpotRequest, Token, pages::all_pages, spot_request};
use crate::{
    connection::{
        Connection, api_error,
        patience::{LOOK_PAUSE_MAX, TRIES, TRY_PAUSE, pauses, until_visible},
    },
    error::{Error, ErrorKind},
};
use aws_sdk_ec2::types::{Filter, Instance, InstanceStateName};
use futures_util::future::join_all;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// An instance.
pub(crate) static KIND: Kind = Kind {
    word: "instance",
    token: Token::Client("client-token"),
    life: Life::Test,
    rank: 0,
    in_use: &[],
    users: None,
    find: |connection, filters| Box::pin(find(connection, filters)),
    end: |connection, endings| Box::pin(terminate(connection, endings)),
};

/// `TerminateInstances` takes up to 1,000 ids; AWS advises fewer.
const BATCH: usize = 100;

async fn find(connection: &Connection, filters: Vec<Filter>) -> Result<Vec<Found>, Error> {
    let call = connection.client.describe_instances().set_filters(Some(filters));
    let reservations = all_pages!("DescribeInstances", "find instances", call, reservations);
    let instances = reservations.into_iter().flat_map(|it| it.instances.unwrap_or_default());
    let found = instances.filter_map(|instance| {
        let has_ended = has_ended(&instance);
        let spot_request = spot_request_of(&instance);
        let (tags, client_token) = (instance.tags.unwrap_or_default(), instance.client_token);
        let found = Found::new(&KIND, instance.instance_id?, tags, has_ended);
        Some(Found { client_token, spot_request, ..found })
    });
    Ok(found.collect())
}

fn has_ended(instance: &Instance) -> bool {
    let state = instance.state().and_then(|state| state.name());
    matches!(state, Some(InstanceStateName::Terminated | InstanceStateName::ShuttingDown))
}

/// The request that a Spot Instance is of.
pub(crate) fn spot_request_of(instance: &Instance) -> Option<SpotRequest> {
    let launched = instance.launch_time().and_then(|time| SystemTime::try_from(*time).ok());
    let age = launched.and_then(|launched| launched.elapsed().ok()).unwrap_or(Duration::ZERO);
    Some(SpotRequest { id: instance.spot_instance_request_id.clone()?, age })
}

/// Terminates instances, once nothing launches others in their place. One bad id fails a whole call, so a batch that fails is halved until the bad one is alone.
async fn terminate(connection: &Arc<Connection>, endings: Vec<Ending>) -> Result<(), Left> {
    let requests = endings.iter().filter_map(|ending| ending.spot_request.clone());
    join_all(requests.map(|request| spot_request::cancel_first(connection, request))).await;
    let mut batches: Vec<Vec<Ending>> = endings.chunks(BATCH).map(<[Ending]>::to_vec).collect();
    let mut left = Vec::new();
    let mut first_error = None;
    while let Some(batch) = batches.pop() {
        match terminate_batch(connection, &batch).await {
            Ok(()) => {}
            Err(error) if batch.len() > 1 && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Api) => {
                let (one, other) = batch.split_at(batch.len() / 2);
                batches.extend([one.to_vec(), other.to_vec()]);
            }
            Err(error) => {
                left.extend(batch.into_iter().map(|ending| ending.id));
                first_error.get_or_insert(error);
            }
        }
    }
    match first_error {
        None => Ok(()),
        Some(error) => Err(Left { ids: left, error: error.advise("run `ec2-harness sweep` to end what is left") }),
    }
}

async fn terminate_batch(connection: &Arc<Connection>, endings: &[Ending]) -> Result<(), Error> {
    let ids: Vec<String> = endings.iter().map(|ending| ending.id.clone()).collect();
    let tried = format!("terminate {}", ids.join(", "));
    let mut pauses = pauses(TRY_PAUSE, LOOK_PAUSE_MAX);
    for attempt in 1.. {
        let error = match connection.client.terminate_instances().set_instance_ids(Some(ids.clone())).send().await {
            Ok(_) => return Ok(()),
            Err(e) => api_error::failed("TerminateInstances", &tried, e),
        };
        let protected = error.code() == Some("OperationNotPermitted");
        // Not found is unknown, not gone: a fresh id may not be visible yet.
        let transient = error.is_transient() || (error.kind() == ErrorKind::NotFound && ids.len() == 1);
        // A local EC2 that has ended took its machines with it.
        if error.kind() == ErrorKind::Connection && connection.is_gone().await {
            return Ok(());
        }
        match attempt {
            1 if protected => unprotect(connection, &ids).await?,
            _ if transient && attempt < TRIES => pauses.next().await,
            // A terminated instance vanishes after an hour: a clean-up of something gone is no failure. One that was
            // never seen may yet come, and the sweep finds it by its tags.
            _ if error.code() == Some("InvalidInstanceID.NotFound") && endings.iter().all(|ending| ending.seen) => {
                return Ok(());
            }
            _ => return Err(error),
        }
    }
    Ok(())
}

/// Clears the termination protection of our own machines: a test may have set it.
async fn unprotect(connection: &Connection, ids: &[String]) -> Result<(), Error> {
    for id in ids {
        let tried = format!("clear the protection of {id}");
        let value = aws_sdk_ec2::types::AttributeBooleanValue::builder().value(false).build();
        let call = connection.client.modify_instance_attribute().instance_id(id).disable_api_termination(value);
        until_visible(|| async {
            let answer = call.clone().send().await;
            answer.map(drop).map_err(|e| api_error::failed("ModifyInstanceAttribute", &tried, e))
        })
        .await?;
    }
    Ok(())
}
