//! What `ec2-local` says to a reader that has gone.

use crate::conditions::Served;
use std::{
    io::{Read, pipe},
    process::Stdio,
};

#[test]
fn a_reader_that_has_gone_ends_a_command_silently() {
    let served = Served::start();
    for arguments in
        [&["env"][..], &["conditions"], &["conditions", "calm"], &["image", "list"], &["ssh-config"], &["check"]]
    {
        let (reader, gone) = pipe().unwrap();
        drop(reader);
        let ended = served.program(arguments).stdout(gone).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(!said.contains("panic") && !said.contains("Broken pipe"), "{arguments:?}: {said}");
        // As shells tell of a filter that SIGPIPE has ended.
        assert_eq!(ended.status.code(), Some(141), "{arguments:?}: {said}");
    }
}

#[test]
fn complaints_that_nobody_reads_change_nothing() {
    let served = Served::start();
    for (arguments, code) in [(&["image", "list"][..], 0), (&["fault", "Fly", "lost"], 1)] {
        let (reader, gone) = pipe().unwrap();
        drop(reader);
        let ended = served.program(arguments).stderr(gone).output().unwrap();
        assert_eq!(ended.status.code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn what_can_not_be_written_is_told() {
    let served = Served::start();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut process = served.program(&["env"]).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(1), "{said}");
    assert!(said.starts_with("ec2-local: failed to write to standard output: "), "{said}");
}
