//! Volumes in machines, through the front door: formatted, written, detached, and found again elsewhere. They are the host's
//! root's alone; an ordinary user's machines do without, and say so.

#[path = "../endpoint/mod.rs"]
mod endpoint;
mod lives;
mod machine;
mod mounts;
mod ordinary;
mod snapshots;
