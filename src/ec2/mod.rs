//! The account: launching, reaching and ending what EC2 has.
//!
//! What this room isn't: tests. It knows scopes and guards, but not who opens and closes them.

mod account;
mod instance;
mod launch;
mod machine;

pub use account::{Connect, Ec2};
pub use instance::Instance;
pub use launch::Launch;
pub use machine::Machine;
