//! SSH to one machine: connecting, running commands, copying files. It knows nothing of EC2.

mod agent;
mod algorithms;
mod command;
mod connection;
mod driver;
mod end;
mod exec;
mod files;
mod host_key;
mod key;
mod link;
mod login;
mod marker;
mod output;
mod pool;
mod quote;
mod route;
mod running;
mod session;
mod sink;
#[cfg(test)]
mod tests;

pub use command::{Command, Pty};
pub use files::Transfer;
pub use host_key::{HostKey, HostKeyPolicy, KnownHost};
pub use key::PrivateKey;
pub use login::Login;
pub use output::{ExitStatus, Output};
pub use route::Route;
pub use session::Session;

pub(crate) use command::summary;
#[allow(unused_imports)]
pub(crate) use quote::{quote, quote_all};
