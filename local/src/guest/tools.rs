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
/// no use without, at the first boot: what comes later is the user's. A sudo with rules of its own stays.
///
/// # Errors
///
/// A file can't be written or removed. One that can't be removed keeps none from being installed.
pub fn install(root: &Root, first_boot: bool) -> io::Result<()> {
    let earlier = std::fs::read(root.path(HOME)).unwrap_or_default();
    if earlier == PROGRAM {
        return Ok(());
    }
    let removed = if first_boot { remove_absent(root) } else { Ok(()) };
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
    root.write(HOME, PROGRAM, 0o755)?;
    removed
}

/// Takes away what the system has of no use. What lies in `/usr/local` is somebody's own. Says which one couldn't be removed.
fn remove_absent(root: &Root) -> io::Result<()> {
    let mut result = Ok(());
    for name in ABSENT {
        for directory in ELSEWHERE.iter().filter(|directory| !directory.starts_with("/usr/local/")) {
            let path = root.path(format!("{directory}/{name}"));
            let is_program = path.symlink_metadata().is_ok_and(|found| found.is_file() || found.is_symlink());
            if is_program && let Err(error) = std::fs::remove_file(&path) {
                result = Err(io::Error::new(error.kind(), format!("remove {}: {error}", path.display())));
            }
        }
    }
    result
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
        install(&root, true).unwrap();
        assert_eq!(read("usr/bin/sudo"), PROGRAM);
        assert_eq!(fs::read_link(root.path("sbin/reboot")).unwrap(), Path::new(HOME));
        assert!(!root.path("bin/systemctl").exists() && !root.path("usr/bin/journalctl").exists());
        assert!(root.read_or_empty("etc/sudoers").unwrap().ends_with("\n@includedir /etc/sudoers.d\n"));

        // Another version's own is no system's.
        for name in [HOME, "usr/bin/sudo"] {
            root.write(name, "an earlier version's", 0o755).unwrap();
        }
        install(&root, false).unwrap();
        assert_eq!(read("usr/bin/sudo"), PROGRAM);

        fs::remove_file(root.path(HOME)).unwrap();
        root.write("usr/bin/sudo", "the system's", 0o755).unwrap();
        root.write("etc/sudoers", "@includedir /etc/sudoers.d", 0o440).unwrap();
        install(&root, false).unwrap();
        assert_eq!(read("usr/bin/sudo"), b"the system's");
        assert_eq!(fs::read_link(root.path("usr/bin/cloud-init")).unwrap(), Path::new(HOME));
    }

    #[test]
    fn what_speaks_to_a_service_manager_goes_once_and_never_with_what_is_somebodys_own() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path());
        for name in ["usr/local/bin/systemctl", "usr/bin/systemctl", "usr/sbin/journalctl/is a directory"] {
            root.write(name, "the system's", 0o755).unwrap();
        }
        symlink("nowhere", root.path("usr/bin/journalctl")).unwrap();
        let has = |name: &str| root.path(name).symlink_metadata().is_ok();
        install(&root, true).unwrap();
        assert!(has("usr/local/bin/systemctl") && has("usr/sbin/journalctl/is a directory"));
        assert!(!has("usr/bin/systemctl") && !has("usr/bin/journalctl"));

        // Another version's guest leaves alone what has come since.
        for name in [HOME, "usr/bin/systemctl"] {
            root.write(name, "a later one", 0o755).unwrap();
        }
        install(&root, false).unwrap();
        assert!(has("usr/bin/systemctl"));
        assert_eq!(fs::read(root.path(HOME)).unwrap(), PROGRAM);
    }
}
