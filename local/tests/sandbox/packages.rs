//! The package manager inside: it finds the distribution's packages, and nothing of the host's list.

use crate::fixture::{Disk, FIRST_BOOT, Running};
use std::{fs, path::Path};

#[test]
fn apt_asks_its_distribution() {
    let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let site = match os_release.lines().find_map(|line| line.strip_prefix("ID=")) {
        Some("debian") => "http://deb.debian.org",
        Some("ubuntu") => "ubuntu.com",
        other => return eprintln!("skipped: this host is {other:?}, whose package manager isn't apt"),
    };
    if !Path::new("/usr/bin/apt-get").exists() {
        return eprintln!("skipped: this host has no apt-get");
    }
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let answer = machine.run("apt-get update --print-uris");
    let mut lines: Vec<&str> = answer.lines().collect();
    assert_eq!(lines.pop(), Some("exit 0"), "{answer}");
    assert!(!lines.is_empty() && lines.iter().all(|line| line.contains(site)), "{answer}");
    machine.end();
    disk.remove();
}
