//! What a machine pays for frames that it takes slowly.
//!
//! A frame that is written to a TAP device is received within the write: the filters of the machine's packet sockets, its
//! nftables and its bridges run in the switch's thread, and all machines wait for them. So writes are timed. One that took
//! long is paid for by a rest, in which the machine's frames wait. All machines that rest do so one after the other, so that
//! together they take an eighth of the thread's time, however many they are.

use rustix::time::{ClockId, clock_gettime};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What costs no more is free. A frame takes some microseconds, the largest batch some tens of them.
const FREE: Duration = Duration::from_micros(200);
/// How many times as long as a write took its machine rests.
const REST: u32 = 7;
/// How long a machine's writes are measured after one of them was slow.
const SUSPICION: Duration = Duration::from_secs(60);

/// What all machines of a switch pay into: until when their rests last that are paid for.
#[derive(Clone, Default)]
pub(super) struct SharedBudget(Arc<Mutex<Option<Instant>>>);

impl SharedBudget {
    /// Pays for what was used; until when that takes, after all others.
    fn pay(&self, used: Duration, now: Instant) -> Instant {
        // It is whole at all times.
        let mut paid = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = paid.map_or(now, |until| until.max(now)) + used * REST;
        *paid = Some(until);
        until
    }
}

/// What one machine pays.
pub(super) struct ReceiveBudget {
    shared_budget: SharedBudget,
    /// Until when its writes are measured.
    suspected: Option<Instant>,
    rests: Option<Instant>,
}

impl ReceiveBudget {
    /// A machine that owes nothing.
    pub(super) fn new(shared_budget: &SharedBudget) -> Self {
        Self { shared_budget: shared_budget.clone(), suspected: None, rests: None }
    }

    /// Does a write, and lets it be paid for.
    pub(super) fn timed<R>(&mut self, write: impl FnOnce() -> R) -> R {
        let begun = Instant::now();
        let used = self.measures(begun).then(used_by_this_thread);
        let result = write();
        let ended = Instant::now();
        match used {
            Some(before) => self.charge(used_by_this_thread().saturating_sub(before), ended),
            None => self.look(ended - begun, ended),
        }
        result
    }

    /// Whether it is measured what the thread does, not only how late it is afterwards: that costs more than most writes.
    fn measures(&self, now: Instant) -> bool {
        self.suspected.is_some_and(|until| now < until)
    }

    /// Takes note of how long a write took, which may be because others had the processor.
    fn look(&mut self, took: Duration, now: Instant) {
        if took > FREE {
            self.suspected = Some(now + SUSPICION);
        }
    }

    /// Takes note of the processor's time that a write took.
    fn charge(&mut self, used: Duration, now: Instant) {
        if used > FREE {
            let until = self.shared_budget.pay(used, now);
            (self.rests, self.suspected) = (Some(until), Some(until + SUSPICION));
        }
    }

    /// Lets others have their turn.
    pub(super) fn pause(&mut self) {
        self.rests = Some(Instant::now());
    }

    /// Whether it has to rest.
    pub(super) fn rests(&mut self) -> bool {
        self.rests.take_if(|until| *until <= Instant::now());
        self.rests.is_some()
    }

    /// Until when.
    pub(super) fn rests_until(&self) -> Option<Instant> {
        self.rests
    }
}

/// What this thread has had of the processor's time.
fn used_by_this_thread() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // Neither is negative.
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Duration = Duration::from_millis(10);

    #[test]
    fn what_is_cheap_is_free_and_what_is_late_only_looked_at() {
        let (mut receive_budget, now) = (ReceiveBudget::new(&SharedBudget::default()), Instant::now());
        receive_budget.look(FREE, now);
        assert!(!receive_budget.measures(now));
        receive_budget.look(SLOW, now);
        assert!(receive_budget.measures(now) && !receive_budget.measures(now + SUSPICION) && !receive_budget.rests());
        receive_budget.charge(FREE, now);
        assert!(!receive_budget.rests());
    }

    #[test]
    fn all_that_are_slow_together_have_an_eighth() {
        const MACHINES: usize = 5;
        let shared_budget = SharedBudget::default();
        let mut tolls: Vec<_> = (0..MACHINES).map(|_| ReceiveBudget::new(&shared_budget)).collect();
        let start = Instant::now();
        let (mut now, mut used) = (start, [0u32; MACHINES]);
        // Each writes whenever it may.
        while now < start + SLOW * 2000 {
            let (next, receive_budget) =
                tolls.iter_mut().enumerate().min_by_key(|(_, receive_budget)| receive_budget.rests_until()).unwrap();
            now = receive_budget.rests_until().map_or(now, |until| until.max(now)) + SLOW;
            receive_budget.charge(SLOW, now);
            used[next] += 1;
        }
        let all: u32 = used.iter().sum();
        assert!((2000 / 8 - 10..2000 / 7 + 10).contains(&all), "{used:?}");
        assert!(used.iter().all(|one| one.abs_diff(all / MACHINES as u32) <= 1), "{used:?}");
    }

    #[test]
    fn a_write_that_works_is_paid_for_and_one_that_waits_isnt() {
        let mut receive_budget = ReceiveBudget::new(&SharedBudget::default());
        receive_budget.timed(|| std::thread::sleep(SLOW));
        receive_budget.timed(|| std::thread::sleep(SLOW));
        assert!(!receive_budget.rests(), "it was late");
        receive_budget.timed(|| {
            let before = used_by_this_thread();
            while used_by_this_thread() < before + SLOW {}
        });
        assert!(receive_budget.rests());
    }
}
