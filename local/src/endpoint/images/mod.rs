//! Imported images: root directories of other systems, which all endpoints of a state directory offer.
//!
//! ```text
//! images/               locked by whoever changes something here, for a moment
//!   NAME.json           an image: put in place last, as a whole, and taken away first
//!   trees/ID/           0700; locked by the import that fills it, as long as that runs
//!     root/             a root directory; its files belong to the users of machines
//!     users/i-…         names the disk of an instance that has it; as long as that is there, so is this
//! ```
//!
//! A tree that no image names and no disk needs is removed by whoever comes by next: another import, a removal, an
//! endpoint that starts or ends, or the end of the last instance. So a removed image's instances go on, as on EC2, and an
//! import that was killed leaves nothing for long.

mod name;
mod shelf;

pub use name::ImageName;
pub(super) use shelf::Shelf;

use super::{
    EndpointError, StateDirectory,
    state::{failed, make_directory},
};
use crate::{
    account::ImageSettings,
    archive::Limits,
    guest::accounts,
    machine::sandbox::{remove_disk, unpack_image},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
    time::SystemTime,
};
use time::OffsetDateTime;

/// How these files are written; a later form gets a later number, and is left alone by those who don't know it. Those of the
/// first aren't offered any more: where root has imported them, what is set-uid root in them is the host's root's.
const FORMAT: u32 = 2;
/// What an import leaves free on the disk.
const RESERVE: u64 = 256 << 20;

/// The images of a state directory.
#[derive(Debug, Clone)]
pub struct Images {
    directory: PathBuf,
}

/// What is to be imported.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Import {
    /// What the image is called.
    pub name: ImageName,
    /// The user that logs in; made where the image has none of that name. Default: `ec2-user`.
    pub login_user: String,
    /// How large all files may be, in bytes. Default: 20 GiB.
    pub max_size: u64,
    /// Whether to take the place of an image of that name. Default: no.
    pub replace: bool,
}

impl Import {
    /// An import with the defaults.
    pub fn new(name: ImageName) -> Self {
        let max_size = Limits::default().bytes;
        Self { name, login_user: super::LOGIN_USER.to_owned(), max_size, replace: false }
    }
}

/// An image that was imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Image {
    format: u32,
    tree: String,
    /// The name.
    pub name: String,
    /// The user that logs in.
    pub login_user: String,
    /// What its programs are built for, in Rust's words.
    pub architecture: String,
    /// The text of its `os-release`.
    pub os_release: String,
    /// The size of all files, in bytes.
    pub bytes: u64,
    /// When it was imported, in seconds since the Unix epoch.
    pub imported: i64,
}

impl Image {
    /// What the account offers; `None` where it can't run here.
    fn settings(&self) -> Option<ImageSettings> {
        if self.format != FORMAT || self.architecture != std::env::consts::ARCH {
            return None;
        }
        let created = OffsetDateTime::from_unix_timestamp(self.imported).ok()?;
        let mut settings = ImageSettings::imported(&self.name, &self.login_user, &self.os_release, &self.tree, created);
        // The disk must have room for what is on it already, as a snapshot's size demands on EC2.
        settings.root_gib = settings.root_gib.max(i64::try_from(self.bytes.div_ceil(1 << 30)).unwrap_or(i64::MAX));
        Some(settings)
    }

    /// What it is, in a few words: the system's pretty name, which is the image's own word, and is shown on terminals.
    pub fn system(&self) -> String {
        let unfit = || match self.format {
            ..FORMAT => "an earlier version has imported it: import it again, with --replace",
            _ => "it can't run here",
        };
        let name = self.settings().map_or_else(|| unfit().to_owned(), |settings| settings.description);
        name.replace(char::is_control, "\u{fffd}")
    }
}

/// What is found of an image.
pub type Listed = (PathBuf, Result<Image, String>);

impl Images {
    /// Those of the user's state directory.
    ///
    /// # Errors
    ///
    /// As [`StateDirectory::of_user`].
    pub fn of_user() -> Result<Self, EndpointError> {
        StateDirectory::of_user().map(|state| Self::of(&state))
    }

    /// Those of a state directory.
    pub fn of(state: &StateDirectory) -> Self {
        Self { directory: state.images() }
    }

    /// Imports a tar archive, bare or gzip, which is a file or a pipe; returns the image, and what was left out of it.
    ///
    /// # Errors
    ///
    /// There is an image of that name; the archive is refused or can't be read; or there is no room. Nothing is left of it then.
    pub fn import(&self, archive: impl AsFd, import: &Import) -> Result<(Image, Vec<String>), EndpointError> {
        let wrong =
            |reason: String| EndpointError::Image { tried: format!("import the image {}", import.name), reason };
        accounts::valid_name(&import.login_user).map_err(|error| wrong(error.to_string()))?;
        // What killed ones have left goes first, since it takes room.
        self.sweep()?;
        let (tree, lock) = self.begin(import, &wrong)?;
        let outcome = self.fill(&tree, archive, import, &wrong);
        drop(lock);
        // The tree itself if it has come to nothing, and the one of the image that was replaced.
        let swept = self.sweep();
        outcome.and_then(|imported| swept.map(|()| imported))
    }

    /// A new tree, locked.
    fn begin(
        &self,
        import: &Import,
        wrong: &impl Fn(String) -> EndpointError,
    ) -> Result<(PathBuf, File), EndpointError> {
        make_directory(&self.trees())?;
        self.while_locked(|| {
            self.check_free(import, wrong)?;
            let id = getrandom::u64().map_err(|error| wrong(error.to_string()))?;
            let tree = self.trees().join(format!("{id:016x}"));
            make_directory(&tree)?;
            let lock = File::open(&tree).map_err(failed("open", &tree))?;
            lock.try_lock().map_err(|error| wrong(format!("lock {}: {error}", tree.display())))?;
            make_directory(&tree.join("root"))?;
            Ok((tree, lock))
        })
    }

    fn check_free(&self, import: &Import, wrong: &impl Fn(String) -> EndpointError) -> Result<(), EndpointError> {
        let is_there = self.directory.join(import.name.file_name()).exists();
        if is_there && !import.replace {
            return Err(wrong("there is one of that name; remove it, or say --replace".to_owned()));
        }
        Ok(())
    }

    fn fill(
        &self,
        tree: &Path,
        archive: impl AsFd,
        import: &Import,
        wrong: &impl Fn(String) -> EndpointError,
    ) -> Result<(Image, Vec<String>), EndpointError> {
        let root = tree.join("root");
        let space = rustix::fs::statvfs(&root).map_err(|error| failed("look at", &root)(error.into()))?;
        let room = (space.f_bavail * space.f_frsize).saturating_sub(RESERVE);
        let mut limits = Limits { bytes: import.max_size, room, ..Limits::default() };
        // Some file systems have no bound of their own, and say that they have none of it.
        if space.f_files > 0 {
            limits.entries = limits.entries.min(space.f_favail / 10 * 9);
        }
        let contents = unpack_image(archive, &root, &limits).map_err(|error| wrong(error.to_string()))?;
        let image = Image {
            format: FORMAT,
            tree: tree.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            name: import.name.to_string(),
            login_user: import.login_user.clone(),
            architecture: contents.system.architecture,
            os_release: contents.system.os_release,
            bytes: contents.bytes,
            imported: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |t| t.as_secs().cast_signed()),
        };
        let text = serde_json::to_string_pretty(&image).map_err(|error| wrong(error.to_string()))?;
        let written = tree.join("image.json");
        let write = || {
            let mut file = File::create_new(&written)?;
            file.write_all(text.as_bytes())?;
            // All of its file system: who finds the image after a crash shall find its files whole.
            rustix::fs::syncfs(&file).map_err(io::Error::from)
        };
        write().map_err(failed("write", &written))?;
        self.while_locked(|| {
            self.check_free(import, wrong)?;
            let at = self.directory.join(import.name.file_name());
            fs::rename(&written, &at).map_err(failed("write", &at))?;
            File::open(&self.directory).and_then(|directory| directory.sync_all()).map_err(failed("write", &at))
        })?;
        Ok((image, contents.notes))
    }

    /// All images, each with its file; in place of one that can't be read, the reason.
    ///
    /// # Errors
    ///
    /// The directory can't be read.
    pub fn list(&self) -> Result<Vec<Listed>, EndpointError> {
        let mut images = Vec::new();
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(images),
            other => other.map_err(failed("list", &self.directory))?,
        };
        for entry in entries {
            let path = entry.map_err(failed("list", &self.directory))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let image = fs::read_to_string(&path).map_err(|error| error.to_string());
                images.push((
                    path,
                    image.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string())),
                ));
            }
        }
        images.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(images)
    }

    /// Where the root directory of an image lies.
    pub fn root(&self, image: &Image) -> PathBuf {
        self.trees().join(&image.tree).join("root")
    }

    /// Removes an image; returns the instances that still have it, with whose end its files go.
    ///
    /// # Errors
    ///
    /// There is no such image, or it can't be removed.
    pub fn remove(&self, name: &ImageName) -> Result<Vec<String>, EndpointError> {
        let path = self.directory.join(name.file_name());
        let tree = self.while_locked(|| {
            let tree = self.list()?.into_iter().find(|(found, _)| *found == path).and_then(|(_, image)| image.ok());
            fs::remove_file(&path).map(|()| tree).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => {
                    let tried = format!("remove the image {name}");
                    EndpointError::Image {
                        tried,
                        reason: "there is none of that name; see `ec2-local image list`".into(),
                    }
                }
                _ => failed("remove", &path)(error),
            })
        });
        let users = tree?.map(|image| self.users(&image.tree)).unwrap_or_default();
        self.sweep()?;
        Ok(users)
    }

    /// Notes that an instance has a tree, and returns the root directory in it.
    pub(super) fn hold(&self, tree: &str, instance: &str, disk: &Path) -> Result<PathBuf, EndpointError> {
        let directory = self.trees().join(tree);
        self.while_locked(|| {
            let users = directory.join("users");
            let root = directory.join("root");
            if !root.is_dir() {
                let reason = "its root directory is gone: the image was removed".to_owned();
                return Err(EndpointError::Image { tried: format!("start {instance}"), reason });
            }
            make_directory(&users)?;
            let user = users.join(instance);
            fs::write(&user, disk.as_os_str().as_encoded_bytes()).map_err(failed("write", &user))?;
            Ok(root)
        })
    }

    /// Notes that the disks below a directory are below another one now.
    pub(super) fn moved(&self, from: &Path, to: &Path) -> Result<(), EndpointError> {
        if !self.trees().exists() {
            return Ok(());
        }
        self.while_locked(|| {
            for tree in fs::read_dir(self.trees()).map_err(failed("list", &self.trees()))?.filter_map(Result::ok) {
                let users = fs::read_dir(tree.path().join("users")).into_iter().flatten().filter_map(Result::ok);
                for user in users.map(|user| user.path()) {
                    let disk = fs::read_to_string(&user).map_err(failed("read", &user))?;
                    if let Ok(rest) = Path::new(&disk).strip_prefix(from) {
                        fs::write(&user, to.join(rest).as_os_str().as_encoded_bytes())
                            .map_err(failed("write", &user))?;
                    }
                }
            }
            Ok(())
        })
    }

    /// Removes the trees that no image names and no disk needs.
    pub(super) fn sweep(&self) -> Result<(), EndpointError> {
        if !self.trees().exists() {
            return Ok(());
        }
        let gone = self.while_locked(|| self.set_aside())?;
        for tree in gone {
            // Somebody else may be at it as well.
            remove_disk(&tree)
                .or_else(|error| if tree.exists() { Err(error) } else { Ok(()) })
                .map_err(failed("remove", &tree))?;
        }
        Ok(())
    }

    /// Gives those trees a name under which nobody looks for them, so that they can be removed without haste.
    fn set_aside(&self) -> Result<Vec<PathBuf>, EndpointError> {
        let mut named = BTreeSet::new();
        for (_, image) in self.list()? {
            // What names a tree in a way that isn't understood may need any of them.
            let Ok(image) = image else { return Ok(Vec::new()) };
            named.insert(image.tree);
        }
        let mut gone = Vec::new();
        for entry in fs::read_dir(self.trees()).map_err(failed("list", &self.trees()))? {
            let path = entry.map_err(failed("list", &self.trees()))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with('.') {
                gone.push(path);
                continue;
            }
            let is_filled = || File::open(&path).is_ok_and(|tree| tree.try_lock().is_ok());
            if named.contains(&name) || !self.users(&name).is_empty() || !is_filled() {
                continue;
            }
            let aside = self.trees().join(format!(".{name}"));
            fs::rename(&path, &aside).map_err(failed("remove", &path))?;
            gone.push(aside);
        }
        Ok(gone)
    }

    /// The instances that have a tree: those whose disks are there.
    fn users(&self, tree: &str) -> Vec<String> {
        let users = fs::read_dir(self.trees().join(tree).join("users"));
        let disk_is_there = |user: &Path| fs::read_to_string(user).is_ok_and(|disk| Path::new(&disk).exists());
        let paths = users.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        let mut users: Vec<String> = paths
            .filter(|user| disk_is_there(user))
            .filter_map(|user| Some(user.file_name()?.to_str()?.to_owned()))
            .collect();
        users.sort();
        users
    }

    fn trees(&self) -> PathBuf {
        self.directory.join("trees")
    }

    fn while_locked<T>(&self, work: impl FnOnce() -> Result<T, EndpointError>) -> Result<T, EndpointError> {
        let directory = match File::open(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_directory(&self.directory)?;
                File::open(&self.directory)
            }
            other => other,
        };
        let directory = directory.map_err(failed("open", &self.directory))?;
        directory.lock().map_err(failed("lock", &self.directory))?;
        work()
    }
}
