//! What this host knows of an image: a file for each key, locked by the one who looks for the image or makes it, while the others wait.

use super::key::Key;
use crate::{
    connection::Connection,
    error::{Error, ErrorKind},
    lock_file::{self, Lock},
    state_directory::{self, ADVICE, IMAGES, unusable},
};
use std::{
    fs::{self, File},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// Nobody has asked for an image so long; what was noted of it is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The file, locked until it is dropped.
#[derive(Debug)]
pub(super) struct Note {
    file: File,
    path: PathBuf,
}

/// An image as it was noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Noted {
    pub(super) image: String,
    pub(super) made: SystemTime,
}

impl Note {
    /// Waits until nobody else on this host has it. It blocks.
    pub(super) fn lock(connection: &Connection, key: &Key) -> Result<Self, Error> {
        let images = state_directory::claim(&state_directory::path()?)?.ensure(IMAGES).map_err(unusable)?;
        let path = images.path().join(format!("{}.{key}", connection.place()));
        Self::at(path.clone()).map_err(|e| {
            Error::new(ErrorKind::Internal, format!("lock {}", path.display())).caused_by(e).advise(ADVICE)
        })
    }

    fn at(path: PathBuf) -> io::Result<Self> {
        Ok(Self { file: lock_file::lock(&path, Lock::Exclusive)?, path })
    }

    /// What was noted last; `None` if that was nothing, or was cut off.
    pub(super) fn read(&mut self) -> Option<Noted> {
        let mut text = String::new();
        self.file.rewind().and_then(|()| self.file.read_to_string(&mut text)).ok()?;
        let (image, made) = text.strip_suffix('\n')?.split_once(' ')?;
        Some(Noted { image: image.to_owned(), made: humantime::parse_rfc3339(made).ok()? })
    }

    /// Notes an image. EC2 has it as well: it is no error if that can't be done.
    pub(super) fn write(&mut self, noted: &Noted) {
        let line = format!("{} {}\n", noted.image, humantime::format_rfc3339_seconds(noted.made));
        let file = &mut self.file;
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(line.as_bytes()));
        if let Err(error) = written {
            tracing::warn!("{} can't be written: {error}", self.path.display());
        }
        if let Some(directory) = self.path.parent() {
            forget_old(directory, FORGOTTEN_AFTER);
        }
    }
}

/// Removes what nobody has written for so long, and nobody has locked.
fn forget_old(directory: &Path, age: Duration) {
    for entry in fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok) {
        let written = entry.metadata().and_then(|metadata| metadata.modified());
        if written.is_ok_and(|at| at.elapsed().is_ok_and(|since| since > age)) {
            let held = lock_file::open(&entry.path()).ok().filter(|file| file.try_lock().is_ok());
            let _ = held.map(|_held| fs::remove_file(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read_and_forgotten_when_it_is_old() {
        let place = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| place.path().join(name));
        let mut note = Note::at(one.clone()).unwrap();
        assert_eq!(note.read(), None);
        let made = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let first = Noted { image: "ami-0123456789abcdef0".into(), made };
        note.write(&first);
        assert_eq!(note.read(), Some(first));
        note.write(&Noted { image: "ami-1".into(), made });
        assert_eq!(note.read().map(|noted| noted.image).as_deref(), Some("ami-1"));
        fs::write(&other, "ami-2 20").unwrap();
        assert_eq!(Note::at(other.clone()).unwrap().read(), None);
        // Whoever has it locked keeps it.
        forget_old(place.path(), Duration::ZERO);
        assert!(one.exists() && !other.exists());
    }
}
