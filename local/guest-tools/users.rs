//! `/etc/passwd` and `/etc/group`, read without libc's name services: a static program has none.

use std::{fs, path::PathBuf};

/// An account.
#[derive(Clone)]
pub struct User {
    /// The login name.
    pub name: String,
    /// The user id.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// The home directory.
    pub home: PathBuf,
    /// The login shell.
    pub shell: PathBuf,
}

/// A group.
pub struct Group {
    /// The name.
    pub name: String,
    /// The group id.
    pub gid: u32,
    /// The names of its further members.
    pub members: Vec<String>,
}

/// All accounts.
pub fn users() -> Vec<User> {
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let &[name, _, uid, gid, _, home, shell] = fields.as_slice() else { return None };
        let shell = if shell.is_empty() { "/bin/sh" } else { shell };
        Some(User {
            name: name.to_owned(),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            home: home.into(),
            shell: shell.into(),
        })
    };
    fs::read_to_string("/etc/passwd").unwrap_or_default().lines().filter_map(parse).collect()
}

/// All groups.
pub fn groups() -> Vec<Group> {
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let &[name, _, gid, members] = fields.as_slice() else { return None };
        let members = members.split(',').filter(|member| !member.is_empty()).map(str::to_owned).collect();
        Some(Group { name: name.to_owned(), gid: gid.parse().ok()?, members })
    };
    fs::read_to_string("/etc/group").unwrap_or_default().lines().filter_map(parse).collect()
}

/// The account that `name` or `#uid` stands for.
pub fn user(name: &str) -> Option<User> {
    match name.strip_prefix('#') {
        Some(uid) => by_uid(uid.parse().ok()?),
        None => users().into_iter().find(|user| user.name == name),
    }
}

/// The first account with that id.
pub fn by_uid(uid: u32) -> Option<User> {
    users().into_iter().find(|user| user.uid == uid)
}

/// The group that `name` or `#gid` stands for.
pub fn group(name: &str) -> Option<u32> {
    match name.strip_prefix('#') {
        Some(gid) => gid.parse().ok(),
        None => groups().into_iter().find(|group| group.name == name).map(|group| group.gid),
    }
}

/// The ids of all groups of a user.
pub fn groups_of(user: &User) -> Vec<u32> {
    let further = groups().into_iter().filter(|group| group.members.contains(&user.name)).map(|group| group.gid);
    let mut all = vec![user.gid];
    all.extend(further.filter(|gid| *gid != user.gid));
    all
}
