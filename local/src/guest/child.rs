//! What a process of the machine must not inherit from the process that started the agent.

/// A usual system's soft limits: 1024 open files, no core dumps. Safe to call between fork and exec.
pub fn default_limits() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    for (resource, usual) in [(Resource::Nofile, 1024), (Resource::Core, 0)] {
        let hard = getrlimit(resource).maximum;
        let soft = hard.map_or(usual, |hard| usual.min(hard));
        // Lowering a soft limit can't be refused, and not having raised one is no reason to refuse a session.
        let _ = setrlimit(resource, Rlimit { current: Some(soft), maximum: hard });
    }
}

/// No signal is ignored: what is ignored stays so over exec. Safe to call between fork and exec.
pub fn default_signals() {
    // SIG_DFL, no flags, an empty mask, in the kernel's own layout: libc refuses its two internal signals.
    let default = [0u64; 4];
    for signal in 1..=64 {
        // SAFETY: a plain system call on memory that outlives it, and is as large as the kernel's structure.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null_mut::<u64>(), 8usize);
        }
    }
}
