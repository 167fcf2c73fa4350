//! The machine's own files: an `/etc` that is generated, with what programs need of the host's, and empty homes.
//!
//! Generated at the first boot only; from then on they are the machine's to change. What is taken from the host stands in
//! a list; whatever isn't there, or isn't readable for all, stays outside.

use super::{package_sources, pam, root::told, shared, system_accounts};
use crate::{
    guest::accounts::give,
    network::{DhcpOptions, Nic},
};
use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

/// What the files are made from.
pub struct Settings<'a> {
    /// The host name.
    pub hostname: &'a str,
    /// The user that logs in.
    pub login_user: &'a str,
    /// The network interfaces.
    pub interfaces: &'a [Nic],
    /// What it is told of its network, see [`Description::dhcp`](crate::machine::Description::dhcp).
    pub dhcp: Option<&'a DhcpOptions>,
}

/// What programs need of the host's `/etc` to work: nothing that holds a secret, a name or an address.
pub(super) const FROM_HOST: &[&str] = &[
    "adduser.conf",
    "alternatives",
    "bash.bashrc",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "debconf.conf",
    "debian_version",
    "default/locale",
    "default/nss",
    "default/useradd",
    "deluser.conf",
    "dpkg",
    "fedora-release",
    "fonts",
    "gai.conf",
    "host.conf",
    "inputrc",
    "issue",
    "java-11-openjdk",
    "java-17-openjdk",
    "java-21-openjdk",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "libaudit.conf",
    "locale.alias",
    "locale.conf",
    "localtime",
    "login.defs",
    "lsb-release",
    "magic",
    "magic.mime",
    "manpath.config",
    "mime.types",
    "mke2fs.conf",
    "netconfig",
    "networks",
    "os-release",
    "perl",
    "pki/ca-trust",
    "pki/tls/cert.pem",
    "pki/tls/certs",
    "protocols",
    "python3",
    "redhat-release",
    "rpc",
    "rpm",
    "services",
    "shells",
    "skel/.bash_logout",
    "skel/.bash_profile",
    "skel/.bashrc",
    "skel/.profile",
    "ssl/cert.pem",
    "ssl/certs",
    "ssl/openssl.cnf",
    "system-release",
    "terminfo",
    "timezone",
    "vim",
    "xattr.conf",
];

/// Generates the files below the root directory of a machine that has never run: links of its own would be followed.
pub fn generate(root: &Path, settings: &Settings<'_>) -> io::Result<()> {
    directories(root)?;
    for name in FROM_HOST {
        let from = Path::new("/etc").join(name);
        // It is there already if it is one of the host's directories with a layer of the machine's over it.
        if fs::read_dir(root.join("etc").join(name)).is_ok_and(|mut entries| entries.next().is_some()) {
            continue;
        }
        if shared::is_passable(&from) {
            copy(&from, &root.join("etc").join(name)).map_err(told("copy", from.display()))?;
        }
    }
    system_accounts::generate(root, settings.login_user)?;
    texts(root, settings)?;
    pam::generate(root)?;
    package_manager(root)
}

fn directories(root: &Path) -> io::Result<()> {
    for (path, mode) in [
        ("boot", 0o755),
        ("etc", 0o755),
        ("etc/default", 0o755),
        ("etc/init.d", 0o755),
        ("etc/pki", 0o755),
        ("etc/profile.d", 0o755),
        ("etc/skel", 0o755),
        ("etc/ssh", 0o755),
        ("etc/ssl", 0o755),
        ("etc/sudoers.d", 0o750),
        ("home", 0o755),
        ("media", 0o755),
        ("mnt", 0o755),
        ("opt", 0o755),
        ("root", 0o700),
        ("srv", 0o755),
        ("var/cache", 0o755),
        ("var/lib/misc", 0o755),
        ("var/local", 0o755),
        ("var/log", 0o755),
        ("var/mail", 0o1777),
        ("var/opt", 0o755),
        ("var/spool", 0o755),
        ("var/tmp", 0o1777),
    ] {
        let path = root.join(path);
        fs::create_dir_all(&path).map_err(told("make", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(told("make", path.display()))?;
    }
    link("/run", &root.join("var/run"))?;
    link("/run/lock", &root.join("var/lock"))?;
    link("../proc/self/mounts", &root.join("etc/mtab"))
}

fn texts(root: &Path, settings: &Settings<'_>) -> io::Result<()> {
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let profile = format!(
        "export {path}\nif [ -n \"$BASH_VERSION\" ] && [ -f /etc/bash.bashrc ]; then . /etc/bash.bashrc; fi\n\
         for file in /etc/profile.d/*.sh; do if [ -r \"$file\" ]; then . \"$file\"; fi; done\nunset file\n"
    );
    let own = own_texts(settings);
    write(root, "etc/hostname", &own.hostname, 0o644)?;
    write(root, "etc/hosts", &own.hosts, 0o644)?;
    write(root, "etc/resolv.conf", &own.resolv_conf, 0o644)?;
    write(root, "etc/machine-id", &machine_id()?, 0o444)?;
    write(root, "etc/environment", &format!("{path}\n"), 0o644)?;
    write(root, "etc/profile", &profile, 0o644)?;
    write(root, "etc/fstab", "", 0o644)?;
    let databases = "passwd: files\ngroup: files\nshadow: files\ngshadow: files\nhosts: files dns\nnetworks: files\n\
                     protocols: files\nservices: files\nethers: files\nrpc: files\n";
    write(root, "etc/nsswitch.conf", databases, 0o644)
}

/// The files that every machine has of its own, whatever its system.
pub struct OwnTexts {
    /// `/etc/hostname`.
    pub hostname: String,
    /// `/etc/hosts`.
    pub hosts: String,
    /// `/etc/resolv.conf`.
    pub resolv_conf: String,
}

/// What stands in these files.
pub fn own_texts(settings: &Settings<'_>) -> OwnTexts {
    let hostname = settings.hostname;
    let short = hostname.split('.').next().unwrap_or(hostname);
    let names = if short == hostname { hostname.to_owned() } else { format!("{hostname} {short}") };
    let primary = settings.interfaces.first();
    let mut hosts = String::from("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
    if let Some(address) = primary.and_then(|interface| interface.addresses.first()) {
        let _ = writeln!(hosts, "{address} {names}");
    }
    let mut resolv = String::from("options timeout:2 attempts:2\n");
    // EC2's resolver answers at the subnet's third address as well as at the VPC's, see
    // <https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html>.
    let usual = DhcpOptions {
        domain: hostname.split_once('.').map(|(_, domain)| domain.to_owned()),
        name_servers: vec![None],
        ..DhcpOptions::default()
    };
    let told = settings.dhcp.unwrap_or(&usual);
    for server in primary.into_iter().flat_map(|interface| told.name_servers_of(interface.subnet.0)) {
        let _ = writeln!(resolv, "nameserver {server}");
    }
    if let Some(domain) = &told.domain {
        let _ = writeln!(resolv, "search {domain}");
    }
    OwnTexts { hostname: format!("{hostname}\n"), hosts, resolv_conf: resolv }
}

/// A new `/etc/machine-id`, see machine-id(5).
pub fn machine_id() -> io::Result<String> {
    let id = getrandom::u64().and_then(|high| Ok(format!("{high:016x}{:016x}\n", getrandom::u64()?)));
    id.map_err(io::Error::other)
}

/// Where apt keeps what it has fetched; empty, as after its installation.
const APT: [(&str, u32); 3] =
    [("var/cache/apt/archives/partial", 0o700), ("var/lib/apt/lists/partial", 0o700), ("var/log/apt", 0o755)];

fn package_manager(root: &Path) -> io::Result<()> {
    if root.join("usr/bin/apt-get").exists() {
        let passwd = fs::read_to_string(root.join("etc/passwd")).unwrap_or_default();
        let fetcher = passwd.lines().find_map(|line| line.strip_prefix("_apt:x:")?.split(':').next()?.parse().ok());
        for (path, mode) in APT {
            let path = root.join(path);
            fs::create_dir_all(&path).map_err(told("make", path.display()))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(told("make", path.display()))?;
            if let (0o700, Some(uid)) = (mode, fetcher) {
                give(&path, (uid, 0)).map_err(told("give", path.display()))?;
            }
        }
    }
    package_sources(root)
}

fn package_sources(root: &Path) -> io::Result<()> {
    // The machine's own, which is the host's; what it links to on the host lies elsewhere by now.
    let read = |path: &str| fs::read_to_string(root.join(path));
    let os_release = read("etc/os-release").or_else(|_| read("usr/lib/os-release")).unwrap_or_default();
    for (path, text) in package_sources::files(&os_release, std::env::consts::ARCH) {
        // What belongs to the package manager's own directory, as it comes with the package.
        for name in ["apt.conf.d", "auth.conf.d", "keyrings", "preferences.d", "sources.list.d", "trusted.gpg.d"] {
            let directory = root.join("etc/apt").join(name);
            fs::create_dir_all(&directory).map_err(told("make", directory.display()))?;
        }
        write(root, path, &text, 0o644)?;
    }
    Ok(())
}

/// Writes a file below the root directory of a machine that has never run.
pub fn write(root: &Path, path: &str, text: &str, mode: u32) -> io::Result<()> {
    let path = root.join(path);
    create(&path, text.as_bytes(), mode).map_err(told("write", path.display()))
}

/// Makes a file with that mode at once, as a machine waits for some hundred of them. What is there gives way: a link that the host's
/// files brought must not be written through.
fn create(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let open = || fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            open()?
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            open()?
        }
        other => other?,
    };
    file.write_all(content)?;
    // The keeper's mask takes away what others may write.
    if mode & 0o022 == 0 { Ok(()) } else { file.set_permissions(fs::Permissions::from_mode(mode)) }
}

/// Copies a file, link or directory, as far as it is there and all may read it.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let Ok(found) = from.symlink_metadata() else { return Ok(()) };
    let mode = found.permissions().mode() & 0o7777;
    if found.is_symlink() {
        let target = fs::read_link(from)?;
        // A link that leads to a part of the host that machines don't see is followed instead.
        let resolved = from.canonicalize().unwrap_or_default();
        if resolved.starts_with("/usr") || resolved.starts_with("/etc") || resolved.as_os_str().is_empty() {
            return link(&target.to_string_lossy(), to);
        }
        return if resolved.is_file() && shared::is_passable(&resolved) { copy(&resolved, to) } else { Ok(()) };
    }
    let everybody = if found.is_dir() { 0o005 } else { 0o004 };
    if mode & everybody != everybody {
        return Ok(());
    }
    if found.is_dir() {
        let entries: Vec<PathBuf> = fs::read_dir(from)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        fs::create_dir_all(to)?;
        for entry in entries {
            if let Some(name) = entry.file_name() {
                copy(&entry, &to.join(name))?;
            }
        }
        return fs::set_permissions(to, fs::Permissions::from_mode(mode & 0o755));
    }
    if found.is_file() { create(to, &fs::read(from)?, mode & 0o755) } else { Ok(()) }
}

fn link(target: &str, at: &Path) -> io::Result<()> {
    if at.is_symlink() || at.exists() {
        return Ok(());
    }
    if let Some(parent) = at.parent() {
        fs::create_dir_all(parent)?;
    }
    symlink(target, at).map_err(told("make the link", at.display()))
}
