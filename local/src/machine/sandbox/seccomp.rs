//! System calls that no machine may make, since neither capabilities nor namespaces keep them off the host.
//!
//! | call | what it would reach |
//! |---|---|
//! | `syslog` | the host's kernel log, where `kernel.dmesg_restrict` is 0 |
//! | `perf_event_open` | what the host's processors do, as `kernel.perf_event_paranoid` allows |
//! | `bpf` | the host's kernel, where `kernel.unprivileged_bpf_disabled` is 0 |
//! | `socket` of `AF_VSOCK` | the hypervisor below the host: no network namespace holds these |
//! | `socket` of `AF_QIPCRTR`, `AF_RDS` | the host's coprocessors and other machines: the same |
//! | `socket` of `AF_XDP` | the host's memory, by rings that are counted as nobody's |
//! | `socket` of `AF_RXRPC` | the host's process ids, by a thread of the kernel's for each |
//! | `memfd_secret` | the host's hibernation, which such memory forbids |
//! | `mincore`, `cachestat` | which pages of shared files the host has read, which the files' owner is told |
//! | `ustat` | how full any file system of the host's is, by its device's number |
//! | `add_key`, `request_key`, `keyctl` | the keys of the host's user whose namespaces these are, and helpers of the host's root |
//! | `io_uring_setup` | all that a filter forbids can be had through a ring; as in container engines |
//! | `io_setup` | the host's one table of requests (`fs.aio-max-nr`), all of which one call may take |
//! | `mmap`, `memfd_create`, `shmget` of huge pages | those that the host has reserved for its own (`vm.nr_hugepages`) |
//! | `setrlimit`, `prlimit64` of cores | the host's program for cores, which a limit keeps away ([`super::limits`]) |
//!
//! The last answers that it was done, since programs insist on it; `io_uring_setup`, `io_setup`, `memfd_secret`, `mincore`,
//! `cachestat`, `ustat` and those for keys answer "no such call", so that programs do without, as on kernels without them. Huge
//! pages there are none, as on any host that has reserved none.

use super::{kernel, root::told};
use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, EAFNOSUPPORT,
    ENOMEM, ENOSYS, EPERM, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_USER_NOTIF, seccomp_data, sock_filter,
};
use std::{io, mem::offset_of};

/// The numbers of the calls for one kind of programs (the kernel's `syscall.tbl` and `linux/audit.h`).
struct Abi {
    architecture: u32,
    denied: [u32; 3],
    /// `io_uring_setup`, `memfd_secret`, `cachestat`, `mincore`, `io_setup`, `add_key`, `request_key`, `keyctl`, the old ways to
    /// `socket` and others and to `mmap`, whose arguments a filter can't see, and `ustat`.
    missing: &'static [u32],
    socket: u32,
    setrlimit: u32,
    prlimit64: u32,
    /// `mmap`, `memfd_create`, `shmget`, and the old way to the last one, if there is one.
    huge: [u32; 3],
    ipc: Option<u32>,
}

#[cfg(target_arch = "x86_64")]
const ABIS: &[Abi] = &[
    Abi {
        architecture: 0xc000_003e,
        denied: [103, 298, 321],
        missing: &[425, 447, 451, 27, 206, 248, 249, 250, 136],
        socket: 41,
        setrlimit: 160,
        prlimit64: 302,
        huge: [9, 319, 29],
        ipc: None,
    },
    Abi {
        architecture: 0x4000_0003,
        denied: [103, 336, 357],
        missing: &[425, 447, 451, 218, 245, 286, 287, 288, 102, 90, 62],
        socket: 359,
        setrlimit: 75,
        prlimit64: 340,
        huge: [192, 356, 395],
        ipc: Some(117),
    },
];
#[cfg(target_arch = "aarch64")]
const ABIS: &[Abi] = &[
    Abi {
        architecture: 0xc000_00b7,
        denied: [116, 241, 280],
        missing: &[425, 447, 451, 232, 0, 217, 218, 219],
        socket: 198,
        setrlimit: 164,
        prlimit64: 261,
        huge: [222, 279, 194],
        ipc: None,
    },
    Abi {
        architecture: 0x4000_0028,
        denied: [103, 364, 386],
        missing: &[425, 447, 451, 219, 243, 309, 310, 311, 102, 90, 62],
        socket: 281,
        setrlimit: 75,
        prlimit64: 369,
        huge: [192, 385, 307],
        ipc: Some(117),
    },
];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the numbers of the system calls that machines may not make are known for x86_64 and aarch64 only");

/// Families of addresses that no network namespace holds, or whose sockets cost what nobody counts.
const FAMILIES: [i32; 5] = [libc::AF_VSOCK, AF_QIPCRTR, libc::AF_RDS, libc::AF_XDP, AF_RXRPC];
/// Those that libc doesn't name (the kernel's `linux/socket.h`).
const AF_QIPCRTR: i32 = 42;
const AF_RXRPC: i32 = 33;
/// `RLIMIT_CORE`, on all of these architectures.
const CORES: u32 = 4;
/// `SHMGET`, of those that `ipc` multiplexes.
const SHMGET: u32 = 23;
/// Calls of x86_64's 32-bit pointer ABI bear this bit; it would be a way around all numbers.
const X32: u32 = 0x4000_0000;

/// Mounts, and their new way, by their numbers on these architectures.
#[cfg(target_arch = "x86_64")]
const MOUNT: u32 = 165;
#[cfg(target_arch = "x86_64")]
const IOCTL: u32 = 16;
#[cfg(target_arch = "aarch64")]
const MOUNT: u32 = 40;
#[cfg(target_arch = "aarch64")]
const IOCTL: u32 = 29;
const FSOPEN: u32 = 430;
/// `MS_REMOUNT`, `MS_BIND` and `MS_MOVE`: what is mounted already.
const MOUNTED: u32 = 32 | 4096 | 8192;

/// `BLKBSZSET` and `BLKFLSBUF`, on which `mkfs.xfs` insists: only the host's root may say in which blocks the kernel is to read a
/// device, and when it is to forget what it has read. What is read later is the same without. So it is answered that it was done.
const SET_BLOCK_SIZE: u32 = 0x4008_1271;
const FLUSH_BUFFERS: u32 = 0x1261;

/// A program that tells a listener of mounts that may be new file systems. Programs of other architectures than the kernel's own
/// can't mount those.
pub fn told_of_mounts() -> Vec<sock_filter> {
    let native = ABIS.first().map_or(0, |abi| abi.architecture);
    let allow = || instruction(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    vec![
        load(offset_of!(seccomp_data, arch)),
        jump(BPF_JEQ, native, 1, 0),
        allow(),
        load(offset_of!(seccomp_data, nr)),
        jump(BPF_JEQ, FSOPEN, 0, 1),
        refuse(ENOSYS),
        jump(BPF_JEQ, IOCTL, 0, 5),
        load(argument(1)),
        jump(BPF_JEQ, FLUSH_BUFFERS, 1, 0),
        jump(BPF_JEQ, SET_BLOCK_SIZE, 0, 1),
        refuse(0),
        allow(),
        jump(BPF_JEQ, MOUNT, 1, 0),
        allow(),
        load(argument(3)),
        jump(BPF_JSET, MOUNTED, 0, 1),
        allow(),
        instruction(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
    ]
}

/// Forbids the calls, for this process and its descendants.
pub fn forbid() -> io::Result<()> {
    kernel::filter_system_calls(&program())
        .map_err(told("forbid", "system calls that reach the host (the kernel needs CONFIG_SECCOMP_FILTER)"))
}

fn program() -> Vec<sock_filter> {
    let mut program = Vec::new();
    for abi in ABIS {
        let rules = rules(abi);
        program.push(load(offset_of!(seccomp_data, arch)));
        program.push(jump(BPF_JEQ, abi.architecture, 0, rules.len()));
        program.extend(rules);
    }
    // Another architecture than those that the kernel is known to run beside its own.
    program.push(refuse(ENOSYS));
    program
}

fn rules(abi: &Abi) -> Vec<sock_filter> {
    let mut rules = vec![load(offset_of!(seccomp_data, nr))];
    if cfg!(target_arch = "x86_64") {
        rules.extend([jump(BPF_JGE, X32, 0, 1), refuse(ENOSYS)]);
    }
    for call in abi.denied {
        rules.extend([jump(BPF_JEQ, call, 0, 1), refuse(EPERM)]);
    }
    for call in abi.missing {
        rules.extend([jump(BPF_JEQ, *call, 0, 1), refuse(ENOSYS)]);
    }
    // Which argument has the flags, and which flag it is.
    let flags =
        [(3, libc::MAP_HUGETLB.cast_unsigned()), (1, libc::MFD_HUGETLB), (2, libc::SHM_HUGETLB.cast_unsigned())];
    for (call, (number, flag)) in abi.huge.into_iter().zip(flags) {
        rules.extend([
            jump(BPF_JEQ, call, 0, 4),
            load(argument(number)),
            jump(BPF_JSET, flag, 0, 1),
            refuse(ENOMEM),
            instruction(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        ]);
    }
    if let Some(ipc) = abi.ipc {
        rules.extend([
            jump(BPF_JEQ, ipc, 0, 6),
            load(argument(0)),
            // The kernel takes the upper half for a version.
            instruction(BPF_ALU | BPF_AND | BPF_K, 0xffff),
            jump(BPF_JEQ, SHMGET, 0, 3),
            load(argument(3)),
            jump(BPF_JSET, libc::SHM_HUGETLB.cast_unsigned(), 0, 1),
            refuse(ENOMEM),
            load(offset_of!(seccomp_data, nr)),
        ]);
    }
    rules.extend([
        jump(BPF_JEQ, abi.setrlimit, 0, 4),
        load(argument(0)),
        jump(BPF_JEQ, CORES, 0, 1),
        refuse(0),
        instruction(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        // Who gives it no new limit asks for the old one.
        jump(BPF_JEQ, abi.prlimit64, 0, 8),
        load(argument(1)),
        jump(BPF_JEQ, CORES, 0, 4),
        load(argument(2)),
        jump(BPF_JEQ, 0, 0, 3),
        load(argument(2) ^ 4),
        jump(BPF_JEQ, 0, 0, 1),
        instruction(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        refuse(0),
        jump(BPF_JEQ, abi.socket, 0, 1 + 2 * FAMILIES.len()),
        // The address family.
        load(argument(0)),
    ]);
    for family in FAMILIES {
        rules.extend([jump(BPF_JEQ, family.cast_unsigned(), 0, 1), refuse(EAFNOSUPPORT)]);
    }
    rules.push(instruction(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    rules
}

fn load(offset: usize) -> sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, u32::try_from(offset).unwrap_or(u32::MAX))
}

/// Where the lower half of an argument is; the upper one is 4 bytes off.
fn argument(number: usize) -> usize {
    offset_of!(seccomp_data, args) + 8 * number + if cfg!(target_endian = "little") { 0 } else { 4 }
}

fn refuse(error: i32) -> sock_filter {
    instruction(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error.cast_unsigned())
}

/// Skips as many instructions, as the comparison holds or doesn't.
fn jump(comparison: u32, with: u32, holds: u8, fails: usize) -> sock_filter {
    let fails = u8::try_from(fails).unwrap_or(u8::MAX);
    sock_filter { jt: holds, jf: fails, ..instruction(BPF_JMP | comparison | BPF_K, with) }
}

fn instruction(code: u32, operand: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k: operand }
}
