//! Snapshots of volumes.

use super::{Found, Kind, Life, Token, image, pages::all_pages};
use crate::{
    connection::{Connection, api_error, tags},
    error::Error,
};
use aws_sdk_ec2::types::{Filter, Snapshot};
use std::collections::BTreeSet;

/// A filter takes up to 200 values.
const VALUES_PER_FILTER: usize = 200;

/// A snapshot. One that an image has ends with it.
pub(crate) static KIND: Kind = Kind {
    word: "snapshot",
    token: Token::Attempt,
    life: Life::Test,
    rank: 2,
    in_use: &["InvalidSnapshot.InUse"],
    users: Some(|connection, id| Box::pin(users(connection, id))),
    find: |connection, filters| Box::pin(find(connection, filters)),
    end: |connection, endings| {
        Box::pin(super::left::end_each(connection, endings, move |id| async move { delete(connection, &id).await }))
    },
};

pub(super) async fn delete(connection: &Connection, id: &str) -> Result<(), Error> {
    let call = connection.client.delete_snapshot().snapshot_id(id).send().await;
    call.map(drop).map_err(|e| api_error::failed("DeleteSnapshot", format!("delete the snapshot {id}"), e))
}

/// What was taken for an image, whether that is there or not: by the description that EC2 gives it.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/creating-an-ami-ebs.html>
pub(super) async fn of_image(connection: &Connection, image: &str) -> Result<Vec<String>, Error> {
    let by = |key: &str, value: &str| Filter::builder().name(key).values(value).build();
    let of_it = by("description", &format!("Created by CreateImage(*) for {image}*"));
    // A description is anybody's to write.
    let of_ours = by("tag-key", tags::RUN);
    let found = snapshots(connection, vec![of_it, of_ours]).await?;
    Ok(found.into_iter().filter_map(|snapshot| snapshot.snapshot_id).collect())
}

/// The images that have it.
async fn users(connection: &Connection, id: &str) -> Result<Vec<String>, Error> {
    let having = Filter::builder().name("block-device-mapping.snapshot-id").values(id).build();
    let images = image::images(connection, vec![having]).await?;
    Ok(images.into_iter().filter_map(|image| image.image_id).collect())
}

async fn find(connection: &Connection, filters: Vec<Filter>) -> Result<Vec<Found>, Error> {
    let found = snapshots(connection, filters).await?;
    let ids: Vec<String> = found.iter().filter_map(|snapshot| snapshot.snapshot_id.clone()).collect();
    let of_images = of_images(connection, &ids).await?;
    let found = found.into_iter().filter_map(|snapshot| {
        let (tags, id) = (snapshot.tags.unwrap_or_default(), snapshot.snapshot_id?);
        let has_ended = of_images.contains(&id);
        Some(Found::new(&KIND, id, tags, has_ended))
    });
    Ok(found.collect())
}

/// Those among some that an image has, which takes them along.
async fn of_images(connection: &Connection, ids: &[String]) -> Result<BTreeSet<String>, Error> {
    let mut taken = BTreeSet::new();
    for ids in ids.chunks(VALUES_PER_FILTER) {
        let name = "block-device-mapping.snapshot-id";
        let having = Filter::builder().name(name).set_values(Some(ids.to_vec())).build();
        let images = image::images(connection, vec![having]).await?;
        let mappings = images.iter().flat_map(|image| image.block_device_mappings());
        taken.extend(mappings.filter_map(|mapping| mapping.ebs()?.snapshot_id.clone()));
    }
    Ok(taken)
}

async fn snapshots(connection: &Connection, filters: Vec<Filter>) -> Result<Vec<Snapshot>, Error> {
    let call = connection.client.describe_snapshots().owner_ids("self").set_filters(Some(filters));
    Ok(all_pages!("DescribeSnapshots", "find snapshots", call, snapshots))
}
