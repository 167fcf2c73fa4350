//! Which of the host's users a machine's users are.
//!
//! Always in a user namespace, so that the machine's root is not the host's root:
//!
//! | who runs the endpoint | the machine's users are |
//! |---|---|
//! | root | 65,536 ids of its own, that nobody else has |
//! | root in a container that lacks those ids | the container's, without its privileges outside of the machine |
//! | a user with `newuidmap` and a range in `/etc/subuid` | root is the user, the others are from that range |
//! | a user without | root is the user, and there is nobody else |

use super::protocol::Users;
use rustix::{
    process::{Pid, getegid, geteuid},
    thread::{CapabilitySet, capabilities},
};
use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// How many ids a machine of root's has.
pub const RANGE: u32 = 1 << 16;
/// The first id that machines of root's may have: above what systemd's containers use, see <https://systemd.io/UIDS-GIDS/>, and above
/// 2,000,200,000, where the ids end that sssd makes of Windows' (sssd-ldap(5), `ldap_idmap_range_max`).
pub const FIRST: u32 = 0x7740_0000;
/// How many ranges there are from [`FIRST`] on, below 2^31.
pub const RANGES: u32 = 0x08bf;
/// The first id that an earlier version gave. Disks that have such ids keep them.
const EARLIER: u32 = 0x7000_0000;

/// The first id of those that the files of root's images belong to, on the disk: the range behind those of the machines. Each
/// machine has them mapped to its own. So what is set-uid root in an image is nobody's on the host, wherever it lies.
pub const IMAGES: u32 = FIRST + RANGES * RANGE;

/// Whose the kernel says is what belongs to a user that isn't mapped (user_namespaces(7)).
const NOBODY: u32 = 65534;

/// Where on a machine's disk its files are; this directory belongs to the machine's root.
pub const FILES: &str = "files";

/// The first id of the range to which the files on a machine's disk belong, if there are any and they belong to one.
pub fn range_of(disk: &Path) -> Option<u32> {
    let owner = fs::metadata(disk.join(FILES)).ok()?.uid();
    is_first(owner).then_some(owner)
}

/// Whether a range begins with this id.
fn is_first(id: u32) -> bool {
    (EARLIER..IMAGES).contains(&id) && id.is_multiple_of(RANGE)
}

/// Refuses a directory with a machine's files that belongs to somebody else, whom the machine's root would be.
pub fn check_owner(files: &Path) -> io::Result<()> {
    match fs::metadata(files) {
        Ok(found) if geteuid().is_root() && found.uid() != 0 && !is_first(found.uid()) => {
            Err(io::Error::other(format!(
                "use {}: it belongs to user {}, and not to a machine; give it back to whom it belonged, or terminate the instance",
                files.display(),
                found.uid()
            )))
        }
        _ => Ok(()),
    }
}

/// The ranges of the disks that lie beside a machine's.
pub fn ranges_beside(disk: &Path) -> BTreeSet<u32> {
    let disks = disk.parent().and_then(|machines| fs::read_dir(machines).ok());
    disks.into_iter().flatten().filter_map(|disk| range_of(&disk.ok()?.path())).collect()
}

/// How a machine's ids are mapped to the host's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// 0 is this id of the host's, and so on for [`RANGE`] ids.
    Range(u32),
    /// Every id is itself: so is a machine below the keeper's own namespaces (`super::seclusion`), too.
    Same(Vec<(u32, u32)>),
    /// 0 is the user; from 1 on come the delegated ids.
    Delegated { users: Delegation, groups: Delegation },
    /// 0 is the user.
    Single,
}

/// A range of ids that a user may map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegation {
    first: u32,
    count: u32,
    helper: PathBuf,
}

impl Identity {
    /// What the calling process can have. `files` is the directory with the machine's files: if it was booted before, they
    /// keep their owner; else `first_id` begins its range.
    pub fn choose(files: Option<&Path>, first_id: u32) -> Self {
        if geteuid().is_root() {
            let mapped = own_map("/proc/self/uid_map");
            let owner = files.and_then(|files| Some(fs::metadata(files).ok()?.uid()));
            let first = owner.unwrap_or(first_id);
            let fits = |extent: &(u32, u32)| first >= extent.0 && first - extent.0 <= extent.1.saturating_sub(RANGE);
            return if first != 0 && mapped.iter().any(fits) { Self::Range(first) } else { Self::Same(mapped) };
        }
        let delegated = || {
            let names = [geteuid().as_raw().to_string(), user_name(geteuid().as_raw())?];
            Some(Self::Delegated {
                users: delegation("/etc/subuid", &names, "newuidmap")?,
                groups: delegation("/etc/subgid", &names, "newgidmap")?,
            })
        };
        delegated().unwrap_or(Self::Single)
    }

    /// How many users there are.
    pub fn users(&self) -> Users {
        match self {
            Self::Single => Users::RootOnly,
            Self::Same(extents) if matches!(extents[..], [(_, 1)]) => Users::RootOnly,
            _ => Users::Many,
        }
    }

    /// Who owns, on the host, what belongs to the machine's root.
    pub fn root(&self) -> (u32, u32) {
        match self {
            Self::Range(first) => (*first, *first),
            _ => (geteuid().as_raw(), getegid().as_raw()),
        }
    }

    /// Refuses what the kernel would refuse later on with less of a word, and where one of the machine's users would be the
    /// host's root, to whom what is in `/proc/sys` and `/sys` belongs whatever capabilities it has.
    pub fn check(&self) -> io::Result<()> {
        match self {
            Self::Range(_) if !capabilities(None)?.effective.contains(CapabilitySet::SYS_ADMIN) => {
                Err(io::Error::other(
                    "make machines as a root without CAP_SYS_ADMIN: give it to the container (`--cap-add SYS_ADMIN`), or run it \
                     as an ordinary user",
                ))
            }
            // What isn't mapped here is shown as nobody's.
            Self::Same(_) if fs::metadata("/proc/sys/kernel")?.uid() != NOBODY => Err(io::Error::other(
                "keep the machine's root from being the host's: the host's root is a user of this user namespace, as after \
                 `unshare --map-root-user`; run it outside of the namespace, or as another user",
            )),
            _ => Ok(()),
        }
    }

    /// Maps the ids of a process that is in a user namespace of its own, which has none yet.
    pub fn apply(&self, pid: Pid) -> io::Result<()> {
        let pid = pid.as_raw_pid();
        let write = |file: &str, text: &str| {
            let path = format!("/proc/{pid}/{file}");
            fs::write(&path, text).map_err(|error| io::Error::new(error.kind(), format!("write {path}: {error}")))
        };
        match self {
            Self::Range(first) => {
                write("uid_map", &format!("0 {first} {RANGE}\n"))?;
                write("gid_map", &format!("0 {first} {RANGE}\n"))
            }
            Self::Same(extents) => {
                let map: String = extents.iter().map(|(first, count)| format!("{first} {first} {count}\n")).collect();
                write("uid_map", &map)?;
                write("gid_map", &map)
            }
            Self::Delegated { users, groups } => {
                users.apply(pid, geteuid().as_raw())?;
                groups.apply(pid, getegid().as_raw())
            }
            Self::Single => {
                // Without a helper's blessing a process may map its own group only once it has given up setgroups(2),
                // see user_namespaces(7).
                write("setgroups", "deny")?;
                write("uid_map", &format!("0 {} 1\n", geteuid().as_raw()))?;
                write("gid_map", &format!("0 {} 1\n", getegid().as_raw()))
            }
        }
    }
}

impl Delegation {
    fn apply(&self, pid: i32, own: u32) -> io::Result<()> {
        let helper = self.helper.display();
        let ids = [0, own, 1, 1, self.first, self.count].map(|id| id.to_string());
        let output = Command::new(&self.helper)
            .arg(pid.to_string())
            .args(ids)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| io::Error::new(error.kind(), format!("run {helper}: {error}")))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("map ids with {helper}: {} ({})", said.trim(), output.status)))
    }
}

/// The ids that exist in this process's own user namespace: first and count.
fn own_map(path: &str) -> Vec<(u32, u32)> {
    let map = fs::read_to_string(path).unwrap_or_default();
    let extent = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        Some((numbers.next()?.ok()?, numbers.nth(1)?.ok()?))
    };
    map.lines().filter_map(extent).collect()
}

fn user_name(id: u32) -> Option<String> {
    let id = id.to_string();
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    let mut lines = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines
        .find(|fields| fields.get(2) == Some(&id.as_str()))
        .and_then(|fields| fields.first().map(|name| (*name).into()))
}

/// The user's range in a file such as `/etc/subuid` (subuid(5)), and the helper that may map it.
fn delegation(file: &str, names: &[String], helper: &str) -> Option<Delegation> {
    let places = ["/usr/bin", "/bin", "/usr/sbin", "/usr/local/bin", "/run/wrappers/bin"];
    let helper = places.iter().map(|place| Path::new(place).join(helper)).find(|path| path.is_file())?;
    let (first, count) = range(&fs::read_to_string(file).ok()?, names)?;
    Some(Delegation { first, count: count.min(RANGE - 1), helper })
}

fn range(file: &str, names: &[String]) -> Option<(u32, u32)> {
    file.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next()?;
        let (first, count): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (names.iter().any(|own| own == name) && count > 0).then_some((first, count))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_range_by_name_or_id() {
        let names = ["1000".to_owned(), "mia".to_owned()];
        let file = "# comment\nmiami:1:2\n\nmia:100000:0\nbroken:x\nmia:165536:65536\n1000:5:6\n";
        assert_eq!(range(file, &names), Some((165_536, 65_536)));
        assert_eq!(range("1000:5:6", &names), Some((5, 6)));
        assert_eq!(range("other:5:6", &names), None);
    }

    #[test]
    fn ranges_lie_between_those_of_others_and_the_sign_bit() {
        assert!(FIRST > 2_000_200_000 && is_first(FIRST));
        assert_eq!(IMAGES, 0x7fff_0000);
        assert_eq!(u64::from(IMAGES) + u64::from(RANGE), 1 << 31);
    }

    #[test]
    fn only_a_ranges_first_id_is_a_machines_root() {
        for (id, expected) in [
            (0, false),
            (1000, false),
            (0x6fff_0000, false),
            (0x7000_0000, true),
            (0x7001_0000, true),
            (0x7001_0001, false),
            (FIRST, true),
            (IMAGES - RANGE, true),
            (IMAGES, false),
            (u32::MAX, false),
        ] {
            assert_eq!(is_first(id), expected, "{id:x}");
        }
    }
}
