//! Tests against OpenSSH's own sshd, run as an ordinary process on a loopback port.

mod bench;
mod cancel;
mod exec;
mod files;
mod login;
mod sshd;
