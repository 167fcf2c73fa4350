//! Tables of the host's that are nearly full: before they are, whichever machine holds most of one loses its power.
//!
//! What a machine may have of such a table can't be bounded where the kernel doesn't count by machine: a second mount of
//! devpts has no bound of its own, and each process may have as many files open as one usually may. And the shares of many
//! machines may be more than there is.

use super::{
    protocol::{self, Command},
    tables::{Entry, Table, Tables},
    watch::Tenant,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a keeper may take to count.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a machine that lost its power may take to give back what it held.
const RECOVERY: Duration = Duration::from_secs(5);

/// What is known of a shortage.
#[derive(Debug)]
pub struct Shortage {
    tables: Arc<Tables>,
    /// Tables that had too little before any machine of this endpoint was there: that is no machine's fault.
    before: Vec<String>,
    asked: Option<(Entry, Instant)>,
    ended: Option<Instant>,
}

impl Shortage {
    /// To be made when the first machine starts.
    pub fn new(tables: Arc<Tables>) -> Self {
        let before = tables.read().into_iter().filter(Table::is_short).map(|table| table.setting).collect();
        Self { tables, before, asked: None, ended: None }
    }

    /// Whether keepers have been asked what their machines hold.
    pub fn is_being_counted(&self) -> bool {
        self.asked.is_some()
    }

    pub fn look(&mut self, tenants: &[Arc<Tenant>]) {
        let tables = self.tables.read();
        let Some(table) = tables.iter().find(|table| table.is_short()) else {
            (self.asked, self.ended) = (None, None);
            return;
        };
        if self.ended.is_some_and(|since| since.elapsed() < RECOVERY)
            && tenants.iter().any(|tenant| tenant.verdict().is_some())
        {
            return;
        }
        let Some((_, since)) = self.asked.filter(|(entry, _)| *entry == table.entry) else {
            for tenant in tenants {
                tenant.forget();
                // A machine that is gone needs no command.
                let _ = protocol::send(tenant.control(), &Command::Count(table.entry), &[]);
            }
            self.asked = Some((table.entry, Instant::now()));
            return;
        };
        if since.elapsed() < PATIENCE && tenants.iter().any(|tenant| tenant.holds().is_none()) {
            return;
        }
        self.asked = None;
        let held: Vec<_> = tenants.iter().map(|tenant| tenant.holds().unwrap_or_default()).collect();
        let Some(most) = at_fault(table, &held, !self.before.contains(&table.setting)) else { return };
        let (entries, setting) = (table.entry.plural(), &table.setting);
        tenants[most].end(format!(
            "leave {entries} to the host, which had {} of {} left ({setting}): this machine held {}, more than any other, \
             and lost its power",
            table.free(),
            table.most,
            held[most]
        ));
        self.ended = Some(Instant::now());
    }
}

/// Which machine has to go, if any: the one that holds most, unless that is next to nothing. When half of the host's reserve is
/// gone, which was there before its machines, that is no excuse any more.
fn at_fault(table: &Table, held: &[u64], was_enough: bool) -> Option<usize> {
    let (index, most) = held.iter().enumerate().max_by_key(|(_, held)| **held)?;
    let is_last_resort = was_enough && table.free() < table.reserve() / 2;
    (*most > table.reserve() / 16 || *most > 0 && is_last_resort).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_holds_most_goes_unless_it_is_next_to_nothing() {
        let table =
            |used| Table { entry: Entry::Terminal, setting: "kernel.pty.max".to_owned(), most: 3072, used, each: 1 };
        // The reserve is 768.
        assert!(!table(2304).is_short() && table(2305).is_short());
        assert_eq!(at_fault(&table(2400), &[3, 2000, 300], true), Some(1));
        assert_eq!(at_fault(&table(2400), &[3, 40, 30], true), None);
        assert_eq!(at_fault(&table(2800), &[3, 40, 30], true), Some(1));
        assert_eq!(at_fault(&table(2800), &[3, 40, 30], false), None);
        assert_eq!(at_fault(&table(2800), &[0, 0], true), None);
        assert_eq!(at_fault(&table(2800), &[], true), None);
    }
}
