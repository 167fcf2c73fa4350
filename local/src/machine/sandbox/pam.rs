//! PAM's configuration of a machine: the host's, as far as it is about the machine's own files.
//!
//! Without one `su`, `chpasswd` and their like do nothing at all. What the host has beside that (a directory service, a second
//! factor, a session manager) isn't in a machine, and would keep everybody out: such a line becomes one without a say. So do those
//! that name users, groups or addresses of the host's. Where nothing would ask for a password then, `pam_unix` does instead.

mod line;
mod local;
mod stack;

use super::{root::told, shared, system_files};
use line::{Entry, INCLUDE, kind_of_broken, lines};
use stack::ways;
use std::{borrow::Cow, collections::BTreeMap, fs, io, os::unix::fs::PermissionsExt, path::Path};

/// Where the host has it.
const SERVICES: &str = "/etc/pam.d";
/// Where the host has what modules are told.
const SETTINGS_OF_MODULES: &str = "/etc/security";
/// Where a system's packages have services that `/etc` has none of.
const SERVICES_OF_PACKAGES: &str = "/usr/lib/pam.d";
/// Where libraries lie, beside or below which modules do.
const LIBRARIES: &[&str] = &["/usr/lib64", "/usr/lib", "/lib64", "/lib"];
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
    let mut texts = BTreeMap::new();
    for service in services {
        let from = service.map_err(told("list", SERVICES))?.path();
        if let (Some(name), Some(text)) = (from.file_name().and_then(|name| name.to_str()), public_text(&from)) {
            texts.insert(name.to_owned(), text);
        }
    }
    let of_packages = |name: &str| public_text(&Path::new(SERVICES_OF_PACKAGES).join(name));
    let services = local_services(&texts, &of_packages, has_module("pam_unix"));
    for (name, text) in &services {
        system_files::write(root, &format!("etc/pam.d/{name}"), text, 0o644)?;
    }
    for (_, name) in SETTINGS.iter().filter(|(module, _)| services.values().any(|text| text.contains(module))) {
        // What is set there names users and addresses of the host's, and so may what is said about it.
        if public_text(&Path::new(SETTINGS_OF_MODULES).join(name)).is_some() {
            system_files::write(root, &format!("etc/security/{name}"), "", 0o644)?;
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

/// Whether a module is installed, wherever the distribution has them.
fn has_module(name: &str) -> bool {
    let is_in = |directory: &Path| directory.join("security").join(format!("{name}.so")).exists();
    let below = |directory: &Path| {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).any(|path| is_in(&path))
    };
    LIBRARIES.iter().map(Path::new).any(|directory| is_in(directory) || below(directory))
}

/// A service's file as a machine has it.
#[derive(Debug, Default)]
struct Service {
    lines: Vec<String>,
    /// Which of them have lost a say in who somebody is, and the control that they had.
    silenced: Vec<(usize, String)>,
}

/// The files of all services, with lines of the host's alone without a say, and none that lets anybody in for that.
fn local_services(
    texts: &BTreeMap<String, String>,
    of_packages: &dyn Fn(&str) -> Option<String>,
    has_unix: bool,
) -> BTreeMap<String, String> {
    let is_there = |name: &str| texts.contains_key(name) || of_packages(name).is_some();
    let local = texts.iter().map(|(name, text)| (name.clone(), local(text, &is_there)));
    let mut services: BTreeMap<String, Service> = local.collect();
    for name in texts.keys() {
        let Some(mut service) = services.remove(name) else { continue };
        let included = |wanted: &str| match services.get(wanted) {
            Some(other) => Some(other.lines.clone()),
            None => of_packages(wanted).map(|text| lines(&text)),
        };
        close(&mut service, &included, has_unix);
        services.insert(name.clone(), service);
    }
    let text = |service: &Service| service.lines.iter().map(|line| format!("{line}\n")).collect();
    services.iter().map(|(name, service)| (name.clone(), text(service))).collect()
}

/// A service's file (pam.d(5)) with lines of the host's alone without a say. They stay lines, since others may pass over a number of
/// them. Comments stay with the host: names, addresses and secrets stand there, too.
fn local(text: &str, is_there: &dyn Fn(&str) -> bool) -> Service {
    let mut service = Service::default();
    for line in lines(text) {
        let Some(entry) = Entry::of(&line) else {
            service.lines.push(format!("{} required pam_deny.so", kind_of_broken(&line)));
            continue;
        };
        if local::is_local(&entry, is_there) {
            service.lines.push(line);
            continue;
        }
        if entry.is_of_auth() && entry.control != "optional" {
            let control = if entry.is_include() { "required" } else { &entry.control };
            service.silenced.push((service.lines.len(), control.to_owned()));
        }
        let kind = if entry.kind == INCLUDE { "auth" } else { &entry.kind };
        service.lines.push(format!("{kind} [default=ignore] pam_permit.so"));
    }
    service
}

/// Has the machine's own passwords asked for where a line that had a say has none any more, and nothing else asks, or somebody may be
/// let in unasked.
fn close(service: &mut Service, included: &dyn Fn(&str) -> Option<Vec<String>>, has_unix: bool) {
    let is_closed = |lines: &[String]| {
        let ways = ways(lines, included);
        !ways.is_open && (ways.asks || !has_unix)
    };
    let Some((at, control)) = service.silenced.first() else { return };
    let ways = ways(&service.lines, included);
    if ways.asks && !ways.is_open {
        return;
    }
    // What the line was to do suits the lines around it best.
    let module = if has_unix { "pam_unix.so" } else { "pam_deny.so" };
    for control in [control, "required"] {
        service.lines[*at] = format!("auth {control} {module}");
        if is_closed(&service.lines) {
            return;
        }
    }
    service.lines.insert(0, format!("auth required {module}"));
}

#[cfg(test)]
mod tests;
