//! Taking user data apart: gzip, MIME multipart, and what the first line says.
//!
//! <https://docs.cloud-init.io/en/latest/explanation/format.html>

use base64::Engine;
use flate2::read::MultiGzDecoder;
use mail_parser::{Message, MessageParser, MimeHeaders, PartType};
use std::io::Read;

/// More than any instance is configured with; a small archive must not fill the memory.
const MAX_UNPACKED: u64 = 16 << 20;

/// A part of the user data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// `#cloud-config`.
    Config(String),
    /// `#!`: a script, by the name that it is kept under.
    Script(String, Vec<u8>),
}

/// The parts of some user data, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// What is to be applied.
    pub parts: Vec<Part>,
    /// What is not applied here, and why.
    pub unapplied: Vec<String>,
    /// What cloud-init passes over with a warning.
    pub warnings: Vec<String>,
    /// What is broken.
    pub errors: Vec<String>,
}

/// Takes user data apart.
pub fn parse(user_data: &[u8]) -> Parts {
    let mut parts = Parts::default();
    // On EC2 cloud-init decodes what is base64 to the letter, since some clients encode it once too often.
    let decoded = base64::engine::general_purpose::STANDARD.decode(user_data);
    parts.add(decoded.as_deref().unwrap_or(user_data), None, None);
    parts
}

impl Parts {
    fn add(&mut self, content: &[u8], kind: Option<&str>, name: Option<&str>) {
        if content.starts_with(&[0x1f, 0x8b]) {
            match unpack(content) {
                Ok(unpacked) => self.add(&unpacked, kind.filter(|kind| !is_archive(kind)), name),
                Err(why) => {
                    let problems = if kind.is_some() { &mut self.errors } else { &mut self.warnings };
                    problems.push(format!("failed to unpack gzipped user data: {why}"));
                }
            }
            return;
        }
        if content.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        let head = String::from_utf8_lossy(&content[..content.len().min(4096)]).to_lowercase();
        if kind.is_none() && head.contains("mime-version:") {
            match MessageParser::new().parse(content) {
                Some(message) => self.add_message(&message),
                None => self.errors.push("failed to read the user data as a MIME message".to_owned()),
            }
            return;
        }
        let found = by_first_line(content);
        let kind = match kind {
            // Whatever is called a script is looked at.
            Some(kind @ "text/x-shellscript") => found.unwrap_or(kind),
            Some(kind) if !GENERIC.contains(&kind) => kind,
            _ => found.unwrap_or_else(|| unknown(content)),
        };
        match kind {
            "text/cloud-config" => self.parts.push(Part::Config(String::from_utf8_lossy(content).into_owned())),
            "text/x-shellscript" => {
                let scripts = self.parts.iter().filter(|part| matches!(part, Part::Script(..))).count();
                let name = name.map(safe_name).filter(|name| !name.is_empty());
                let name = name.unwrap_or_else(|| format!("part-{:03}", scripts + 1));
                self.parts.push(Part::Script(name, with_plain_line_ends(content)));
            }
            other => {
                let name = name.map(|name| format!(" `{name}`")).unwrap_or_default();
                self.unapplied.push(format!("user data part{name} of type {other}"));
            }
        }
    }

    fn add_message(&mut self, message: &Message<'_>) {
        for part in &message.parts {
            let kind = part
                .content_type()
                .map(|kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default()).to_lowercase());
            let kind = Some(kind.as_deref().unwrap_or("text/plain"));
            let name = part.attachment_name();
            match &part.body {
                PartType::Text(text) | PartType::Html(text) => self.add(text.as_bytes(), kind, name),
                PartType::Binary(content) | PartType::InlineBinary(content) => self.add(content, kind, name),
                PartType::Message(nested) => self.add_message(nested),
                // Its parts stand in the same list.
                PartType::Multipart(_) => {}
            }
        }
    }
}

/// Types that say nothing: the content's first line does.
const GENERIC: &[&str] = &["text/plain", "text/x-not-multipart", "application/octet-stream"];

fn is_archive(kind: &str) -> bool {
    ["application/gzip", "application/x-gzip", "application/gzip-compressed", "application/gzipped"].contains(&kind)
}

/// What the content's first words say: blanks before them don't count, nor does their case.
fn by_first_line(content: &[u8]) -> Option<&'static str> {
    // The first that fits counts, so longer ones stand before what they begin with.
    const BEGINNINGS: &[(&str, &str)] = &[
        ("#!", "text/x-shellscript"),
        ("## template: jinja", "text/jinja2"),
        ("#cloud-config-archive", "text/cloud-config-archive"),
        ("#cloud-config-jsonp", "text/cloud-config-jsonp"),
        ("#cloud-config", "text/cloud-config"),
        ("#cloud-boothook", "text/cloud-boothook"),
        ("#include-once", "text/x-include-once-url"),
        ("#include", "text/x-include-url"),
        ("#part-handler", "text/part-handler"),
    ];
    let content = content.trim_ascii_start();
    let begins = |beginning: &str| {
        content.get(..beginning.len()).is_some_and(|head| head.eq_ignore_ascii_case(beginning.as_bytes()))
    };
    BEGINNINGS.iter().find(|(beginning, _)| begins(beginning)).map(|(_, kind)| *kind)
}

/// Says what is wrong with content that begins with none of the words.
fn unknown(content: &[u8]) -> &'static str {
    match content.strip_prefix("\u{feff}".as_bytes()).and_then(by_first_line) {
        Some(_) => "text/x-not-multipart (it begins with a byte order mark, which cloud-init doesn't pass over)",
        None => "text/x-not-multipart (it begins with none of the words that cloud-init knows)",
    }
}

/// Without the carriage returns of a script whose first line ends in one: the kernel would take it for a part of the
/// interpreter's name.
fn with_plain_line_ends(content: &[u8]) -> Vec<u8> {
    let first = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if first.len() == content.len() || !first.ends_with(b"\r") {
        return content.to_vec();
    }
    let next = content.iter().skip(1).chain(&[0]);
    content.iter().zip(next).filter(|(byte, next)| (**byte, **next) != (b'\r', b'\n')).map(|(byte, _)| *byte).collect()
}

fn safe_name(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap_or_default();
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' })
        .collect::<String>()
        .trim_start_matches('.')
        .to_owned()
}

fn unpack(content: &[u8]) -> Result<Vec<u8>, String> {
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(content)
        .take(MAX_UNPACKED + 1)
        .read_to_end(&mut unpacked)
        .map_err(|error| error.to_string())?;
    if unpacked.len() as u64 > MAX_UNPACKED {
        return Err(format!("it is larger than {} MiB", MAX_UNPACKED >> 20));
    }
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use proptest::prelude::*;
    use std::io::Write;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_first_line_tells_what_it_is() {
        assert_eq!(parse(b"#!/bin/sh\ntrue").parts, [Part::Script("part-001".into(), b"#!/bin/sh\ntrue".to_vec())]);
        assert_eq!(parse(b"#cloud-config\na: b").parts, [Part::Config("#cloud-config\na: b".into())]);
        assert_eq!(parse(b""), Parts::default());
        assert_eq!(parse(b" \n"), Parts::default());
        for other in
            ["#include\nhttp://x", "## template: jinja\n#cloud-config", "#cloud-boothook\n", "hello", "#part-handler"]
        {
            let parts = parse(other.as_bytes());
            assert_eq!((parts.parts.len(), parts.unapplied.len()), (0, 1), "{other}");
        }
    }

    #[test]
    fn blanks_and_case_before_it_dont_matter_and_a_byte_order_mark_does() {
        for config in ["#Cloud-Config\na: b", "\n \t#cloud-config\na: b", "#CLOUD-CONFIG\r\na: b\r\n"] {
            assert_eq!(parse(config.as_bytes()).parts, [Part::Config(config.into())]);
        }
        let script = |content: &str| vec![Part::Script("part-001".into(), content.into())];
        assert_eq!(parse(b"\n#!/bin/sh\n").parts, script("\n#!/bin/sh\n"));
        assert_eq!(parse(b"#!/bin/sh\r\necho a\r\n").parts, script("#!/bin/sh\necho a\n"));
        // Only where the first line ends so.
        assert_eq!(parse(b"#!/bin/sh\nprintf 'a\r\n'\n").parts, script("#!/bin/sh\nprintf 'a\r\n'\n"));
        let marked = parse("\u{feff}#cloud-config\na: b".as_bytes());
        assert_eq!((marked.parts.len(), marked.unapplied.len()), (0, 1));
        assert!(marked.unapplied[0].contains("byte order mark"), "{marked:?}");
    }

    #[test]
    fn what_is_encoded_once_too_often_is_decoded() {
        let encoded = |text: &str| base64::engine::general_purpose::STANDARD.encode(text).into_bytes();
        assert_eq!(parse(&encoded("#cloud-config\na: b")).parts, [Part::Config("#cloud-config\na: b".into())]);
        // As it is to the letter.
        let broken = parse(&[&encoded("#cloud-config\na: b")[..], b"\n"].concat());
        assert_eq!((broken.parts.len(), broken.unapplied.len()), (0, 1));
    }

    #[test]
    fn a_script_by_its_type_alone_is_what_its_content_says() {
        let message = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=X\n\n--X\nContent-Type: text/x-shellscript\n\n\
                       #cloud-config\na: b\n--X\nContent-Type: text/x-shellscript\n\necho a\n--X--\n";
        let parts = parse(message.as_bytes()).parts;
        assert!(matches!(&parts[..], [Part::Config(_), Part::Script(..)]), "{parts:?}");
    }

    #[test]
    fn archives_are_unpacked() {
        assert_eq!(parse(&gzip(b"#cloud-config\n")).parts, [Part::Config("#cloud-config\n".into())]);
        assert_eq!(parse(&gzip(&gzip(b"#cloud-config\n"))).parts.len(), 1);
        let broken = &gzip(b"#cloud-config\n")[..12];
        assert_eq!(parse(broken).warnings.len(), 1);
        assert_eq!(parse(&gzip(&vec![b'#'; 17 << 20])).warnings.len(), 1);
    }

    #[test]
    fn multipart_is_taken_apart() {
        let message = "Content-Type: multipart/mixed; boundary=\"XX\"\r\nMIME-Version: 1.0\r\n\r\n\
            --XX\r\nContent-Type: text/cloud-config; charset=\"us-ascii\"\r\nMIME-Version: 1.0\r\n\r\n#cloud-config\r\na: b\r\n\
            --XX\r\nContent-Type: text/x-shellscript\r\nContent-Disposition: attachment; filename=\"../my script.sh\"\r\n\r\n\
            #!/bin/sh\necho one\n\r\n\
            --XX\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\nIyEvYmluL3NoCmVjaG8gdHdv\r\n\
            --XX\r\nContent-Type: text/x-include-url\r\n\r\nhttp://example.com\r\n--XX--\r\n";
        let parts = parse(message.as_bytes());
        assert_eq!(parts.parts.len(), 3, "{parts:?}");
        assert!(matches!(&parts.parts[0], Part::Config(text) if text.contains("a: b")));
        assert!(matches!(&parts.parts[1], Part::Script(name, _) if name == "my_script.sh"));
        assert_eq!(parts.parts[2], Part::Script("part-002".into(), b"#!/bin/sh\necho two".to_vec()));
        assert_eq!(parts.unapplied, ["user data part of type text/x-include-url"]);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(content: Vec<u8>) {
            parse(&content);
            parse(&[b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=a\n\n--a\n", content.as_slice()].concat());
        }
    }
}
