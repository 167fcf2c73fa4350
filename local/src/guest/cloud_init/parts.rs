//! Taking user data apart: gzip, MIME multipart, and what the first line says.
//!
//! <https://docs.cloud-init.io/en/latest/explanation/format.html>

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
    /// What is broken.
    pub errors: Vec<String>,
}

/// Takes user data apart.
pub fn parse(user_data: &[u8]) -> Parts {
    let mut parts = Parts::default();
    parts.add(user_data, None, None);
    parts
}

impl Parts {
    fn add(&mut self, content: &[u8], kind: Option<&str>, name: Option<&str>) {
        if content.starts_with(&[0x1f, 0x8b]) {
            match unpack(content) {
                Ok(unpacked) => self.add(&unpacked, kind.filter(|kind| !is_archive(kind)), name),
                Err(why) => self.errors.push(format!("failed to unpack gzipped user data: {why}")),
            }
            return;
        }
        if content.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        let head = String::from_utf8_lossy(&content[..content.len().min(4096)]).to_lowercase();
        if kind.is_none() && (head.contains("mime-version:") || head.starts_with("content-type: multipart")) {
            match MessageParser::new().parse(content) {
                Some(message) => self.add_message(&message),
                None => self.errors.push("failed to read the user data as a MIME message".to_owned()),
            }
            return;
        }
        let kind = kind.filter(|kind| !GENERIC.contains(kind)).unwrap_or_else(|| by_first_line(content));
        match kind {
            "text/cloud-config" => self.parts.push(Part::Config(String::from_utf8_lossy(content).into_owned())),
            "text/x-shellscript" => {
                let scripts = self.parts.iter().filter(|part| matches!(part, Part::Script(..))).count();
                let name = name.map(safe_name).filter(|name| !name.is_empty());
                let name = name.unwrap_or_else(|| format!("part-{:03}", scripts + 1));
                self.parts.push(Part::Script(name, content.to_vec()));
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

fn by_first_line(content: &[u8]) -> &'static str {
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
    let found = BEGINNINGS.iter().find(|(beginning, _)| content.starts_with(beginning.as_bytes()));
    found.map_or("text/x-not-multipart (it begins with none of the words that cloud-init knows)", |(_, kind)| kind)
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
    fn archives_are_unpacked() {
        assert_eq!(parse(&gzip(b"#cloud-config\n")).parts, [Part::Config("#cloud-config\n".into())]);
        assert_eq!(parse(&gzip(&gzip(b"#cloud-config\n"))).parts.len(), 1);
        let broken = &gzip(b"#cloud-config\n")[..12];
        assert_eq!(parse(broken).errors.len(), 1);
        assert_eq!(parse(&gzip(&vec![b'#'; 17 << 20])).errors.len(), 1);
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
