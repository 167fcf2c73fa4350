//! Handing over: an endpoint that was started on demand, and that nobody uses, ends at once for a client that asks for another.
//!
//! It would have ended by itself soon; who asks for other settings need not wait for that, and is no client of this one.

use super::{Stay, datacenter::Datacenter, idle::Clients};
use crate::wire::Activity;
use std::sync::Arc;
use tokio::sync::Notify;

/// What is asked.
pub(super) const REQUEST: &str = "hand over";

/// Whether somebody uses the endpoint, and whether it hands over.
pub(super) struct Handover {
    pub(super) stay: Stay,
    pub(super) clients: Clients,
    pub(super) datacenter: Arc<Datacenter>,
    pub(super) activity: Activity,
    pub(super) is_made: Notify,
}

impl Handover {
    /// Lets nobody in from now on, and has the endpoint end; or says who uses it.
    pub(super) fn make(&self) -> Result<(), String> {
        if self.stay == Stay::UntilTold {
            return Err("it stays until it is told to end by a signal".to_owned());
        }
        // A client that asks nothing just now, but keeps a connection, is about to.
        let users = [
            (self.clients.count(), "client"),
            (self.datacenter.instances(), "instance"),
            (self.activity.connections().max(self.activity.requests()), "open connection"),
        ];
        let users: Vec<_> =
            users.iter().filter(|(count, _)| *count > 0).map(|(count, what)| counted(*count, what)).collect();
        if !users.is_empty() {
            return Err(format!("it has {}", users.join(", ")));
        }
        if !self.clients.close() {
            return Err("it has just got a client".to_owned());
        }
        self.is_made.notify_one();
        Ok(())
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
