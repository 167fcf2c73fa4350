//! What files without a name take on the host's disk: removed ones, and those that never had one, are there as long as a process
//! has them open or mapped. A machine's keeper looks for them among what its processes have.

use super::{
    holdings::PATIENCE,
    processes::Process,
    taken::{Taken, bytes},
};
use rustix::fs::{AtFlags, CWD, Stat, makedev, stat, statat, statvfs};
use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    time::Instant,
};

/// How many such files are remembered.
const MOST: usize = 1 << 18;

/// What they take of the file system on which this disk is.
pub fn measure(processes: &[Process], disk: &Path) -> Taken {
    let mut search = Search {
        disk: disk.to_owned(),
        devices: None,
        until: Instant::now() + PATIENCE,
        found: HashMap::new(),
        taken: Taken::NOTHING,
    };
    for process in processes {
        for table in process.open_files() {
            search.look_at_open(&table);
        }
        search.look_at_mapped(&process.memory(), processes[0]);
        if search.is_late() {
            break;
        }
    }
    search.taken
}

struct Search {
    disk: PathBuf,
    /// The devices of what may be on the disk, once they are asked for.
    devices: Option<HashSet<u64>>,
    until: Instant,
    /// By device and inode: how much of it was counted.
    found: HashMap<(u64, u64), u64>,
    taken: Taken,
}

impl Search {
    fn is_late(&mut self) -> bool {
        let is_late = Instant::now() >= self.until;
        self.taken.is_complete &= !is_late;
        is_late
    }

    fn look_at_open(&mut self, table: &Path) {
        for file in fs::read_dir(table).into_iter().flatten().filter_map(Result::ok) {
            if self.is_late() {
                return;
            }
            let link = file.path();
            if let Ok(found) = statat(CWD, &link, AtFlags::empty()) {
                self.look_at(&link, &found);
            }
        }
    }

    fn look_at(&mut self, link: &Path, found: &Stat) {
        if found.st_nlink == 0 && self.is_on_disk(link) {
            self.count((found.st_dev, found.st_ino), bytes(found));
        }
    }

    /// A layered file system has another device, but tells of the same room.
    fn is_on_disk(&self, link: &Path) -> bool {
        let room = |path: &Path| statvfs(path).map(|system| (system.f_blocks, system.f_frsize));
        room(link).is_ok_and(|its| room(&self.disk) == Ok(its))
    }

    fn count(&mut self, file: (u64, u64), bytes: u64) {
        if self.found.len() >= MOST && !self.found.contains_key(&file) {
            self.taken.is_complete = false;
            return;
        }
        if let Some(before) = self.found.get_mut(&file) {
            self.taken.bytes += bytes.saturating_sub(*before);
            *before = bytes.max(*before);
        } else {
            self.found.insert(file, bytes);
            self.taken.bytes += bytes;
            self.taken.inodes += 1;
        }
    }

    /// Where only the host's root may look at what is mapped, such a file counts as far as it is.
    fn look_at_mapped(&mut self, memory: &Path, init: Process) {
        let Ok(maps) = File::open(memory.join("maps")) else { return };
        for line in BufReader::new(maps).split(b'\n').map_while(Result::ok) {
            if self.is_late() {
                return;
            }
            if !line.ends_with(b" (deleted)") {
                continue;
            }
            let Some(mapped) = Mapped::parse(&String::from_utf8_lossy(&line)) else { continue };
            let link = memory.join(format!("map_files/{:x}-{:x}", mapped.start, mapped.end));
            match statat(CWD, &link, AtFlags::empty()) {
                Ok(found) => self.look_at(&link, &found),
                Err(_) if self.devices(init).contains(&mapped.file.0) => {
                    self.count(mapped.file, mapped.offset + (mapped.end - mapped.start));
                }
                Err(_) => {}
            }
        }
    }

    /// The disk's own, and those of the layers over it.
    fn devices(&mut self, init: Process) -> &HashSet<u64> {
        self.devices.get_or_insert_with(|| {
            let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", init.pid)).unwrap_or_default();
            let layered = mounts.lines().filter(|line| line.contains(" - overlay "));
            let devices = layered.filter_map(|line| device(line.split(' ').nth(2)?, 10));
            devices.chain(stat(&self.disk).ok().map(|disk| disk.st_dev)).collect()
        })
    }
}

/// A device by the numbers that `/proc` has for it.
fn device(numbers: &str, radix: u32) -> Option<u64> {
    let (major, minor) = numbers.split_once(':')?;
    Some(makedev(u32::from_str_radix(major, radix).ok()?, u32::from_str_radix(minor, radix).ok()?))
}

/// A line of `/proc/pid/maps` (proc(5)).
#[derive(Debug, PartialEq, Eq)]
struct Mapped {
    start: u64,
    end: u64,
    offset: u64,
    file: (u64, u64),
}

impl Mapped {
    fn parse(line: &str) -> Option<Self> {
        let hexadecimal = |text| u64::from_str_radix(text, 16).ok();
        let mut fields = line.split(' ');
        let (start, end) = fields.next()?.split_once('-')?;
        let offset = hexadecimal(fields.nth(1)?)?;
        let device = device(fields.next()?, 16)?;
        let file = (device, fields.next()?.parse().ok()?);
        Some(Self { start: hexadecimal(start)?, end: hexadecimal(end)?, offset, file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::sandbox::processes::Processes;
    use rustix::process::Pid;
    use std::{
        io::Read,
        process::{Command, Stdio},
    };

    #[test]
    fn reads_where_a_file_is_mapped() {
        let line = "7f0c8a000000-7f0c8a002000 rw-s 00001000 fd:1a 4711                       /tmp/a b (deleted)";
        let file = (makedev(0xfd, 0x1a), 4711);
        let mapped = Mapped { start: 0x7f0c_8a00_0000, end: 0x7f0c_8a00_2000, offset: 0x1000, file };
        assert_eq!(Mapped::parse(line), Some(mapped));
        assert_eq!(Mapped::parse("nothing"), None);
    }

    /// What a script holds that was given a directory, and says "ready" when it has it.
    fn held(script: &str) -> Taken {
        let disk = tempfile::tempdir().unwrap();
        let mut child = Command::new("perl")
            .args(["-e", &format!("$| = 1; chdir shift; {script}; print q(ready); sleep 1000")])
            .arg(disk.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdout.take().unwrap().read_exact(&mut [0; 5]).unwrap();
        let taken = measure(&Processes::of(Pid::from_child(&child)).all, disk.path());
        child.kill().unwrap();
        child.wait().unwrap();
        taken
    }

    const MANY: &str = "open my $one, '+>', 'one'; syswrite $one, 'x' x (1 << 20)";
    const MIB: std::ops::Range<u64> = 1 << 20..2 << 20;

    #[test]
    fn counts_once_what_is_open_and_has_no_name() {
        assert_eq!(held(MANY), Taken::NOTHING);
        let taken = held(&format!("{MANY}; unlink 'one'; open my $again, '>&', $one"));
        assert!(MIB.contains(&taken.bytes) && taken.inodes == 1 && taken.is_complete, "{taken:?}");
    }

    #[test]
    fn counts_what_is_mapped_only() {
        let mmap = if cfg!(target_arch = "x86_64") { 9 } else { 222 };
        // As much of it as is mapped, as far as nobody may look at the file itself.
        let script = format!("{MANY}; unlink 'one'; syscall({mmap}, 0, 1 << 20, 1, 1, fileno $one, 0); close $one");
        let taken = held(&script);
        assert!(MIB.contains(&taken.bytes) && taken.inodes == 1, "{taken:?}");
    }
}
