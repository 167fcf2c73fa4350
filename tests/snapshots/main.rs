//! Images that a set-up makes once, for all that launch from them.
//!
//! The tests of the module `child` are run by the others, each in a process of its own.

#[path = "../support/mod.rs"]
mod support;

mod child;
mod ends;
mod failures;
mod processes;
mod reuse;
mod world;
