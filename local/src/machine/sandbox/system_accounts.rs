//! The accounts of a machine with the host's programs, and the records of who has logged in.

use super::{
    root::{NOBODY, told},
    system_files::write,
};
use crate::guest::accounts::give;
use std::{
    fmt::Write as _,
    fs, io,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

/// The first id of people rather than of services (login.defs(5), `UID_MIN`).
const PEOPLE: u32 = 1000;

/// Generates them below the root directory of a machine that has never run: root and the host's services; the agent adds the user that
/// logs in, as cloud-init would.
pub fn generate(root: &Path, login_user: &str) -> io::Result<()> {
    let shell = if Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" };
    let today = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400);
    let mut passwd = format!("root:x:0:0:root:/root:{shell}\n");
    let mut shadow = format!("root:*:{today}:0:99999:7:::\n");
    for fields in services("/etc/passwd", 7, &["root", login_user]) {
        let _ = writeln!(passwd, "{}", fields.join(":"));
        let _ = writeln!(shadow, "{}:*:{today}:0:99999:7:::", fields[0]);
    }
    let mut group = String::from("root:x:0:\n");
    let mut gshadow = String::from("root:*::\n");
    for fields in services("/etc/group", 4, &["root", login_user]) {
        let _ = writeln!(group, "{}:x:{}:", fields[0], fields[2]);
        let _ = writeln!(gshadow, "{}:*::", fields[0]);
    }
    write(root, "etc/passwd", &passwd, 0o644)?;
    write(root, "etc/group", &group, 0o644)?;
    for (path, text, group_name, mode) in [
        ("etc/shadow", shadow.as_str(), "shadow", 0o640),
        ("etc/gshadow", &gshadow, "shadow", 0o640),
        // Who has logged in, utmp(5): there is nobody yet.
        ("var/log/wtmp", "", "utmp", 0o664),
        ("var/log/btmp", "", "utmp", 0o660),
        ("var/log/lastlog", "", "utmp", 0o664),
    ] {
        // Where no such group is, it is root's alone to write to, and to read if others may not.
        let found = group.lines().find_map(|line| line.strip_prefix(group_name)?.strip_prefix(":x:"));
        let gid = found.and_then(|rest| rest.trim_end_matches(':').parse().ok());
        write(root, path, text, if gid.is_some() { mode } else { mode & 0o604 })?;
        give(&root.join(path), (0, gid.unwrap_or(0))).map_err(told("give", path))?;
    }
    Ok(())
}

/// The host's accounts of services, so that its programs find those they run as; people's stay outside.
fn services(file: &str, fields: usize, except: &[&str]) -> Vec<Vec<String>> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let split = text.lines().map(|line| line.split(':').map(str::to_owned).collect::<Vec<_>>());
    split
        .filter(|line| {
            let id = line.get(2).and_then(|id| id.parse().ok());
            line.len() == fields
                && !except.contains(&line[0].as_str())
                && id.is_some_and(|id: u32| (1..PEOPLE).contains(&id) || id == NOBODY)
        })
        .map(|mut line| {
            if let Some(password) = line.get_mut(1) {
                "x".clone_into(password);
            }
            line
        })
        .collect()
}
