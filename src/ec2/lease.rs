//! Keeping what we have made beyond its test: it is forgotten here, and its lease begins anew.

use super::Ec2;
use crate::{
    connection::{api_error, patience::until_visible, tags},
    engine,
    error::{Error, ErrorKind},
    resource::KEY_PAIR,
    teardown::owned::Identity,
};
use aws_sdk_ec2::types::{Filter, Tag};
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
    let resource = resource_id(ec2, identity).await?;
    let call = ec2.connection.client.create_tags().resources(resource);
    let call = call.tags(tag(tags::EXPIRES_AT, &until)).tags(tag(tags::KEPT, "yes"));
    until_visible(|| async { call.clone().send().await.map_err(|e| api_error::failed("CreateTags", &tried, e)) })
        .await?;
    Ok(until)
}

/// By which it is tagged, where it is ended by its name.
async fn resource_id(ec2: &Ec2, identity: &Identity) -> Result<String, Error> {
    if identity.kind != &KEY_PAIR {
        return Ok(identity.id.clone());
    }
    let tried = format!("find the key pair {}", identity.id);
    until_visible(|| async {
        let by_name = Filter::builder().name("key-name").values(&identity.id).build();
        let found = (KEY_PAIR.find)(&ec2.connection, vec![by_name]).await?.into_iter().next();
        let unknown = || Error::new(ErrorKind::NotFound, &tried).because("EC2 doesn't know it");
        found.map(|found| found.resource_id).ok_or_else(unknown)
    })
    .await
}
