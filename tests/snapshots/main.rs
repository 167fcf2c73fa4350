//! Images that a set-up makes once, for all that launch from them.

#[path = "../support/mod.rs"]
mod support;

mod reuse;
