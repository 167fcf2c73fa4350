//! What becomes of instances whose host has failed: the endpoint was killed, its machines with it, and the next one has the
//! account from what was stored.
//!
//! Instances get what EC2's simplified automatic recovery gives them: they keep their ids, addresses, volumes and metadata,
//! and boot again, as if rebooted. Source:
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-configuration-recovery.html>.

use super::{
    Account, Context, Record, RecordError,
    ids::InstanceId,
    instance::{Power, State, power},
    snapshot,
    volume::{self, attach},
};
use crate::{conditions::Verdict, machine::Event};
use time::OffsetDateTime;

/// Which instance's root volume a volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RootVolume<'a> {
    /// `i-…`.
    pub instance: &'a str,
    /// `vol-…`.
    pub volume: &'a str,
    /// The root directory of the instance's image, see [`ImageSettings::root`](super::ImageSettings::root).
    pub image: Option<&'a str>,
}

/// What the console says of it.
const NOTE: &str = "\r\nThe host of this instance failed. It was recovered, and boots again.\r\n";

impl Account {
    /// Makes what isn't stored, because it follows from the rows.
    pub(super) fn derive(&mut self) {
        let Self { settings, shared, regions, .. } = self;
        shared.public_addresses.clear();
        shared.timers.clear();
        shared.spot_timers.clear();
        shared.layers.clear();
        shared.deleted_volumes.clear();
        for (name, region) in regions {
            for (id, interface) in region.network_interfaces.iter() {
                if let Some(address) = interface.public_address {
                    shared.public_addresses.insert(address, (name, Some(id.clone())));
                }
                region.subnets.derive(&interface.subnet, |subnet| {
                    subnet.holders.extend(interface.addresses().map(|address| (address, id.clone())));
                    subnet.holders6.extend(interface.ipv6.iter().map(|address| (*address, id.clone())));
                });
                if let Some(attachment) = &interface.attachment
                    && let Some(ends) = attachment.ends
                {
                    shared.timers.insert((ends, name, attachment.instance.clone()));
                }
            }
            for (_, address) in region.elastic_addresses.iter() {
                let holder = address.association.as_ref().map(|association| association.interface.clone());
                shared.public_addresses.insert(address.public, (name, holder));
            }
            volume::know_systems(region);
            shared.layers.count(region);
            for (id, volume) in region.volumes.iter() {
                if let Some(at) = volume.vanishes(settings) {
                    shared.deleted_volumes.insert((at, name, id.clone()));
                }
                if let Some(attachment) = &volume.attachment
                    && let Some(detaching) = attachment.detaching
                {
                    shared.timers.insert((detaching.until, name, attachment.instance.clone()));
                }
            }
            for (id, request) in region.spot_requests.iter() {
                if let Some(due) = request.due(settings) {
                    shared.spot_timers.insert((due, name, id.clone()));
                }
            }
            for (id, instance) in region.instances.iter() {
                shared.timers.insert((instance.settles, name, id.clone()));
                if let Some(interruption) = instance.spot.as_ref().and_then(|spot| spot.interruption) {
                    shared.timers.insert((interruption.at(), name, id.clone()));
                }
                if let Power::GoingOff { kill, .. } = instance.power {
                    shared.timers.insert((kill, name, id.clone()));
                }
            }
        }
    }

    /// Takes over an account whose machines are gone, all of them, together with the process that ran them. Returns how many instances boot again.
    pub fn take_over(&mut self, now: OffsetDateTime) -> usize {
        self.tell_all();
        let Self { settings, shared, regions, .. } = self;
        let mut recovered = 0;
        for region in regions.values_mut() {
            let mut context = Context { now, settings, shared, region, others: None, verdict: Verdict::default() };
            volume::filling::begin_again(&mut context);
            snapshot::take_again(&mut context);
            let instances: Vec<_> = context
                .region
                .instances
                .iter()
                .map(|(id, instance)| (id.clone(), instance.state, instance.power))
                .collect();
            for (id, state, power) in instances {
                // Its machine, if it had one, is gone, and holds no volume any more.
                attach::released(&mut context, &id, None);
                match (state, power) {
                    (State::Pending | State::Running, _) => recovered += usize::from(recover(&mut context, &id)),
                    (_, Power::Off) => {}
                    // It was on its way there.
                    _ => power::machine_event(&mut context, &id, Event::PoweredOff),
                }
            }
        }
        recovered
    }

    /// The volumes: each has a disk, or may have one, but for those that were deleted.
    pub fn volumes(&self) -> impl Iterator<Item = &str> {
        let volumes = self.regions.values().flat_map(|region| region.volumes.iter());
        volumes.filter(|(_, volume)| volume.deleted.is_none()).map(|(id, _)| id.as_ref())
    }

    /// The snapshots whose layers or bytes something needs.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.shared.layers.needed()
    }

    /// The instances that hold a root volume.
    pub fn root_volumes(&self) -> impl Iterator<Item = RootVolume<'_>> {
        let instances = self.regions.values().flat_map(|region| region.instances.iter());
        instances.filter_map(|(id, instance)| {
            let volume = instance.root()?.as_ref();
            Some(RootVolume { instance: id.as_ref(), volume, image: instance.image_root.as_deref() })
        })
    }

    /// Makes of the account what its records have; what its conditions draw goes on from here.
    ///
    /// # Errors
    ///
    /// As [`restored`](Self::restored); then nothing is changed.
    pub fn go_back(&mut self, records: impl IntoIterator<Item = Record>) -> Result<(), RecordError> {
        let Self { settings, shared, regions, .. } = Self::restored(self.settings.clone(), None, records)?;
        (self.settings, self.shared, self.regions) = (settings, shared, regions);
        Ok(())
    }
}

/// Lets an instance boot again, unless its owner doesn't want that; says whether it does.
fn recover(context: &mut Context<'_>, id: &InstanceId) -> bool {
    let Some(instance) = context.region.instances.get_mut(id) else { return false };
    if instance.options.auto_recovery == "disabled" {
        instance.power = Power::Starting;
        let why = "its host failed, and its automatic recovery is disabled";
        power::machine_event(context, id, Event::Failed(why.to_owned()));
        return false;
    }
    context.region.consoles.write(id, context.now, NOTE.as_bytes());
    power::on(context, id);
    true
}
