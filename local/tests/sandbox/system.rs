//! A small system for machines to boot from, made of some of the host's programs.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};
use tar::{EntryType, Header};

/// What it has in `/bin`.
const PROGRAMS: [&str; 13] =
    ["cat", "chmod", "cut", "env", "hostname", "id", "ls", "mkdir", "mv", "rm", "sh", "sleep", "stat"];

/// An archive of a root directory, in the making.
pub struct System(tar::Builder<Vec<u8>>);

impl System {
    /// A shell, a few programs, and what they are linked with.
    pub fn tiny_without_etc() -> Self {
        let mut system = Self::empty();
        let mut libraries = BTreeSet::new();
        for name in PROGRAMS {
            let found = ["/usr/bin", "/bin"].map(|directory| Path::new(directory).join(name));
            let program = found.into_iter().find(|path| path.exists()).unwrap();
            system.copy(&program, &format!("./bin/{name}"), 0o755);
            let output = Command::new("ldd").arg(&program).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            libraries.extend(text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
        }
        for library in libraries {
            system.copy(&library, &format!(".{}", library.display()), 0o755);
        }
        system
    }

    /// The same, with a name of its own.
    pub fn tiny() -> Self {
        Self::tiny_without_etc().file("./etc/os-release", b"ID=tiny\nPRETTY_NAME='Tiny 1'\n", 0o644)
    }

    /// Nothing but the root directory.
    pub fn empty() -> Self {
        let mut system = Self(tar::Builder::new(Vec::new()));
        system.add(EntryType::Directory, "./", "", 0o755, 0, b"");
        system
    }

    fn copy(&mut self, from: &Path, to: &str, mode: u32) {
        self.add(EntryType::Regular, to, "", mode, 0, &fs::read(from).unwrap());
    }

    fn add(&mut self, kind: EntryType, path: &str, target: &str, mode: u32, owner: u64, content: &[u8]) {
        let mut header = Header::new_gnu();
        // As it is: `set_path` would refuse what a hostile archive has.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.append(&header, content).unwrap();
    }

    /// With a file of root's.
    pub fn file(self, path: &str, content: &[u8], mode: u32) -> Self {
        self.file_of(0, path, content, mode)
    }

    /// With a file of a user's.
    pub fn file_of(mut self, owner: u64, path: &str, content: &[u8], mode: u32) -> Self {
        self.add(EntryType::Regular, path, "", mode, owner, content);
        self
    }

    /// With a program of root's that has file capabilities, as setcap(8) writes them.
    pub fn capable(mut self, path: &str, content: &[u8], capability: &[u8]) -> Self {
        self.0.append_pax_extensions([("SCHILY.xattr.security.capability", capability)]).unwrap();
        self.file(path, content, 0o755)
    }

    /// With a symbolic link.
    pub fn link(mut self, path: &str, target: &str) -> Self {
        self.add(EntryType::Symlink, path, target, 0o777, 0, b"");
        self
    }

    /// With an entry of any kind, without content.
    pub fn entry(mut self, kind: EntryType, path: &str, target: &str) -> Self {
        self.add(kind, path, target, 0o644, 0, b"");
        self
    }

    /// The archive.
    pub fn archive(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }

    /// The archive in a file.
    pub fn write(self, path: &Path) -> fs::File {
        let mut file = fs::File::create_new(path).unwrap();
        file.write_all(&self.archive()).unwrap();
        fs::File::open(path).unwrap()
    }
}
