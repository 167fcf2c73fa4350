//! How what we have made ends: the register of what lives, the journal of what may, the signals, the watchdog, the sweep. All of them
//! go by the table of kinds ([`crate::resource`]), and know none of them.
//!
//! What this room isn't: the guards themselves; they stand where the resources are.

pub(crate) mod detached;
pub(crate) mod journal;
pub(crate) mod live;
pub(crate) mod owned;
pub(crate) mod roles;
pub(crate) mod signals;
pub(crate) mod sweep;
pub(crate) mod watchdog;
