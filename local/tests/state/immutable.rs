//! What nobody can remove, since somebody has made it immutable (chattr(1)).

use crate::{
    place::{Place, all_below},
    removed::{INSTANCE, VOLUME, leave},
};
use std::{
    fs,
    process::{Command, Stdio},
};

/// A directory with files that can't be changed, until the value is dropped.
struct Immutable<'a>(&'a std::path::Path);

impl<'a> Immutable<'a> {
    /// None where the file system knows no such thing.
    fn make(below: &'a std::path::Path, files: &[std::path::PathBuf]) -> Option<Self> {
        let this = Self(below);
        let output = Command::new("chattr").arg("+i").args(files).output();
        output.is_ok_and(|output| output.status.success()).then_some(this)
    }
}

impl Drop for Immutable<'_> {
    fn drop(&mut self) {
        // They may have been moved meanwhile.
        let _ = Command::new("chattr").args(["-R", "-i"]).arg(self.0).stderr(Stdio::null()).status();
    }
}

#[test]
fn what_is_immutable_keeps_nobody_from_starting() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root may make anything immutable");
    }
    let place = Place::used();
    leave(&place);
    let own = format!("run/{}", ec2_local::endpoint::BUILD);
    let disk = format!("{own}/machines/{INSTANCE}");
    place.make(&disk);
    place.mark(&own, "an endpoint's directory");
    place.mark(&disk, "a machine's disk");
    let files: Vec<_> = [
        format!("run/.ended-7.0/machines/{INSTANCE}/files/root/etc/passwd"),
        "run/0.0.1-older/endpoint".to_owned(),
        "images/trees/.fedcba9876543210/root/bin/sh".to_owned(),
        format!("{disk}/files/root/etc/passwd"),
        format!("{disk}/init"),
    ]
    .iter()
    .map(|file| place.write(file))
    .collect();
    let Some(immutable) = Immutable::make(place.path(), &files) else {
        return eprintln!("skipped: chattr(1) can make nothing immutable here");
    };
    for _ in 0..2 {
        let said = place.serve(&[]).end();
        for part in [".ended-7.0", "0.0.1-older", ".fedcba9876543210", INSTANCE, "it is immutable", "tried again later"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    drop(immutable);
    let said = place.serve(&[]).end();
    assert!(!place.state().join("run").exists(), "{said} {:?}", all_below(&place.state()).keys());
    assert_eq!(fs::read_dir(place.state().join("images/trees")).unwrap().count(), 0, "{said}");
}

/// What was killed may have left any of these in its own directory, with an account or without.
#[test]
fn what_is_immutable_in_its_own_directory_keeps_no_endpoint_from_starting() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root may make anything immutable");
    }
    for has_account in [false, true] {
        for name in ["endpoint", "journal.new", "disks", "disks/vol-0123456789abcdef0/init"] {
            let place = Place::new();
            place.serve(&[]).kill();
            let own = format!("run/{}", ec2_local::endpoint::BUILD);
            let disk = format!("{own}/disks/{VOLUME}");
            place.make(&disk);
            place.mark(&disk, "a machine's disk");
            for file in ["journal.new".to_owned(), format!("disks/{VOLUME}/init")] {
                place.write(&format!("{own}/{file}"));
            }
            if !has_account {
                fs::remove_file(place.run().join("journal")).unwrap();
            }
            let Some(immutable) = Immutable::make(place.path(), &[place.run().join(name)]) else {
                return eprintln!("skipped: chattr(1) can make nothing immutable here");
            };
            for round in 0..2 {
                let serving = place.serve(&[]);
                let has_taken_over = serving.opening().contains("took over the account");
                assert_eq!(has_taken_over, has_account && round == 0, "{name}: {}", serving.opening());
                let said = serving.end();
                assert!(said.contains("it is immutable") && said.contains("tried again later"), "{name}: {said}");
            }
            drop(immutable);
            let said = place.serve(&[]).end();
            assert!(!place.state().join("run").exists(), "{name}: {said} {:?}", all_below(&place.state()).keys());
        }
    }
}

#[test]
fn an_account_whose_directory_cannot_be_moved_is_left_for_a_later_start() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root may make anything immutable");
    }
    let place = Place::new();
    place.serve(&[]).kill();
    let older = place.state().join("run/0.0.1-older");
    fs::rename(place.run(), &older).unwrap();
    let Some(immutable) = Immutable::make(place.path(), std::slice::from_ref(&older)) else {
        return eprintln!("skipped: chattr(1) can make nothing immutable here");
    };
    let serving = place.serve(&[]);
    assert!(!serving.opening().contains("took over"), "{}", serving.opening());
    let said = serving.end();
    assert!(said.contains("0.0.1-older where it is: ") && said.contains("it is immutable"), "{said}");
    drop(immutable);
    let serving = place.serve(&[]);
    assert!(serving.opening().contains("took over the account"), "{}", serving.opening());
    serving.end();
    assert!(!place.state().join("run").exists(), "{:?}", all_below(&place.state()).keys());
}
