//! Marks, and what is removed by them.

use ec2_state_directory::{Directory, Error, Layout, Mark, Part, put_aside, remove, remove_contents};
use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    thread,
};

const OTHER: Mark = Mark::new(".made", "another kind");
const INNER: Layout =
    Layout { mark: Mark::new(".made", "an inner one"), part: |name| (name == "all").then_some(Part::Everything) };
const OUTER: Layout = Layout { mark: Mark::new(".made", "an outer one"), part: outer };

fn outer(name: &str) -> Option<Part> {
    match name {
        "file" => Some(Part::File),
        "inner" => Some(Part::Marked(&INNER)),
        "parts" => Some(Part::Directory(|name| (name == "file").then_some(Part::File))),
        "all" => Some(Part::Everything),
        _ => None,
    }
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn directory(&self) -> Directory {
        Directory::find(self.0.path()).unwrap()
    }

    fn write(&self, path: &str) -> PathBuf {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "contents").unwrap();
        path
    }

    fn outer(&self) -> Directory {
        OUTER.mark.claim(&self.directory(), "outer").unwrap()
    }

    fn remove(&self) -> Result<(), Error> {
        let parent = self.directory();
        let directory = parent.open("outer")?.unwrap();
        remove(&parent, OsStr::new("outer"), &directory, &OUTER, &|directory| remove_contents(directory))
    }
}

#[test]
fn all_that_is_ours_goes() {
    let place = Place::new();
    let outer = place.outer();
    INNER.mark.claim(&outer, "inner").unwrap();
    for file in ["file", "parts/file", "all/deep/er/file", "inner/all/file"] {
        place.write(&format!("outer/{file}"));
    }
    let kept = place.write("kept");
    symlink(&kept, place.0.path().join("outer/all/link")).unwrap();
    place.remove().unwrap();
    assert_eq!(place.directory().names().unwrap(), ["kept"]);
    assert_eq!(fs::read_to_string(kept).unwrap(), "contents");
}

#[test]
fn what_is_not_ours_stays_and_keeps_the_mark() {
    for (entry, named) in [
        ("notes", "notes"),
        ("parts/notes", "notes"),
        ("inner/notes", "notes"),
        ("file/notes", "file"),
        ("all", "all"),
        ("parts/file/notes", "file"),
    ] {
        let place = Place::new();
        let outer = place.outer();
        if entry.starts_with("inner") {
            INNER.mark.claim(&outer, "inner").unwrap();
            place.write("outer/inner/all/file");
        }
        let kept = place.write(&format!("outer/{entry}"));
        let Err(Error::Foreign { entry: found, .. }) = place.remove() else { panic!("{entry}") };
        assert_eq!(found, named);
        assert_eq!(fs::read_to_string(&kept).unwrap(), "contents");
        assert!(OUTER.mark.is_on(&outer).unwrap());
        assert!(!place.0.path().join("outer/inner/all").exists());
    }
    // A link in the place of anything.
    for name in ["file", "inner", "parts", "all"] {
        let (place, outside) = (Place::new(), Place::new());
        place.outer();
        let kept = outside.write("file");
        symlink(outside.0.path(), place.0.path().join("outer").join(name)).unwrap();
        assert!(matches!(place.remove(), Err(Error::Foreign { .. })), "{name}");
        assert!(kept.exists() && place.0.path().join("outer").join(name).is_symlink());
    }
}

#[test]
fn without_its_mark_nothing_goes() {
    let forge: [&dyn Fn(&Path); 7] = [
        &|_| (),
        &|mark| symlink("another kind", mark).unwrap(),
        &|mark| symlink("an outer on", mark).unwrap(),
        &|mark| symlink("an outer one ", mark).unwrap(),
        &|mark| fs::write(mark, "an outer one").unwrap(),
        &|mark| fs::create_dir(mark).unwrap(),
        &|mark| fs::create_dir_all(mark.join("an outer one")).unwrap(),
    ];
    for forged in forge {
        let place = Place::new();
        let file = place.write("outer/file");
        forged(&place.0.path().join("outer/.made"));
        assert!(matches!(place.remove(), Err(Error::Foreign { .. })));
        assert!(file.exists());
        let claimed = OUTER.mark.claim(&place.directory(), "outer");
        assert!(matches!(claimed, Err(Error::Foreign { .. })));
    }
    assert!(!OTHER.is_on(&Place::new().outer()).unwrap());
}

#[test]
fn what_stays_is_named_where_it_is_by_now() {
    let place = Place::new();
    let outer = place.outer();
    place.write("outer/notes");
    let parent = place.directory();
    let aside = put_aside(&parent, OsStr::new("outer"), ".aside-").unwrap();
    let removed = remove(&parent, OsStr::new(&aside), &outer, &OUTER, &|directory| remove_contents(directory));
    let Err(Error::Foreign { directory, entry }) = removed else { panic!("{removed:?}") };
    assert!(fs::exists(directory.join(entry)).unwrap(), "{}", directory.display());
}

/// A name that somebody gave to another file is taken away, and the file stays as it is.
#[test]
fn nothing_is_written_through_another_name() {
    let place = Place::new();
    let (kept, directory) = (place.write("kept"), place.directory());
    for name in ["file", "file.new"] {
        fs::hard_link(&kept, place.0.path().join(name)).unwrap();
    }
    directory.write("file", b"other").unwrap();
    fs::hard_link(&kept, place.0.path().join("new")).unwrap();
    std::io::Write::write_all(&mut directory.new_file("new").unwrap(), b"other").unwrap();
    assert_eq!(directory.names().unwrap(), ["file", "kept", "new"]);
    for (name, contents) in [("file", "other"), ("new", "other"), ("kept", "contents")] {
        assert_eq!(fs::read_to_string(place.0.path().join(name)).unwrap(), contents);
    }
    // Nor is anything else taken away.
    fs::create_dir(place.0.path().join("directory")).unwrap();
    symlink(&kept, place.0.path().join("link")).unwrap();
    assert!(directory.new_file("directory").is_err() && directory.new_file("link").is_err());
    assert!(place.0.path().join("link").is_symlink());
}

#[test]
fn many_may_claim_and_remove_at_once() {
    let place = Place::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let parent = place.directory();
                    let claimed = OUTER.mark.claim(&parent, "outer").unwrap();
                    let Ok(aside) = put_aside(&parent, OsStr::new("outer"), ".aside-") else { continue };
                    let Some(aside_directory) = parent.open(&aside).unwrap() else { continue };
                    let clear = |directory: std::os::fd::BorrowedFd<'_>| remove_contents(directory);
                    remove(&parent, OsStr::new(&aside), &aside_directory, &OUTER, &clear).unwrap();
                    drop(claimed);
                }
            });
        }
    });
    let left = place.directory().names().unwrap();
    assert!(left.iter().all(|name| name == "outer"), "{left:?}");
}

#[test]
fn nothing_below_is_found_through_a_link() {
    let (place, outside) = (Place::new(), Place::new());
    outside.write("file");
    symlink(outside.0.path(), place.0.path().join("directory")).unwrap();
    symlink(outside.0.path().join("file"), place.0.path().join("file")).unwrap();
    symlink(outside.0.path().join("made"), place.0.path().join("dangling")).unwrap();
    let directory = place.directory();
    assert!(directory.open("directory").is_err() && directory.ensure("directory").is_err());
    assert!(directory.open("file").is_err() && directory.open("nothing").unwrap().is_none());
    for name in ["file", "dangling"] {
        assert!(directory.file(name).is_err());
        assert!(directory.ensure_file(name).is_err() && directory.appended_file(name).is_err());
        assert!(directory.write(name, b"").is_err() && directory.remove_file(name).is_err());
    }
    assert!(directory.file("nothing").unwrap().is_none());
    assert_eq!(outside.directory().names().unwrap(), ["file"]);
    assert_eq!(fs::read_to_string(outside.0.path().join("file")).unwrap(), "contents");
}
