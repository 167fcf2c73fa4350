//! The accounts of the machine, as `/etc/passwd` and `/etc/group` hold them.

use super::{
    identity,
    root::{Root, is_the_kernels},
};
use rustix::fs::{AtFlags, CWD, Dir, FileType, OFlags, readlinkat, statat, symlinkat};
use std::{
    ffi::OsStr,
    fs::Permissions,
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, lchown},
    },
    path::{Path, PathBuf},
};

/// A line of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The login name.
    pub name: String,
    /// The user id.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// The home directory, as the machine names it.
    pub home: PathBuf,
    /// The login shell; `/bin/sh` where the file names none.
    pub shell: PathBuf,
}

/// A line of `/etc/group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The name.
    pub name: String,
    /// The group id.
    pub gid: u32,
    /// The members that have another primary group.
    pub members: Vec<String>,
}

/// All accounts; lines that don't parse are passed over, as libc does.
pub fn accounts(root: &Root) -> io::Result<Vec<Account>> {
    Ok(root.read_or_empty("/etc/passwd")?.lines().filter_map(parse_account).collect())
}

/// The account of that name.
pub fn account(root: &Root, name: &str) -> io::Result<Option<Account>> {
    Ok(accounts(root)?.into_iter().find(|account| account.name == name))
}

/// All groups.
pub fn groups(root: &Root) -> io::Result<Vec<Group>> {
    Ok(root.read_or_empty("/etc/group")?.lines().filter_map(parse_group).collect())
}

fn parse_account(line: &str) -> Option<Account> {
    let fields: Vec<&str> = line.split(':').collect();
    let &[name, _, uid, gid, _, home, shell] = fields.as_slice() else { return None };
    Some(Account {
        name: name.to_owned(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        home: PathBuf::from(home),
        shell: PathBuf::from(if shell.is_empty() { "/bin/sh" } else { shell }),
    })
}

fn parse_group(line: &str) -> Option<Group> {
    let fields: Vec<&str> = line.split(':').collect();
    let &[name, _, gid, members] = fields.as_slice() else { return None };
    let members = members.split(',').filter(|member| !member.is_empty()).map(str::to_owned).collect();
    Some(Group { name: name.to_owned(), gid: gid.parse().ok()?, members })
}

/// An account to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAccount {
    /// The login name.
    pub name: String,
    /// The full name. Default: empty.
    pub gecos: String,
    /// The login shell. Default: bash where there is one, else `/bin/sh`.
    pub shell: Option<String>,
    /// The home directory. Default: `/home/{name}`.
    pub home: Option<String>,
    /// The user id. Default: the first free one from 1000.
    pub uid: Option<u32>,
    /// The name of the primary group. Default: a group of the user's own.
    pub primary_group: Option<String>,
    /// Further groups; those that are missing are made.
    pub groups: Vec<String>,
    /// What stands in `/etc/shadow`. Default: `!`, no password.
    pub password: Option<String>,
    /// Whether its ids are below 1000. Default: no.
    pub system: bool,
    /// Whether to make no home directory. Default: no.
    pub no_home: bool,
}

impl NewAccount {
    /// An account with the defaults.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            gecos: String::new(),
            shell: None,
            home: None,
            uid: None,
            primary_group: None,
            groups: Vec::new(),
            password: None,
            system: false,
            no_home: false,
        }
    }
}

/// Makes an account, its groups and its home, and returns it; one that exists joins the groups, and gets the home that
/// it may lack.
pub fn add_account(root: &Root, new: &NewAccount) -> io::Result<Account> {
    valid_name(&new.name)?;
    let account = match account(root, &new.name)? {
        Some(account) => account,
        None => create(root, new)?,
    };
    if !new.no_home {
        make_home(root, &account)?;
    }
    for group in &new.groups {
        add_group(root, group, None)?;
        add_member(root, group, &new.name)?;
    }
    Ok(account)
}

fn create(root: &Root, new: &NewAccount) -> io::Result<Account> {
    // Where the kernel knows one id alone, everybody is root.
    let alone = identity::single_user();
    let taken: Vec<u32> = accounts(root)?.iter().map(|account| account.uid).collect();
    let uid = match new.uid {
        _ if alone => 0,
        Some(uid) => uid,
        None => free(&taken, new.system)?,
    };
    let gid = match &new.primary_group {
        Some(group) => add_group(root, group, None)?,
        None if alone => 0,
        None => add_group(root, &new.name, Some(uid))?,
    };
    let bash = root.path("/bin/bash").exists();
    let shell = new.shell.clone().unwrap_or_else(|| if bash { "/bin/bash" } else { "/bin/sh" }.to_owned());
    let home = new.home.clone().unwrap_or_else(|| format!("/home/{}", new.name));
    for field in [&new.gecos, &shell, &home] {
        if field.contains([':', '\n']) {
            return Err(io::Error::other(format!("`{field}` can't stand in /etc/passwd")));
        }
    }
    let line = format!("{}:x:{uid}:{gid}:{}:{home}:{shell}\n", new.name, new.gecos);
    append(root, "/etc/passwd", &line, 0o644)?;
    let password = new.password.as_deref().unwrap_or("!");
    append(root, "/etc/shadow", &format!("{}:{password}:20000:0:99999:7:::\n", new.name), 0o640)?;
    Ok(Account { name: new.name.clone(), uid, gid, home: home.into(), shell: shell.into() })
}

/// Makes a group if there is none of that name, and returns its id.
pub fn add_group(root: &Root, name: &str, wanted: Option<u32>) -> io::Result<u32> {
    valid_name(name)?;
    let groups = groups(root)?;
    if let Some(group) = groups.iter().find(|group| group.name == name) {
        return Ok(group.gid);
    }
    let taken: Vec<u32> = groups.iter().map(|group| group.gid).collect();
    let gid = match wanted.filter(|gid| !taken.contains(gid)) {
        Some(gid) => gid,
        None => free(&taken, false)?,
    };
    append(root, "/etc/group", &format!("{name}:x:{gid}:\n"), 0o644)?;
    if root.path("/etc/gshadow").exists() {
        append(root, "/etc/gshadow", &format!("{name}:!::\n"), 0o640)?;
    }
    Ok(gid)
}

/// Adds a user to a group that exists.
pub fn add_member(root: &Root, group: &str, user: &str) -> io::Result<()> {
    let text = root.read_or_empty("/etc/group")?;
    let mut changed = String::new();
    for line in text.lines() {
        match parse_group(line) {
            Some(found) if found.name == group && !found.members.iter().any(|member| member == user) => {
                let comma = if found.members.is_empty() { "" } else { "," };
                changed.push_str(&format!("{line}{comma}{user}\n"));
            }
            _ => changed.push_str(&format!("{line}\n")),
        }
    }
    root.rewrite("/etc/group", changed, 0o644)
}

/// Makes a directory, if it is missing, and gives it to a user; the directories above it stay root's.
pub fn make_directory(path: &Path, mode: u32, owner: (u32, u32)) -> io::Result<()> {
    std::fs::create_dir_all(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    give(path, owner)
}

/// Whether files can be others'. Who isn't root owns whatever it makes, and so does a root that is alone.
pub fn are_others() -> bool {
    rustix::process::geteuid().is_root() && !identity::single_user()
}

/// Gives a file to a user, where there are others.
pub fn give(path: &Path, (uid, gid): (u32, u32)) -> io::Result<()> {
    if are_others() { lchown(path, Some(uid), Some(gid)) } else { Ok(()) }
}

fn make_home(root: &Root, account: &Account) -> io::Result<()> {
    let home = root.path(&account.home);
    if !home.exists() {
        make_directory(&home, 0o755, (account.uid, account.gid))?;
        copy_skeleton(root, Path::new("/etc/skel"), &home, (account.uid, account.gid))?;
    }
    Ok(())
}

/// `from` is a path of the machine's.
fn copy_skeleton(root: &Root, from: &Path, to: &Path, owner: (u32, u32)) -> io::Result<()> {
    let directory = match root.open(from, OFlags::RDONLY | OFlags::DIRECTORY, 0) {
        Ok(directory) if !is_the_kernels(&directory)? => directory,
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => return Ok(()),
    };
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let (from, to) = (from.join(name), to.join(name));
        let found = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => {
                make_directory(&to, 0o755, owner)?;
                copy_skeleton(root, &from, &to, owner)?;
            }
            FileType::Symlink => {
                symlinkat(readlinkat(&directory, name, Vec::new())?, CWD, &to)?;
                give(&to, owner)?;
            }
            FileType::RegularFile => {
                std::fs::write(&to, root.read(&from)?)?;
                std::fs::set_permissions(&to, Permissions::from_mode(found.st_mode & 0o7777))?;
                give(&to, owner)?;
            }
            // Nobody's skeleton has others.
            _ => {}
        }
    }
    Ok(())
}

fn free(taken: &[u32], system: bool) -> io::Result<u32> {
    let mut ids: Box<dyn Iterator<Item = u32>> =
        if system { Box::new((100..1000).rev()) } else { Box::new(1000..60000) };
    ids.find(|id| !taken.contains(id)).ok_or_else(|| io::Error::other("every id is taken"))
}

fn append(root: &Root, path: &str, line: &str, mode: u32) -> io::Result<()> {
    let mut text = root.read_or_empty(path)?;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    root.rewrite(path, text, mode)
}

/// The names that useradd(8) accepts, and dots.
pub fn valid_name(name: &str) -> io::Result<()> {
    let mut characters = name.chars();
    let starts = characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
    let goes_on = characters.all(|other| other.is_ascii_alphanumeric() || "_-.$".contains(other));
    if starts && goes_on && name.len() <= 32 {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{name}` can't be the name of a user or a group")))
    }
}
