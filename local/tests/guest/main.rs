//! The guest's agent as an ordinary process on loopback ports, used by real clients.

mod fixture;
mod forwarding;
mod host_keys;
mod libssh2;
mod sftp;
mod signal;
mod ssh;
mod tools;
mod user_data;
