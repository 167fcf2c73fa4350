//! Roles of one executable: whatever program uses this crate is, started again, the local EC2 and its machines, too.
//!
//! A hook before `main` looks whether the environment names a role; it returns at once unless it does. So nothing has to
//! be installed, and no test needs a `main` of its own.

/// Called by the dynamic loader before `main`, as every function in this section is (System V ABI, "Initialization and
/// termination functions").
#[cfg(feature = "local")]
#[used]
// SAFETY: the section holds pointers to functions of this signature, and the function touches nothing that `main` would
// have to prepare: std works before it, except that SIGPIPE isn't ignored yet.
#[unsafe(link_section = ".init_array")]
static HOOK: extern "C" fn() = {
    extern "C" fn hook() {
        ec2_local::roles::run_named();
    }
    hook
};

/// Keeps the hook: an object file that nobody refers to is left out by the linker.
pub(crate) fn keep_hook() {
    #[cfg(feature = "local")]
    std::hint::black_box(&HOOK);
}
