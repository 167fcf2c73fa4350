//! Imported images: root directories of other systems, which all endpoints of a state directory offer.
//!
//! ```text
//! images/               locked by anyone who changes something here, for a moment
//!   NAME.json           an image: put in place last, as a whole, and taken away first
//!   trees/ID/           0700, marked; locked by the import that fills it, as long as that runs
//!     root/             a root directory; its files belong to the users of machines
//!     users/vol-…       names the instance that has it, by the root volume; as long as the volume's disk is there, so is this
//! ```
//!
//! A tree of ours that no image names and no disk needs is removed by the next one that comes by: another import, a removal, an
//! endpoint that starts or ends, or the end of the last volume. So a removed image's instances go on, as on EC2, and an
//! import that was killed leaves nothing for long.

mod name;
mod record;
mod shelf;
mod sweep;
mod users;

pub use name::ImageName;
pub use record::{Image, Listed};
pub(super) use shelf::Shelf;

use super::{
    EndpointError, StateDirectory,
    layout::{TREE, is_tree, not_removed},
    state::failed,
};
use crate::{
    archive::Limits,
    guest::accounts,
    machine::{ImageForm, Kind},
};
use ec2_state_directory::Directory;
use record::FORMAT;
use rustix::fs::FileType;
use std::{
    ffi::OsStr,
    io::{self, Write},
    os::fd::AsFd,
    path::PathBuf,
    time::SystemTime,
};
use users::{USERS, shown_users_of};

/// What an import leaves free on the disk.
const RESERVE: u64 = 256 << 20;
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
        let kind = Kind::of(ImageForm::RootDirectory);
        let contents = kind.unpack(archive.as_fd(), &root, &limits).map_err(|error| wrong(error.to_string()))?;
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
        let mut file = tree.new_file(DRAFT)?;
        // All of its file system: who finds the image after a crash shall find its files whole.
        let written = file.write_all(text.as_bytes()).and_then(|()| rustix::fs::syncfs(&file).map_err(io::Error::from));
        written.map_err(failed("write", &tree.path().join(DRAFT)))?;
        self.while_locked(|images| {
            if let Some(replaced) = check_free(images, import, wrong)? {
                mark_tree(images, &replaced);
            }
            let name = import.name.file_name();
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
        let Some(images) = self.directory()? else { return Ok(Vec::new()) };
        let records = record::list(&images)?.into_iter();
        Ok(records.map(|(name, record)| (images.path().join(name), record.map_err(|it| it.reason))).collect())
    }

    /// Where the root directory of an image lies.
    pub fn root(&self, image: &Image) -> PathBuf {
        self.state.path().join(IMAGES).join(TREES).join(&image.tree).join("root")
    }

    /// Removes an image; returns the root volumes that still have it, and of which instances they are: with their end its files
    /// go.
    ///
    /// # Errors
    ///
    /// There is no such image, or it can't be removed.
    pub fn remove(&self, name: &ImageName) -> Result<Vec<String>, EndpointError> {
        let file = name.file_name();
        let image = self.while_locked(|images| {
            let refused = |reason| EndpointError::Image { tried: format!("remove the image {name}"), reason };
            let image = existing(images, &file, refused)?
                .ok_or_else(|| refused("there is none of that name; see `ec2-local image list`".to_owned()))?;
            mark_tree(images, &image);
            images.remove_file(&file)?;
            Ok(image)
        })?;
        let users = self.users(&image.tree)?;
        self.sweep()?;
        Ok(users)
    }

    /// Notes that an instance's root volume has a tree, and returns the root directory in it.
    pub(super) fn hold(&self, tree: &str, volume: &str, instance: &str) -> Result<PathBuf, EndpointError> {
        self.while_locked(|images| {
            let Some(tree) = whole_tree(images, tree)? else {
                let reason = "its root directory is gone: the image was removed".to_owned();
                return Err(EndpointError::Image { tried: format!("start {instance}"), reason });
            };
            tree.ensure(USERS)?.write(volume, instance.as_bytes())?;
            Ok(tree.path().join("root"))
        })
    }

    /// Notes the same where the tree is there, and does something before anybody can take it for unused.
    pub(super) fn hold_while(
        &self,
        tree: &str,
        volume: &str,
        instance: &str,
        act: impl FnOnce() -> Result<(), EndpointError>,
    ) -> Result<(), EndpointError> {
        self.while_locked(|images| {
            if let Some(tree) = whole_tree(images, tree)? {
                tree.ensure(USERS)?.write(volume, instance.as_bytes())?;
            }
            act()
        })
    }

    /// The root volumes that have a tree, in words.
    fn users(&self, tree: &str) -> Result<Vec<String>, EndpointError> {
        let trees = self.directory()?.map(|images| images.open(TREES)).transpose()?.flatten();
        let tree = trees.filter(|_| is_tree(tree)).map(|trees| trees.open(tree)).transpose()?.flatten();
        tree.map_or_else(|| Ok(Vec::new()), |tree| shown_users_of(&self.state, &tree))
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

/// A tree that has a root directory.
fn whole_tree(images: &Directory, tree: &str) -> Result<Option<Directory>, EndpointError> {
    let Some(trees) = images.open(TREES)?.filter(|_| is_tree(tree)) else { return Ok(None) };
    let Some(tree) = trees.open(tree)? else { return Ok(None) };
    let is_there = tree.look("root")?.is_some_and(|root| FileType::from_raw_mode(root.st_mode).is_dir());
    Ok(Some(tree).filter(|_| is_there))
}

/// The image that is to be replaced, if there is one.
fn check_free(
    images: &Directory,
    import: &Import,
    wrong: &impl Fn(String) -> EndpointError,
) -> Result<Option<Image>, EndpointError> {
    let file = import.name.file_name();
    if !import.replace && images.look(&file)?.is_some() {
        return Err(wrong("there is one of that name; remove it, or say --replace".to_owned()));
    }
    existing(images, &file, wrong)
}

/// The image whose record is in a file, if that is there; something else in its place is refused.
fn existing(
    images: &Directory,
    file: &str,
    refused: impl Fn(String) -> EndpointError,
) -> Result<Option<Image>, EndpointError> {
    if images.look(file)?.is_none() {
        return Ok(None);
    }
    record::read(images, OsStr::new(file)).map(Some).map_err(|foreign| {
        let path = images.path().join(file);
        let reason = foreign.reason;
        refused(format!("{} is no image's record, and stays as it is: {reason}; move it away", path.display()))
    })
}

/// Marks the tree that a record names, which proves whose it is, if an earlier version made it.
fn mark_tree(images: &Directory, image: &Image) {
    let mark = || match images.open(TREES)?.map(|trees| trees.open(&image.tree)).transpose()?.flatten() {
        Some(tree) => TREE.mark.put_on(&tree),
        None => Ok(()),
    };
    if let Err(error) = mark() {
        not_removed(&images.path().join(TREES).join(&image.tree), &error);
    }
}
