//! What a machine of an image's own system is given at its first boot: its names and addresses, and what few images lack.
//! Users, services and all else are the image's.

use super::{
    protocol::Users,
    root::told,
    system_files::{self, Settings},
};
use crate::guest::root::Root;
use rustix::fs::{Mode, OFlags, fchmod};
use std::io;

/// Directories that any system has, in case that the image hasn't.
const DIRECTORIES: [(&str, u32); 6] =
    [("etc", 0o755), ("home", 0o755), ("root", 0o700), ("var", 0o755), ("var/log", 0o755), ("var/tmp", 0o1777)];

/// Writes the files below `/`, which is the image's already: links in it lead nowhere else, nor to what this process has open.
pub fn generate(settings: &Settings<'_>, users: Users) -> io::Result<()> {
    let root = Root::default();
    for (name, mode) in DIRECTORIES {
        let made = || {
            // A link that leads to where there is nothing yet is the image's way to have it elsewhere.
            if !root.has(name)? {
                root.directory(name)?;
                let directory = root.open(name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW, 0)?;
                fchmod(directory, Mode::from_raw_mode(mode))?;
            }
            io::Result::Ok(())
        };
        made().map_err(told("make", format!("/{name}")))?;
    }
    let write = |path: &str, text: &str, mode| root.write(path, text, mode).map_err(told("write", path));
    let own = system_files::own_texts(settings);
    write("/etc/hostname", &own.hostname, 0o644)?;
    write("/etc/hosts", &own.hosts, 0o644)?;
    write("/etc/resolv.conf", &own.resolv_conf, 0o644)?;
    // An image that is ready to be copied has an empty one, or says so, see machine-id(5).
    let machine_id = read(&root, "/etc/machine-id");
    if matches!(machine_id.trim(), "" | "uninitialized") {
        write("/etc/machine-id", &system_files::machine_id()?, 0o444)?;
    }
    for (path, line, mode) in [
        ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o644),
        ("/etc/group", "root:x:0:\n", 0o644),
        ("/etc/shadow", "root:*:20000:0:99999:7:::\n", 0o600),
    ] {
        let text = read(&root, path);
        if !text.lines().any(|line| line.starts_with("root:")) {
            write(path, &format!("{line}{text}"), mode)?;
        }
    }
    // It would become another user to fetch packages (apt.conf(5)), and there is none.
    if users == Users::RootOnly && root.path("/etc/apt/apt.conf.d").is_dir() {
        write("/etc/apt/apt.conf.d/90-ec2-local", "APT::Sandbox::User \"root\";\n", 0o644)?;
    }
    Ok(())
}

/// Reads a regular file of the image's; whatever else is there is nothing to be kept.
fn read(root: &Root, path: &str) -> String {
    root.read_or_empty(path).unwrap_or_default()
}
