//! Which orders wait for which: those that concern the same instance, volume or snapshot are carried out in the order in which they came,
//! and all others beside each other.

use std::collections::{HashMap, HashSet, VecDeque};

/// How many that take long are under way at once: they share one disk.
const MOST: usize = 4;

/// What an order is about.
pub(super) trait Concerns {
    /// The ids of all that it concerns.
    fn concerns(&self) -> Vec<&str>;

    /// Whether it takes long, and is carried out by a thread of its own.
    fn takes_long(&self) -> bool;
}

/// The orders that wait, and what those concern that are under way.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    waiting: VecDeque<T>,
    under_way: HashMap<u64, Vec<String>>,
    last: u64,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), under_way: HashMap::new(), last: 0 }
    }
}

impl<T: Concerns> Lanes<T> {
    /// One more has come.
    pub(super) fn add(&mut self, order: T) {
        self.waiting.push_back(order);
    }

    /// The first that waits for none of those under way, nor for an earlier one that does.
    pub(super) fn next(&mut self) -> Option<T> {
        let mut busy: HashSet<&str> = self.under_way.values().flatten().map(String::as_str).collect();
        let is_full = self.under_way.len() >= MOST;
        let mut found = None;
        for (index, order) in self.waiting.iter().enumerate() {
            let concerns = order.concerns();
            let waits = (is_full && order.takes_long()) || concerns.iter().any(|one| busy.contains(one));
            if !waits {
                found = Some(index);
                break;
            }
            busy.extend(concerns);
        }
        self.waiting.remove(found?)
    }

    /// One that takes long is under way now; the number by which it ends.
    pub(super) fn begin(&mut self, order: &T) -> u64 {
        self.last += 1;
        self.under_way.insert(self.last, order.concerns().into_iter().map(str::to_owned).collect());
        self.last
    }

    /// It is done.
    pub(super) fn end(&mut self, number: u64) {
        self.under_way.remove(&number);
    }

    /// None of those that wait is wanted any more.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
    }

    /// Whether none is under way.
    pub(super) fn are_empty(&self) -> bool {
        self.under_way.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Order(&'static str, &'static [&'static str], bool);

    impl Concerns for Order {
        fn concerns(&self) -> Vec<&str> {
            self.1.to_vec()
        }

        fn takes_long(&self) -> bool {
            self.2
        }
    }

    fn begin(lanes: &mut Lanes<Order>, order: Order) -> u64 {
        lanes.add(order.clone());
        assert_eq!(lanes.next(), Some(order.clone()));
        lanes.begin(&order)
    }

    #[test]
    fn what_is_of_the_same_keeps_its_order_and_the_rest_does_not_wait() {
        let mut lanes = Lanes::default();
        let taken = begin(&mut lanes, Order("take", &["i-1", "vol-1"], true));
        let [start, detach, other, discard] = [
            Order("start", &["i-1", "vol-2"], false),
            // It waits for what waits.
            Order("detach", &["vol-2"], false),
            Order("start another", &["i-2", "vol-3"], false),
            Order("discard", &["vol-1"], false),
        ];
        for order in [&start, &detach, &other, &discard] {
            lanes.add(order.clone());
        }
        assert_eq!((lanes.next(), lanes.next()), (Some(other), None));
        lanes.end(taken);
        assert_eq!([lanes.next(), lanes.next(), lanes.next()], [Some(start), Some(detach), Some(discard)]);
        assert!(lanes.next().is_none() && lanes.are_empty());
    }

    #[test]
    fn only_a_few_that_take_long_are_under_way_at_once() {
        let mut lanes = Lanes::default();
        let ids: [&'static [&'static str]; MOST] = [&["1"], &["2"], &["3"], &["4"]];
        let numbers: Vec<u64> = ids.iter().map(|ids| begin(&mut lanes, Order("take", ids, true))).collect();
        let (fifth, short) = (Order("take", &["5"], true), Order("start", &["6"], false));
        lanes.add(fifth.clone());
        lanes.add(short.clone());
        assert_eq!((lanes.next(), lanes.next()), (Some(short), None));
        lanes.end(numbers[1]);
        assert_eq!(lanes.next(), Some(fifth));
    }
}
