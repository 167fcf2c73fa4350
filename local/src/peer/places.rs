//! Places for connections, of which other users have few.

use super::User;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How many places there are, and who has taken them. Those of the endpoint's own user are apart: nobody else takes one.
#[derive(Debug)]
pub(crate) struct Places {
    /// How many the endpoint's own user has.
    own: usize,
    /// How many each other user has,
    each: usize,
    /// and how many all of them have together.
    others: usize,
    taken: Mutex<HashMap<User, usize>>,
}

impl Places {
    /// So many places for the endpoint's own user, for each other one, and for all the others together.
    pub(crate) fn new(own: usize, each: usize, others: usize) -> Arc<Self> {
        Arc::new(Self { own, each, others, taken: Mutex::default() })
    }

    /// A place for a user, if there is one.
    pub(crate) fn take(self: &Arc<Self>, user: User) -> Option<Place> {
        let mut taken = self.lock();
        let by_user = taken.get(&user).copied().unwrap_or_default();
        let is_free = match user {
            User::Own => by_user < self.own,
            User::Other(_) => {
                let others = taken.iter().filter(|(user, _)| **user != User::Own).map(|(_, count)| count);
                by_user < self.each && others.sum::<usize>() < self.others
            }
        };
        if !is_free {
            return None;
        }
        taken.insert(user, by_user + 1);
        Some(Place { places: Arc::clone(self), user })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<User, usize>> {
        // It is whole between any two of its calls.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that is taken, until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    user: User,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(count) = taken.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const USERS: [User; 5] =
        [User::Own, User::Other(None), User::Other(Some(1)), User::Other(Some(2)), User::Other(Some(3))];

    proptest! {
        /// Whatever others take and give back, their places are as few as said, and the user's own are all there.
        #[test]
        fn nobody_takes_more_than_their_own(acts in prop::collection::vec((0..5usize, any::<bool>()), 0..200)) {
            let places = Places::new(7, 3, 5);
            let mut held: [Vec<Place>; 5] = Default::default();
            for (who, takes) in acts {
                if takes {
                    let others: usize = held[1..].iter().map(Vec::len).sum();
                    let is_free = if who == 0 { held[0].len() < 7 } else { held[who].len() < 3 && others < 5 };
                    let place = places.take(USERS[who]);
                    prop_assert_eq!(place.is_some(), is_free);
                    held[who].extend(place);
                } else {
                    held[who].pop();
                }
            }
            held.iter_mut().for_each(Vec::clear);
            prop_assert!(places.lock().is_empty());
        }
    }
}
