//! Keeping what we have made beyond its test: it is forgotten here, and its lease begins anew.

use super::Ec2;
use crate::{
    connection::{api_error, patience::until_visible, tags},
    engine,
    error::Error,
    teardown::owned::Identity,
};
use aws_sdk_ec2::types::Tag;
use std::fmt;

/// Keeps something; says until when. `note` is done along with noting that it is kept, on a thread for what blocks.
///
/// # Errors
///
/// It can't be noted here: then it ends as ever. EC2 refuses to renew the lease: it is kept nevertheless.
pub(super) async fn keep(
    ec2: &Ec2,
    identity: &Identity,
    called: &impl fmt::Display,
    note: impl FnOnce() -> Result<(), Error> + Send + 'static,
) -> Result<String, Error> {
    let (run, id) = (ec2.connection.run, identity.id.clone());
    engine::blocking("note that it is kept", move || {
        run.note_kept(&id)?;
        note()
    })
    .await?;
    identity.forget();
    let until = tags::after(ec2.config.lease);
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    let tried = format!("renew the lease of {called}");
    let call = ec2.connection.client.create_tags().resources(&identity.id);
    let call = call.tags(tag(tags::EXPIRES_AT, &until)).tags(tag(tags::KEPT, "yes"));
    until_visible(|| async { call.clone().send().await.map_err(|e| api_error::failed("CreateTags", &tried, e)) })
        .await?;
    Ok(until)
}
