//! The files that an image depends on beside its set-up's own text.

use crate::error::{Error, ErrorKind};
use ssh_key::sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io,
    path::Path,
};

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Input {
    /// As it was said, and for files of a directory what is below that.
    pub(super) path: String,
    pub(super) digest: [u8; 32],
}

/// Reads files, and all files of directories, in an order that is the same everywhere.
pub(super) fn read(directory: &Path, paths: &[&str]) -> Result<Vec<Input>, Error> {
    let mut inputs = Vec::new();
    for path in paths {
        read_one(&directory.join(path), (*path).to_owned(), &mut inputs).map_err(|e| {
            let advice = "name files or directories that are there, relative to the package's Cargo.toml";
            let tried = format!("read `{path}` in {}, which a snapshot's `inputs` name", directory.display());
            Error::new(ErrorKind::Configuration, tried).caused_by(e).advise(advice)
        })?;
    }
    inputs.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(inputs)
}

fn read_one(file: &Path, path: String, inputs: &mut Vec<Input>) -> io::Result<()> {
    if !file.is_dir() {
        let mut digest = Sha256::new();
        io::copy(&mut File::open(file)?, &mut Writer(&mut digest))?;
        inputs.push(Input { path, digest: digest.finalize().into() });
        return Ok(());
    }
    for entry in fs::read_dir(file)? {
        let entry = entry?;
        // A link may lead upwards, and around.
        if !(entry.file_type()?.is_symlink() && entry.path().is_dir()) {
            read_one(&entry.path(), format!("{path}/{}", entry.file_name().to_string_lossy()), inputs)?;
        }
    }
    Ok(())
}

struct Writer<'a>(&'a mut Sha256);

impl io::Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_directories_are_read_by_name_and_content() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("files/below")).unwrap();
        fs::write(place.path().join("files/below/b"), "b").unwrap();
        fs::write(place.path().join("a"), "a").unwrap();
        let read = |paths: &[&str]| read(place.path(), paths);
        let first = read(&["files", "a"]).unwrap();
        assert_eq!(first.iter().map(|input| &*input.path).collect::<Vec<_>>(), ["a", "files/below/b"]);
        assert_eq!(read(&["a", "files"]).unwrap(), first);
        fs::write(place.path().join("files/below/b"), "c").unwrap();
        assert_ne!(read(&["files", "a"]).unwrap(), first);
        let error = read(&["missing.conf"]).unwrap_err();
        assert!(error.kind() == ErrorKind::Configuration && error.to_string().contains("`missing.conf`"), "{error}");
    }
}
