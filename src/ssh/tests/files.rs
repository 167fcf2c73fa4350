//! Files and directories, there and back.

use super::sshd::{Sshd, until};
use crate::{ErrorKind, ssh::Transfer};
use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
};

fn sudo_like() -> Transfer {
    Transfer::new().prefix(["env", "A=1"])
}

/// Every path below a directory, with its mode, time and contents.
fn describe(root: &Path) -> BTreeMap<String, (u32, i64, String)> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let contents = if metadata.is_symlink() {
            format!("-> {}", fs::read_link(&path).unwrap().display())
        } else if metadata.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            "directory".into()
        } else {
            format!("{:?}", fs::read(&path).unwrap())
        };
        // A link's own time isn't kept.
        let modified = if metadata.is_symlink() { 0 } else { metadata.mtime() };
        let name = path.strip_prefix(root).unwrap().display().to_string();
        found.insert(name, (metadata.mode() & 0o7777, modified, contents));
    }
    found
}

fn make_tree(root: &Path) {
    fs::create_dir_all(root.join("empty")).unwrap();
    fs::create_dir_all(root.join("a b/it's")).unwrap();
    fs::write(root.join("a b/it's/x\ny"), b"\0\xff binary").unwrap();
    fs::write(root.join("script"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join("script"), Permissions::from_mode(0o755)).unwrap();
    fs::write(root.join("secret"), "s").unwrap();
    fs::set_permissions(root.join("secret"), Permissions::from_mode(0o600)).unwrap();
    let long = root.join("l".repeat(120)).join("m".repeat(120));
    fs::create_dir_all(&long).unwrap();
    fs::write(long.join("n".repeat(120)), "long").unwrap();
    symlink("/etc/passwd", root.join("absolute")).unwrap();
    symlink("../nowhere", root.join("dangling")).unwrap();
    fs::set_permissions(root.join("a b"), Permissions::from_mode(0o555)).unwrap();
    for path in ["empty", "a b", "script", "."] {
        let times =
            fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_007));
        fs::File::open(root.join(path)).unwrap().set_times(times).unwrap();
    }
}

#[tokio::test]
async fn a_file_goes_there_and_back() {
    let Some(sshd) = Sshd::start() else { return };
    let session = sshd.session().await;
    let path = |name: &str| sshd.directory.path().join(name);
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(path("here"), &bytes).unwrap();
    fs::set_permissions(path("here"), Permissions::from_mode(0o750)).unwrap();
    let times =
        fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_234_567_890));
    fs::File::open(path("here")).unwrap().set_times(times).unwrap();

    for how in [Transfer::new(), sudo_like()] {
        let there = path("it's there");
        session.push(path("here"), there.to_str().unwrap(), how.clone()).await.unwrap();
        assert_eq!(describe(&path("here")), describe(&there));
        session.pull(there.to_str().unwrap(), path("back"), how).await.unwrap();
        assert_eq!(describe(&path("here")), describe(&path("back")));
        fs::remove_file(there).unwrap();
    }
    session.push(path("here"), path("moded").to_str().unwrap(), Transfer::new().mode(0o600)).await.unwrap();
    assert_eq!(fs::metadata(path("moded")).unwrap().mode() & 0o7777, 0o600);

    let text = path("text");
    session.write("hello\n", text.to_str().unwrap(), Transfer::new()).await.unwrap();
    assert_eq!(session.read(text.to_str().unwrap(), Transfer::new()).await.unwrap(), b"hello\n");
    assert_eq!(fs::metadata(&text).unwrap().mode() & 0o7777, 0o644);
    session.write("", text.to_str().unwrap(), Transfer::new()).await.unwrap();
    assert_eq!(fs::read(text).unwrap(), b"");
    // A file whose size isn't known beforehand.
    session.pull("/proc/self/status", path("status"), Transfer::new()).await.unwrap();
    assert!(fs::read_to_string(path("status")).unwrap().starts_with("Name:"));
    assert!(leftovers(sshd.directory.path()).is_empty());
}

fn leftovers(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains("ec2-harness")).collect()
}

#[tokio::test]
async fn a_tree_goes_there_and_back() {
    let Some(sshd) = Sshd::start() else { return };
    let session = sshd.session().await;
    let path = |name: &str| sshd.directory.path().join(name);
    make_tree(&path("here"));
    for how in [Transfer::new(), sudo_like()] {
        let there = path("there");
        session.push(path("here"), &format!("{}/", there.display()), how.clone()).await.unwrap();
        assert_eq!(describe(&path("here")), describe(&there));
        session.pull(there.to_str().unwrap(), path("back"), how).await.unwrap();
        assert_eq!(describe(&path("here")), describe(&path("back")));
        // Into what is there already.
        fs::write(there.join("own"), "kept").unwrap();
        fs::write(there.join("script"), "old").unwrap();
        session.push(path("here"), there.to_str().unwrap(), Transfer::new()).await.unwrap();
        assert_eq!(fs::read_to_string(there.join("own")).unwrap(), "kept");
        assert_eq!(fs::read_to_string(there.join("script")).unwrap(), "#!/bin/sh\n");
        session.pull(there.to_str().unwrap(), path("back"), Transfer::new()).await.unwrap();
        assert_eq!(fs::read_to_string(path("back").join("own")).unwrap(), "kept");
        fs::remove_dir_all(there).unwrap();
        fs::remove_dir_all(path("back")).unwrap();
    }
    assert!(leftovers(sshd.directory.path()).is_empty());
}

#[tokio::test]
async fn failures_name_both_paths() {
    let Some(sshd) = Sshd::start() else { return };
    let session = sshd.session().await;
    let path = |name: &str| sshd.directory.path().join(name);
    fs::create_dir(path("directory")).unwrap();
    fs::write(path("file"), "x").unwrap();
    let directory = path("directory").display().to_string();
    let file = path("file").display().to_string();

    let errors = [
        (
            session.push("/no/such/local", "/tmp/x", Transfer::new()).await,
            vec!["/no/such/local", "/tmp/x", "No such file"],
        ),
        (
            session.push(&file, "/no/such/remote", Transfer::new()).await,
            vec![&file, "/no/such/remote", "no directory /no/such/"],
        ),
        (session.push(&file, &directory, Transfer::new()).await, vec!["there is a directory"]),
        (session.push(&directory, &file, Transfer::new()).await, vec!["no directory"]),
        (session.pull("/no/such/remote", &file, Transfer::new()).await, vec![&file, "/no/such/remote", "No such file"]),
        (session.pull(&file, &directory, Transfer::new()).await, vec!["there is a directory"]),
        (session.pull(&file, "/no/such/local", Transfer::new()).await, vec!["/no/such/local"]),
        (session.pull(&directory, &file, Transfer::new()).await, vec!["no directory"]),
        (session.push("/dev/null", "/tmp/x", Transfer::new()).await, vec!["neither a file"]),
        (session.read("/no/such/remote", Transfer::new()).await.map(drop), vec!["/no/such/remote", "No such file"]),
        (session.push(&file, "/tmp/x", Transfer::new().prefix(["no-such-sudo"])).await, vec!["no-such-sudo"]),
    ];
    for (result, expected) in errors {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transfer, "{error}");
        for part in expected {
            assert!(error.to_string().contains(part), "{error} has no {part}");
        }
    }
    assert_eq!(fs::read_to_string(path("file")).unwrap(), "x");
    assert!(leftovers(sshd.directory.path()).is_empty());
}

#[tokio::test]
async fn an_interrupted_copy_changes_nothing() {
    let Some(sshd) = Sshd::start() else { return };
    let session = sshd.session().await;
    let path = |name: &str| sshd.directory.path().join(name);
    fs::File::create(path("big")).unwrap().set_len(4 << 30).unwrap();
    fs::write(path("there"), "old").unwrap();
    let there = path("there").display().to_string();
    let pushing = session.push(path("big"), &there, Transfer::new());
    assert!(tokio::time::timeout(std::time::Duration::from_millis(700), pushing).await.is_err());
    until("X what came is removed", || leftovers(sshd.directory.path()).is_empty()).await;
    let (result, ()) = tokio::join!(session.push(path("big"), &there, Transfer::new()), async {
        until("it has begun", || !leftovers(sshd.directory.path()).is_empty()).await;
        sshd.kill_connections();
    });
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Connection);
    until("Y what came is removed", || leftovers(sshd.directory.path()).is_empty()).await;
    let big = path("big").display().to_string();
    let pulling = session.pull(&big, path("there"), Transfer::new());
    assert!(tokio::time::timeout(std::time::Duration::from_millis(700), pulling).await.is_err());
    until("Z what came is removed", || leftovers(sshd.directory.path()).is_empty()).await;
    assert_eq!(fs::read_to_string(path("there")).unwrap(), "old");
}

#[test]
fn a_hostile_archive_can_not_write_elsewhere() {
    use crate::ssh::files::unpack_for_tests as unpack;
    let directory = tempfile::TempDir::new().unwrap();
    let outside = directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    type Make<'a> = Box<dyn Fn(&mut tar::Builder<Vec<u8>>) + 'a>;
    let header = |kind, name: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o4755);
        header.set_size(0);
        // `set_path` is too honest for this.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header
    };
    let add = |builder: &mut tar::Builder<Vec<u8>>, kind, name: &str, target: &str| {
        let mut header = header(kind, name);
        if !target.is_empty() {
            header.set_link_name_literal(target).unwrap();
        }
        header.set_cksum();
        builder.append(&header, std::io::empty()).unwrap();
    };
    let absolute = outside.join("x").display().to_string();
    let outside_name = outside.display().to_string();
    let hostile: Vec<Make<'_>> = vec![
        Box::new(|builder| add(builder, tar::EntryType::Regular, "../outside/x", "")),
        Box::new(|builder| add(builder, tar::EntryType::Regular, &absolute, "")),
        Box::new(|builder| {
            add(builder, tar::EntryType::Symlink, "link", &outside_name);
            add(builder, tar::EntryType::Regular, "link/x", "");
        }),
        Box::new(|builder| {
            add(builder, tar::EntryType::Symlink, "x", &absolute);
            add(builder, tar::EntryType::Regular, "x", "");
        }),
        Box::new(|builder| add(builder, tar::EntryType::Link, "x", "/etc/passwd")),
        Box::new(|builder| add(builder, tar::EntryType::Link, "x", "../../etc/passwd")),
        Box::new(|builder| add(builder, tar::EntryType::Char, "x", "")),
    ];
    for (number, make) in hostile.into_iter().enumerate() {
        let mut builder = tar::Builder::new(Vec::new());
        make(&mut builder);
        let bytes = builder.into_inner().unwrap();
        let result = unpack(&bytes[..], &directory.path().join(number.to_string()));
        assert!(result.is_err(), "archive {number}");
    }
    assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
    // Bits that lend rights aren't taken over.
    let mut builder = tar::Builder::new(Vec::new());
    add(&mut builder, tar::EntryType::Regular, "x", "");
    let root = directory.path().join("good");
    unpack(&builder.into_inner().unwrap()[..], &root).unwrap();
    assert_eq!(fs::metadata(root.join("x")).unwrap().mode() & 0o7777, 0o755);
}
