//! In which order the volumes of machines were attached. EC2 tells the time of an attachment to the second, shows it late, and
//! describes volumes in no order; so what this process attaches and detaches is remembered here, by the machine's id, since several
//! handles may be on one machine.

use crate::ec2::machine::lock;
use aws_sdk_ec2::types::{Instance as Description, InstanceBlockDeviceMapping as Mapping};
use std::{
    collections::BTreeMap,
    sync::{LazyLock, Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// By the ids of machines.
static ORDERS: LazyLock<Mutex<BTreeMap<String, Order>>> = LazyLock::new(Mutex::default);

/// The volumes of a machine beside its root, in the order of attachment, and those that were detached.
#[derive(Debug, Default)]
struct Order(Vec<Known>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    volume: String,
    is_attached: bool,
    /// Since when that is known.
    since: Instant,
}

/// What EC2 has shown of a machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) described: &'a Description,
    pub(super) at: Instant,
    /// For how long EC2 may show what was before a change.
    pub(super) lag: Duration,
}

/// These were attached by the launch itself: they come first.
pub(super) fn launched(machine: &str, volumes: Vec<String>) {
    let mut orders = orders();
    let Order(known) = orders.entry(machine.to_owned()).or_default();
    known.retain(|known| !volumes.contains(&known.volume));
    known.splice(0..0, volumes.into_iter().map(|volume| Known::now(volume, true)));
}

/// One was attached: it comes last.
pub(super) fn attached(machine: &str, volume: &str) {
    let mut orders = orders();
    let Order(known) = orders.entry(machine.to_owned()).or_default();
    known.retain(|known| known.volume != volume);
    known.push(Known::now(volume, true));
}

/// One was detached from wherever it was: those behind it move up.
pub(super) fn detached(volume: &str) {
    for known in orders().values_mut().flat_map(|order| &mut order.0).filter(|known| known.volume == volume) {
        *known = Known::now(volume, false);
    }
}

/// A machine has ended.
pub(in crate::ec2) fn forget(machine: &str) {
    orders().remove(machine);
}

/// The ids of a machine's volumes beside its root, in their order. What EC2 shows that wasn't known comes last, and is known from here on.
pub(super) fn of(machine: &str, shown: Option<Shown<'_>>) -> Vec<String> {
    orders().entry(machine.to_owned()).or_default().look(shown)
}

fn orders() -> MutexGuard<'static, BTreeMap<String, Order>> {
    lock(&ORDERS)
}

impl Order {
    fn look(&mut self, shown: Option<Shown<'_>>) -> Vec<String> {
        let shown_ids = shown.map(|shown| beside_root(shown.described)).unwrap_or_default();
        // What we have just done is more than what EC2 shows meanwhile.
        let is_news = |known: &Known| shown.is_some_and(|shown| shown.at > known.since + shown.lag);
        self.0.retain(|known| !is_news(known) || (known.is_attached && shown_ids.contains(&known.volume)));
        for volume in shown_ids {
            if !self.0.iter().any(|known| known.volume == volume) {
                self.0.push(Known::now(volume, true));
            }
        }
        let root = shown.and_then(|shown| root(shown.described));
        let is_root = |known: &&Known| Some(&*known.volume) == root;
        let attached = self.0.iter().filter(|known| known.is_attached && !is_root(known));
        attached.map(|known| known.volume.clone()).collect()
    }
}

impl Known {
    fn now(volume: impl Into<String>, is_attached: bool) -> Self {
        Self { volume: volume.into(), is_attached, since: Instant::now() }
    }
}

fn volume_of(mapping: &Mapping) -> Option<&str> {
    mapping.ebs()?.volume_id()
}

fn is_root(described: &Description, mapping: &Mapping) -> bool {
    mapping.device_name().is_some() && mapping.device_name() == described.root_device_name()
}

/// The volume that is the root.
fn root(described: &Description) -> Option<&str> {
    described.block_device_mappings().iter().find(|mapping| is_root(described, mapping)).and_then(volume_of)
}

/// The other volumes, by the time of their attachment, and at the same time by their devices.
fn beside_root(described: &Description) -> Vec<String> {
    let mappings = described.block_device_mappings().iter();
    let mut others: Vec<&Mapping> = mappings.filter(|mapping| !is_root(described, mapping)).collect();
    others.sort_by_key(|mapping| {
        let attached = mapping.ebs().and_then(|ebs| ebs.attach_time()).map(|time| (time.secs(), time.subsec_nanos()));
        (attached, mapping.device_name().unwrap_or_default())
    });
    others.into_iter().filter_map(volume_of).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::{primitives::DateTime, types::EbsInstanceBlockDevice};

    const LAG: Duration = Duration::from_secs(60);

    /// A machine with these volumes: device, id, and when each was attached.
    fn machine(volumes: &[(&str, &str, i64)]) -> Description {
        let mapping = |&(device, id, at): &(&str, &str, i64)| {
            let ebs = EbsInstanceBlockDevice::builder().volume_id(id).attach_time(DateTime::from_secs(at)).build();
            Mapping::builder().device_name(device).ebs(ebs).build()
        };
        let mappings = volumes.iter().map(mapping).collect();
        Description::builder().root_device_name("/dev/xvda").set_block_device_mappings(Some(mappings)).build()
    }

    /// What EC2 shows so long after now.
    fn shown(described: &Description, after: Duration) -> Option<Shown<'_>> {
        Some(Shown { described, at: Instant::now() + after, lag: LAG })
    }

    #[test]
    fn a_strangers_volumes_come_in_the_order_of_their_attachment_and_the_root_never() {
        let described = machine(&[
            ("/dev/sdg", "vol-late", 30),
            ("/dev/sdi", "vol-second", 20),
            ("/dev/xvda", "vol-root", 40),
            ("/dev/sdh", "vol-first", 20),
        ]);
        let order = of("i-strangers", shown(&described, Duration::ZERO));
        assert_eq!(order, ["vol-first", "vol-second", "vol-late"]);
        // Even where it was taken for one of the launch's volumes.
        launched("i-strangers", vec!["vol-root".into(), "vol-late".into()]);
        assert_eq!(of("i-strangers", shown(&described, Duration::ZERO)), ["vol-late", "vol-first", "vol-second"]);
        forget("i-strangers");
    }

    #[test]
    fn what_was_done_here_is_more_than_what_is_shown_meanwhile() {
        let before = machine(&[("/dev/sdf", "vol-a", 1), ("/dev/sdg", "vol-b", 1)]);
        launched("i-ours", vec!["vol-b".into(), "vol-a".into()]);
        attached("i-ours", "vol-c");
        let soon = Duration::from_secs(1);
        assert_eq!(of("i-ours", shown(&before, soon)), ["vol-b", "vol-a", "vol-c"]);
        detached("vol-b");
        assert_eq!(of("i-ours", shown(&before, soon)), ["vol-a", "vol-c"]);
        // It is the last from here on.
        attached("i-ours", "vol-b");
        assert_eq!(of("i-ours", shown(&before, soon)), ["vol-a", "vol-c", "vol-b"]);
        assert_eq!(of("i-ours", None), ["vol-a", "vol-c", "vol-b"]);
        // Somebody else has detached one, and attached another.
        let after = machine(&[("/dev/sdf", "vol-b", 3), ("/dev/sdg", "vol-a", 1), ("/dev/sdh", "vol-d", 2)]);
        assert_eq!(of("i-ours", shown(&after, LAG * 2)), ["vol-a", "vol-b", "vol-d"]);
        forget("i-ours");
        assert_eq!(of("i-ours", None), [""; 0]);
    }
}
