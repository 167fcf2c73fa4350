//! Waiting, and what processes there are.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Long enough for anything that is going to happen.
pub const PATIENCE: Duration = Duration::from_secs(120);

#[track_caller]
pub fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// In how many processes' mount tables a directory occurs.
pub fn mounts_of(directory: &Path) -> usize {
    let name = directory.to_str().unwrap();
    let tables = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path().join("mountinfo"));
    tables.filter(|table| fs::read_to_string(table).is_ok_and(|table| table.contains(name))).count()
}

pub fn descendants(of: u32) -> Vec<u32> {
    let parent = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()
    };
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let family: Vec<(u32, u32)> = pids.filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(family.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| pid));
        next += 1;
    }
    found.split_off(1)
}
