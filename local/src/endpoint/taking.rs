//! Snapshots are taken: of a running machine by itself, while it stands still, and of what no machine has from its disk.

use super::{
    disks::Disks,
    images::Images,
    layers::Layers,
    machines::{Powered, fill},
};
use crate::{
    account::{Content, Part},
    machine::{Event, Take, take_volume},
};
use std::{io, path::PathBuf, sync::atomic::AtomicBool};

/// What it takes.
pub(super) struct Taking<'a> {
    pub(super) powered: &'a Powered,
    pub(super) disks: &'a Disks,
    pub(super) layers: &'a Layers,
    pub(super) images: &'a Images,
    /// Whether it is to stop.
    pub(super) stops: &'a AtomicBool,
}

impl Taking<'_> {
    /// Takes snapshots; what came of each.
    pub(super) fn take(&self, instance: Option<&str>, parts: &[Part]) -> Vec<(String, Event)> {
        let mut outcomes = Vec::new();
        let mut due = Vec::new();
        for part in parts {
            match self.begin(instance, part) {
                Ok(Some(into)) => due.push((part, into)),
                Ok(None) => outcomes.push((part, Ok(()))),
                Err(error) => outcomes.push((part, Err(error))),
            }
        }
        let taken = self.contents(instance, &due);
        for ((part, _), taken) in due.into_iter().zip(taken) {
            let finished = taken.and_then(|()| self.layers.finish(&part.snapshot));
            if finished.is_err() {
                // What is half there is of no use, and takes room.
                self.layers.discard(&part.snapshot);
            }
            outcomes.push((part, finished));
        }
        let told = |outcome: io::Result<()>| outcome.map_or_else(|e| Event::Failed(e.to_string()), |()| Event::Taken);
        outcomes.into_iter().map(|(part, outcome)| (part.snapshot.clone(), told(outcome))).collect()
    }

    /// The empty directory for what is taken; none if it was taken already.
    fn begin(&self, instance: Option<&str>, part: &Part) -> io::Result<Option<PathBuf>> {
        let Some(into) = self.layers.begin(&part.snapshot)? else { return Ok(None) };
        match &part.content {
            Content::Layer { root: Some(root), .. } => {
                let holder = instance.unwrap_or(&part.volume);
                self.images.hold(root, &part.snapshot, holder).map_err(io::Error::other)?;
            }
            Content::Bytes { filling: Some(filling) } => fill(self.disks, self.layers, filling, self.stops)?,
            _ => {}
        }
        Ok(Some(into))
    }

    fn contents(&self, instance: Option<&str>, due: &[(&Part, PathBuf)]) -> Vec<io::Result<()>> {
        let running = instance.and_then(|instance| self.powered.lock().get(instance).cloned());
        let takes: Vec<Take> = due.iter().map(|(part, into)| Take::new(volume_beside_root(part), into)).collect();
        match running.filter(|_| !takes.is_empty()).map(|machine| machine.take(&takes)) {
            Some(Ok(taken)) => taken,
            // It may just have gone off by itself, or be none.
            Some(Err(error)) if !matches!(error.kind(), io::ErrorKind::NotConnected | io::ErrorKind::Unsupported) => {
                let why = error.to_string();
                due.iter().map(|_| Err(io::Error::other(why.clone()))).collect()
            }
            _ => due.iter().map(|(part, into)| self.of_disk(part, into)).collect(),
        }
    }

    fn of_disk(&self, part: &Part, into: &std::path::Path) -> io::Result<()> {
        let disk = self.disks.path(&part.volume);
        match &part.content {
            Content::Layer { kind, .. } => kind.take_layer(&disk, into),
            Content::Bytes { .. } => take_volume(&disk, into, self.stops),
        }
    }
}

fn volume_beside_root(part: &Part) -> Option<&str> {
    match part.content {
        Content::Layer { .. } => None,
        Content::Bytes { .. } => Some(&part.volume),
    }
}
