//! The machine's own time since its boot: a time namespace (time_namespaces(7)), so that `/proc/uptime` and the monotonic clocks
//! begin with init, and not with the host.

use super::root::told;
use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
    thread::{LinkNameSpaceType, move_into_link_name_space},
    time::{ClockId, Timespec, clock_gettime},
};
use std::{fs, io, os::fd::AsFd};

/// The moment at which it begins: before init is there, since no process can have started earlier.
#[derive(Debug, Clone, Copy)]
pub struct Beginning {
    monotonic: Timespec,
    boottime: Timespec,
}

impl Beginning {
    /// This moment.
    pub fn now() -> Self {
        Self { monotonic: clock_gettime(ClockId::Monotonic), boottime: clock_gettime(ClockId::Boottime) }
    }
}

/// Has this process, which must have one thread only, and its descendants count from then on. Before it becomes the machine's root:
/// then the file is the host's root's.
pub fn count_from(beginning: Beginning) -> io::Result<()> {
    // SAFETY: no pointers are passed, and no memory is shared with another process.
    if unsafe { libc::unshare(libc::CLONE_NEWTIME) } == -1 {
        let error = io::Error::last_os_error();
        return Err(match error.raw_os_error() {
            Some(libc::EINVAL) => {
                io::Error::other("make a time namespace: the kernel has none (Linux 5.6, CONFIG_TIME_NS)")
            }
            _ => told("make", "a time namespace")(error),
        });
    }
    let offsets = "/proc/self/timens_offsets";
    let offset = |name: &str, time| {
        let (seconds, nanoseconds) = negated(time);
        format!("{name} {seconds} {nanoseconds}\n")
    };
    let both = offset("monotonic", beginning.monotonic) + &offset("boottime", beginning.boottime);
    fs::write(offsets, both).map_err(told("write", offsets))?;
    // So far it is for children only, and a process between two of them can't have threads.
    let own = "/proc/self/ns/time_for_children";
    let own = openat(CWD, own, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(told("open", own))?;
    enter(own).map_err(told("enter", "the machine's time namespace"))
}

fn enter(namespace: impl AsFd) -> Result<(), Errno> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Time))
}

/// What takes a clock back to zero, with nanoseconds that aren't negative.
fn negated(time: Timespec) -> (i64, i64) {
    match time.tv_nsec {
        0 => (-time.tv_sec, 0),
        nanoseconds => (-time.tv_sec - 1, 1_000_000_000 - nanoseconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_clock_back_to_zero() {
        for (seconds, nanoseconds) in [(0, 0), (5, 0), (5, 1), (5, 999_999_999)] {
            let (back, part) = negated(Timespec { tv_sec: seconds, tv_nsec: nanoseconds });
            assert!((0..1_000_000_000).contains(&part));
            assert_eq!((seconds + back) * 1_000_000_000 + nanoseconds + part, 0);
        }
    }
}
