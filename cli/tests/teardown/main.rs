//! How a machine ends when its test doesn't end as it should: panics, errors, signals, `kill -9`; and that nothing is left.
//!
//! The tests of the module `child` are run by the others, each in a process of its own.

#[path = "../../../tests/support/mod.rs"]
mod support;

mod child;
mod elsewhere;
mod endings;
mod endpoints;
mod leftovers;
mod run;
mod sweeps;
mod world;
