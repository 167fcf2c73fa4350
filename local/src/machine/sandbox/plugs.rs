//! The network interfaces of a machine: which of them it is to have, and those that are plugged in.

use crate::network::Nic;
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The network interfaces of a machine; known to the one who commands it, and to the one who attends to it.
#[derive(Default)]
pub struct Plugs(Mutex<State>);

#[derive(Default)]
struct State {
    /// Those that it is to have.
    wanted: BTreeSet<String>,
    /// Those that came before it was up: until then it makes those that it boots with.
    waiting: Vec<Nic>,
    is_up: bool,
    /// Whoever drops one unplugs it.
    plugged: HashMap<String, Box<dyn Send>>,
}

impl Plugs {
    /// Those of a machine that boots with these.
    pub fn new(nics: &[Nic]) -> Self {
        let wanted = nics.iter().map(|nic| nic.id.clone()).collect();
        Self(Mutex::new(State { wanted, ..State::default() }))
    }

    /// The machine is to have one more; gives it back if that can be done now.
    pub fn want(&self, nic: Nic) -> Option<Nic> {
        let mut state = self.lock();
        state.wanted.insert(nic.id.clone());
        if state.is_up {
            return Some(nic);
        }
        state.waiting.push(nic);
        None
    }

    /// The machine is up; gives those back that have waited for that.
    pub fn up(&self) -> Vec<Nic> {
        let mut state = self.lock();
        state.is_up = true;
        let State { wanted, waiting, .. } = &mut *state;
        std::mem::take(waiting).into_iter().filter(|nic| wanted.contains(&nic.id)).collect()
    }

    /// The machine has one that can be plugged in, unless it is not to have it any more.
    pub fn plug(&self, nic: Nic, plug: impl FnOnce(Nic) -> Box<dyn Send>) {
        let mut state = self.lock();
        if state.wanted.contains(&nic.id) {
            let id = nic.id.clone();
            let previous = state.plugged.insert(id, plug(nic));
            drop(state);
            drop(previous);
        }
    }

    /// The machine is not to have one any more.
    pub fn unplug(&self, id: &str) {
        let mut state = self.lock();
        state.wanted.remove(id);
        let unplugged = state.plugged.remove(id);
        drop(state);
        drop(unplugged);
    }

    /// Unplugs them all.
    pub fn clear(&self) {
        let all = std::mem::take(&mut *self.lock());
        drop(all);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // It is whole between any two of its calls.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::Ipv4Addr, sync::Arc};

    fn nic(id: &str) -> Nic {
        let address = Ipv4Addr::new(10, 0, 0, 5);
        Nic {
            id: id.into(),
            vpc: "vpc-1".into(),
            mac: [2; 6],
            addresses: vec![address],
            subnet: (address, 24),
            ipv6: Vec::new(),
            subnet6: None,
        }
    }

    #[test]
    fn what_is_wanted_is_plugged_and_nothing_else() {
        let plugs = Plugs::new(&[nic("eni-0"), nic("eni-1")]);
        let one = Arc::new(());
        let plug = |id: &str| plugs.plug(nic(id), |_| Box::new(Arc::clone(&one)));
        assert!(plugs.want(nic("eni-2")).is_none() && plugs.want(nic("eni-3")).is_none(), "it isn't up");
        plugs.unplug("eni-1");
        plugs.unplug("eni-3");
        plug("eni-0");
        plug("eni-1");
        assert_eq!(Arc::strong_count(&one), 2);
        assert_eq!(plugs.up().iter().map(|nic| nic.id.as_str()).collect::<Vec<_>>(), ["eni-2"]);
        plug("eni-2");
        assert!(plugs.want(nic("eni-4")).is_some());
        assert_eq!(Arc::strong_count(&one), 3);
        plugs.unplug("eni-0");
        assert_eq!(Arc::strong_count(&one), 2);
        plugs.clear();
        assert_eq!(Arc::strong_count(&one), 1);
    }
}
