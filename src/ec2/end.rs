//! Ending machines.

use super::{
    Ec2, Machine, api_error,
    connection::Connection,
    patience::{LOOK_PAUSE_MAX, TRIES, TRY_PAUSE, pauses, until_visible},
};
use crate::error::{Error, ErrorKind};
use aws_sdk_ec2::types::{Filter, Instance, InstanceStateName};
use std::{collections::BTreeMap, sync::Arc};

/// `TerminateInstances` takes up to 1,000 ids; AWS advises fewer.
const BATCH: usize = 100;

/// A filter takes up to 200 values.
const VALUES_PER_FILTER: usize = 200;

impl Machine {
    /// Ends machines, together; returns once EC2 has accepted. A machine that has ended already, by whomever, is no error.
    pub(crate) async fn end_all(machines: Vec<Machine>) -> Result<(), Error> {
        let mut by_connection: BTreeMap<usize, (Arc<Connection>, Vec<Machine>)> = BTreeMap::new();
        for machine in machines {
            machine.mark_ended("at the end of its test".into());
            machine.disconnect().await;
            let connection = machine.0.ec2.connection.clone();
            let key = Arc::as_ptr(&connection) as usize;
            by_connection.entry(key).or_insert_with(|| (connection, Vec::new())).1.push(machine);
        }
        let mut first = Ok(());
        for (connection, machines) in by_connection.into_values() {
            let ids: Vec<String> = machines.iter().map(|machine| machine.id().to_owned()).collect();
            let seen = |ids: &[String]| {
                machines
                    .iter()
                    .filter(|machine| ids.contains(&machine.0.id))
                    .all(|machine| machine.last_described().is_some())
            };
            let ended = terminate(&connection, ids, &seen).await;
            let left = ended.as_ref().err().map(|(left, _)| left.clone()).unwrap_or_default();
            for machine in machines.iter().filter(|machine| !left.contains(&machine.0.id)) {
                machine.release();
            }
            first = first.and(ended.map_err(|(_, error)| error));
        }
        first
    }
}

impl Ec2 {
    /// Ends what the create calls with these client tokens have made, as far as it is seen; says which these are.
    pub(crate) async fn end_by_tokens(&self, tokens: &[String]) -> Result<Vec<String>, Error> {
        let found = made_with(&self.connection, tokens).await?;
        let ids = found.iter().filter(|it| !has_ended(it)).filter_map(|it| it.instance_id.clone()).collect();
        terminate(&self.connection, ids, &|_| true).await.map_err(|(_, error)| error)?;
        Ok(found.into_iter().filter_map(|it| it.client_token).collect())
    }
}

/// What the create calls with these client tokens have made, in whatever state, as far as it is seen.
pub(super) async fn made_with(connection: &Connection, tokens: &[String]) -> Result<Vec<Instance>, Error> {
    let mut made = Vec::new();
    for tokens in tokens.chunks(VALUES_PER_FILTER) {
        made.extend(instances(connection, "client-token", tokens).await?);
    }
    Ok(made)
}

/// All instances that a filter finds.
pub(super) async fn instances(
    connection: &Connection,
    filter: &str,
    values: &[String],
) -> Result<Vec<Instance>, Error> {
    let filter = Filter::builder().name(filter).set_values(Some(values.to_vec())).build();
    let mut pages = connection.client.describe_instances().filters(filter).into_paginator().send();
    let mut instances = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| api_error::failed("DescribeInstances", "find what was left", e))?;
        let reservations = page.reservations.into_iter().flatten();
        instances.extend(reservations.flat_map(|it| it.instances.unwrap_or_default()));
    }
    Ok(instances)
}

/// Whether an instance has ended, or is just ending.
pub(super) fn has_ended(instance: &Instance) -> bool {
    let state = instance.state().and_then(|state| state.name());
    matches!(state, Some(InstanceStateName::Terminated | InstanceStateName::ShuttingDown))
}

/// Terminates instances. One bad id fails a whole call, so a batch that fails is halved until the bad one is alone. An
/// error comes with the ids that may still be there.
///
/// `seen` says whether EC2 has ever shown these instances: if so, not to be found is to be gone.
pub(crate) async fn terminate(
    connection: &Connection,
    ids: Vec<String>,
    seen: &(dyn Fn(&[String]) -> bool + Sync),
) -> Result<(), (Vec<String>, Error)> {
    let mut batches: Vec<Vec<String>> = ids.chunks(BATCH).map(<[String]>::to_vec).collect();
    let mut left = Vec::new();
    let mut first_error = None;
    while let Some(batch) = batches.pop() {
        match terminate_batch(connection, &batch, seen).await {
            Ok(()) => {}
            Err(error) if batch.len() > 1 && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Api) => {
                let (one, other) = batch.split_at(batch.len() / 2);
                batches.extend([one.to_vec(), other.to_vec()]);
            }
            Err(error) => {
                left.extend(batch);
                first_error.get_or_insert(error);
            }
        }
    }
    match first_error {
        None => Ok(()),
        Some(error) => Err((left, error.advise("run `ec2-harness sweep` to end what is left"))),
    }
}

async fn terminate_batch(
    connection: &Connection,
    ids: &[String],
    seen: &(dyn Fn(&[String]) -> bool + Sync),
) -> Result<(), Error> {
    let tried = format!("terminate {}", ids.join(", "));
    let mut pauses = pauses(TRY_PAUSE, LOOK_PAUSE_MAX);
    for attempt in 1.. {
        let error = match connection.client.terminate_instances().set_instance_ids(Some(ids.to_vec())).send().await {
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
            1 if protected => unprotect(connection, ids).await?,
            _ if transient && attempt < TRIES => pauses.next().await,
            // A terminated instance vanishes after an hour: a clean-up of something gone is no failure. One that was
            // never seen may yet come, and the sweep finds it by its tags.
            _ if error.code() == Some("InvalidInstanceID.NotFound") && seen(ids) => return Ok(()),
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
