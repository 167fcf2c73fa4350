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
/// What speaks to a service manager or its journal, and answers even where there is none: that something is enabled, or that nothing
/// was logged. Who looks for it shall not find it, and so go another way.
const ABSENT: &[&str] = &["systemctl", "journalctl"];
/// What stands in `/etc/sudoers` where the system has a sudo, but none that can run.
const SUDOERS: &str = "# The local EC2's own sudo heeds rules of all commands without a password, here and in the directory.\n\
                       root ALL=(ALL:ALL) ALL\n%sudo ALL=(ALL:ALL) NOPASSWD:ALL\n%wheel ALL=(ALL:ALL) NOPASSWD:ALL\n\
                       @includedir /etc/sudoers.d\n";
/// Where else the host may have one of that name, which would be found first.
const ELSEWHERE: &[&str] = &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Installs the commands over those of the system, which speak to a service manager that isn't there, and takes away those that have
/// no use without. A sudo with rules of its own stays.
pub fn install(root: &Root) -> io::Result<()> {
    let earlier = std::fs::read(root.path(HOME)).unwrap_or_default();
    if earlier == PROGRAM {
        return Ok(());
    }
    for name in ABSENT {
        for directory in ELSEWHERE {
            match std::fs::remove_file(root.path(format!("{directory}/{name}"))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    for (name, directory) in NAMES {
        for place in places(root, name, directory) {
            link(root, &place)?;
        }
    }
    let systems_sudo = ELSEWHERE.iter().map(|directory| format!("{directory}/sudo")).any(|place| {
        let is_own = root.read(&place).is_ok_and(|found| found == earlier || found == PROGRAM);
        root.path(place).exists() && !is_own
    });
    // The real one can't do without rules, or users to run it.
    if !systems_sudo || !root.path("/etc/sudoers").exists() || identity::single_user() {
        // A package that comes later brings its own rules, and would ask what is to become of these.
        if systems_sudo && !root.path("/etc/sudoers").exists() {
            root.write("/etc/sudoers", SUDOERS, 0o440)?;
        }
        for place in places(root, "sudo", "/usr/bin") {
            // A copy of its own: the bit must not be the other commands'.
            root.write(place, PROGRAM, 0o4755)?;
        }
    }
    // Last, since it is what is looked for above.
    root.write(HOME, PROGRAM, 0o755)
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
        for name in ["usr/bin/sudo", "sbin/reboot", "bin/systemctl", "usr/bin/journalctl"] {
            root.write(name, "the system's", 0o755).unwrap();
        }
        let read = |name: &str| fs::read(root.path(name)).unwrap();
        // Without rules it is of no use.
        install(&root).unwrap();
        assert_eq!(read("usr/bin/sudo"), PROGRAM);
        assert_eq!(fs::read_link(root.path("sbin/reboot")).unwrap(), Path::new(HOME));
        assert!(!root.path("bin/systemctl").exists() && !root.path("usr/bin/journalctl").exists());
        assert!(root.read_or_empty("etc/sudoers").unwrap().ends_with("\n@includedir /etc/sudoers.d\n"));

        // Another version's own is no system's.
        for name in [HOME, "usr/bin/sudo"] {
            root.write(name, "an earlier version's", 0o755).unwrap();
        }
        install(&root).unwrap();
        assert_eq!(read("usr/bin/sudo"), PROGRAM);

        fs::remove_file(root.path(HOME)).unwrap();
        root.write("usr/bin/sudo", "the system's", 0o755).unwrap();
        root.write("etc/sudoers", "@includedir /etc/sudoers.d", 0o440).unwrap();
        install(&root).unwrap();
        assert_eq!(read("usr/bin/sudo"), b"the system's");
        assert_eq!(fs::read_link(root.path("usr/bin/cloud-init")).unwrap(), Path::new(HOME));
    }
}
