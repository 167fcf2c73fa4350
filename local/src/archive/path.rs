//! The rules that paths in an archive are held to.

use super::Rule;
use std::ffi::{CStr, CString};

/// One less than the kernel's `PATH_MAX`, which counts the NUL.
pub const LONGEST: usize = 4095;
/// The longest name in a directory of any usual file system.
pub const LONGEST_NAME: usize = 255;
/// Each directory on the way down is held open.
pub const DEEPEST: usize = 128;

/// The devices that every system has, and every machine has of its own: these are left out. An archive with others has more in
/// mind than a system's files.
pub const DEVICES: [&str; 8] = ["console", "full", "null", "ptmx", "random", "tty", "urandom", "zero"];

/// A path below the root directory: at least one name, none of which is `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside(Vec<CString>);

impl Inside {
    /// Reads a path as an archive has it; `None` for the root directory itself.
    pub fn of(path: &[u8]) -> Result<Option<Self>, Rule> {
        if path.is_empty() {
            return Err(Rule::NoName);
        }
        if path.starts_with(b"/") {
            return Err(Rule::Absolute);
        }
        if path.len() > LONGEST {
            return Err(Rule::LongPath);
        }
        let mut names = Vec::new();
        for name in path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")) {
            if name == b".." {
                return Err(Rule::Upwards);
            }
            if name.len() > LONGEST_NAME || names.len() == DEEPEST {
                return Err(Rule::LongPath);
            }
            names.push(CString::new(name).map_err(|_| Rule::Nul)?);
        }
        Ok(if names.is_empty() { None } else { Some(Self(names)) })
    }

    /// The directories on the way, and the name.
    pub fn split(&self) -> (&[CString], &CStr) {
        // There is always a last name.
        self.0.split_last().map_or((&[], c""), |(name, directories)| (directories, name))
    }

    /// Whether it is the place of a device that every system has.
    pub fn is_usual_device(&self) -> bool {
        let is_usual = |name: &CString| DEVICES.iter().any(|usual| usual.as_bytes() == name.to_bytes());
        matches!(&self.0[..], [top, name] if top.as_bytes() == b"dev" && is_usual(name))
    }

    /// Checks where a symbolic link at this path would lead.
    ///
    /// An absolute target is the machine's own, as `/etc/mtab` has it. One that climbs above the root is of no use to any
    /// system, and tells that the archive was made for something else.
    pub fn check_target(&self, target: &[u8]) -> Result<CString, Rule> {
        if target.is_empty() || target.len() > LONGEST {
            return Err(Rule::BadTarget);
        }
        let mut depth = if target.starts_with(b"/") { 0 } else { self.0.len() - 1 };
        for name in target.split(|byte| *byte == b'/') {
            match name {
                b"" | b"." => {}
                b".." => {
                    let escapes = || Rule::EscapingLink(super::error::shown(target));
                    depth = depth.checked_sub(1).ok_or_else(escapes)?;
                }
                _ => depth += 1,
            }
        }
        CString::new(target).map_err(|_| Rule::BadTarget)
    }
}

/// The path of a directory from the one that the names begin in.
pub fn joined(names: &[CString]) -> Vec<u8> {
    if names.is_empty() {
        b".".to_vec()
    } else {
        names.iter().map(|name| name.to_bytes()).collect::<Vec<_>>().join(&b'/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths() {
        let names = |path: &str| {
            let inside = Inside::of(path.as_bytes()).unwrap();
            inside.map(|inside| inside.0.iter().map(|name| name.to_str().unwrap().to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(names("./"), None);
        assert_eq!(names("."), None);
        for same in ["etc/passwd", "./etc/passwd", "etc//./passwd", ".//etc/passwd/"] {
            assert_eq!(names(same), Some(vec!["etc".to_owned(), "passwd".to_owned()]), "{same}");
        }
        for (path, rule) in [
            ("", Rule::NoName),
            ("/etc/passwd", Rule::Absolute),
            ("//etc", Rule::Absolute),
            ("..", Rule::Upwards),
            ("a/../b", Rule::Upwards),
            ("./..", Rule::Upwards),
            ("a/\0", Rule::Nul),
            (&"x".repeat(256), Rule::LongPath),
            (&"a/".repeat(129), Rule::LongPath),
            (&"abc/".repeat(1024), Rule::LongPath),
        ] {
            assert_eq!(Inside::of(path.as_bytes()), Err(rule), "{path}");
        }
    }

    #[test]
    fn targets() {
        let at = |path: &str| Inside::of(path.as_bytes()).unwrap().unwrap();
        for (path, target) in
            [("etc/mtab", "/proc/self/mounts"), ("bin", "usr/bin"), ("a/b/c", "../../d"), ("x", "y/../z"), ("x", "/")]
        {
            assert!(at(path).check_target(target.as_bytes()).is_ok(), "{path} {target}");
        }
        for (path, target) in [("x", ".."), ("a/b", "../../x"), ("a/b", "c/../../../etc"), ("x", "/../etc")] {
            let refused = at(path).check_target(target.as_bytes());
            assert_eq!(refused, Err(Rule::EscapingLink(target.to_owned())), "{path}");
        }
        assert_eq!(at("x").check_target(b""), Err(Rule::BadTarget));
        assert_eq!(at("x").check_target(b"a\0"), Err(Rule::BadTarget));
    }

    proptest! {
        /// Whatever is taken is a path of plain names, the same that the kernel would have walked from the root.
        #[test]
        fn nothing_leads_out(path in proptest::collection::vec(prop_oneof![
            Just(b"..".to_vec()), Just(b".".to_vec()), Just(Vec::new()), proptest::collection::vec(any::<u8>(), 0..5),
        ], 0..8)) {
            let path = path.join(&b'/');
            let plain = |name: &CString| {
                let name = name.to_bytes();
                !name.is_empty() && name != b"." && name != b".." && !name.contains(&b'/')
            };
            match Inside::of(&path) {
                Ok(Some(inside)) => {
                    prop_assert!(inside.0.iter().all(plain));
                    let walked: Vec<&[u8]> = path.split(|b| *b == b'/').filter(|n| !matches!(*n, b"" | b".")).collect();
                    prop_assert_eq!(walked, inside.0.iter().map(|name| name.to_bytes()).collect::<Vec<_>>());
                }
                Ok(None) => prop_assert!(path.iter().all(|byte| matches!(byte, b'.' | b'/'))),
                Err(_) => {
                    let upwards = path.split(|byte| *byte == b'/').any(|name| name == b"..");
                    prop_assert!(upwards || path.is_empty() || path.starts_with(b"/") || path.contains(&0));
                }
            }
        }
    }
}
