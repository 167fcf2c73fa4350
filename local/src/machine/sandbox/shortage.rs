//! Tables of the host's that are nearly full: before they are, whichever machine holds most of one loses its power.
//!
//! What a machine may have of such a table can't be bounded where the kernel doesn't count by machine: a second mount of
//! devpts has no bound of its own, and each process may have as many files open as one usually may. And the shares of many
//! machines may be more than there is.

use super::{
    holdings::Holding,
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
    /// Which of the tables that are short is looked at.
    turn: usize,
}

impl Shortage {
    /// To be made when the first machine starts.
    pub fn new(tables: Arc<Tables>) -> Self {
        let before = tables.read().into_iter().filter(Table::is_short).map(|table| table.setting).collect();
        Self { tables, before, asked: None, ended: None, turn: 0 }
    }

    /// Whether keepers have been asked what their machines hold.
    pub fn is_being_counted(&self) -> bool {
        self.asked.is_some()
    }

    pub fn look(&mut self, tenants: &[Arc<Tenant>]) {
        let tables = self.tables.read();
        let short: Vec<_> = tables.iter().filter(|table| table.is_short()).collect();
        // Each in its turn, since of one there may be no machine at fault.
        let Some(table) = short.get(self.turn % short.len().max(1)) else {
            (self.asked, self.ended) = (None, None);
            return;
        };
        if self.ended.is_some_and(|since| since.elapsed() < RECOVERY)
            && tenants.iter().any(|tenant| tenant.verdict().is_some())
        {
            return;
        }
        let Some((_, since)) = self.asked.filter(|(entry, _)| *entry == table.entry) else {
            tenants.iter().for_each(|tenant| tenant.ask(table.entry));
            self.asked = Some((table.entry, Instant::now()));
            return;
        };
        let owing = || tenants.iter().filter(|tenant| tenant.holds(table.entry).is_none());
        if since.elapsed() < PATIENCE && owing().next().is_some() {
            // Who still owed another answer has not been asked.
            owing().for_each(|tenant| tenant.ask(table.entry));
            return;
        }
        self.asked = None;
        let held: Vec<_> = tenants.iter().map(|tenant| tenant.holds(table.entry).unwrap_or(NOTHING)).collect();
        let Some(most) = at_fault(table, &held, !self.before.contains(&table.setting)) else {
            self.turn += 1;
            return;
        };
        let (entries, setting) = (table.entry.plural(), &table.setting);
        let holds = match held[most] {
            Holding { count, is_complete: true } => format!("{count}, more than any other"),
            Holding { .. } => "more open than can be counted".to_owned(),
        };
        tenants[most].end(format!(
            "leave {entries} to the host, which had {} of {} left ({setting}): this machine held {holds}, and lost its power",
            table.free(),
            table.most,
        ));
        self.ended = Some(Instant::now());
    }
}

/// Of whom nothing was heard.
const NOTHING: Holding = Holding { count: 0, is_complete: true };

/// Which machine has to go, if any: the one that holds most, unless that is next to nothing. When half of the host's reserve is
/// gone, which was there before its machines, that is less of an excuse. What can't be counted in time is more than all else, since
/// nothing but a machine's own doing makes it so.
fn at_fault(table: &Table, held: &[Holding], was_enough: bool) -> Option<usize> {
    let rank = |holding: &Holding| if holding.is_complete { holding.count } else { u64::MAX };
    let (index, most) = held.iter().map(rank).enumerate().max_by_key(|(_, held)| *held)?;
    let (little, least) = (table.entry.next_to_nothing(), table.reserve() / 16);
    let is_last_resort = was_enough && table.free() < table.reserve() / 2;
    (most > least.max(little) || is_last_resort && most > little / 4).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_holds_most_goes_unless_it_is_next_to_nothing() {
        let table =
            |used| Table { entry: Entry::Terminal, setting: "kernel.pty.max".to_owned(), most: 3072, used, each: 1 };
        let held = |counts: &[u64]| counts.iter().map(|count| Holding { count: *count, ..NOTHING }).collect::<Vec<_>>();
        // The reserve is 768.
        assert!(!table(2304).is_short() && table(2305).is_short());
        assert_eq!(at_fault(&table(2400), &held(&[3, 2000, 300]), true), Some(1));
        assert_eq!(at_fault(&table(2400), &held(&[3, 40, 30]), true), None);
        assert_eq!(at_fault(&table(2800), &held(&[3, 40, 30]), true), Some(1));
        assert_eq!(at_fault(&table(2800), &held(&[3, 40, 30]), false), None);
        assert_eq!(at_fault(&table(2800), &held(&[0, 2]), true), None);
        assert_eq!(at_fault(&table(2800), &[], true), None);
        // Who can't be counted has seen to that.
        let uncounted = Holding { count: 0, is_complete: false };
        assert_eq!(at_fault(&table(2400), &[held(&[2000])[0], uncounted], true), Some(1));
    }

    #[test]
    fn a_host_that_has_few_ends_no_machine_for_what_each_of_them_gets() {
        let table = |used| Table { entry: Entry::Process, setting: "pids.max".to_owned(), most: 100, used, each: 1 };
        let held = |count| [Holding { count, ..NOTHING }];
        assert!(table(93).is_short());
        assert_eq!(at_fault(&table(93), &held(33), true), None);
        assert_eq!(at_fault(&table(98), &held(2), true), None);
        assert_eq!(at_fault(&table(98), &held(33), true), Some(0));
        assert_eq!(at_fault(&table(93), &held(65), true), Some(0));
    }
}
