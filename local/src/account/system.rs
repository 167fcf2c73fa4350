//! What it takes to boot from a root volume, a snapshot of one, or an image; and how long the files of snapshots are needed.
//!
//! A snapshot of a root volume is a layer: what its machine has changed. Below it lie the layers that the machine was made
//! with, and at the bottom the root directory that was imported, or the host's. What is made of a snapshot has all of these.
//! A snapshot of any other volume has its bytes, until the last volume that is made of them has them, too.

use super::{
    Effect, Region, Shared,
    ids::SnapshotId,
    root_volume,
    settings::{Architecture, ImageSettings},
};
use crate::machine::Kind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The system on a root volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct System {
    pub(super) kind: Kind,
    /// The name of the image that it all began with.
    pub(super) image: String,
    /// The root directory at the bottom, see [`ImageSettings::root`].
    pub(super) root: Option<String>,
    pub(super) login_user: String,
    pub(super) architecture: Architecture,
    /// The snapshots whose files lie over it, the latest first.
    #[serde(default)]
    pub(super) layers: Vec<SnapshotId>,
}

impl System {
    /// That of an image of the settings.
    pub(super) fn of(settings: &ImageSettings) -> Self {
        Self {
            kind: settings.kind,
            image: settings.name.clone(),
            root: settings.root.clone(),
            login_user: settings.login_user.clone(),
            architecture: settings.architecture,
            layers: Vec::new(),
        }
    }

    /// The same with one more layer on top.
    pub(super) fn under(&self, layer: &SnapshotId) -> Self {
        let mut layers = vec![layer.clone()];
        layers.extend(self.layers.iter().cloned());
        Self { layers, ..self.clone() }
    }
}

/// How many volumes and snapshots of the account need the files of each snapshot, whether it is still there or not.
#[derive(Debug, Clone, Default)]
pub(super) struct Layers(BTreeMap<SnapshotId, usize>);

impl Layers {
    /// What the rows of a region need.
    pub(super) fn count(&mut self, region: &Region) {
        let volumes = region.volumes.iter().filter_map(|(_, volume)| volume.system.as_ref());
        let snapshots = region.snapshots.iter().filter_map(|(_, snapshot)| snapshot.system.as_ref());
        volumes.chain(snapshots).chain(root_volume::systems(region)).for_each(|system| self.hold(system));
        let fillings = region.volumes.iter().filter_map(|(_, volume)| volume.filling.as_ref());
        let bytes = region.snapshots.iter().filter_map(|(_, snapshot)| snapshot.bytes.as_ref());
        fillings.chain(bytes).for_each(|snapshot| self.hold_one(snapshot));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn hold(&mut self, system: &System) {
        system.layers.iter().for_each(|layer| self.hold_one(layer));
    }

    fn hold_one(&mut self, snapshot: &SnapshotId) {
        *self.0.entry(snapshot.clone()).or_default() += 1;
    }

    /// The snapshots whose files are needed.
    pub(super) fn needed(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(AsRef::as_ref)
    }
}

impl Shared {
    /// A volume or a snapshot has come that needs the layers of a system.
    pub(super) fn hold_layers(&mut self, system: Option<&System>) {
        system.into_iter().for_each(|system| self.layers.hold(system));
    }

    /// One has gone: files that nobody needs any more go, too.
    pub(super) fn release_layers(&mut self, system: Option<&System>) {
        system.into_iter().flat_map(|system| &system.layers).for_each(|layer| self.release(layer));
    }

    /// A volume has come that is to get the bytes of a snapshot, or a snapshot that has them.
    pub(super) fn hold_bytes(&mut self, snapshot: Option<&SnapshotId>) {
        snapshot.into_iter().for_each(|snapshot| self.layers.hold_one(snapshot));
    }

    /// Such a volume has got them, or one has gone.
    pub(super) fn release_bytes(&mut self, snapshot: Option<&SnapshotId>) {
        snapshot.into_iter().for_each(|snapshot| self.release(snapshot));
    }

    fn release(&mut self, snapshot: &SnapshotId) {
        let Some(count) = self.layers.0.get_mut(snapshot) else { return };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.layers.0.remove(snapshot);
            self.effects.push(Effect::DiscardLayer { snapshot: snapshot.to_string() });
        }
    }
}
