//! A local EC2 with real machines behind it.
//!
//! `ec2-local` answers EC2's own Query API on a loopback port and runs what it launches: Linux machines in namespaces
//! over the host's system directories, on a switch in user space, with an SSH server of their own. It knows nothing of
//! `ec2-harness`, nor of any SDK: whatever speaks EC2 can use it.
//!
//! The floors, from the bottom; each imports only what stands above it in this list:
//!
//! | room | what it is for |
//! |---|---|
//! | [`error`] | the one table of EC2's error codes |
//! | [`wire`] | the ec2Query codec, its table, signatures, the HTTP front door |
//! | [`network`] | the switch, the metadata service, the way in |
//! | [`guest`] | what runs inside a sandbox: init, SSH server, user data |
//! | [`machine`] | what runs an instance: `sandbox` or `blank` |
//! | [`account`] | the state machine: everything that EC2 would know, and its rules; pure, without I/O |
//! | [`endpoint`] | the process: wires the rooms together, starts, is found again, ends |

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

pub mod account;
pub mod endpoint;
pub mod error;
pub mod guest;
pub mod machine;
pub mod network;
pub mod roles;
pub mod wire;
