//! The records of boots and logins that `who` and `last` read (utmp(5)).

use super::{
    accounts,
    root::{Root, is_the_kernels},
};
use rustix::fs::{FileType, OFlags, fstat};
use std::{
    fs::{File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    time::{SystemTime, UNIX_EPOCH},
};

/// Those of the time since the boot.
const NOW: &str = "/run/utmp";
/// Those of all time, where a system keeps them.
const EVER: &str = "/var/log/wtmp";
/// A boot's type.
const BOOT_TIME: u16 = 2;

/// Notes that the machine boots.
pub fn note_boot(root: &Root) -> io::Result<()> {
    let record = boot_record(SystemTime::now(), &rustix::system::uname().release().to_string_lossy());
    root.write(NOW, &record, 0o664)?;
    let groups = accounts::groups(root)?;
    if let Some(group) = groups.iter().find(|group| group.name == "utmp") {
        accounts::give(&root.path(NOW), (0, group.gid))?;
    } else {
        std::fs::set_permissions(root.path(NOW), Permissions::from_mode(0o644))?;
    }
    let file = match root.open(EVER, OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK, 0) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    // An image may have put anything in its place.
    let is_file = FileType::from_raw_mode(fstat(&file)?.st_mode) == FileType::RegularFile && !is_the_kernels(&file)?;
    if is_file {
        File::from(file).write_all(&record)
    } else {
        Err(io::Error::other(format!("{EVER} is no regular file")))
    }
}

/// A boot's record. Times in it take 32 bits where programs of 32 bits run beside, which is so on x86_64.
fn boot_record(now: SystemTime, kernel: &str) -> Vec<u8> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let text = |text: &str, length: usize| {
        let mut field: Vec<u8> = text.bytes().take(length).collect();
        field.resize(length, 0);
        field
    };
    let short_times = cfg!(target_arch = "x86_64");
    let number = |number: u64| number.to_ne_bytes()[..if short_times { 4 } else { 8 }].to_vec();
    let mut record = BOOT_TIME.to_ne_bytes().to_vec();
    record.extend([0; 2 + 4]);
    for (content, length) in [("~", 32), ("~~", 4), ("reboot", 32), (kernel, 256)] {
        record.extend(text(content, length));
    }
    record.extend([0; 4]);
    for part in [0, now.as_secs(), now.subsec_micros().into()] {
        record.extend(number(part));
    }
    record.extend([0; 16 + 20]);
    // Its length is that of its alignment.
    record.resize(if short_times { 384 } else { 400 }, 0);
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_record_has_the_c_librarys_form() {
        let record = boot_record(UNIX_EPOCH + Duration::from_secs(0x0102_0304), "6.1");
        assert_eq!(record.len(), size_of::<libc::utmpx>());
        // SAFETY: it is as long as the structure, which is plain data.
        let read: libc::utmpx = unsafe { std::ptr::read_unaligned(record.as_ptr().cast()) };
        assert_eq!((read.ut_type, i64::from(read.ut_tv.tv_sec)), (libc::BOOT_TIME, 0x0102_0304));
        let text = |field: &[libc::c_char]| -> String {
            field.iter().map_while(|c| (*c != 0).then_some(*c as u8 as char)).collect()
        };
        let texts = [text(&read.ut_line), text(&read.ut_id), text(&read.ut_user), text(&read.ut_host)];
        assert_eq!(texts, ["~", "~~", "reboot", "6.1"]);
    }

    #[test]
    fn a_boot_is_noted_where_boots_are() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path());
        note_boot(&root).unwrap();
        assert!(!root.path(EVER).exists());
        root.write(EVER, "", 0o664).unwrap();
        note_boot(&root).unwrap();
        note_boot(&root).unwrap();
        let length = |path: &str| root.path(path).metadata().unwrap().len();
        assert_eq!(length(EVER), 2 * length(NOW));
        std::fs::remove_file(root.path(EVER)).unwrap();
        std::os::unix::fs::symlink("/run/tape", root.path(EVER)).unwrap();
        let tape = root.path("/run/tape");
        rustix::fs::mknodat(rustix::fs::CWD, &tape, FileType::Fifo, 0o600.into(), 0).unwrap();
        let _reader = root.open("/run/tape", OFlags::RDONLY | OFlags::NONBLOCK, 0).unwrap();
        note_boot(&root).unwrap_err();
    }
}
