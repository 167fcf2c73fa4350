//! Who may have made a directory what it is. The rule is that of OpenSSH's `StrictModes` (`safe_path` in `misc.c`), with Debian's
//! exception for groups of one user, and with one for sticky directories: what is in those, only its owner can replace.

use rustix::{
    fs::{FileType, Stat},
    process::geteuid,
};
use std::{fs, path::Path};

/// The sticky bit, and who may write.
const STICKY: u32 = 0o1000;
const GROUP: u32 = 0o020;
const OTHERS: u32 = 0o002;

/// What is wrong with a directory that leads to one of ours.
pub fn fault_on_the_way(path: &Path, found: &Stat, root: &Stat) -> Option<String> {
    // Within a user namespace that lacks the host's root, that is nobody's: but who has `/` has everything.
    if !is_own_or_roots(found) && found.st_uid != root.st_uid {
        return Some(format!(
            "{} belongs to {}, who can put another directory there",
            path.display(),
            user(found.st_uid)
        ));
    }
    fault_of_mode(path, found)
}

/// What is wrong with a directory of ours.
pub fn fault_of_own(path: &Path, found: &Stat) -> Option<String> {
    if !FileType::from_raw_mode(found.st_mode).is_dir() {
        return Some(format!("{} is {}, where a directory of ours is expected", path.display(), kind(found)));
    }
    fault_of_owner(path, found).or_else(|| fault_of_mode(path, found))
}

/// What is wrong with the owner of something of ours.
pub fn fault_of_owner(path: &Path, found: &Stat) -> Option<String> {
    let own = geteuid().as_raw();
    (found.st_uid != own).then(|| format!("{} belongs to {}, not to {}", path.display(), user(found.st_uid), user(own)))
}

/// What is wrong with a symbolic link on the way.
pub fn fault_of_link(path: &Path, found: &Stat) -> Option<String> {
    (!is_own_or_roots(found))
        .then(|| format!("{} is a symbolic link of {}, who can lead it elsewhere", path.display(), user(found.st_uid)))
}

fn is_own_or_roots(found: &Stat) -> bool {
    [0, geteuid().as_raw()].contains(&found.st_uid)
}

fn fault_of_mode(path: &Path, found: &Stat) -> Option<String> {
    let mode = found.st_mode & 0o7777;
    if mode & STICKY != 0 {
        return None;
    }
    let (who, change) = if mode & OTHERS != 0 {
        ("everybody".to_owned(), "o-w")
    } else if mode & GROUP != 0 && !is_private_group(path, found) {
        (format!("the group {}", name_of("/etc/group", found.st_gid)), "g-w")
    } else {
        return None;
    };
    let path = path.display();
    Some(format!(
        "{path} has the mode {mode:04o}, so {who} can put something else there (chmod {change} {path}, or +t where it is shared)"
    ))
}

/// Whether nobody but the directory's owner belongs to its group, as far as this host's own files tell.
fn is_private_group(path: &Path, found: &Stat) -> bool {
    // What looks like the group's right may be others', by an access control list.
    let has_list = rustix::fs::lgetxattr(path, "system.posix_acl_access", &mut [0_u8; 0]).is_ok();
    let files = ["/etc/passwd", "/etc/group"].map(|file| fs::read_to_string(file).unwrap_or_default());
    !has_list && is_private(&files[0], &files[1], found.st_uid, found.st_gid)
}

fn is_private(users: &str, groups: &str, owner: u32, group: u32) -> bool {
    let [owner, group] = [owner, group].map(|id| id.to_string());
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    let users: Vec<_> = users.lines().map(fields).filter(|user| user.get(3) == Some(&group)).collect();
    let is_owners = |user: &Vec<String>| user.get(2) == Some(&owner);
    let names: Vec<_> = users.iter().filter(|user| is_owners(user)).filter_map(|user| user.first()).collect();
    let mut groups = groups.lines().map(fields).filter(|it| it.get(2) == Some(&group)).peekable();
    let is_alone = |it: Vec<String>| {
        let members = it.get(3).map_or("", String::as_str).trim();
        members.split(',').all(|member| member.is_empty() || names.iter().any(|name| *name == member))
    };
    !names.is_empty() && users.iter().all(is_owners) && groups.peek().is_some() && groups.all(is_alone)
}

/// What something is, in words.
pub fn kind(found: &Stat) -> &'static str {
    match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::RegularFile => "a file",
        FileType::Socket => "a socket",
        FileType::Fifo => "a pipe",
        _ => "a device",
    }
}

fn user(id: u32) -> String {
    format!("the user {}", name_of("/etc/passwd", id))
}

fn name_of(file: &str, id: u32) -> String {
    let id = id.to_string();
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = lines.find(|fields| fields.get(2) == Some(&id.as_str()));
    found.and_then(|fields| fields.first().map(|name| format!("{id} ({name})"))).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_private_if_its_owner_is_alone_in_it() {
        let users = "root:x:0:0::/root:/bin/sh\nmia:x:1000:1000::/home/mia:/bin/sh\nleo:x:1001:1000::/:/bin/sh\n\
                     ben:x:1002:1002::/:/bin/sh\nsue:x:1003:1003::/:/bin/sh";
        let groups = "root:x:0:\nmia:x:1000:\nben:x:1002:ben\nsue:x:1003:sue,mia\nstaff:x:50:\n";
        for (owner, group, expected) in [
            (0, 0, true),
            (1002, 1002, true),
            // Another's group is this one, too.
            (1000, 1000, false),
            (1003, 1003, false),
            (1002, 0, false),
            (0, 50, false),
            (0, 77, false),
            (4000, 4000, false),
        ] {
            assert_eq!(is_private(users, groups, owner, group), expected, "{owner} {group}");
        }
    }
}
