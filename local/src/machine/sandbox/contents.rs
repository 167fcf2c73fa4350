//! What is on volumes beside the root's, as snapshots keep it: the volume's file once more. Where the file system can share blocks it does
//! (Btrfs, XFS); elsewhere what isn't a hole is copied.

use super::{
    copy::copy_ranges,
    room,
    root::told,
    volume::{self, NAME},
};
use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, ioctl_ficlone, openat, renameat, unlinkat},
    io::Errno,
};
use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::MetadataExt,
    },
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

/// The file of a volume that hasn't yet all that it is made of.
pub const DRAFT: &str = "volume.draft";

/// Has what is on a volume that no machine has in an empty directory; nothing, if none has ever had it.
pub fn take(disk: &Path, into: &Path, stop: &AtomicBool) -> io::Result<()> {
    if !volume::exists(disk) {
        return Ok(());
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let into = openat(CWD, into, flags, Mode::empty()).map_err(told("open", into.display()))?;
    copy(&volume::open(disk)?, into.as_fd(), NAME, stop)
}

/// The same, for who has the directory open, and can't be told to stop.
pub fn take_into(disk: &Path, into: BorrowedFd<'_>) -> io::Result<()> {
    if !volume::exists(disk) {
        return Ok(());
    }
    copy(&volume::open(disk)?, into, NAME, &AtomicBool::new(false))
}

/// Has what is in a volume's file, which nobody changes meanwhile, in an empty directory.
pub fn copy_into(file: &File, into: BorrowedFd<'_>) -> io::Result<()> {
    copy(file, into, NAME, &AtomicBool::new(false))
}

fn copy(from: &File, into: BorrowedFd<'_>, name: &str, stop: &AtomicBool) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let to = openat(into, name, flags, Mode::RUSR | Mode::WUSR).map_err(told("make", name))?;
    copy_to(from, &File::from(to), stop)
}

fn copy_to(from: &File, to: &File, stop: &AtomicBool) -> io::Result<()> {
    if ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    let found = from.metadata()?;
    room::check(to.as_fd(), found.blocks() * 512)?;
    copy_ranges(from, to, found.len(), &|| stop.load(Ordering::Relaxed)).map_err(told("copy", "a volume"))
}

/// Gives a volume what was taken of another, unless it has it. Its file has this name only once it has all.
pub fn fill(taken: &Path, disk: &Path, gib: u64, stop: &AtomicBool) -> io::Result<()> {
    let source = taken.join(NAME);
    let source = match openat(CWD, &source, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
        // It was empty.
        Err(Errno::NOENT) => return Ok(()),
        other => File::from(other.map_err(told("open", source.display()))?),
    };
    if volume::exists(disk) {
        return Ok(());
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let disk = openat(CWD, disk, flags, Mode::empty()).map_err(told("open", disk.display()))?;
    // What was begun when an endpoint was killed.
    let clear = || match unlinkat(&disk, DRAFT, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        other => other.map_err(told("remove", DRAFT)),
    };
    clear()?;
    let filled = || -> io::Result<()> {
        copy(&source, disk.as_fd(), DRAFT, stop)?;
        let file = File::from(openat(&disk, DRAFT, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?);
        let length = gib << 30;
        if file.metadata()?.len() < length {
            file.set_len(length)?;
        }
        Ok(renameat(&disk, DRAFT, &disk, NAME)?)
    };
    filled().inspect_err(|_| drop(clear()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::FileExt};

    static GO: AtomicBool = AtomicBool::new(false);

    #[test]
    fn a_volume_of_a_snapshot_has_its_bytes_and_holes_and_is_as_large_as_it_should_be() {
        let directory = tempfile::tempdir().unwrap();
        let [disk, taken, new] = ["disk", "taken", "new"].map(|name| directory.path().join(name));
        for directory in [&disk, &taken, &new] {
            fs::create_dir(directory).unwrap();
        }
        let file = File::create(disk.join(NAME)).unwrap();
        file.set_len(1 << 30).unwrap();
        file.write_all_at(b"first", 0).unwrap();
        file.write_all_at(b"middle", (512 << 20) + 17).unwrap();
        copy_into(&File::open(disk.join(NAME)).unwrap(), File::open(&taken).unwrap().as_fd()).unwrap();
        // It was begun before, and not ended.
        fs::write(new.join(DRAFT), "half").unwrap();
        fill(&taken, &new, 2, &GO).unwrap();
        let filled = File::open(new.join(NAME)).unwrap();
        let found = filled.metadata().unwrap();
        assert_eq!(found.len(), 2 << 30);
        assert!(found.blocks() * 512 < 1 << 20, "{} blocks", found.blocks());
        let mut text = [0; 6];
        filled.read_exact_at(&mut text, (512 << 20) + 17).unwrap();
        assert_eq!(&text, b"middle");
        assert!(!new.join(DRAFT).exists());
        // What it has since stays.
        fs::write(new.join(NAME), "since").unwrap();
        fill(&taken, &new, 2, &GO).unwrap();
        assert_eq!(fs::read(new.join(NAME)).unwrap(), b"since");
    }

    #[test]
    fn what_is_stopped_leaves_nothing_half() {
        let directory = tempfile::tempdir().unwrap();
        let [taken, new] = ["taken", "new"].map(|name| directory.path().join(name));
        fs::create_dir(&taken).unwrap();
        fs::create_dir(&new).unwrap();
        fs::write(taken.join(NAME), vec![1; 1 << 20]).unwrap();
        let stopped = fill(&taken, &new, 1, &AtomicBool::new(true));
        // Where blocks are shared there is nothing to stop.
        assert_eq!(stopped.is_ok(), new.join(NAME).exists());
        assert!(!new.join(DRAFT).exists());
        // What has never been written to is empty.
        fs::remove_file(taken.join(NAME)).unwrap();
        let _ = fs::remove_file(new.join(NAME));
        fill(&taken, &new, 1, &GO).unwrap();
        assert!(!new.join(NAME).exists());
    }
}
