//! What nobody needs any more: the trees of removed images, and notes of instances that are gone.

use super::{
    Images, TREES, record,
    users::{forget_gone, users_of},
};
use crate::{
    endpoint::{
        EndpointError,
        layout::{TREE, is_tree, not_removed, stays},
    },
    machine::clear_files,
};
use ec2_state_directory::{Directory, is_leftover, remove};
use std::ffi::OsStr;

impl Images {
    /// Removes the trees of ours that no image names and no disk needs. What can't be removed is named in the log, and tried again.
    pub(in crate::endpoint) fn sweep(&self) -> Result<(), EndpointError> {
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
            let records = record::list(images)?;
            for (name, record) in &records {
                if let Err(foreign) = record {
                    stays(&images.path().join(name), &format!("it is no image's record: {}", foreign.reason));
                }
            }
            let is_named = |tree: &str| {
                records.iter().any(|(_, record)| match record {
                    Ok(image) => image.tree == tree,
                    Err(foreign) => foreign.may_name(tree),
                })
            };
            let mut gone = Vec::new();
            for name in trees.names()? {
                match self.aside(&trees, &name, is_named) {
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
        is_named: impl Fn(&str) -> bool,
    ) -> Result<Option<(String, Directory)>, EndpointError> {
        let Some(tree) = trees.open(name)? else { return Ok(None) };
        let (name, id) = match name.to_str().map(|name| (name, name.strip_prefix('.').unwrap_or(name))) {
            Some((name, id)) if is_tree(id) => (name, id),
            _ => {
                stays(tree.path(), "it isn't the local EC2's");
                return Ok(None);
            }
        };
        let (is_aside, is_named) = (name != id, is_named(id));
        if TREE.mark.is_on(&tree)? {
            forget_gone(&self.state, &tree)?;
        }
        if is_named || tree.as_file().try_lock().is_err() || !users_of(&self.state, &tree)?.is_empty() {
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
        let aside = format!(".{id}");
        trees.rename(name, &aside)?;
        Ok(Some((aside, tree)))
    }
}
