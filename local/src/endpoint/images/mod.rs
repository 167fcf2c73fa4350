//! Imported images: root directories of other systems, which all endpoints of a state directory offer.
//!
//! ```text
//! images/               locked by whoever changes something here, for a moment
//!   NAME.json           an image: put in place last, as a whole, and taken away first
//!   trees/ID/           0700, marked; locked by the import that fills it, as long as that runs
//!     root/             a root directory; its files belong to the users of machines
//!     users/i-…         names the disk of an instance that has it; as long as that is there, so is this
//! ```
//!
//! A tree of ours that no image names and no disk needs is removed by whoever comes by next: another import, a removal, an
//! endpoint that starts or ends, or the end of the last instance. So a removed image's instances go on, as on EC2, and an
//! import that was killed leaves nothing for long.

mod name;
mod shelf;
mod users;

pub use name::ImageName;
pub(super) use shelf::Shelf;

use super::{
    EndpointError, StateDirectory,
    layout::{TREE, is_tree, not_removed, stays},
    state::failed,
};
use crate::{
    account::ImageSettings,
    archive::Limits,
    guest::accounts,
    machine::sandbox::{clear_files, unpack_image},
};
use ec2_state_directory::{Directory, Error, is_leftover, remove};
use rustix::fs::FileType;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    io::{self, Read, Write},
    os::{fd::AsFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    time::SystemTime,
};
use time::OffsetDateTime;
use users::{USERS, users_of};

/// How these files are written; a later form gets a later number, and is left alone by those who don't know it. Those of the
/// first aren't offered any more: where root has imported them, what is set-uid root in them is the host's root's.
const FORMAT: u32 = 2;
/// What an import leaves free on the disk.
const RESERVE: u64 = 256 << 20;
/// The longest file of an image, or of what has one, that is read.
const FILE_MAX: u64 = 1 << 20;

/// The images of a state directory.
#[derive(Debug, Clone)]
pub struct Images {
    state: StateDirectory,
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
        Self { state: state.clone() }
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
        let tree = self.begin(import, &wrong)?;
        let outcome = self.fill(&tree, archive, import, &wrong);
        drop(tree);
        // The tree itself if it has come to nothing, and the one of the image that was replaced.
        let swept = self.sweep();
        outcome.and_then(|imported| swept.map(|()| imported))
    }

    /// A new tree, locked.
    fn begin(&self, import: &Import, wrong: &impl Fn(String) -> EndpointError) -> Result<Directory, EndpointError> {
        self.while_locked(|images| {
            check_free(images, import, wrong)?;
            let trees = images.ensure(TREES)?;
            let id = getrandom::u64().map_err(|error| wrong(error.to_string()))?;
            let tree = TREE.mark.claim(&trees, format!("{id:016x}"))?;
            tree.as_file().try_lock().map_err(|error| wrong(format!("lock {}: {error}", tree.path().display())))?;
            tree.ensure("root")?;
            Ok(tree)
        })
    }

    fn fill(
        &self,
        tree: &Directory,
        archive: impl AsFd,
        import: &Import,
        wrong: &impl Fn(String) -> EndpointError,
    ) -> Result<(Image, Vec<String>), EndpointError> {
        let root = tree.path().join("root");
        let space = rustix::fs::fstatvfs(tree).map_err(|error| failed("look at", &root)(error.into()))?;
        let room = (space.f_bavail * space.f_frsize).saturating_sub(RESERVE);
        let mut limits = Limits { bytes: import.max_size, room, ..Limits::default() };
        // Some file systems have no bound of their own, and say that they have none of it.
        if space.f_files > 0 {
            limits.entries = limits.entries.min(space.f_favail / 10 * 9);
        }
        let contents = unpack_image(archive, &root, &limits).map_err(|error| wrong(error.to_string()))?;
        let image = Image {
            format: FORMAT,
            tree: tree.path().file_name().unwrap_or_default().to_string_lossy().into_owned(),
            name: import.name.to_string(),
            login_user: import.login_user.clone(),
            architecture: contents.system.architecture,
            os_release: contents.system.os_release,
            bytes: contents.bytes,
            imported: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |t| t.as_secs().cast_signed()),
        };
        let text = serde_json::to_string_pretty(&image).map_err(|error| wrong(error.to_string()))?;
        let mut file = tree.ensure_file(DRAFT)?;
        // All of its file system: who finds the image after a crash shall find its files whole.
        let written = file.write_all(text.as_bytes()).and_then(|()| rustix::fs::syncfs(&file).map_err(io::Error::from));
        written.map_err(failed("write", &tree.path().join(DRAFT)))?;
        self.while_locked(|images| {
            check_free(images, import, wrong)?;
            let name = import.name.file_name();
            // What is replaced must be an image.
            images.file(&name)?;
            let at = images.path().join(&name);
            rustix::fs::renameat(tree, DRAFT, images, &*name).map_err(io::Error::from).map_err(failed("write", &at))?;
            images.as_file().sync_all().map_err(failed("write", &at))
        })?;
        Ok((image, contents.notes))
    }

    /// All images, each with its file; in place of one that can't be read, the reason.
    ///
    /// # Errors
    ///
    /// The directory can't be read.
    pub fn list(&self) -> Result<Vec<Listed>, EndpointError> {
        match self.directory()? {
            Some(images) => Ok(list(&images)?),
            None => Ok(Vec::new()),
        }
    }

    /// Where the root directory of an image lies.
    pub fn root(&self, image: &Image) -> PathBuf {
        self.state.path().join(IMAGES).join(TREES).join(&image.tree).join("root")
    }

    /// Removes an image; returns the instances that still have it, with whose end its files go.
    ///
    /// # Errors
    ///
    /// There is no such image, or it can't be removed.
    pub fn remove(&self, name: &ImageName) -> Result<Vec<String>, EndpointError> {
        let file = name.file_name();
        let tree = self.while_locked(|images| {
            let path = images.path().join(&file);
            let tree = list(images)?.into_iter().find(|(found, _)| *found == path).and_then(|(_, image)| image.ok());
            if images.look(&file)?.is_none() {
                let tried = format!("remove the image {name}");
                let reason = "there is none of that name; see `ec2-local image list`".into();
                return Err(EndpointError::Image { tried, reason });
            }
            images.remove_file(&file)?;
            Ok(tree)
        });
        let users = match tree? {
            Some(image) => self.users(&image.tree)?,
            None => Vec::new(),
        };
        self.sweep()?;
        Ok(users)
    }

    /// Notes that an instance has a tree, and returns the root directory in it.
    pub(super) fn hold(&self, tree: &str, instance: &str, disk: &Path) -> Result<PathBuf, EndpointError> {
        self.while_locked(|images| {
            let tree = match images.open(TREES)? {
                Some(trees) if is_tree(tree) => trees.open(tree)?,
                _ => None,
            };
            let root = tree.as_ref().map(|tree| tree.look("root")).transpose()?.flatten();
            let is_there = root.is_some_and(|root| FileType::from_raw_mode(root.st_mode).is_dir());
            let Some(tree) = tree.filter(|_| is_there) else {
                let reason = "its root directory is gone: the image was removed".to_owned();
                return Err(EndpointError::Image { tried: format!("start {instance}"), reason });
            };
            tree.ensure(USERS)?.write(instance, disk.as_os_str().as_bytes())?;
            Ok(tree.path().join("root"))
        })
    }

    /// Removes the trees of ours that no image names and no disk needs. What can't be removed is named in the log, and tried again.
    pub(super) fn sweep(&self) -> Result<(), EndpointError> {
        let Some(gone) = self.set_aside()? else { return Ok(()) };
        let Some(trees) = self.directory()?.map(|images| images.open(TREES)).transpose()?.flatten() else {
            return Ok(());
        };
        for (name, tree) in gone {
            // Somebody else may be at it as well.
            if let Err(error) = remove(&trees, OsStr::new(&name), &tree, &TREE, &clear_files) {
                not_removed(&trees.path().join(&name), &error);
            }
        }
        Ok(())
    }

    /// Gives those trees a name under which nobody looks for them, so that they can be removed without haste.
    fn set_aside(&self) -> Result<Option<Vec<(String, Directory)>>, EndpointError> {
        let Some(images) = self.directory()? else { return Ok(None) };
        if images.open(TREES)?.is_none() {
            return Ok(None);
        }
        self.while_locked(|images| {
            let Some(trees) = images.open(TREES)? else { return Ok(None) };
            // Looked up while nobody changes any: an image may have come since we asked for that.
            let mut named = BTreeSet::new();
            for (_, image) in self.list()? {
                // What names a tree in a way that isn't understood may need any of them.
                let Ok(image) = image else { return Ok(None) };
                named.insert(image.tree);
            }
            let mut gone = Vec::new();
            for name in trees.names()? {
                match self.aside(&trees, &name, &named) {
                    Ok(aside) => gone.extend(aside),
                    Err(error) => stays(&trees.path().join(&name), &format!("failed to {error}")),
                }
            }
            Ok(Some(gone))
        })
    }

    /// A tree that is to be removed, and the name that it has now; none if it stays.
    fn aside(
        &self,
        trees: &Directory,
        name: &OsStr,
        named: &BTreeSet<String>,
    ) -> Result<Option<(String, Directory)>, EndpointError> {
        let Some(tree) = trees.open(name)? else { return Ok(None) };
        let is_aside = name.to_str().and_then(|name| name.strip_prefix('.')).is_some_and(is_tree);
        let Some(name) = name.to_str().filter(|name| is_aside || is_tree(name)) else {
            stays(tree.path(), "it isn't the local EC2's");
            return Ok(None);
        };
        if named.contains(name) || tree.as_file().try_lock().is_err() || !users_of(&self.state, &tree)?.is_empty() {
            return Ok(None);
        }
        // Only now that nobody fills it.
        if !is_leftover(&tree, &TREE.mark, true)? {
            stays(tree.path(), "it bears no mark of the local EC2's");
            return Ok(None);
        }
        if is_aside {
            return Ok(Some((name.to_owned(), tree)));
        }
        let aside = format!(".{name}");
        trees.rename(name, &aside)?;
        Ok(Some((aside, tree)))
    }

    /// The instances that have a tree: those whose disks are there.
    fn users(&self, tree: &str) -> Result<Vec<String>, EndpointError> {
        let trees = self.directory()?.map(|images| images.open(TREES)).transpose()?.flatten();
        let tree = trees.filter(|_| is_tree(tree)).map(|trees| trees.open(tree)).transpose()?.flatten();
        tree.map_or_else(|| Ok(Vec::new()), |tree| users_of(&self.state, &tree))
    }

    /// The directory of all of it, if there is one.
    fn directory(&self) -> Result<Option<Directory>, EndpointError> {
        Ok(self.state.open()?.open(IMAGES)?)
    }

    fn while_locked<T>(&self, work: impl FnOnce(&Directory) -> Result<T, EndpointError>) -> Result<T, EndpointError> {
        let directory = self.state.open()?.ensure(IMAGES)?;
        directory.as_file().lock().map_err(failed("lock", directory.path()))?;
        work(&directory)
    }
}

const IMAGES: &str = "images";
const TREES: &str = "trees";
/// An image's file until it is put in place.
const DRAFT: &str = "image.json";

fn check_free(
    images: &Directory,
    import: &Import,
    wrong: &impl Fn(String) -> EndpointError,
) -> Result<(), EndpointError> {
    let is_there = images.look(import.name.file_name())?.is_some();
    if is_there && !import.replace {
        return Err(wrong("there is one of that name; remove it, or say --replace".to_owned()));
    }
    Ok(())
}

fn list(images: &Directory) -> Result<Vec<Listed>, Error> {
    let mut listed = Vec::new();
    for name in images.names()? {
        let path = images.path().join(&name);
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let image = read(images, &name).and_then(|text| {
            let text = text.ok_or_else(|| "it is gone".to_owned())?;
            let image: Image = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            if is_tree(&image.tree) { Ok(image) } else { Err("it names no tree of ours".to_owned()) }
        });
        listed.push((path, image));
    }
    Ok(listed)
}

/// What a file of ours says, if it is there.
fn read(directory: &Directory, name: &OsStr) -> Result<Option<String>, String> {
    let Some(file) = directory.file(name).map_err(|error| error.to_string())? else { return Ok(None) };
    let mut text = String::new();
    file.take(FILE_MAX).read_to_string(&mut text).map_err(|error| error.to_string())?;
    Ok(Some(text))
}
