//! What tells our directories from others'.

use crate::{Directory, Error, directory::failed, shown::shown_name, trust::fault_of_owner};
use rustix::{
    fs::{FileType, readlinkat, symlinkat},
    io::Errno,
};
use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

/// Who made a directory, and what for: the name and the text of a symbolic link in it, which leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    name: &'static str,
    text: &'static str,
}

impl Mark {
    /// The mark of this name, for example `.ec2-local`, with this text: what the directory is, for example `a machine's disk`.
    pub const fn new(name: &'static str, text: &'static str) -> Self {
        Self { name, text }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Whether a directory bears it.
    ///
    /// # Errors
    ///
    /// The directory can't be looked at.
    pub fn is_on(&self, directory: &Directory) -> Result<bool, Error> {
        Ok(self.look(directory)? == Some(true))
    }

    /// Whether what has its name is it; none: there is nothing of that name.
    fn look(&self, directory: &Directory) -> Result<Option<bool>, Error> {
        let Some(found) = directory.look(self.name)? else { return Ok(None) };
        if !FileType::from_raw_mode(found.st_mode).is_symlink() || fault_of_owner(Path::new(""), &found).is_some() {
            return Ok(Some(false));
        }
        match readlinkat(directory, self.name, Vec::new()) {
            Ok(text) => Ok(Some(text.as_bytes() == self.text.as_bytes())),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::INVAL) => Ok(Some(false)),
            Err(error) => Err(failed("read the mark in", directory.path())(error)),
        }
    }

    /// A directory that bears it. One that is missing is made, and one that is empty becomes ours.
    ///
    /// # Errors
    ///
    /// Something else is in it, or it can't be made.
    pub fn claim(&self, parent: &Directory, name: impl AsRef<OsStr>) -> Result<Directory, Error> {
        loop {
            let directory = parent.ensure(name.as_ref())?;
            match self.claim_open(&directory, |names| Ok(names.first().cloned())) {
                Ok(()) if directory.is_at(parent, name.as_ref())? => return Ok(directory),
                // Another process may just have removed it.
                Ok(()) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Marks a directory that doesn't bear it yet, if it is empty, or if nothing in it is foreign: `foreign` is given the names
    /// of what is in it, and returns the first that isn't ours.
    ///
    /// # Errors
    ///
    /// [`Error::Foreign`], or it can't be marked.
    pub fn claim_open(
        &self,
        directory: &Directory,
        foreign: impl Fn(&[OsString]) -> Result<Option<OsString>, Error>,
    ) -> Result<(), Error> {
        loop {
            let foreign = match self.look(directory)? {
                Some(true) => return Ok(()),
                Some(false) => Some(self.name.into()),
                None => match directory.names()? {
                    // Another process marks it, or is just removing it.
                    names if names.iter().any(|name| name == self.name) => continue,
                    names if names.is_empty() => None,
                    names => foreign(&names)?,
                },
            };
            if let Some(entry) = foreign {
                return Err(Error::Foreign { directory: directory.path().to_owned(), entry: shown_name(&entry) });
            }
            self.put_on(directory)?;
        }
    }

    /// Marks a directory of which it is proven that it is ours.
    ///
    /// # Errors
    ///
    /// It can't be marked.
    pub fn put_on(&self, directory: &Directory) -> Result<(), Error> {
        match symlinkat(self.text, directory, self.name) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(failed("mark", directory.path())(error)),
        }
    }
}
