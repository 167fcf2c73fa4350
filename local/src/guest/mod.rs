//! What runs inside a sandbox: init's helpers, the SSH server, user data.
//!
//! All of it runs in the machine's own namespaces, on the machine's own root directory, and learns who it is from the
//! metadata service only, as a machine on AWS does.

pub mod accounts;
pub mod agent;
pub mod authorize;
mod child;
pub mod cloud_init;
mod console;
pub mod identity;
pub mod init;
pub mod logins;
pub mod metadata;
pub mod root;
pub mod ssh;
pub mod tools;
