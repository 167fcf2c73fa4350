//! DescribeImages: the image of an id, and those that fit a query.

use super::{Plain, unknown};
use crate::{
    config::{Architecture, ImageQuery},
    connection::{
        Connection, api_error,
        patience::{OTHERS_VISIBLE_WITHIN, until_visible_within},
    },
    ec2::Ec2,
    error::{Error, ErrorKind},
    target::Target,
};
use aws_sdk_ec2::types::{Filter, Image as Description};
use std::{cmp::Reverse, time::SystemTime};

/// What to do about an image that isn't there.
pub(super) fn advice(connection: &Connection) -> String {
    let there = if connection.target == Target::Local { " (`host`, `blank`, what you have imported)" } else { "" };
    format!(
        "an AMI's id is of one region, and of those with whom its owner shares it: look in {}, or say an alias{there} or \
         `ImageQuery::named(…)`",
        connection.region
    )
}

pub(super) async fn by_id(
    connection: &Connection,
    id: &str,
    owner: Option<&str>,
    tried: &str,
) -> Result<Description, Error> {
    // One that was made a moment ago may not be seen yet. An id names its image, deprecated or not.
    until_visible_within(connection.paced(OTHERS_VISIBLE_WITHIN), || async {
        let call = connection.client.describe_images().image_ids(id).include_deprecated(true);
        let answer = call.set_owners(owner.map(|owner| vec![owner.to_owned()])).send().await;
        let images = answer.map_err(|e| api_error::failed("DescribeImages", tried, e))?.images.unwrap_or_default();
        images.into_iter().next().ok_or_else(|| Error::new(ErrorKind::NotFound, tried).because("EC2 doesn't know it"))
    })
    .await
    .map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::Api => error.or_advise(&advice(connection)),
        _ => error,
    })
}

/// The newest image that fits a query.
pub(super) async fn newest(
    ec2: &Ec2,
    query: &ImageQuery,
    plain: &Plain,
    architecture: Architecture,
    tried: &str,
) -> Result<Description, Error> {
    let Plain::Named { pattern, owners, word } = plain else {
        return Err(Error::new(ErrorKind::Internal, tried).because("it has no name to look for"));
    };
    let connection = &ec2.connection;
    let find = || async {
        let found = all(connection, query, plain, architecture, tried).await?.into_iter().next();
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, tried))
    };
    // One of our own may be fresh.
    let is_own = query.owner.as_deref() == Some("self");
    let patience = if is_own { connection.paced(OTHERS_VISIBLE_WITHIN) } else { std::time::Duration::ZERO };
    let error = match until_visible_within(patience, find).await {
        Err(error) if error.kind() == ErrorKind::NotFound => error,
        other => return other,
    };
    if let Some(word) = word {
        return Err(unknown(connection, &ec2.config, word));
    }
    let of = query.architecture.unwrap_or(architecture).as_str();
    let owner = owners.join(" or ");
    let error = error.because(format!("owner {owner} has no available image of {of} with a name like `{pattern}`"));
    let deprecated = all(connection, &query.clone().deprecated(), plain, architecture, tried).await.unwrap_or_default();
    Err(match deprecated.first().and_then(|image| image.name()) {
        Some(name) if !query.deprecated => error.advise(format!(
            "{} deprecated ones fit, {name} the newest of them: say `.deprecated()` (`deprecated = true`) to have it",
            deprecated.len()
        )),
        _ if connection.target == Target::Local => error.advise(
            "the local EC2 has `host`, `blank`, what you have imported (`ec2-local image import`) and what tests make; or set \
             `target`",
        ),
        _ => error.advise("look at the owner's number and at how it names its images, by `ec2.images(…)` with a wider name"),
    })
}

/// All images that fit a query, the newest first.
pub(super) async fn all(
    connection: &Connection,
    query: &ImageQuery,
    plain: &Plain,
    architecture: Architecture,
    tried: &str,
) -> Result<Vec<Description>, Error> {
    let Plain::Named { pattern, owners, word } = plain else { return Ok(Vec::new()) };
    let filter = |key: &str, value: &str| Filter::builder().name(key).values(value).build();
    let mut filters = vec![filter("name", pattern), filter("state", "available")];
    // A name of one image says by itself which that is.
    if let Some(architecture) = query.architecture.or_else(|| word.is_none().then_some(architecture)) {
        filters.push(filter("architecture", architecture.as_str()));
    }
    let call = connection.client.describe_images().set_owners(Some(owners.clone())).set_filters(Some(filters));
    let call = call.set_include_deprecated(query.deprecated.then_some(true));
    let (mut pages, mut images) = (call.into_paginator().items().send(), Vec::new());
    while let Some(image) = pages.next().await {
        images.push(image.map_err(|e| api_error::failed("DescribeImages", tried, e))?);
    }
    // EC2 shows its owner those that are deprecated, asked or not.
    let now = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    images.retain(|image| query.deprecated || image.deprecation_time().is_none_or(|time| time > now.as_str()));
    // The dates are RFC 3339 in UTC, so their order is that of their text; names end with dates or serial numbers.
    images.sort_by_cached_key(|image| Reverse((image.creation_date.clone(), image.name.clone())));
    Ok(images)
}
