//! Images that outlive their run: found by tags, and gone when nobody has used them for long.

use super::{super::Ec2, Image};
use crate::{
    connection::{
        api_error,
        patience::{until_answered, until_visible},
        tags,
    },
    engine,
    error::{Error, ErrorKind},
};
use aws_sdk_ec2::types::{Image as Description, Tag};
use std::time::{Duration, SystemTime};

impl Image {
    /// Leaves it to all runs, whole, until nobody has used it for a lease; its id. From here on nobody of us ends it.
    ///
    /// # Errors
    ///
    /// EC2 refuses: it ends as any image of ours.
    pub(crate) async fn hand_over(self, ec2: &Ec2, lease: Duration) -> Result<String, Error> {
        let described = self.describe().await?;
        complete(ec2, &described, SystemTime::now(), lease).await?;
        let (run, id) = (ec2.connection.run, self.id().to_owned());
        // Whoever ends what the run has left may see its tags as they were.
        let noted = id.clone();
        engine::blocking("note that an image is cached", move || run.note_cached(&noted)).await?;
        self.into_guard().disarm().identity.forget();
        Ok(id)
    }
}

/// Says in one step that an image is whole, belongs to no run, and is kept for a lease.
pub(crate) async fn complete(ec2: &Ec2, image: &Description, made: SystemTime, lease: Duration) -> Result<(), Error> {
    let told = [
        (tags::RUN, tags::NO_RUN.to_owned()),
        (tags::KEPT, "yes".to_owned()),
        // The run's life is none of its business any more.
        (tags::ALIVE_UNTIL, rfc3339(SystemTime::UNIX_EPOCH)),
        (tags::EXPIRES_AT, tags::after(lease)),
        (tags::COMPLETE, rfc3339(made)),
    ];
    tag(ec2, image, &told).await
}

/// Begins its lease anew.
pub(crate) async fn renew_lease(ec2: &Ec2, image: &Description, lease: Duration) -> Result<(), Error> {
    tag(ec2, image, &[(tags::EXPIRES_AT, tags::after(lease))]).await
}

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// Tags an image and its snapshots, together.
async fn tag(ec2: &Ec2, image: &Description, told: &[(&str, String)]) -> Result<(), Error> {
    let id = image.image_id().unwrap_or_default();
    let tried = format!("tag the image {id} and its snapshots");
    let snapshots = image.block_device_mappings().iter().filter_map(|mapping| mapping.ebs()?.snapshot_id.clone());
    let resources: Vec<String> = std::iter::once(id.to_owned()).chain(snapshots).collect();
    let told = told.iter().map(|(key, value)| Tag::builder().key(*key).value(value).build()).collect();
    let call = ec2.connection.client.create_tags().set_resources(Some(resources)).set_tags(Some(told));
    let answer = until_visible(|| {
        until_answered(&ec2.connection, || async {
            call.clone().send().await.map(drop).map_err(|e| api_error::failed("CreateTags", &tried, e))
        })
    });
    tokio::time::timeout(TAGGED_WITHIN, answer).await.unwrap_or_else(|_| {
        let waited = humantime::format_duration(TAGGED_WITHIN);
        Err(Error::new(ErrorKind::TimedOut, &tried).because(format!("EC2 didn't accept it within {waited}")))
    })
}

/// How long tagging may take: nobody waits for it under a deadline of his own.
const TAGGED_WITHIN: Duration = Duration::from_secs(3 * 60);
