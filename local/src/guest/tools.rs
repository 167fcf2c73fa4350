//! The guest's own commands, and putting them where the machine finds them.

use super::{identity, root::Root};
use std::{io, os::unix::fs::symlink, path::Path};

/// The program that is all of them, by the name that it is called by.
pub const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest-tools"));

/// Where the program lies.
const HOME: &str = "/usr/lib/ec2-local/ec2-local-guest";
/// The names, each with the directory that a system has it in.
const NAMES: &[(&str, &str)] = &[
    ("cloud-init", "/usr/bin"),
    ("cloud-id", "/usr/bin"),
    ("reboot", "/usr/sbin"),
    ("poweroff", "/usr/sbin"),
    ("halt", "/usr/sbin"),
    ("shutdown", "/usr/sbin"),
];
/// Where else the host may have one of that name, which would be found first.
const ELSEWHERE: &[&str] = &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Installs the commands over those of the system, which speak to a service manager that isn't there. A sudo with rules of
/// its own stays.
pub fn install(root: &Root) -> io::Result<()> {
    if std::fs::read(root.path(HOME)).is_ok_and(|found| found == PROGRAM) {
        return Ok(());
    }
    for (name, directory) in NAMES {
        for place in places(root, name, directory) {
            link(root, &place)?;
        }
    }
    if !has_own_sudo(root) {
        for place in places(root, "sudo", "/usr/bin") {
            // A copy of its own: the bit must not be the other commands'.
            root.write(place, PROGRAM, 0o4755)?;
        }
    }
    // Last, since it is what is looked for above.
    root.write(HOME, PROGRAM, 0o755)
}

/// Whether the system has a sudo of its own, with its rules, and users to run it: the real one can't do without either.
fn has_own_sudo(root: &Root) -> bool {
    let is_there = ELSEWHERE.iter().any(|directory| root.path(format!("{directory}/sudo")).exists());
    is_there && root.path("/etc/sudoers").exists() && !identity::single_user()
}

fn places(root: &Root, name: &str, directory: &str) -> Vec<String> {
    let mut places = vec![format!("{directory}/{name}")];
    let canonical = |path: &str| root.path(path).canonicalize().ok();
    let mut seen = vec![canonical(directory)];
    for other in ELSEWHERE {
        let found = canonical(other);
        if found.is_some() && !seen.contains(&found) && root.path(format!("{other}/{name}")).symlink_metadata().is_ok()
        {
            places.push(format!("{other}/{name}"));
        }
        seen.push(found);
    }
    places
}

fn link(root: &Root, place: &str) -> io::Result<()> {
    let path = root.path(place);
    let directory = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(directory)?;
    let temporary = directory.join(format!(".ec2-local-{:016x}", getrandom::u64().map_err(io::Error::other)?));
    symlink(HOME, &temporary)?;
    std::fs::rename(&temporary, &path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn take_the_place_of_the_systems_own_but_for_a_sudo_with_rules() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path());
        for name in ["usr/bin/sudo", "sbin/reboot"] {
            root.write(name, "the system's", 0o755).unwrap();
        }
        let read = |name: &str| fs::read(root.path(name)).unwrap();
        // Without rules it is of no use.
        install(&root).unwrap();
        assert_eq!(read("usr/bin/sudo"), PROGRAM);
        assert_eq!(fs::read_link(root.path("sbin/reboot")).unwrap(), Path::new(HOME));

        fs::remove_file(root.path(HOME)).unwrap();
        root.write("usr/bin/sudo", "the system's", 0o755).unwrap();
        root.write("etc/sudoers", "@includedir /etc/sudoers.d", 0o440).unwrap();
        install(&root).unwrap();
        assert_eq!(read("usr/bin/sudo"), b"the system's");
        assert_eq!(fs::read_link(root.path("usr/bin/cloud-init")).unwrap(), Path::new(HOME));
    }
}
