//! How a machine ends when nobody says so: the register of what lives, the journal of what may,
//! the signals, the watchdog.
//!
//! What this room isn't: the guards themselves; they stand where the resources are.

pub(crate) mod journal;
pub(crate) mod live;
pub(crate) mod signals;
pub(crate) mod watchdog;
