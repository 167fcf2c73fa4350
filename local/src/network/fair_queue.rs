//! What machines want, each in a line of its own: who asks for much waits for themselves, and for nobody else.

use std::collections::{HashMap, VecDeque};

/// FairQueue of what machines want, which take turns.
pub(super) struct FairQueue<T> {
    lines: HashMap<u64, VecDeque<T>>,
    /// Whose turn it is next. Each that wants something is in here once.
    turns: VecDeque<u64>,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { lines: HashMap::new(), turns: VecDeque::new() }
    }
}

impl<T> FairQueue<T> {
    /// Puts something into a machine's line; false if so much waits there already.
    pub(super) fn push(&mut self, machine: u64, wanted: T, most: usize) -> bool {
        let line = self.lines.entry(machine).or_default();
        if line.len() >= most {
            return false;
        }
        if line.is_empty() {
            self.turns.push_back(machine);
        }
        line.push_back(wanted);
        true
    }

    /// The first of whose turn it is.
    pub(super) fn pop(&mut self) -> Option<T> {
        let machine = self.turns.pop_front()?;
        let line = self.lines.get_mut(&machine)?;
        let wanted = line.pop_front();
        if line.is_empty() {
            self.lines.remove(&machine);
        } else {
            self.turns.push_back(machine);
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_take_turns_and_each_has_so_many_at_most() {
        let mut lines = FairQueue::default();
        for number in 0..10 {
            assert_eq!(lines.push(1, (1, number), 8), number < 8);
        }
        assert!(lines.push(2, (2, 0), 8) && lines.push(2, (2, 1), 8) && lines.push(3, (3, 0), 8));
        let order: Vec<_> = std::iter::from_fn(|| lines.pop()).collect();
        assert_eq!(order[..6], [(1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (1, 2)]);
        assert_eq!(order.len(), 11);
        assert!(lines.lines.is_empty() && lines.turns.is_empty());
    }
}
