//! Archives made entry by entry: those that are taken, and those that are refused.

use super::{Contents, Limits, Owners, Rule, UnpackError, unpack};
use flate2::{Compression, write::GzEncoder};
use std::{
    fs,
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::Path,
};
use tar::{EntryType, Header};

/// An archive in the making.
#[derive(Clone)]
struct Archive(Vec<u8>);

impl Archive {
    fn new() -> Self {
        Self(Vec::new())
    }

    /// The least that is a system: this very program's first bytes will do for a shell.
    fn system() -> Self {
        let mut program = vec![0; 64];
        fs::File::open("/proc/self/exe").unwrap().read_exact(&mut program).unwrap();
        Self::new().directory("./").file("./bin/sh", &program)
    }

    /// Adds an entry whose path and target are written as they are.
    fn entry(mut self, kind: EntryType, path: &[u8], target: &[u8], mode: u32, size: u64, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path);
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target);
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_mtime(1_000_000_000);
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.content(content)
    }

    fn content(mut self, content: &[u8]) -> Self {
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, path: &str, content: &[u8]) -> Self {
        self.entry(EntryType::Regular, path.as_bytes(), b"", 0o755, content.len() as u64, content)
    }

    fn directory(self, path: &str) -> Self {
        self.entry(EntryType::Directory, path.as_bytes(), b"", 0o755, 0, b"")
    }

    fn link(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path.as_bytes(), target.as_bytes(), 0o777, 0, b"")
    }

    fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Link, path.as_bytes(), target.as_bytes(), 0o644, 0, b"")
    }

    fn of_kind(self, kind: EntryType, path: &str) -> Self {
        self.entry(kind, path.as_bytes(), b"", 0o644, 0, b"")
    }

    /// GNU's header with the name of the next entry.
    fn long_name(self, name: &[u8]) -> Self {
        self.entry(EntryType::GNULongName, b"././@LongLink", b"", 0o644, name.len() as u64, name)
    }

    /// Records of a PAX header, for the next entry.
    fn pax(self, records: &[(&str, &str)]) -> Self {
        let mut text = String::new();
        for (key, value) in records {
            let rest = format!(" {key}={value}\n");
            let mut length = rest.len() + 1;
            while format!("{length}{rest}").len() != length {
                length += 1;
            }
            text += &format!("{length}{rest}");
        }
        self.entry(EntryType::XHeader, b"pax", b"", 0o644, text.len() as u64, text.as_bytes())
    }

    /// With the mark of its end.
    fn bytes(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Unpacks into a directory that has a neighbour, and sees that nobody has touched that.
fn unpack_beside(archive: &[u8], limits: &Limits, look: impl FnOnce(&Path)) -> Result<Contents, UnpackError> {
    let directory = tempfile::tempdir().unwrap();
    let (root, neighbour) = (directory.path().join("root"), directory.path().join("neighbour"));
    fs::create_dir(&root).unwrap();
    fs::create_dir(&neighbour).unwrap();
    fs::write(neighbour.join("secret"), "secret").unwrap();
    let outcome = unpack(archive, &root, Owners::Caller, limits);
    look(&root);
    let names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let inside: Vec<_> = fs::read_dir(&neighbour).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(inside, ["secret"]);
    let secret = fs::metadata(neighbour.join("secret")).unwrap();
    assert_eq!((secret.nlink(), secret.len()), (1, 6));
    outcome
}

fn refusal(archive: Archive) -> (String, Rule) {
    match unpack_beside(&archive.bytes(), &Limits::default(), |_| {}) {
        Err(UnpackError::Refused { entry, rule }) => (entry, rule),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_systems_are_made_of_is_kept() {
    let archive = Archive::system()
        .directory("./etc/")
        .file("./etc/os-release", b"ID=tiny\n")
        .link("./etc/mtab", "/proc/self/mounts")
        .link("./lib", "usr/lib")
        .hard_link("./bin/again", "./bin/sh")
        .entry(EntryType::Regular, b"./bin/su", b"", 0o4755, 3, b"su\n")
        .of_kind(EntryType::Fifo, "./run/initctl")
        .of_kind(EntryType::Char, "./dev/null")
        // Implied directories, a directory after what is in it, and a file that comes twice.
        .file("deep/er/file", b"first")
        .entry(EntryType::Directory, b"deep/er", b"", 0o700, 0, b"")
        .file("deep/er/file", b"second")
        .entry(EntryType::Regular, b"zeros", b"", 0o600, 200 << 10, &vec![0; 200 << 10]);
    for bytes in [archive.clone().bytes(), gzip(&archive.bytes())] {
        let contents = unpack_beside(&bytes, &Limits::default(), |root| {
            let mode = |path: &str| root.join(path).symlink_metadata().unwrap().permissions().mode() & 0o7777;
            assert_eq!([mode(""), mode("bin/su"), mode("deep"), mode("deep/er")], [0o755, 0o4755, 0o755, 0o700]);
            assert_eq!(fs::read_link(root.join("etc/mtab")).unwrap(), Path::new("/proc/self/mounts"));
            let inode = |path: &str| root.join(path).metadata().unwrap().ino();
            assert_eq!(inode("bin/sh"), inode("bin/again"));
            assert_eq!(root.join("etc").metadata().unwrap().mtime(), 1_000_000_000);
            assert!(root.join("run/initctl").metadata().unwrap().file_type().is_fifo());
            assert!(!root.join("dev/null").exists());
            assert_eq!(fs::read(root.join("deep/er/file")).unwrap(), b"second");
            let zeros = root.join("zeros").metadata().unwrap();
            assert_eq!((zeros.len(), zeros.blocks()), (200 << 10, 0), "holes are kept");
        });
        let contents = contents.unwrap();
        assert_eq!(contents.entries, 14);
        assert_eq!(contents.system.os_release, "ID=tiny\n");
        assert_eq!(contents.notes, ["devices left out of dev/, since machines have their own: 1"]);
    }
}

#[test]
fn what_could_reach_outside_is_refused() {
    let system = Archive::system;
    let through = |path: &str| Rule::ThroughLink(path.to_owned());
    let to = |target: &str, rule| Rule::BadLink(target.to_owned(), Box::new(rule));
    let dangling = |target: &str| Rule::DanglingLink(target.to_owned());
    for (archive, entry, rule) in [
        (system().file("../neighbour/x", b"x"), "../neighbour/x", Rule::Upwards),
        (system().file("./a/../../neighbour/x", b"x"), "./a/../../neighbour/x", Rule::Upwards),
        (system().file("/etc/passwd", b"x"), "/etc/passwd", Rule::Absolute),
        (system().directory("/"), "/", Rule::Absolute),
        (system().link("out", "/").file("out/x", b"x"), "out/x", through("out")),
        (system().link("a/out", "../bin").file("a/out/x", b"x"), "a/out/x", through("a/out")),
        (system().link("a", "b").link("b", "/tmp").directory("a/x"), "a/x", through("a")),
        (system().link("out", "../neighbour"), "out", Rule::EscapingLink("../neighbour".to_owned())),
        (system().link("x/out", "../../etc"), "x/out", Rule::EscapingLink("../../etc".to_owned())),
        (system().link("x", ""), "x", Rule::BadTarget),
        (system().hard_link("x", "../neighbour/secret"), "x", to("../neighbour/secret", Rule::Upwards)),
        (system().hard_link("x", "/etc/passwd"), "x", to("/etc/passwd", Rule::Absolute)),
        (system().link("out", "/etc").hard_link("x", "out/passwd"), "x", to("out/passwd", through("out"))),
        (system().hard_link("x", "nothing"), "x", dangling("nothing")),
        (system().hard_link("x", "bin"), "x", dangling("bin")),
        (system().of_kind(EntryType::Block, "disk"), "disk", Rule::Device),
        (system().of_kind(EntryType::Char, "./etc/dev/null"), "./etc/dev/null", Rule::Device),
        (system().of_kind(EntryType::Char, "dev"), "dev", Rule::Device),
        (system().of_kind(EntryType::Block, "./dev/null"), "./dev/null", Rule::Device),
        (system().of_kind(EntryType::Char, "./dev/mem"), "./dev/mem", Rule::Device),
        (system().of_kind(EntryType::Char, "./dev/a/null"), "./dev/a/null", Rule::Device),
        (system().of_kind(EntryType::new(b'M'), "x"), "x", Rule::Kind('M')),
        (system().file("bin/sh/x", b"x"), "bin/sh/x", Rule::ThroughFile("bin/sh".to_owned())),
        (system().file("bin", b"x"), "bin", Rule::ReplacesDirectory),
        (system().link("bin", "/tmp"), "bin", Rule::ReplacesDirectory),
        (system().directory("empty").link("empty", "/tmp"), "empty", Rule::ReplacesDirectory),
        (system().link("out", "/tmp").hard_link("same", "out").file("same/x", b"x"), "same/x", through("same")),
        (system().long_name(b"../neighbour/x\0").file("y", b"x"), "../neighbour/x", Rule::Upwards),
        (system().file("./../neighbour/x", b"x"), "./../neighbour/x", Rule::Upwards),
        (system().file("bin/./..", b"x"), "bin/./..", Rule::Upwards),
        (system().file(".", b"x"), ".", Rule::NoName),
        (system().link(".", "/etc"), ".", Rule::NoName),
        (system().pax(&[("size", "99999999999999")]).file("y", b"x"), "y", Rule::TooLarge(20 << 30)),
        (system().pax(&[("linkpath", "../../etc")]).link("y", "bin"), "y", Rule::EscapingLink("../../etc".to_owned())),
        (system().pax(&[("path", "../neighbour/x")]).file("y", b"x"), "../neighbour/x", Rule::Upwards),
        (system().pax(&[("linkpath", "/etc/x")]).hard_link("y", "bin/sh"), "y", to("/etc/x", Rule::Absolute)),
        (system().pax(&[("GNU.sparse.major", "1")]).file("y", b"x"), "y", Rule::PaxSparse),
        (system().file("a\u{1b}[2Jb/../c", b"x"), "a\\u{1b}[2Jb/../c", Rule::Upwards),
    ] {
        assert_eq!(refusal(archive), (entry.to_owned(), rule));
    }
}

#[test]
fn a_link_is_replaced_and_never_written_through() {
    let archive = Archive::system()
        .link("file", "bin/sh")
        .file("file", b"content")
        .link("directory", "bin")
        .directory("directory")
        .file("directory/x", b"x")
        .hard_link("again", "file")
        .file("again", b"other");
    let outcome = unpack_beside(&archive.bytes(), &Limits::default(), |root| {
        assert_eq!(fs::read(root.join("file")).unwrap(), b"content");
        assert_eq!(fs::read(root.join("again")).unwrap(), b"other");
        assert!(root.join("directory").symlink_metadata().unwrap().is_dir());
        assert!(!root.join("bin/x").exists());
    });
    outcome.unwrap();
}

#[test]
fn what_is_odd_is_taken_as_it_is() {
    use std::os::unix::ffi::OsStrExt;
    let long = format!("{}x", "long/".repeat(60));
    let archive = Archive::system()
        // A link that leads outside is linked to and replaced itself.
        .link("out", "/etc/hostname")
        .hard_link("same", "out")
        .file("out", b"inside")
        .entry(EntryType::Regular, b"\xff\n\x1b[2J", b"", 0o644, 1, b"x")
        .entry(EntryType::Symlink, b"\x80", b"\xfe", 0o777, 0, b"")
        .file("...", b"x")
        .long_name(long.as_bytes())
        .file("y", b"x")
        // What only files have, in entries that are none.
        .entry(EntryType::Directory, b"directory", b"", 0o755, 3, b"abc")
        .entry(EntryType::Symlink, b"link", b"bin", 0o777, 3, b"abc")
        .entry(EntryType::Fifo, b"pipe", b"", 0o644, 3, b"abc")
        .pax(&[("size", "5")])
        .entry(EntryType::Regular, b"size", b"", 0o644, 0, b"hello")
        // Of the whole archive, not of a file.
        .entry(EntryType::XGlobalHeader, b"g", b"", 0o644, 19, b"19 path=../../evil\n")
        .entry(EntryType::Regular, b"modes", b"", 0o7777, 0, b"")
        .entry(EntryType::Directory, b"closed", b"", 0, 0, b"")
        .file("closed/x", b"x")
        .file("last", b"last");
    let outcome = unpack_beside(&archive.bytes(), &Limits::default(), |root| {
        let read = |name: &str| fs::read(root.join(name)).unwrap();
        assert_eq!([read("out"), read("size"), read("last")], [&b"inside"[..], b"hello", b"last"]);
        assert_eq!(fs::read_link(root.join("same")).unwrap(), Path::new("/etc/hostname"));
        assert_eq!(read(&long), b"x");
        let odd = |name: &[u8]| root.join(std::ffi::OsStr::from_bytes(name)).symlink_metadata().unwrap();
        assert!(odd(b"\xff\n\x1b[2J").is_file() && odd(b"\x80").is_symlink() && odd(b"...").is_file());
        assert!(odd(b"directory").is_dir() && odd(b"link").is_symlink() && odd(b"pipe").file_type().is_fifo());
        assert_eq!(odd(b"modes").permissions().mode() & 0o7777, 0o7777);
        fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(read("closed/x"), b"x");
    });
    outcome.unwrap();
}

#[test]
fn what_is_too_much_is_refused() {
    let limits = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        limits
    };
    let refused = |archive: Vec<u8>, limits: &Limits| match unpack_beside(&archive, limits, |_| {}) {
        Err(UnpackError::Refused { rule, .. } | UnpackError::Whole(rule)) => rule,
        other => panic!("{other:?}"),
    };
    let large = Archive::system().entry(EntryType::Regular, b"x", b"", 0o644, 1 << 40, b"").bytes();
    assert_eq!(refused(large, &Limits::default()), Rule::TooLarge(20 << 30));
    let written = Archive::system().file("x", &vec![1; 256 << 10]).bytes();
    assert_eq!(refused(written, &limits(|limits| limits.room = 128 << 10)), Rule::NoRoom(128 << 10));
    let many = (0..10).fold(Archive::system(), |archive, number| archive.directory(&number.to_string())).bytes();
    assert_eq!(refused(many, &limits(|limits| limits.entries = 10)), Rule::TooMany(10));
    // 100 MiB of zeros in some 450 KB.
    let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
    bomb.write_all(&Archive::system().entry(EntryType::Regular, b"x", b"", 0o644, 100 << 20, b"").0).unwrap();
    io::copy(&mut io::repeat(0).take(100 << 20), &mut bomb).unwrap();
    assert_eq!(refused(bomb.finish().unwrap(), &Limits::default()), Rule::Ratio(200));
    // Names for which the parser would take all the memory that there is.
    for kind in [EntryType::XHeader, EntryType::GNULongName, EntryType::GNULongLink] {
        let long = Archive::system().entry(kind, b"x", b"", 0o644, 64 << 20, &vec![b'x'; 2 << 20]).bytes();
        assert_eq!(refused(long, &Limits::default()), Rule::LongHeaders, "{kind:?}");
    }
    let mut deep = Archive::system();
    deep = deep.pax(&[("path", &"d/".repeat(200))]).directory("x");
    assert_eq!(refused(deep.bytes(), &Limits::default()), Rule::LongPath);
}

/// A number in a header, beyond what octal digits hold.
fn base_256(value: u64) -> [u8; 12] {
    let mut field = [0; 12];
    field[4..].copy_from_slice(&value.to_be_bytes());
    field[0] = 0x80;
    field
}

/// A system with a sparse file of GNU's old form, of so many segments of 512 bytes each, the last of them at its end.
fn sparse(size: u64, segments: u64) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_path("sparse").unwrap();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(512 * segments);
    let step = size / segments / 512 * 512;
    let mut fields = (1..=segments).map(|number| {
        let end = if number == segments { size } else { number * step };
        [base_256(end - 512), base_256(512)].concat()
    });
    let gnu = header.as_gnu_mut().unwrap();
    gnu.realsize = base_256(size);
    for (field, bytes) in gnu.sparse.iter_mut().zip(fields.by_ref()) {
        field.offset.copy_from_slice(&bytes[..12]);
        field.numbytes.copy_from_slice(&bytes[12..]);
    }
    let rest: Vec<Vec<u8>> = fields.collect();
    gnu.set_is_extended(!rest.is_empty());
    header.set_cksum();
    let mut archive = Archive::system();
    archive.0.extend(header.as_bytes());
    for (number, fields) in rest.chunks(21).enumerate() {
        let mut block = fields.concat();
        block.resize(512, 0);
        block[504] = u8::from((number + 1) * 21 < rest.len());
        archive.0.extend(block);
    }
    archive.content(&vec![7; 512 * segments as usize]).bytes()
}

#[test]
fn a_sparse_file_is_as_large_as_it_seems() {
    let outcome = unpack_beside(&sparse(1 << 20, 1), &Limits::default(), |root| {
        let file = fs::read(root.join("sparse")).unwrap();
        assert_eq!((file.len(), file[0], file[(1 << 20) - 512], file[(1 << 20) - 1]), (1 << 20, 0, 7, 7));
        assert!(root.join("sparse").metadata().unwrap().blocks() <= 256);
    });
    outcome.unwrap();
    let outcome = unpack_beside(&sparse(1 << 50, 1), &Limits::default(), |root| assert!(!root.join("sparse").exists()));
    assert!(matches!(outcome, Err(UnpackError::Refused { rule: Rule::TooLarge(_), .. })), "{outcome:?}");
}

#[test]
fn what_was_cut_short_or_changed_is_told() {
    let archive = Archive::system().file("file", &[1; 700]);
    let whole = archive.clone().bytes();
    let outcome = |bytes: &[u8]| unpack_beside(bytes, &Limits::default(), |_| {});
    for length in (1..archive.0.len()).step_by(100).chain([archive.0.len(), 512, 1024]) {
        assert!(matches!(outcome(&whole[..length]), Err(UnpackError::Damaged(_))), "{length}");
    }
    let zipped = gzip(&whole);
    for length in 10..zipped.len() {
        assert!(matches!(outcome(&zipped[..length]), Err(UnpackError::Damaged(_))), "{length}");
    }
    for rest in [&b"garbage"[..], &[0; 512], &[0x1f, 0x8b]] {
        assert!(matches!(outcome(&[&zipped, rest].concat()), Err(UnpackError::Damaged(_))), "{rest:?}");
    }
    let parts = [gzip(&whole[..700]), gzip(b""), gzip(&whole[700..])].concat();
    assert!(outcome(&parts).is_ok(), "gzip's own way to join files");
    let mut changed = whole.clone();
    changed[512] ^= 1;
    assert!(matches!(outcome(&changed), Err(UnpackError::Damaged(_))));
    let twice = [&whole[..], &whole[..]].concat();
    assert!(outcome(&twice).unwrap_err().to_string().contains("joined by `cat`"));
    for (bytes, said) in [
        (&b""[..], "empty"),
        (b"\xfd7zXZ\0rest", "xz -dc FILE | ec2-local image import -"),
        (b"\x28\xb5\x2f\xfdrest", "zstd -dc FILE"),
        (&[b'x'; 2048], "damaged or cut short"),
    ] {
        let error = outcome(bytes).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn what_is_no_system_of_this_host_is_refused() {
    let mut other = vec![0; 64];
    other[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xf3\0");
    for (archive, said) in [
        (Archive::new(), "no /bin/sh"),
        (Archive::new().file("root/bin/sh", b"x"), "tar -C root ."),
        (Archive::new().file("manifest.json", b"x").directory("blobs"), "docker export"),
        (Archive::new().file("bin/sh", b"#!/bin/cat\n and more than twenty bytes"), "no program"),
        (Archive::new().file("bin/sh", &other), "built for RISC-V"),
        (Archive::new().of_kind(EntryType::Fifo, "bin/sh"), "no /bin/sh; logins"),
        (Archive::new().link("bin/sh", "sh"), "no /bin/sh; logins"),
        // Its own /bin/sh, not the host's.
        (Archive::new().link("bin", "/usr/bin"), "no /bin/sh"),
        (Archive::new().link("bin/sh", "/proc/self/exe"), "no /bin/sh"),
    ] {
        let error = unpack_beside(&archive.bytes(), &Limits::default(), |_| {}).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_hole_costs_nothing() {
    // What is no more than a hole is made in no time, which a test can't say but by coming to its end.
    let limits = Limits { bytes: u64::MAX, ..Limits::default() };
    let outcome = unpack_beside(&sparse(1 << 42, 1), &limits, |root| {
        let about = root.join("sparse").metadata().unwrap();
        assert_eq!((about.len(), about.blocks() <= 8), (1 << 42, true));
    });
    // Where the file system has files of such a size.
    assert!(matches!(&outcome, Ok(_) | Err(UnpackError::Write { .. })), "{outcome:?}");
    let outcome = unpack_beside(&sparse(1 << 30, 40_000), &limits, |root| {
        let mut file = fs::File::open(root.join("sparse")).unwrap();
        let mut chunk = [0; 1024];
        file.seek(SeekFrom::Start((1 << 30) - 1024)).unwrap();
        file.read_exact(&mut chunk).unwrap();
        assert_eq!((chunk[0], chunk[1023]), (0, 7));
    });
    outcome.unwrap();
    assert_eq!(refused(sparse(1 << 30, 50_000), &limits), Rule::LongHeaders);
}

#[test]
fn maps_that_lie_are_told() {
    let good = sparse(1 << 20, 3);
    let header = Archive::system().0.len();
    for (at, value) in [(386, 1u64 << 40), (398, 1 << 40), (410, 0), (410, u64::MAX - 100), (422, 100), (483, 1)] {
        let mut bytes = good.clone();
        bytes[header + at..header + at + 12].copy_from_slice(&base_256(value));
        let sum: u32 =
            (0..512).map(|at| if (148..156).contains(&at) { 32 } else { u32::from(bytes[header + at]) }).sum();
        bytes[header + 148..header + 155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let outcome = unpack_beside(&bytes, &Limits::default(), |_| {});
        assert!(matches!(outcome, Err(UnpackError::Damaged(_))), "{at} {value}: {outcome:?}");
    }
}

#[test]
fn sparse_files_in_paxs_forms_are_refused_by_name() {
    for records in [
        &[("GNU.sparse.size", "10"), ("GNU.sparse.numblocks", "1"), ("GNU.sparse.offset", "5")][..],
        &[("GNU.sparse.map", "5,5")],
        &[("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "10")],
    ] {
        assert_eq!(
            refused(Archive::system().pax(records).file("y", b"12345").bytes(), &Limits::default()),
            Rule::PaxSparse
        );
    }
}

#[test]
fn what_is_many_rather_than_large_is_bounded() {
    let limits = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        limits
    };
    // To and fro between two deep directories.
    let deep = |top: &str, number: usize| format!("{top}/{}{number}", "d/".repeat(30));
    let to_and_fro = (0..20).fold(Archive::system(), |archive, n| archive.file(&deep(["a", "b"][n % 2], n), b""));
    let few = limits(|limits| limits.openings = 200);
    assert_eq!(refused(to_and_fro.clone().bytes(), &few), Rule::ToAndFro);
    unpack_beside(&to_and_fro.bytes(), &Limits::default(), |_| {}).unwrap();
    // Names of what isn't kept, of which nobody reads thousands.
    let names: Vec<String> = (0..5000).map(|number| format!("SCHILY.xattr.user.{number}")).collect();
    let records: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    let contents = unpack_beside(&Archive::system().pax(&records).file("y", b"").bytes(), &Limits::default(), |_| {});
    let note = contents.unwrap().notes.remove(0);
    assert!(note.len() < 500 && note.contains("and more"), "{note}");
}

#[test]
fn what_is_not_kept_of_a_file_is_told() {
    let records =
        [("SCHILY.acl.access", "user::rw-"), ("SCHILY.xattr.user.note", "x"), ("comment", "of the archive's maker")];
    let archive = Archive::system().pax(&records).file("y", b"").bytes();
    let notes = unpack_beside(&archive, &Limits::default(), |_| {}).unwrap().notes;
    let [note] = &notes[..] else { panic!("{notes:?}") };
    assert!(
        note.contains("an access control list") && note.contains("user.note") && !note.contains("comment"),
        "{note}"
    );
}

fn refused(archive: Vec<u8>, limits: &Limits) -> Rule {
    match unpack_beside(&archive, limits, |_| {}) {
        Err(UnpackError::Refused { rule, .. } | UnpackError::Whole(rule)) => rule,
        other => panic!("{other:?}"),
    }
}
