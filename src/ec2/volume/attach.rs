//! Attaching, detaching, and where a volume is found in its machine.

use super::{NewVolume, VolumeHandle, create, order};
use crate::{
    connection::{
        api_error,
        patience::{LOOK_PAUSE, LOOK_PAUSE_MAX, OTHERS_VISIBLE_WITHIN, VISIBLE_WITHIN, pauses, until_visible},
    },
    ec2::{Machine, machine::lock},
    error::{Error, ErrorKind},
    task::{OnDrop, Operation},
};
use aws_sdk_ec2::types::{
    EbsInstanceBlockDeviceSpecification as Ebs, InstanceBlockDeviceMappingSpecification as Mapping, InstanceStateName,
    Volume as Description, VolumeAttachment, VolumeAttachmentState, VolumeState,
};
use std::time::Instant;

/// The letters of the devices that EC2 recommends for data volumes.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/device_naming.html>
const LETTERS: std::ops::RangeInclusive<char> = 'f'..='z';

impl Machine {
    /// Makes a volume in the machine's zone, attaches it as the next free device, and waits until it is attached. It ends with the
    /// machine; [`VolumeHandle::detach`] takes it away before, and then it ends with its test, or process.
    ///
    /// # Errors
    ///
    /// EC2 refuses the volume, or the machine has no device left; nothing is left then.
    pub fn add_volume(&self, volume: NewVolume) -> Operation<VolumeHandle> {
        let machine = self.clone();
        self.operation("add a volume", OnDrop::Finish, async move {
            let described = machine.await_state(|_| true, "be visible").await?;
            let zone = described.placement().and_then(|placement| placement.availability_zone()).unwrap_or_default();
            let made = create(machine.ec2(), &volume, zone).await?;
            let device = attach(&made, &machine, volume.device.clone()).await?;
            let handle = made.handle();
            if machine.0.identity.is_ours() || machine.scope().test_name().is_none() {
                end_with_machine(&made, &machine, &device).await?;
                made.guard.disarm().ends_with(machine.id());
                lock(&machine.0.parts).push(handle.0.clone());
            }
            // Else its guard leaves it to the test's end: somebody else's machine goes on.
            Ok(handle)
        })
    }
}

/// Attaches it as a device, else as the next free one; says which.
pub(super) async fn attach(volume: &VolumeHandle, machine: &Machine, device: Option<String>) -> Result<String, Error> {
    let tried = format!("attach {volume} to {machine}");
    // One after the other, so that two don't choose the same device.
    let _attaching = machine.0.attaching.lock().await;
    machine.look_up().await?;
    machine
        .await_state(|state| matches!(state, InstanceStateName::Running | InstanceStateName::Stopped), "run")
        .await?;
    // So that what is attached already comes before it.
    machine.know_volumes().await?;
    machine.volume_ids();
    let mut taken = devices(machine);
    loop {
        let chosen = match &device {
            Some(device) => device.clone(),
            None => free(&taken).ok_or_else(|| {
                Error::new(ErrorKind::Refused, &tried).because("the devices /dev/sdf to /dev/sdz are all taken")
            })?,
        };
        let call = volume.0.ec2.connection.client.attach_volume().volume_id(volume.id()).instance_id(machine.id());
        let call = call.device(&chosen);
        let attached = until_visible(|| async {
            call.clone().send().await.map_err(|e| api_error::failed("AttachVolume", &tried, e))
        });
        match attached.await {
            // An earlier try may have come through whose answer was lost.
            Err(error) if error.code() == Some("VolumeInUse") && is_attached_to(volume, machine).await? => {}
            // Somebody else has taken it meanwhile.
            Err(error)
                if device.is_none() && error.to_string().contains("already in use") && !taken.contains(&chosen) =>
            {
                taken.push(chosen);
                continue;
            }
            attached => drop(attached.map_err(|error| advised(error, machine, &taken))?),
        }
        let is_attached = |described: &Description| {
            described.attachments().iter().any(|it| it.state() == Some(&VolumeAttachmentState::Attached))
        };
        let described = volume.until(&tried, is_attached).await?;
        let device = described.attachments().first().and_then(|attachment| attachment.device.clone());
        order::attached(machine.id(), volume.id());
        return Ok(device.unwrap_or(chosen));
    }
}

/// An error of AttachVolume, with what to do.
fn advised(error: Error, machine: &Machine, taken: &[String]) -> Error {
    match error.code() {
        Some("InvalidVolume.ZoneMismatch") => {
            let zone = machine.zone().unwrap_or_default();
            error.or_advise(&format!(
                "a volume is attached within its zone: make it in the machine's, {zone}, as `add_volume` does, or launch the machine in the volume's"
            ))
        }
        Some("InvalidParameterValue") if error.to_string().contains("already in use") => error.or_advise(&format!(
            "the machine has {}: choose another, or leave `.device(…)` out and have the next free one",
            taken.join(", ")
        )),
        _ => error,
    }
}

async fn is_attached_to(volume: &VolumeHandle, machine: &Machine) -> Result<bool, Error> {
    let is_there = |attachment: &VolumeAttachment| attachment.instance_id() == Some(machine.id());
    comes_to_show(volume, |described| described.attachments().iter().any(is_there)).await
}

/// Whether EC2 shows something of a volume, which it may do late.
async fn comes_to_show(volume: &VolumeHandle, is_so: impl Fn(&Description) -> bool) -> Result<bool, Error> {
    let limit = volume.0.ec2.connection.paced(OTHERS_VISIBLE_WITHIN);
    let (since, mut pauses) = (Instant::now(), pauses(LOOK_PAUSE, LOOK_PAUSE_MAX));
    loop {
        let is_so = is_so(&volume.described_within(VISIBLE_WITHIN).await?);
        if is_so || since.elapsed() > limit {
            return Ok(is_so);
        }
        pauses.next().await;
    }
}

/// The devices that a machine has, as EC2 described it last.
fn devices(machine: &Machine) -> Vec<String> {
    let described = machine.last_described();
    let mappings = described.iter().flat_map(|described| described.block_device_mappings());
    mappings.filter_map(|mapping| mapping.device_name.clone()).collect()
}

/// The first device that is free, by whichever of its names a machine has it.
pub(in crate::ec2) fn free(taken: &[String]) -> Option<String> {
    let is_taken = |letter: &char| {
        taken.iter().any(|device| {
            let name = device.trim_start_matches("/dev/");
            name.strip_prefix("sd").or_else(|| name.strip_prefix("xvd")).is_some_and(|rest| rest.starts_with(*letter))
        })
    };
    LETTERS.into_iter().find(|letter| !is_taken(letter)).map(|letter| format!("/dev/sd{letter}"))
}

/// Has it end with its machine: what is attached later doesn't by itself.
async fn end_with_machine(volume: &VolumeHandle, machine: &Machine, device: &str) -> Result<(), Error> {
    let tried = format!("have {volume} end with {machine}");
    let mapping =
        Mapping::builder().device_name(device).ebs(Ebs::builder().delete_on_termination(true).build()).build();
    let call = machine.client().modify_instance_attribute().instance_id(machine.id()).block_device_mappings(mapping);
    until_visible(|| async {
        let answer = call.clone().send().await;
        answer.map(drop).map_err(|e| api_error::failed("ModifyInstanceAttribute", &tried, e))
    })
    .await
}

/// Detaches it from wherever it is.
pub(super) async fn detach(volume: &VolumeHandle) -> Result<(), Error> {
    let tried = format!("detach {volume}");
    let call = volume.0.ec2.connection.client.detach_volume().volume_id(volume.id());
    let detached =
        until_visible(|| async { call.clone().send().await.map_err(|e| api_error::failed("DetachVolume", &tried, e)) });
    match detached.await {
        // An earlier try may have come through whose answer was lost.
        Err(error) if error.code() == Some("IncorrectState") => {
            if !comes_to_show(volume, |described| described.state() == Some(&VolumeState::Available)).await? {
                return Err(error);
            }
        }
        detached => drop(detached?),
    }
    volume.until(&tried, |described| described.state() == Some(&VolumeState::Available)).await?;
    order::detached(volume.id());
    volume.0.ends_by_itself();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_free_device_is_chosen_whatever_it_is_called() {
        let taken = |devices: &[&str]| free(&devices.iter().map(|&it| it.to_owned()).collect::<Vec<_>>());
        assert_eq!(taken(&["/dev/xvda"]).as_deref(), Some("/dev/sdf"));
        assert_eq!(taken(&["/dev/sda1", "/dev/sdf", "xvdg", "/dev/xvdh1"]).as_deref(), Some("/dev/sdi"));
        let all: Vec<String> = LETTERS.map(|letter| format!("/dev/sd{letter}")).collect();
        assert_eq!(free(&all), None);
    }
}
