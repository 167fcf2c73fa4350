//! Where the machine's package manager finds packages: at the distribution, as in its own images. The host's list stays
//! outside, since it may name whatever the host's owner has.

/// What stands in which file of the machine's, below its root, for a system with this `/etc/os-release`
/// (os-release(5)); nothing for systems whose package manager isn't known here.
pub fn files(os_release: &str, architecture: &str) -> Vec<(&'static str, String)> {
    let value = |name: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        let value = line.trim().trim_matches(['"', '\'']);
        // It becomes a part of a file: only what a name consists of.
        let is_name = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        is_name.then(|| value.to_owned())
    };
    let (Some(id), Some(release)) = (value("ID"), value("VERSION_CODENAME")) else { return Vec::new() };
    match id.as_str() {
        "debian" => vec![("etc/apt/sources.list.d/debian.sources", debian(&release))],
        "ubuntu" => vec![("etc/apt/sources.list.d/ubuntu.sources", ubuntu(&release, architecture))],
        _ => Vec::new(),
    }
}

/// Source: <https://wiki.debian.org/SourcesList>.
fn debian(release: &str) -> String {
    let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let main = stanza("http://deb.debian.org/debian", &format!("{release} {release}-updates"), "main", keys);
    let security = stanza("http://deb.debian.org/debian-security", &format!("{release}-security"), "main", keys);
    format!("{main}\n{security}")
}

/// Source: <https://help.ubuntu.com/community/Repositories/Ubuntu>; ports are what isn't for Intel's processors.
fn ubuntu(release: &str, architecture: &str) -> String {
    let (keys, components) = ("/usr/share/keyrings/ubuntu-archive-keyring.gpg", "main restricted universe multiverse");
    let [main, security] = match architecture {
        "x86_64" | "x86" => ["http://archive.ubuntu.com/ubuntu", "http://security.ubuntu.com/ubuntu"],
        _ => ["http://ports.ubuntu.com/ubuntu-ports"; 2],
    };
    let main = stanza(main, &format!("{release} {release}-updates {release}-backports"), components, keys);
    let security = stanza(security, &format!("{release}-security"), components, keys);
    format!("{main}\n{security}")
}

/// sources.list(5), deb822.
fn stanza(place: &str, suites: &str, components: &str, keys: &str) -> String {
    format!("Types: deb\nURIs: {place}\nSuites: {suites}\nComponents: {components}\nSigned-By: {keys}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_distribution_has_its_own() {
        let debian = files("NAME=\"Debian GNU/Linux\"\nVERSION_CODENAME=bookworm\nID=debian\n", "x86_64");
        let [(path, text)] = &debian[..] else { panic!("{debian:?}") };
        assert_eq!(*path, "etc/apt/sources.list.d/debian.sources");
        assert!(
            text.contains("\nSuites: bookworm bookworm-updates\n") && text.contains("\nSuites: bookworm-security\n")
        );
        let ubuntu = |architecture| files("ID=ubuntu\nVERSION_CODENAME=\"noble\"\n", architecture)[0].1.clone();
        assert!(ubuntu("x86_64").contains("URIs: http://archive.ubuntu.com/ubuntu\n"));
        assert!(ubuntu("aarch64").contains("URIs: http://ports.ubuntu.com/ubuntu-ports\n"));
        for other in ["", "ID=fedora\nVERSION_ID=42\n", "ID=debian\n", "ID=debian\nVERSION_CODENAME='a\\nb c'\n"] {
            assert!(files(other, "x86_64").is_empty(), "{other}");
        }
    }
}
