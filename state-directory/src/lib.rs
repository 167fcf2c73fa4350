//! The directories in which `ec2-local` and `ec2-harness` keep their state: how they are found, told from anybody else's, and
//! removed. Both remove what killed processes have left there, so both must be sure whose it is.
//!
//! # Finding
//!
//! [`Directory::make`] walks down from `/`, holding each directory open. One on the way must belong to the user or to root, and
//! nobody else may be able to put another in the place of what is in it: it isn't writable by others, or it is sticky, as `/tmp`
//! is. A symbolic link on the way is followed only if it belongs to the user or to root; what it leads to passes the same check.
//! What is below a state directory is opened with [`Directory::open`] and [`Directory::file`], which follow no link.
//!
//! # Telling
//!
//! A [`Mark`] in a directory says who made it, and what for. It is a symbolic link that leads nowhere, since the kernel makes one
//! together with its text in a single call: a process that is killed leaves a directory that is marked, or one that is empty. It
//! is made before anything else is, and removed after everything else. Directories that aren't empty are never marked, but
//! those of earlier versions of which it is proven whose they are.
//!
//! # Removing
//!
//! [`remove`] removes only what bears its mark, and in it only what its [`Layout`] names. Whatever else lies there stays, and its
//! directory with it. Nothing is looked for by a path a second time, no link is followed, and no mount point is crossed.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

mod contents;
mod directory;
mod error;
mod mark;
mod removal;
mod shown;
mod trust;

pub use contents::remove_contents;
pub use directory::Directory;
pub use error::Error;
pub use mark::Mark;
pub use removal::{Clear, Layout, Part, is_leftover, put_aside, remove};
pub use shown::shown;
