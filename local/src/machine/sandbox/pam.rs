//! PAM's configuration of a machine: the host's, as far as it is about the machine's own files.
//!
//! Without one `su`, `chpasswd` and their like do nothing at all. What the host has beside that (a directory service, a second
//! factor, a session manager) isn't in a machine, and would keep everybody out: such a line becomes one without a say.

use super::{root::told, shared, system_files};
use std::{borrow::Cow, fs, io, os::unix::fs::PermissionsExt, path::Path};

/// Where the host has it.
const SERVICES: &str = "/etc/pam.d";
/// Where the host has what modules are told.
const SETTINGS_OF_MODULES: &str = "/etc/security";
/// The modules that ask nobody but the kernel and files that a machine has, or can do without.
const LOCAL: &[&str] = &[
    "pam_access",
    "pam_cap",
    "pam_debug",
    "pam_deny",
    "pam_echo",
    "pam_env",
    "pam_faildelay",
    "pam_faillock",
    "pam_filter",
    "pam_group",
    "pam_issue",
    "pam_keyinit",
    "pam_lastlog",
    "pam_limits",
    "pam_listfile",
    "pam_localuser",
    "pam_loginuid",
    "pam_mail",
    "pam_mkhomedir",
    "pam_motd",
    "pam_nologin",
    "pam_permit",
    "pam_pwhistory",
    "pam_pwquality",
    "pam_rootok",
    "pam_securetty",
    "pam_selinux",
    "pam_shells",
    "pam_succeed_if",
    "pam_time",
    "pam_timestamp",
    "pam_umask",
    "pam_unix",
    "pam_usertype",
    "pam_warn",
    "pam_wheel",
    "pam_xauth",
];
/// Those that fail, or complain, where the file with their settings is missing.
const SETTINGS: [(&str, &str); 6] = [
    ("pam_access", "access.conf"),
    ("pam_cap", "capability.conf"),
    ("pam_env", "pam_env.conf"),
    ("pam_group", "group.conf"),
    ("pam_limits", "limits.conf"),
    ("pam_time", "time.conf"),
];

/// Generates it below the root directory of a machine that has never run.
pub fn generate(root: &Path) -> io::Result<()> {
    // A host may do without PAM.
    let Ok(services) = fs::read_dir(SERVICES) else { return Ok(()) };
    if ![SERVICES, SETTINGS_OF_MODULES].iter().all(|directory| shared::is_passable(&Path::new(directory).join("any"))) {
        return Ok(());
    }
    for directory in ["etc/pam.d", "etc/security"] {
        fs::create_dir_all(root.join(directory)).map_err(told("make", directory))?;
    }
    let mut all = String::new();
    for service in services {
        let from = service.map_err(told("list", SERVICES))?.path();
        if let (Some(name), Some(text)) = (from.file_name().and_then(|name| name.to_str()), public_text(&from)) {
            let text = local(&text);
            system_files::write(root, &format!("etc/pam.d/{name}"), &text, 0o644)?;
            all.push_str(&text);
        }
    }
    for (_, name) in SETTINGS.iter().filter(|(module, _)| all.contains(module)) {
        if let Some(text) = public_text(&Path::new(SETTINGS_OF_MODULES).join(name)) {
            system_files::write(root, &format!("etc/security/{name}"), unset(&text), 0o644)?;
        }
    }
    Ok(())
}

/// What everybody on the host may read; through links, too, such as authselect's.
fn public_text(path: &Path) -> Option<String> {
    let mut found = path.symlink_metadata().ok()?;
    let mut path = Cow::Borrowed(path);
    if found.is_symlink() {
        path = path.canonicalize().ok()?.into();
        found = path.metadata().ok()?;
        if !shared::is_passable(&path) {
            return None;
        }
    }
    let is_public = found.is_file() && found.permissions().mode() & 0o004 != 0;
    is_public.then(|| fs::read_to_string(path).ok()).flatten()
}

/// The file as its package has it, of which all is a comment; nothing of one in which something is set, since that names users and
/// addresses of the host's.
fn unset(text: &str) -> &str {
    let is_comment = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if text.lines().all(is_comment) { text } else { "" }
}

/// A service's file (pam.d(5)) with lines of other modules than local ones without a say. They stay lines, since others may pass
/// over a number of them.
fn local(text: &str) -> String {
    let mut result = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.is_empty() || line.starts_with('#') {
            result.push_str(line);
            result.push('\n');
            continue;
        }
        let mut whole = line.to_owned();
        while whole.ends_with('\\') {
            whole.push('\n');
            whole.push_str(lines.next().unwrap_or_default());
        }
        match foreign(&whole) {
            Some((kind, module)) => {
                result.push_str(&format!("# {module} is the host's alone.\n{kind} [default=ignore] pam_permit.so\n"));
            }
            None => {
                result.push_str(&whole);
                result.push('\n');
            }
        }
    }
    result
}

/// A line's type and module, where that isn't a local one.
fn foreign(line: &str) -> Option<(String, String)> {
    let line = line.replace("\\\n", " ");
    let line = line.split('#').next().unwrap_or_default().trim();
    let (kind, rest) = line.split_once(char::is_whitespace)?;
    let kind = kind.trim_start_matches('-');
    if kind.starts_with('@') {
        return None;
    }
    let rest = rest.trim_start();
    let (control, rest) = match rest.starts_with('[') {
        true => rest.split_once(']')?,
        false => rest.split_once(char::is_whitespace)?,
    };
    let module = rest.split_whitespace().next()?;
    let module = module.rsplit('/').next().unwrap_or(module);
    let names_a_file = ["include", "substack"].contains(&control);
    let is_local = LOCAL.contains(&module.trim_end_matches(".so"));
    (!names_a_file && !is_local).then(|| (kind.to_owned(), module.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_of_the_hosts_have_no_say_and_keep_their_place() {
        let text = "# mine\n@include common-auth\nauth [success=2 default=ignore]\tpam_unix.so nullok # local\n\
                    auth [success=1 default=ignore] \\\n  pam_sss.so use_first_pass\nauth requisite pam_deny.so\n\
                    -session optional /usr/lib/security/pam_systemd.so\nauth substack system-auth\n\
                    account include password-auth\n\nauth required pam_google_authenticator.so\n";
        let expected = "# mine\n@include common-auth\nauth [success=2 default=ignore]\tpam_unix.so nullok # local\n\
                        # pam_sss.so is the host's alone.\nauth [default=ignore] pam_permit.so\n\
                        auth requisite pam_deny.so\n\
                        # pam_systemd.so is the host's alone.\nsession [default=ignore] pam_permit.so\n\
                        auth substack system-auth\naccount include password-auth\n\n\
                        # pam_google_authenticator.so is the host's alone.\nauth [default=ignore] pam_permit.so\n";
        assert_eq!(local(text), expected);
        assert_eq!(local("auth\nauth required\n\\"), "auth\nauth required\n\\\n\n");
    }

    #[test]
    fn settings_stay_with_the_host() {
        assert_eq!(unset("# one\n\n  # two\n"), "# one\n\n  # two\n");
        assert_eq!(unset("# one\nmia hard nproc 5\n"), "");
    }
}
