//! Volumes beside those that end with their machines.

use super::{Found, Kind, Life, Token, pages::all_pages};
use crate::{
    connection::{Connection, api_error},
    error::Error,
};
use aws_sdk_ec2::types::{Filter, Volume, VolumeAttachment, VolumeAttachmentState, VolumeState};

/// A volume. One that is attached is in use until its machine has ended.
pub(crate) static KIND: Kind = Kind {
    word: "volume",
    token: Token::Attempt,
    life: Life::Test,
    rank: 1,
    in_use: &["VolumeInUse"],
    users: Some(|connection, id| Box::pin(users(connection, id))),
    find: |connection, filters| Box::pin(find(connection, filters)),
    end: |connection, endings| {
        Box::pin(super::left::end_each(connection, endings, move |id| async move {
            match delete(connection, &id).await {
                Err(error) if error.code() == Some("VolumeInUse") && !is_detaching(connection, &id).await? => Ok(()),
                other => other,
            }
        }))
    },
};

async fn delete(connection: &Connection, id: &str) -> Result<(), Error> {
    let call = connection.client.delete_volume().volume_id(id).send().await;
    call.map(drop).map_err(|e| api_error::failed("DeleteVolume", format!("delete the volume {id}"), e))
}

/// Takes a volume away from a machine that it doesn't end with; says whether it is to be deleted after that.
async fn is_detaching(connection: &Connection, id: &str) -> Result<bool, Error> {
    let by_id = Filter::builder().name("volume-id").values(id).build();
    let volumes = volumes(connection, vec![by_id]).await?;
    let mut attachments = volumes.iter().flat_map(Volume::attachments);
    if attachments.clone().any(ends_with_its_machine) {
        return Ok(false);
    }
    if attachments.any(|attachment| attachment.state() == Some(&VolumeAttachmentState::Attached)) {
        let call = connection.client.detach_volume().volume_id(id).send().await;
        match call.map_err(|e| api_error::failed("DetachVolume", format!("detach the volume {id}"), e)) {
            // It has been detached meanwhile.
            Err(error) if error.code() == Some("IncorrectState") => {}
            other => drop(other?),
        }
    }
    Ok(true)
}

/// Whether it is the machine's, which takes it along.
fn ends_with_its_machine(attachment: &VolumeAttachment) -> bool {
    attachment.delete_on_termination() == Some(true)
}

/// The instances that it is attached to.
async fn users(connection: &Connection, id: &str) -> Result<Vec<String>, Error> {
    let by_id = Filter::builder().name("volume-id").values(id).build();
    let volumes = volumes(connection, vec![by_id]).await?;
    let attachments = volumes.into_iter().flat_map(|volume| volume.attachments.unwrap_or_default());
    Ok(attachments.filter_map(|attachment| attachment.instance_id).collect())
}

async fn find(connection: &Connection, filters: Vec<Filter>) -> Result<Vec<Found>, Error> {
    let found = volumes(connection, filters).await?.into_iter().filter_map(|volume| {
        let has_ended = volume.attachments().iter().any(ends_with_its_machine)
            || matches!(volume.state(), Some(VolumeState::Deleting | VolumeState::Deleted));
        let (tags, id) = (volume.tags.unwrap_or_default(), volume.volume_id?);
        Some(Found::new(&KIND, id, tags, has_ended))
    });
    Ok(found.collect())
}

async fn volumes(connection: &Connection, filters: Vec<Filter>) -> Result<Vec<Volume>, Error> {
    let call = connection.client.describe_volumes().set_filters(Some(filters));
    Ok(all_pages!("DescribeVolumes", "find volumes", call, volumes))
}
