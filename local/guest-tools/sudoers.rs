//! Whom the machine's lists let through: the local EC2's own, and rules of sudo's.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

/// A name, or a group as `%name`, a line.
const LIST: &str = "/etc/ec2-local/sudoers";
/// Rules, see sudoers(5).
const RULES: &str = "/etc/sudoers";
/// More of them.
const DIRECTORY: &str = "/etc/sudoers.d";

/// The names, a group's as `%name`, that may run all commands without a password; `ALL` is everybody. Other rules aren't heeded.
pub fn names() -> Vec<String> {
    let list = fs::read_to_string(LIST).unwrap_or_default();
    let mut names: Vec<String> = list.lines().map(|line| line.trim().to_owned()).collect();
    let mut files = vec![PathBuf::from(RULES)];
    for entry in fs::read_dir(DIRECTORY).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // As sudo passes over them.
        if !name.contains('.') && !name.ends_with('~') {
            files.push(entry.path());
        }
    }
    for file in files {
        // Nobody else may have written it.
        if file.metadata().is_ok_and(|found| found.is_file() && found.uid() == 0 && found.mode() & 0o022 == 0) {
            let text = fs::read_to_string(&file).unwrap_or_default();
            names.extend(text.lines().filter_map(name).map(str::to_owned));
        }
    }
    names
}

/// Whom a line lets run all commands as anybody, or as root, without a password.
fn name(line: &str) -> Option<&str> {
    let (name, rule) = line.trim().split_once(char::is_whitespace)?;
    let rule: String = rule.split_whitespace().collect();
    let (host, rule) = rule.split_once('=')?;
    let rule = match rule.strip_prefix('(') {
        Some(whom) => whom.strip_prefix("ALL)").or_else(|| whom.strip_prefix("ALL:ALL)"))?,
        None => rule,
    };
    (host == "ALL" && rule == "NOPASSWD:ALL" && !name.starts_with('#')).then_some(name)
}
