//! Room on the host's disk, which machines share with the host: before there is none left, the machine that takes it loses its power.
//!
//! A root volume bounds its machine, but all volumes together may be larger than the host's disk, and who isn't root has
//! none. So this holds for everybody; for bytes, and for inodes where the file system has only so many.

use super::{disks, taken::Taken, watch::Tenant};
use rustix::fs::StatVfs;
use std::{collections::HashMap, io, os::fd::BorrowedFd, path::PathBuf, sync::Arc};

/// What is left to the host: a fiftieth of its disk, but not less and not more than these, and of a small disk a fourth. More
/// than that is often not free, and no machine's fault.
const LEAST_RESERVE: u64 = 1 << 30;
const MOST_RESERVE: u64 = 4 << 30;
/// The same for inodes.
const LEAST_INODES: u64 = 1 << 16;
const MOST_INODES: u64 = 1 << 20;
/// How many times that is left when disks are counted, to know later on which have grown; and when that is no longer of use.
const NEAR: u64 = 2;
const FAR: u64 = 3;

/// The room of all machines of an endpoint.
#[derive(Debug, Default)]
pub struct Room {
    bytes: Shortage,
    inodes: Shortage,
}

impl Room {
    pub fn look(&mut self, tenants: &[Arc<Tenant>]) {
        // All disks of an endpoint are in one directory.
        let Some(Ok(system)) = tenants.first().map(|tenant| rustix::fs::statvfs(tenant.disk())) else { return };
        self.bytes.look(Measure::Bytes, &system, tenants);
        self.inodes.look(Measure::Inodes, &system, tenants);
    }
}

/// Sees that so much more can be written where a file is without what is left to the host.
pub fn check(file: BorrowedFd<'_>, bytes: u64) -> io::Result<()> {
    let (free, all) = Measure::Bytes.of(&rustix::fs::fstatvfs(file)?);
    let reserve = Measure::Bytes.reserve(all);
    if free >= bytes.saturating_add(reserve) {
        return Ok(());
    }
    let [free, bytes, reserve] = [free, bytes, reserve].map(|amount| Measure::Bytes.tell(amount));
    let reason = format!(
        "find room on the host's disk: {free} are free, {bytes} are needed, and {reserve} are left to the host; free some"
    );
    Err(io::Error::new(io::ErrorKind::StorageFull, reason))
}

/// What can be used up.
#[derive(Debug, Clone, Copy)]
enum Measure {
    Bytes,
    Inodes,
}

impl Measure {
    /// What is free, and all.
    fn of(self, system: &StatVfs) -> (u64, u64) {
        match self {
            Self::Bytes => (system.f_bavail * system.f_frsize, system.f_blocks * system.f_frsize),
            Self::Inodes => (system.f_favail, system.f_files),
        }
    }

    /// What of it is left to the host: none of inodes where they are made as they are needed, as on Btrfs, which has 0.
    fn reserve(self, all: u64) -> u64 {
        let (least, most) = match self {
            Self::Bytes => (LEAST_RESERVE, MOST_RESERVE),
            Self::Inodes => (LEAST_INODES, MOST_INODES),
        };
        (all / 50).clamp(least, most).min(all / 4)
    }

    fn part(self, taken: Taken) -> u64 {
        match self {
            Self::Bytes => taken.bytes,
            Self::Inodes => taken.inodes,
        }
    }

    fn tell(self, amount: u64) -> String {
        match self {
            Self::Bytes => format!("{} MiB", amount >> 20),
            Self::Inodes => format!("{amount} inodes"),
        }
    }
}

/// What is known of a shortage that is there, or near.
#[derive(Debug, Default)]
struct Shortage {
    /// What was free when all disks were counted last.
    free: Option<u64>,
    /// What each took then, or when its machine was seen first.
    counted: HashMap<PathBuf, Taken>,
    /// What was free when a machine was last sought that is at fault.
    sought: Option<u64>,
}

impl Shortage {
    fn look(&mut self, measure: Measure, system: &StatVfs, tenants: &[Arc<Tenant>]) {
        let (free, all) = measure.of(system);
        let reserve = measure.reserve(all);
        if free >= FAR * reserve {
            *self = Self::default();
        }
        if free >= NEAR * reserve {
            return;
        }
        let is_short = free < reserve;
        if !is_short {
            self.sought = None;
        }
        // What was there before isn't what fills the disk now; so it is counted, unless there is no time for that.
        if !is_short || self.free.is_some() {
            self.free.get_or_insert(free);
            self.counted.retain(|disk, _| tenants.iter().any(|tenant| tenant.disk() == disk));
            let new: Vec<_> = tenants.iter().filter(|tenant| !self.counted.contains_key(tenant.disk())).collect();
            self.note(&new, disks::count(&new));
        }
        // What was taken stays taken when a machine is off: only more of it is a reason to act again.
        if !is_short || self.sought.is_some_and(|before| free + reserve / 4 > before) {
            return;
        }
        self.sought = Some(free);
        let gone = self.free.unwrap_or(all).saturating_sub(free);
        let tenants: Vec<_> = tenants.iter().collect();
        let counted = disks::count(&tenants);
        let grown: Vec<_> = tenants
            .iter()
            .zip(&counted)
            .map(|(tenant, now)| Growth::since(self.counted.get(tenant.disk()), now, measure))
            .collect();
        self.note(&tenants, counted);
        self.free = Some(free);
        let left = measure.tell(free);
        let is_off = |index: usize| tenants[index].verdict().is_some();
        let Some(most) = at_fault(&grown, gone, reserve / 16, is_off) else {
            return tracing::warn!("the host's disk has {left} left, and no machine is at fault");
        };
        let took = match grown[most] {
            Growth { amount, is_complete: true } => format!("took {}, more than any other", measure.tell(amount)),
            Growth { .. } => "has more than can be counted in time, and no other took what is gone".to_owned(),
        };
        tenants[most].end(format!(
            "leave room on the host's disk, which had {left} left: this machine {took}, and lost its power"
        ));
    }

    fn note(&mut self, tenants: &[&Arc<Tenant>], counted: Vec<Taken>) {
        self.counted.extend(tenants.iter().map(|tenant| tenant.disk().to_owned()).zip(counted));
    }
}

/// How much a machine has taken since it was counted before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Growth {
    /// As far as it could be counted.
    amount: u64,
    is_complete: bool,
}

impl Growth {
    /// Since an earlier count, if there is one; else it is what is there.
    fn since(before: Option<&Taken>, now: &Taken, measure: Measure) -> Self {
        match before {
            // What more there is now may have been there already.
            Some(Taken { is_complete: false, .. }) => Self { amount: 0, is_complete: false },
            before => {
                let before = before.map_or(0, |before| measure.part(*before));
                Self { amount: measure.part(*now).saturating_sub(before), is_complete: now.is_complete }
            }
        }
    }
}

/// Which machine has to go, if any: the one that took most, unless that is next to nothing. One that can't be counted is taken
/// to have all of what is gone and nobody else has.
fn at_fault(grown: &[Growth], gone: u64, little: u64, is_off: impl Fn(usize) -> bool) -> Option<usize> {
    let known = grown.iter().fold(0, |known: u64, growth| known.saturating_add(growth.amount));
    let unknown = gone.saturating_sub(known);
    let rank = |growth: &Growth| growth.amount.saturating_add(if growth.is_complete { 0 } else { unknown });
    let candidates = grown.iter().map(rank).enumerate().filter(|(index, _)| !is_off(*index));
    candidates.filter(|(_, took)| *took > little).max_by_key(|(_, took)| *took).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_keeps_a_part_of_any_disk() {
        assert_eq!(Measure::Bytes.reserve(100 << 30), 2 << 30);
        assert_eq!(Measure::Bytes.reserve(20 << 30), 1 << 30);
        assert_eq!(Measure::Bytes.reserve(1 << 30), 256 << 20);
        assert_eq!(Measure::Bytes.reserve(4 << 40), 4 << 30);
        assert_eq!(Measure::Inodes.reserve(6_553_600), 131_072);
        assert_eq!(Measure::Inodes.reserve(20_000), 5000);
        assert_eq!(Measure::Inodes.reserve(0), 0);
    }

    fn grown(amount: u64) -> Growth {
        Growth { amount, is_complete: true }
    }

    #[test]
    fn the_one_that_took_most_goes_unless_it_is_next_to_nothing() {
        let at_fault = |grown: &[Growth]| at_fault(grown, 1000, 60, |_| false);
        assert_eq!(at_fault(&[grown(100), grown(500), grown(61)]), Some(1));
        assert_eq!(at_fault(&[grown(60), grown(0)]), None);
        assert_eq!(at_fault(&[]), None);
        // Who has lost its power already has nothing more to lose.
        assert_eq!(super::at_fault(&[grown(100), grown(500)], 1000, 60, |index| index == 1), Some(0));
    }

    #[test]
    fn who_cannot_be_counted_has_what_nobody_else_has() {
        let uncounted = |amount| Growth { amount, is_complete: false };
        let at_fault = |grown: &[Growth]| at_fault(grown, 1000, 60, |_| false);
        assert_eq!(at_fault(&[grown(100), uncounted(10)]), Some(1));
        assert_eq!(at_fault(&[grown(960), uncounted(10)]), Some(0));
        assert_eq!(at_fault(&[grown(40), uncounted(930)]), Some(1));
        assert_eq!(at_fault(&[uncounted(20), uncounted(30), grown(50)]), Some(1));
        // Others have given up more than that meanwhile.
        assert_eq!(at_fault(&[grown(5000), uncounted(10)]), Some(0));
    }

    #[test]
    fn what_was_not_counted_before_has_not_been_taken_since() {
        let taken = |bytes, is_complete| Taken { bytes, inodes: 1, is_complete };
        let since = |before: Option<Taken>, now: Taken| Growth::since(before.as_ref(), &now, Measure::Bytes);
        assert_eq!(since(None, taken(70, true)), grown(70));
        assert_eq!(since(Some(taken(50, true)), taken(70, true)), grown(20));
        assert_eq!(since(Some(taken(50, true)), taken(30, true)), grown(0));
        assert_eq!(since(Some(taken(50, true)), taken(70, false)), Growth { amount: 20, is_complete: false });
        assert_eq!(since(Some(taken(50, false)), taken(7000, true)), Growth { amount: 0, is_complete: false });
    }
}
