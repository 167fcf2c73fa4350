//! Images of machines.

use super::{Ending, Found, Kind, Life, Token, left::end_each_as_it_knows, pages::all_pages, snapshot};
use crate::{
    connection::{
        Connection, api_error,
        patience::{LOOK_PAUSE, LOOK_PAUSE_MAX, OTHERS_VISIBLE_WITHIN, pauses, until_answered},
    },
    error::{Error, ErrorKind},
};
use aws_sdk_ec2::types::{Filter, Image, ImageState};
use std::{collections::BTreeSet, sync::Arc, time::Instant};

/// An image, with the snapshots that were taken for it. Machines that were launched from it need neither.
pub(crate) static KIND: Kind = Kind {
    word: "image",
    token: Token::Attempt,
    life: Life::Test,
    rank: 1,
    in_use: &[],
    users: None,
    find: |connection, filters| Box::pin(find(connection, filters)),
    end: |connection, endings| {
        Box::pin(async move {
            let seen: BTreeSet<String> = endings.iter().filter(|it| it.seen).map(|it| it.id.clone()).collect();
            // Each decides by itself whether one that isn't there is gone: its snapshots may be there nevertheless.
            let endings = endings.into_iter().map(|ending| Ending { seen: false, ..ending }).collect();
            end_each_as_it_knows(endings, |id| end(connection, seen.contains(&id), id)).await
        })
    },
};

/// Ends an image, and every snapshot that was taken for it. Of one that is still being made these may come to light only now; what
/// isn't seen even then is found by its tags.
async fn end(connection: &Arc<Connection>, was_seen: bool, id: String) -> Result<(), Error> {
    let (since, mut pauses) = (Instant::now(), pauses(LOOK_PAUSE, LOOK_PAUSE_MAX));
    let is_over = || since.elapsed() > connection.paced(OTHERS_VISIBLE_WITHIN);
    let is_in_the_making = is_pending(connection, &id).await?;
    let not_found = loop {
        match until_answered(connection, || deregister(connection, &id)).await {
            // An earlier try may have come through whose answer was lost.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if is_over() || !is_pending(connection, &id).await? {
                    break Some(error);
                }
                pauses.next().await;
            }
            other => break other.map(|()| None)?,
        }
    };
    let mut is_known = was_seen || is_in_the_making || not_found.is_none();
    let mut awaits_first = is_in_the_making;
    loop {
        let snapshots = until_answered(connection, || snapshot::of_image(connection, &id)).await?;
        is_known |= !snapshots.is_empty();
        awaits_first &= snapshots.is_empty();
        let mut in_use = None;
        for snapshot in &snapshots {
            match until_answered(connection, || snapshot::delete(connection, snapshot)).await {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                // The image, as EC2 sees it: for a while yet.
                Err(error) if error.code().is_some_and(|code| snapshot::KIND.in_use.contains(&code)) => {
                    in_use = Some(error);
                }
                other => other?,
            }
        }
        match in_use {
            Some(error) if is_over() => return Err(error),
            None if is_over() || (snapshots.is_empty() && !awaits_first) => break,
            _ => pauses.next().await,
        }
    }
    not_found.filter(|_| !is_known).map_or(Ok(()), Err)
}

/// Whether EC2 shows that an image is still being made.
async fn is_pending(connection: &Arc<Connection>, id: &str) -> Result<bool, Error> {
    let by_id = Filter::builder().name("image-id").values(id).build();
    let shown = until_answered(connection, || images(connection, vec![by_id.clone()])).await?;
    Ok(shown.iter().any(|image| image.state() == Some(&ImageState::Pending)))
}

/// Takes the snapshots along, as far as EC2 knows them to be the image's.
async fn deregister(connection: &Connection, id: &str) -> Result<(), Error> {
    let call = connection.client.deregister_image().image_id(id).delete_associated_snapshots(true).send().await;
    call.map(drop).map_err(|e| api_error::failed("DeregisterImage", format!("deregister the image {id}"), e))
}

async fn find(connection: &Connection, filters: Vec<Filter>) -> Result<Vec<Found>, Error> {
    let found = images(connection, filters).await?.into_iter().filter_map(|image| {
        let has_ended = image.state() == Some(&ImageState::Deregistered);
        let (tags, id) = (image.tags.unwrap_or_default(), image.image_id?);
        Some(Found::new(&KIND, id, tags, has_ended))
    });
    Ok(found.collect())
}

/// This account's own, whatever became of them.
pub(super) async fn images(connection: &Connection, filters: Vec<Filter>) -> Result<Vec<Image>, Error> {
    let call = connection.client.describe_images().owners("self").include_deprecated(true).include_disabled(true);
    let call = call.set_filters(Some(filters));
    Ok(all_pages!("DescribeImages", "find images", call, images))
}
