//! What a machine may take of the host: it follows from the memory of its instance type.
//!
//! Every host can hold a process to limits, so a machine's processes are bounded in number and each in its memory, as are
//! its file systems in memory, and the host ends the machine first when memory runs out. What all of them have together
//! is bounded by a cgroup, where the host lets us make one ([`super::cgroup`]). What the host's kernel has in one table for
//! all is in [`super::tables`].

use super::tables::Share;
use crate::machine::descriptors::allow_usual;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{fs, io, thread, time::Duration};

const MIB: u64 = 1 << 20;
/// Linux gives threads an eighth of the memory for their stacks of 16 KiB (`set_max_threads` in the kernel's `fork.c`).
const PER_THREAD: u64 = 8 * (16 << 10);
/// A machine of any size can be worked with.
const LEAST_THREADS: u64 = 512;
/// As many as there are process ids on a usual machine (proc(5), `pid_max`).
const MOST_THREADS: u64 = 32768;
/// What is reserved counts, not what is used: a process with 100 threads has 800 MiB of stacks, and uses 1.
const RESERVED_PER_USED: u64 = 4;

/// What systemd gives to every process, and so what they have on EC2's usual images.
const FILES: u64 = 512 << 10;
/// Where the host gives cores to a program, that runs as the host's root, and with any limit but this: the kernel takes
/// it for such a program's own crash (`do_coredump`). A limit of 0 only keeps cores out of files (core(5)).
const NO_CORE: u64 = 1;

/// Since then the kernel counts the processes of a user namespace together (`UCOUNT_RLIMIT_NPROC`), and before by user.
const COUNTS_TOGETHER: (u32, u32) = (5, 14);

/// What a machine may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    memory: u64,
    vcpus: u32,
    threads: u64,
    files: u64,
}

impl Limits {
    /// In which time a machine may have its quota of the processors; the kernel's default.
    pub const PERIOD: Duration = Duration::from_millis(100);

    /// The limits of a machine with this memory and these processors.
    pub fn of(memory_mib: u64, vcpus: u32) -> Self {
        let memory = memory_mib.saturating_mul(MIB);
        let threads = (memory / PER_THREAD).clamp(LEAST_THREADS, MOST_THREADS);
        Self { memory, vcpus: vcpus.max(1), threads, files: FILES }
    }

    /// No more than its share of what the host has for all.
    pub fn within(self, share: &Share) -> Self {
        Self { threads: self.threads.min(share.processes), files: self.files.min(share.files), ..self }
    }

    /// For a machine whose users are those of others, too: what its root may have open, so many descriptors of the user's may be on
    /// their way through sockets before the kernel refuses it further ones. The keepers of other machines may have twice as many.
    pub fn beside_others(self) -> Self {
        let half = getrlimit(Resource::Nofile).maximum.map_or(u64::MAX, |most| most / 2);
        Self { files: self.files.min(half), ..self }
    }

    /// Holds this process and its descendants to them, but for [open files](Self::hold_files), unless its own are lower: only the
    /// host's root can raise them.
    pub fn hold(self) -> io::Result<()> {
        let all = [
            (Resource::Data, self.data()),
            (Resource::Nproc, self.threads),
            (Resource::Core, NO_CORE),
            // The user who started the endpoint may have been allowed more than others.
            (Resource::Nice, 0),
            (Resource::Rtprio, 0),
        ];
        for (resource, most) in all {
            let most = getrlimit(resource).maximum.map_or(most, |hard| hard.min(most));
            setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
        }
        Ok(())
    }

    /// Holds this process and its descendants to so many open files. Programs rely on the usual number, and may ask for more.
    /// A caller with descriptors to send does that before.
    pub fn hold_files(self) -> io::Result<()> {
        allow_usual(self.files)
    }

    /// Holds what is made of this process's user namespace by the guard's end, to a quarter of what the user may have together of
    /// queues, signals that wait, and locked memory: a user namespace is held to its maker's limits as they were then.
    pub fn hold_quarter() -> io::Result<Quarter> {
        let all = [Resource::Msgqueue, Resource::Sigpending, Resource::Memlock];
        let usual = all.map(|resource| (resource, getrlimit(resource)));
        for (resource, usual) in &usual {
            if let Some(most) = usual.current {
                setrlimit(*resource, Rlimit { current: Some(most / 4), maximum: usual.maximum })?;
            }
        }
        Ok(Quarter(usual))
    }

    /// Whether all processes of a machine are bounded together, and not only each user's.
    pub fn bound_processes_together() -> bool {
        version(&rustix::system::uname().release().to_string_lossy()) >= Some(COUNTS_TOGETHER)
    }

    /// The size of a file system in memory, as options of its mount: half of the memory, which is Linux's default (tmpfs(5)).
    pub fn file_system(self) -> String {
        let bytes = self.memory / 2;
        format!("size={bytes},nr_inodes={}", (bytes / 4096).max(1024))
    }

    /// The memory in bytes.
    pub fn memory(self) -> u64 {
        self.memory
    }

    /// How much of [`Self::PERIOD`] it may have of all processors; none where the host has no more than the machine.
    pub fn quota(self) -> Option<Duration> {
        let host =
            thread::available_parallelism().map_or(u32::MAX, |host| u32::try_from(host.get()).unwrap_or(u32::MAX));
        (self.vcpus < host).then(|| Self::PERIOD * self.vcpus)
    }

    /// How many processes and threads it may have.
    pub fn threads(self) -> u64 {
        self.threads
    }

    /// How many files a process of it may have open.
    pub fn files(self) -> u64 {
        self.files
    }

    fn data(self) -> u64 {
        self.memory.saturating_mul(RESERVED_PER_USED)
    }
}

/// The first two numbers of a kernel's release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// What to say where the host gets machines' cores whatever their limits: by a socket that it has for them, from Linux 6.16 on
/// (core(5)). The kernel heeds no limit there, and nothing that a machine's root can't undo keeps a process from leaving a core.
pub fn note_on_cores() -> Option<String> {
    about_cores(&fs::read_to_string("/proc/sys/kernel/core_pattern").ok()?)
}

fn about_cores(pattern: &str) -> Option<String> {
    pattern.starts_with('@').then(|| {
        "the host gets cores of this machine's processes, each as large as its memory: kernel.core_pattern names a socket, \
         which no limit keeps them from; name a program (|) or a file to have none"
            .to_owned()
    })
}

/// Limits as they were before [`Limits::hold_quarter`].
#[derive(Debug)]
pub struct Quarter([(Resource, Rlimit); 3]);

impl Quarter {
    /// Takes the limits back, of this process alone.
    pub fn end(self) -> io::Result<()> {
        self.0.into_iter().try_for_each(|(resource, usual)| Ok(setrlimit(resource, usual)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_whose_cores_reach_the_host() {
        for pattern in ["@/run/systemd/coredump\n", "@@/run/cores.sock\n"] {
            assert!(about_cores(pattern).is_some_and(|note| note.contains("kernel.core_pattern")), "{pattern}");
        }
        for pattern in ["core\n", "", "|/usr/lib/systemd/systemd-coredump %P\n", "/var/cores/@%p\n"] {
            assert_eq!(about_cores(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn reads_releases() {
        for (release, expected) in [
            ("5.14.0-70.el9.x86_64", Some((5, 14))),
            ("6.18.44-fc-v657", Some((6, 18))),
            ("5.4", Some((5, 4))),
            ("6.1-rc3", Some((6, 1))),
            ("odd", None),
        ] {
            assert_eq!(version(release), expected, "{release}");
        }
        assert!(version("5.4.0") < Some(COUNTS_TOGETHER) && None < Some(COUNTS_TOGETHER));
    }

    #[test]
    fn follow_from_the_memory() {
        let small = Limits::of(512, 2);
        assert_eq!((small.threads(), small.data()), (4096, 2 << 30));
        assert_eq!(small.file_system(), "size=268435456,nr_inodes=65536");
        assert_eq!(Limits::of(0, 1).threads(), LEAST_THREADS);
        let large = Limits::of(u64::MAX, u32::MAX);
        assert_eq!((large.threads(), large.data(), large.quota()), (MOST_THREADS, u64::MAX, None));
    }
}
