//! Any state directory: what an endpoint and its clean-up do to a random tree of directories, files, links and marks, beside a
//! model of what they may.

use super::{BUILD, StateDirectory, images::Images, run_directory::RunDirectory};
use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, linkat, mknodat},
    process::geteuid,
};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, DirBuilder, File},
    os::unix::{
        ffi::OsStringExt,
        fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
};

/// A state directory, four bytes for each thing in it: nothing is removed or changed but what bears our mark, or is empty and of
/// our name; nothing is followed; nothing outside is touched.
pub fn state(bytes: &[u8]) {
    let Some(world) = World::new() else { return };
    let mut locks = Vec::new();
    let (first, rest) = bytes.split_first().unwrap_or((&0, &[]));
    // Mostly ours, since in all others nothing is done.
    if first % 8 != 0 {
        let _ = symlink("a state directory", world.state().join(MARK));
    }
    let mut directories = vec![world.state()];
    for thing in rest.chunks_exact(4).take(THINGS) {
        let at = directories[usize::from(thing[0]) % directories.len()].clone();
        let path = at.join(NAMES[usize::from(thing[1]) % NAMES.len()].replace("BUILD", BUILD));
        world.put(&path, thing[2], thing[3], &mut directories, &mut locks);
    }
    let before = world.all();
    world.clean_up();
    let after = world.all();
    for (path, found) in &before {
        if after.get(path) == Some(found) {
            continue;
        }
        let below = path.strip_prefix(world.state()).ok();
        // What stays in a directory of ours is moved with it when that is put aside.
        let is_moved = after.values().any(|other| other == found);
        let is_ours =
            below.is_some_and(|below| may_go(&world.state(), if is_moved { top(below) } else { below }, &before));
        assert!(is_ours, "{} was {found:?}, and is {:?}", path.display(), after.get(path));
    }
    let is_new = |path: &&PathBuf| !before.contains_key(*path) && !path.starts_with(world.state());
    assert_eq!(after.keys().find(is_new), None, "something was made outside");
}

const MARK: &str = ".ec2-local";
/// More make it slower, and not worse.
const THINGS: usize = 48;

const NAMES: &[&str] = &[
    "run",
    "BUILD",
    "machines",
    "i-0123456789abcdef0",
    "files",
    "images",
    "trees",
    "0123456789abcdef",
    "root",
    "users",
    MARK,
    ".ended-1.0",
    ".0123456789abcdef",
    "journal",
    "journal.new",
    "endpoint",
    "way-in",
    "init",
    "volume",
    "image.json",
    "x.json",
    "0.0.1-older",
    "results",
    "notes",
    "secret",
    "log",
    "i-0123456789abcdef0.new",
    "removed-0",
    "check-1",
    "disks",
    "vol-0123456789abcdef0",
];

const LINKS: &[&str] = &[
    "an endpoint's directory",
    "a machine's disk",
    "an image's tree",
    "a state directory",
    "an endpoint's director",
    "",
    "OUTSIDE",
    "OUTSIDE/file",
    ".",
    "..",
    "STATE",
    "STATE/run",
    "STATE/images/trees/0123456789abcdef",
];

const TEXTS: &[&str] = &[
    "somebody's",
    "",
    "{\"format\":1,\"build\":\"0.0.1-older\",\"account\":\"a\",\"made\":\"2026-01-01T00:00:00Z\",\"settings\":{}}\n",
    "{\"format\":9,\"build\":\"9.0.0-newer\"}\n",
    "{\"format\":1,\"tree\":\"0123456789abcdef\",\"name\":\"x\",\"login_user\":\"u\",\"architecture\":\"x86_64\",\"os_release\":\"\",\"bytes\":1,\"imported\":1}",
    "{\"format\":1,\"tree\":\"../../run\",\"name\":\"x\",\"login_user\":\"u\",\"architecture\":\"x86_64\",\"os_release\":\"\",\"bytes\":1,\"imported\":1}",
    "/STATE/run/BUILD/machines/i-0123456789abcdef0",
    "OUTSIDE/inner",
    "1 a boot 1",
    "{\"access_key\":\"AKIAAAAAAAAAAAAAAAAA\",\"secret_key\":\"000000000000000000000000000000000000000000000000000000000000\"}",
];

/// What tells a change: kind and mode, inode, owner, contents.
type Found = (u32, u64, u32, Vec<u8>);

struct World(PathBuf);

impl World {
    fn new() -> Option<Self> {
        let path = std::env::temp_dir().join(format!("ec2-local-state-{:016x}", getrandom::u64().ok()?));
        let directory = |path: &Path| DirBuilder::new().mode(0o700).recursive(true).create(path).ok();
        directory(&path)?;
        // Where there are links on the way, what is found has another name.
        let world = Self(path.canonicalize().ok()?);
        directory(&world.state())?;
        directory(&world.outside().join("inner"))?;
        fs::write(world.outside().join("file"), "a canary").ok()?;
        fs::write(world.outside().join("inner/file"), "a canary").ok()?;
        symlink("an endpoint's directory", world.outside().join(MARK)).ok()?;
        Some(world)
    }

    fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    fn outside(&self) -> PathBuf {
        self.0.join("outside")
    }

    fn put(&self, path: &Path, kind: u8, which: u8, directories: &mut Vec<PathBuf>, locks: &mut Vec<File>) {
        let text = |texts: &[&str]| {
            let text = texts[usize::from(which) % texts.len()].replace("BUILD", BUILD);
            text.replace("OUTSIDE", &self.outside().to_string_lossy()).replace("STATE", &self.state().to_string_lossy())
        };
        // Whatever can't be put there, isn't.
        let _ = match kind % 16 {
            0..=6 => DirBuilder::new().mode(0o700).create(path).map(|()| directories.push(path.to_owned())),
            7..=9 => File::create_new(path).and_then(|_| fs::write(path, text(TEXTS))).and_then(|()| {
                fs::set_permissions(path, fs::Permissions::from_mode(if which & 0x80 == 0 { 0o600 } else { 0o644 }))
            }),
            10..=12 => symlink(text(LINKS), path),
            13 => mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).map_err(Into::into),
            14 => linkat(CWD, self.outside().join("file"), CWD, path, AtFlags::empty()).map_err(Into::into),
            _ => {
                // Anyone who holds this one's own lock, or that of the images, is waited for; under another name, too.
                let is_own = path.starts_with(self.state().join("run").join(BUILD)) && path.ends_with("endpoint");
                let is_waited_for = is_own || path == self.state().join("images");
                let can_be =
                    path.symlink_metadata().is_ok_and(|found| found.is_dir() || found.is_file() && found.nlink() == 1)
                        && !is_waited_for;
                let file = can_be.then(|| File::open(path).ok()).flatten();
                locks.extend(file.filter(|file| file.try_lock().is_ok()));
                Ok(())
            }
        };
    }

    fn clean_up(&self) {
        let Ok(state) = StateDirectory::at(self.state()) else { return };
        let claimed = RunDirectory::claim(state.clone());
        let _ = Images::of(&state).sweep();
        let _ = Images::of(&state).list();
        let _ = super::abandoned_accounts(&state);
        let _ = super::SpareDisk::clear_left(&state);
        drop(claimed);
    }

    fn all(&self) -> BTreeMap<PathBuf, Found> {
        let (mut found, mut pending) = (BTreeMap::new(), vec![self.0.clone()]);
        while let Some(directory) = pending.pop() {
            for path in fs::read_dir(directory).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())) {
                let Ok(metadata) = path.symlink_metadata() else { continue };
                let contents = match metadata.file_type() {
                    kind if kind.is_file() => fs::read(&path).unwrap_or_default(),
                    kind if kind.is_symlink() => {
                        fs::read_link(&path).map(|link| OsString::from(link).into_vec()).unwrap_or_default()
                    }
                    _ => Vec::new(),
                };
                if metadata.is_dir() {
                    pending.push(path.clone());
                }
                found.insert(path, (metadata.mode(), metadata.ino(), metadata.uid(), contents));
            }
        }
        found
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The endpoint's directory, or the image's tree, in which a path leads.
fn top(path: &Path) -> &Path {
    let depth = path.iter().count();
    let wanted = if path.starts_with("images") { 3 } else { 2 };
    path.ancestors().nth(depth.saturating_sub(wanted)).unwrap_or(path)
}

/// The model: whether what is at a path below a state directory may be removed, or changed. It knows no code of what it judges.
fn may_go(state: &Path, path: &Path, all: &BTreeMap<PathBuf, Found>) -> bool {
    let parts: Vec<_> = path.iter().filter_map(|part| part.to_str()).collect();
    let at = |count: usize| state.join(parts[..count].iter().collect::<PathBuf>());
    let kind = |path: &Path| all.get(path).map(|(mode, ..)| FileType::from_raw_mode(*mode));
    let is_directory = |path: &Path| kind(path) == Some(FileType::Directory);
    let is_file = |path: &Path| kind(path) == Some(FileType::RegularFile);
    let is_empty = |path: &Path| is_directory(path) && !all.keys().any(|other| other.parent() == Some(path));
    let is_marked = |path: &Path, text: &str| {
        let mark = all.get(&path.join(MARK));
        is_directory(path)
            && mark.is_some_and(|(mode, _, user, found)| {
                let is_link = FileType::from_raw_mode(*mode) == FileType::Symlink;
                is_link && *user == geteuid().as_raw() && found == text.as_bytes()
            })
    };
    // The part of a disk that is named by the rest of the path.
    let of_disk = |disk: usize| match parts[disk..] {
        [] => true,
        ["files", ..] => is_directory(&at(disk + 1)),
        [MARK] => true,
        ["init" | "volume"] => is_file(&at(disk + 1)),
        _ => false,
    };
    let is_disk = |disk: &Path| is_marked(disk, "a machine's disk") || is_empty(disk);
    match parts[..] {
        ["run"] => is_directory(&at(1)),
        ["run", name, ref rest @ ..] => {
            let run = at(2);
            let has_journal = all.get(&run.join("journal")).is_some_and(|(.., text)| text.starts_with(b"{\"format\":"));
            let is_ours = is_marked(&run, "an endpoint's directory")
                || is_empty(&run) && (name.starts_with(".ended-") || name == BUILD)
                || is_directory(&run) && is_file(&run.join("journal")) && has_journal;
            // Of an account of which nothing was ever written down: nothing follows its header, which may be cut off itself.
            let is_torn = all.get(&run.join("journal")).is_some_and(|(.., text)| {
                text.is_empty()
                    || text.starts_with(b"{\"format\":1,")
                        && text.iter().position(|byte| *byte == b'\n').is_none_or(|end| end == text.len() - 1)
            });
            is_directory(&at(1))
                && is_ours
                && match *rest {
                    [] | [MARK] => true,
                    ["journal"] => {
                        is_file(&at(3)) && is_torn && (is_marked(&run, "an endpoint's directory") || name == BUILD)
                    }
                    ["endpoint" | "journal.new" | "way-in"] => is_file(&state.join(path)),
                    ["disks" | "machines"] => is_directory(&at(3)),
                    ["disks", "vol-0123456789abcdef0", ..] | ["machines", "i-0123456789abcdef0", ..] => {
                        is_directory(&at(3)) && is_disk(&at(4)) && of_disk(4)
                    }
                    _ => false,
                }
        }
        ["images", "trees", "0123456789abcdef" | ".0123456789abcdef", ref rest @ ..] => {
            let tree = at(3);
            is_directory(&at(1))
                && is_directory(&at(2))
                && (is_marked(&tree, "an image's tree") || is_empty(&tree))
                && match *rest {
                    [] | [MARK] => true,
                    ["root", ..] => is_directory(&at(4)),
                    ["users"] => is_directory(&at(4)),
                    ["users", "vol-0123456789abcdef0" | "i-0123456789abcdef0" | "i-0123456789abcdef0.new"] => {
                        is_directory(&at(4)) && is_file(&at(5))
                    }
                    ["image.json"] => is_file(&at(4)),
                    _ => false,
                }
        }
        ["check-1", ..] => is_disk(&at(1)) && of_disk(1),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::{fs, path::Path};

    fn seeds() -> Vec<Vec<u8>> {
        let seeds = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/state")).unwrap();
        seeds.map(|seed| fs::read(seed.unwrap().path()).unwrap()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        /// What is there at first has the shape of something that was left; then anything comes, in any place.
        #[test]
        fn nothing_unmarked_is_ever_removed(
            seed: prop::sample::Index,
            changed: Vec<(prop::sample::Index, u8)>,
            more in prop::collection::vec(any::<[u8; 4]>(), 0..24),
        ) {
            let mut bytes = seeds()[seed.index(seeds().len())].clone();
            for (place, byte) in changed.iter().take(4) {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            bytes.extend(more.concat());
            super::state(&bytes);
        }
    }
}
