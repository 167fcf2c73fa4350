//! The volumes that a machine was launched with: which they are is known once EC2 shows them.

use super::{NewVolume, order};
use crate::{
    connection::{api_error, patience::until_visible},
    ec2::{Machine, machine::lock, made::Made},
    error::Error,
    resource::VOLUME,
};
use aws_sdk_ec2::types::{Instance as Description, Tag};
use std::sync::Arc;

impl Machine {
    /// Waits until EC2 shows all volumes that it was launched with, and takes note of them.
    pub(in crate::ec2) async fn know_volumes(&self) -> Result<(), Error> {
        let mut launched_with = self.0.launched_with.lock().await;
        if launched_with.is_empty() {
            return Ok(());
        }
        let shows_all =
            |described: &Description| launched_with.iter().all(|(device, _)| id_at(described, device).is_some());
        let described = self.await_description(shows_all, "show its volumes", self.deadline()).await?;
        let mut volumes = Vec::new();
        for (device, volume) in launched_with.iter() {
            let Some(id) = id_at(&described, device) else { continue };
            let name = volume.name.clone().unwrap_or_else(|| self.name().to_owned());
            let made = Made::new(self.ec2().clone(), &VOLUME, id.to_owned(), name, None);
            made.was_shown();
            made.ends_with(self.id());
            self.tag(id, volume).await?;
            volumes.push(Arc::new(made));
        }
        launched_with.clear();
        order::launched(self.id(), volumes.iter().map(|made| made.id().to_owned()).collect());
        lock(&self.0.parts).extend(volumes);
        Ok(())
    }

    /// Gives a volume the tags that are its own: those of a launch's call are for all of its volumes.
    async fn tag(&self, id: &str, volume: &NewVolume) -> Result<(), Error> {
        let tags: Vec<Tag> =
            volume.own_tags().into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
        if tags.is_empty() {
            return Ok(());
        }
        let call = self.client().create_tags().resources(id).set_tags(Some(tags));
        until_visible(|| async {
            let answer = call.clone().send().await;
            answer.map(drop).map_err(|e| api_error::failed("CreateTags", format!("tag the volume {id}"), e))
        })
        .await
    }
}

/// The volume at a device.
fn id_at<'a>(described: &'a Description, device: &str) -> Option<&'a str> {
    let mut mappings = described.block_device_mappings().iter();
    mappings.find(|mapping| mapping.device_name() == Some(device))?.ebs()?.volume_id()
}
