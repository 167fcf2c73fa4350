//! The regions that this user has made anything in from this host: a sweep by hand looks in all of them.
//!
//! They are noted in the state directory, and never forgotten: that something was made there once is all that is known.

use crate::{
    error::{Error, ErrorKind},
    lock_file::{self, Lock},
    state_directory,
    target::Target,
};
use std::{
    fs,
    io::{self, Read, Write},
    path::Path,
};

/// A line for each target and region.
const NAME: &str = "regions";

/// Notes that something is about to be made there.
pub(crate) fn note(target: &Target, region: &str) -> Result<(), Error> {
    let path = state_directory::make()?.join(NAME);
    let line = format!("{} {region}\n", target.word());
    let note = || {
        let mut file = lock_file::lock(&path, Lock::Exclusive)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // One that was killed in the middle has left a line without its end.
        match text.split_inclusive('\n').any(|noted| noted == line) {
            true => Ok(()),
            false if text.is_empty() || text.ends_with('\n') => file.write_all(line.as_bytes()),
            false => file.write_all(format!("\n{line}").as_bytes()),
        }
    };
    note().map_err(|e| failed(&path, e))
}

/// Those of a target, in the order of their first use.
pub(crate) fn of(target: &Target) -> Result<Vec<String>, Error> {
    let path = state_directory::path()?.join(NAME);
    let text = match fs::read_to_string(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
        text => text.map_err(|e| failed(&path, e))?,
    };
    let of_target =
        |line: &str| line.split_once(' ').filter(|(word, _)| *word == target.word()).map(|(_, it)| it.into());
    Ok(text.lines().filter_map(of_target).collect())
}

fn failed(path: &Path, cause: io::Error) -> Error {
    Error::new(ErrorKind::Internal, format!("note which regions are used in {}", path.display())).caused_by(cause)
}
