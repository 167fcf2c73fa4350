//! The processor time of processes that have ended, with all that descended from them.

use ec2_harness::Result;
use rustix::{
    io::Errno,
    process::{WaitOptions, set_child_subreaper, wait},
};
use std::{fs, time::Duration};

/// In what /proc counts: `USER_HZ` of the kernel; 100 on x86 and ARM.
const TICKS_PER_SECOND: u64 = 100;

/// Descendants whose parents end become this process's children, so that they are counted, as the endpoint is.
pub fn adopt_orphans() {
    set_child_subreaper(Some(rustix::process::getpid())).expect("prctl(PR_SET_CHILD_SUBREAPER) of Linux");
}

/// Waits until there is none.
pub fn wait_for_descendants() -> Result {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::CHILD) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// What children that were waited for have taken, with what they have waited for.
/// Source: cutime and cstime of <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>.
pub fn of_ended_descendants() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name may contain blanks and parentheses.
    let (_, fields) = stat.rsplit_once(')').expect("a line of /proc/self/stat");
    let mut times = fields.split_whitespace().skip(13).take(2);
    let mut next = || times.next().expect("cutime and cstime").parse::<u64>();
    let ticks = next()? + next()?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}
