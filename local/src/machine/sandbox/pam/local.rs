//! Which lines are about the machine's own files, and say nothing of the host's users, groups and addresses.

use super::{super::system_files::FROM_HOST, SETTINGS, line::Entry};
use std::path::{Component, Path};

/// The modules that ask nobody but the kernel and files that a machine has, or can do without.
/// `pam_echo` and `pam_listfile` aren't among them: they read files that the host's administrator has written.
const MODULES: &[&str] = &[
    "pam_access",
    "pam_cap",
    "pam_debug",
    "pam_deny",
    "pam_env",
    "pam_faildelay",
    "pam_faillock",
    "pam_filter",
    "pam_group",
    "pam_issue",
    "pam_keyinit",
    "pam_lastlog",
    "pam_limits",
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
/// Where a machine has files like the host's, or modules make theirs.
const DIRECTORIES: &[&str] = &[
    "/bin",
    "/dev",
    "/etc/skel",
    "/lib",
    "/lib64",
    "/run",
    "/sbin",
    "/usr",
    "/var/mail",
    "/var/run",
    "/var/spool/mail",
];
/// Those of `/etc` that a machine has of its own.
const FILES: &[&str] = &["/etc/environment", "/etc/issue", "/etc/nsswitch.conf", "/etc/passwd", "/etc/shells"];
/// Users and groups that everybody knows of.
const NAMES: &[&str] = &["root", "sudo", "wheel"];
/// What else options are set to.
const WORDS: &[&str] = &["", "fail", "never", "no", "succeed", "yes"];
/// The options of `pam_succeed_if`; all else are its conditions.
const OPTIONS: &[&str] = &["audit", "debug", "quiet", "quiet_fail", "quiet_success", "use_uid"];

/// Whether a line can do in a machine what it does on the host, where this knows the files that may be included.
pub(super) fn is_local(entry: &Entry, is_there: &dyn Fn(&str) -> bool) -> bool {
    if entry.is_include() {
        return !entry.target.contains('/') && is_there(&entry.target);
    }
    let has_module = !entry.target.starts_with('/') || is_path(&entry.target);
    let names_nobody = match entry.module() {
        "pam_succeed_if" => are_conditions(&entry.arguments),
        _ => entry.arguments.iter().all(|argument| is_argument(argument)),
    };
    has_module && MODULES.contains(&entry.module()) && names_nobody
}

fn is_argument(argument: &str) -> bool {
    match argument.split_once('=') {
        Some((_, value)) => is_value(value),
        None if argument.contains('/') => is_path(argument),
        None => is_word(argument),
    }
}

fn is_word(text: &str) -> bool {
    text.chars().all(|character| character.is_ascii_alphanumeric() || "_-".contains(character))
}

fn is_value(value: &str) -> bool {
    WORDS.contains(&value) || NAMES.contains(&value) || value.parse::<i64>().is_ok() || value.split(':').all(is_path)
}

/// Whether a machine has what is at a path, or may make it.
fn is_path(path: &str) -> bool {
    let path = Path::new(path);
    let lies_in = |directory: &str| path.starts_with(directory);
    let is_settings = |(_, name): &(&str, &str)| path == Path::new("/etc/security").join(name);
    path.components().all(|part| part != Component::ParentDir)
        && (lies_in("~")
            || DIRECTORIES.iter().chain(FILES).any(|directory| lies_in(directory))
            || FROM_HOST.iter().any(|name| lies_in(&format!("/etc/{name}")))
            || SETTINGS.iter().any(is_settings))
}

/// Whether the conditions of a `pam_succeed_if` ask for ranges of numbers, or for names that everybody knows.
fn are_conditions(arguments: &[String]) -> bool {
    let mut arguments = arguments.iter().map(String::as_str);
    while let Some(first) = arguments.next() {
        if OPTIONS.contains(&first) {
            continue;
        }
        let (operator, value) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
        let is_known = match (first, operator) {
            ("uid" | "gid", "lt" | "le" | "gt" | "ge" | "<" | "<=" | ">" | ">=") => value.parse::<u32>().is_ok(),
            ("uid" | "gid", _) => value == "0",
            ("user" | "ruser", _) => value.split(':').all(|name| NAMES.contains(&name)),
            ("shell", _) => value.split(':').all(is_path),
            ("service", _) => value.split(':').all(is_word),
            _ => false,
        };
        if !is_known {
            return false;
        }
    }
    true
}
