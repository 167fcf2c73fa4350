//! A local EC2 with real machines behind it.
//!
//! `ec2-local` answers EC2's own Query API on a loopback port and runs what it launches: Linux machines in namespaces
//! over the host's system directories, on a switch in user space, with an SSH server of their own. It knows nothing of
//! `ec2-harness`, nor of any SDK: whatever speaks EC2 can use it.
//!
//! As a command it is `ec2-local serve`. As a library it starts on demand, as a process of its own that is the running
//! executable started again, is found by later processes, and goes some seconds after its last instance and client:
//!
//! ```no_run
//! use ec2_local::endpoint::{EndpointError, Settings, ensure};
//!
//! fn main() -> Result<(), EndpointError> {
//!     // First of all: the endpoint and its machines are this program, too.
//!     ec2_local::roles::run_named();
//!     let local = ensure(&Settings::default())?;
//!     println!("EC2 is at {}, for the access key {}", local.url(), local.credentials().access_key);
//!     Ok(())
//! }
//! ```
//!
//! It needs Linux with user namespaces and `/dev/net/tun`, but no root and nothing installed.
//!
//! The floors, from the bottom; each imports only what stands above it in this list:
//!
//! | room | what it is for |
//! |---|---|
//! | [`error`] | the one table of EC2's error codes |
//! | `peer` | who is at the other end of a connection over the loopback, and how many they may have |
//! | [`wire`] | the ec2Query codec, its table, signatures, the HTTP front door |
//! | [`conditions`] | what AWS does to you: late ids, throttles, faults, by name and by request |
//! | [`network`] | the switch, the metadata service, the way in |
//! | [`archive`] | root directories from tar archives: what is taken, and what is refused |
//! | [`guest`] | what runs inside a sandbox: init, SSH server, user data |
//! | [`machine`] | what runs an instance: a table of kinds, today `sandbox` and `blank` |
//! | [`account`] | the state machine: everything that EC2 would know, and its rules; pure, without I/O |
//! | [`endpoint`] | the process: wires the rooms together, starts, is found again, ends |

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

pub mod account;
pub mod archive;
pub mod conditions;
pub mod endpoint;
pub mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod guest;
pub mod machine;
pub mod network;
mod peer;
pub mod roles;
pub mod wire;
