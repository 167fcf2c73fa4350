//! Roles of one executable: whatever program uses this crate is, started again, the run's watchdog, the local EC2 and its
//! machines, too.
//!
//! A hook before `main` looks whether the environment names a role; it returns at once unless it does. So nothing has to
//! be installed, and no test needs a `main` of its own.

use super::watchdog;
use crate::local;
use std::{env, process::Command};

const VARIABLE: &str = "EC2_HARNESS_ROLE";

/// What a process is when it isn't the program that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The run's watchdog.
    Watchdog,
}

impl Role {
    /// Names this role in a command's environment.
    pub(crate) fn name_in(self, command: &mut Command) {
        command.env(VARIABLE, self.word());
    }

    fn word(self) -> &'static str {
        match self {
            Self::Watchdog => "watchdog",
        }
    }
}

/// Called by the dynamic loader before `main`, as every function in this section is (System V ABI, "Initialization and
/// termination functions").
#[used]
// SAFETY: the section holds pointers to functions of this signature, and the function touches nothing that `main` would
// have to prepare: std works before it, except that SIGPIPE isn't ignored yet.
#[unsafe(link_section = ".init_array")]
static HOOK: extern "C" fn() = {
    extern "C" fn hook() {
        local::run_named_role();
        if env::var_os(VARIABLE).is_some_and(|role| role == Role::Watchdog.word()) {
            watchdog::role_main();
        }
    }
    hook
};

/// Keeps the hook: an object file that nobody refers to is left out by the linker.
pub(crate) fn keep_hook() {
    std::hint::black_box(&HOOK);
}
