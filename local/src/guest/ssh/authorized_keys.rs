//! `~/.ssh/authorized_keys`: who may log in, and with which restrictions (sshd(8), "AUTHORIZED_KEYS FILE FORMAT").

use russh::keys::{PublicKey, ssh_key::public::KeyData};

/// What a key may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Run instead of whatever the client asks for.
    pub command: Option<String>,
    /// Whether a terminal may be had.
    pub pty: bool,
    /// Whether connections may be forwarded.
    pub port_forwarding: bool,
    /// Whether the client's agent may be.
    pub agent_forwarding: bool,
    /// Added to the environment.
    pub environment: Vec<(String, String)>,
}

impl Default for Options {
    /// No restriction.
    fn default() -> Self {
        Self { command: None, pty: true, port_forwarding: true, agent_forwarding: true, environment: Vec::new() }
    }
}

/// The options of a key, if the file lists it.
///
/// A line whose options this server doesn't know (`from=`, `expiry-time=`, `cert-authority`, …) is passed over: an option
/// restricts, so a key must never get more than its line says.
pub fn find(file: &str, key: &PublicKey) -> Option<Options> {
    file.lines().filter_map(parse_line).find(|(listed, _)| listed == key.key_data()).map(|(_, options)| options)
}

fn parse_line(line: &str) -> Option<(KeyData, Options)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    if let Ok(key) = PublicKey::from_openssh(line) {
        return Some((key.key_data().clone(), Options::default()));
    }
    let (options, key) = split_options(line)?;
    let key = PublicKey::from_openssh(key.trim()).ok()?;
    Some((key.key_data().clone(), parse_options(options)?))
}

/// Splits at the first space that stands in no quotes.
fn split_options(line: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, character) in line.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => return Some((&line[..at], &line[at..])),
            _ => {}
        }
    }
    None
}

fn parse_options(text: &str) -> Option<Options> {
    let mut options = Options::default();
    for option in split_commas(text) {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(unquote(value)?)),
            None => (option, None),
        };
        match (name.to_ascii_lowercase().as_str(), value) {
            ("command", Some(command)) => options.command = Some(command),
            ("environment", Some(pair)) => {
                let (name, value) = pair.split_once('=')?;
                options.environment.push((name.to_owned(), value.to_owned()));
            }
            ("restrict", None) => {
                (options.pty, options.port_forwarding, options.agent_forwarding) = (false, false, false);
            }
            ("pty", None) => options.pty = true,
            ("no-pty", None) => options.pty = false,
            ("port-forwarding", None) => options.port_forwarding = true,
            ("no-port-forwarding", None) => options.port_forwarding = false,
            ("agent-forwarding", None) => options.agent_forwarding = true,
            ("no-agent-forwarding", None) => options.agent_forwarding = false,
            // There is none here, so both are as wished.
            ("x11-forwarding" | "no-x11-forwarding", None) => {}
            ("user-rc" | "no-user-rc" | "no-touch-required", None) => {}
            _ => return None,
        }
    }
    Some(options)
}

fn split_commas(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// A quoted value; within it only a quote can be escaped.
fn unquote(value: &str) -> Option<String> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    Some(inner.replace("\\\"", "\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ someone@somewhere";

    fn options(line: &str) -> Option<Options> {
        find(line, &PublicKey::from_openssh(KEY).unwrap())
    }

    #[test]
    fn a_plain_line_restricts_nothing() {
        assert_eq!(options(&format!("# comment\n\n  {KEY}\n")), Some(Options::default()));
        assert_eq!(options("# nothing\n"), None);
        assert_eq!(options("ssh-ed25519 AAAA broken"), None);
    }

    #[test]
    fn cloud_inits_root_line_forces_its_command() {
        let line = format!(
            "no-port-forwarding,no-agent-forwarding,no-X11-forwarding,command=\"echo 'Please login as the user \\\"admin\\\" \
             rather than the user \\\"root\\\".';echo;sleep 10;exit 142\" {KEY}"
        );
        let found = options(&line).unwrap();
        assert!(!found.port_forwarding && !found.agent_forwarding && found.pty);
        assert_eq!(
            found.command.unwrap(),
            "echo 'Please login as the user \"admin\" rather than the user \"root\".';echo;sleep 10;exit 142"
        );
    }

    #[test]
    fn later_options_lift_a_restriction() {
        let found = options(&format!("restrict,pty,environment=\"A=b=c\" {KEY}")).unwrap();
        assert!(found.pty && !found.port_forwarding && !found.agent_forwarding);
        assert!(options(&format!("restrict,agent-forwarding {KEY}")).unwrap().agent_forwarding);
        assert_eq!(found.environment, [("A".to_owned(), "b=c".to_owned())]);
    }

    #[test]
    fn an_unknown_restriction_refuses_the_key() {
        for unknown in ["from=\"10.0.0.0/8\"", "expiry-time=\"20200101\"", "cert-authority", "command=unquoted", "x"] {
            assert_eq!(options(&format!("{unknown} {KEY}")), None, "{unknown}");
        }
    }
}
