//! Our own lines among a command's output: where it began, and that it ended.

use crate::error::{Error, ErrorKind};
use std::io::BufRead as _;

/// A text that no command writes by chance, and what was said behind it.
pub(super) struct Marker {
    text: String,
    /// How far the stream was searched.
    searched: usize,
    /// The first process of the command, and the user's login shell.
    pub(super) started: Option<(u32, String)>,
    /// The command's shell is about to exit with status 0.
    pub(super) is_ending: bool,
    /// The command began when there was nothing left for it to read.
    pub(super) is_starved: bool,
}

impl Marker {
    /// A marker of 128 random bits.
    pub(super) fn new() -> Result<Self, Error> {
        Ok(Self {
            text: format!("@ec2-harness:{}", nonce()?),
            searched: 0,
            started: None,
            is_ending: false,
            is_starved: false,
        })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Takes our lines out of what came; call it with all that came so far.
    pub(super) fn take_from(&mut self, stream: &mut Vec<u8>) {
        let text = self.text.clone().into_bytes();
        let mut at = self.searched.min(stream.len());
        loop {
            // `skip_until` looks for the first byte fast, also in a debug build.
            let mut rest = &stream[at..];
            let before = rest.skip_until(text[0]).unwrap_or(0);
            if before == 0 || stream[at + before - 1] != text[0] {
                at += before;
                break;
            }
            at += before - 1;
            let rest = &stream[at..];
            if rest.starts_with(&text) {
                let Some(length) = rest.iter().position(|byte| *byte == b'\n') else { break };
                let line = String::from_utf8_lossy(&rest[text.len()..length]).trim().to_owned();
                self.note(&line);
                stream.drain(at..=at + length);
            } else if text.starts_with(rest) {
                break;
            } else {
                at += 1;
            }
        }
        self.searched = at;
    }

    /// Takes off what comes before the command's own output, with our line; `false` as long as that isn't all there. Call it with all
    /// that came so far, until then.
    pub(super) fn cut_prelude(&self, stream: &mut Vec<u8>) -> bool {
        let line = [self.text.as_bytes(), b"\n"].concat();
        let Some(at) = stream.windows(line.len()).position(|bytes| bytes == line) else { return false };
        stream.drain(..at + line.len());
        true
    }

    fn note(&mut self, line: &str) {
        let (number, shell) = line.split_once(' ').unwrap_or((line, ""));
        match number.parse() {
            Ok(0) => self.is_ending = true,
            Err(_) if line == "starved" => self.is_starved = true,
            Ok(process) => self.started = Some((process, shell.to_owned())),
            Err(_) => {}
        }
    }
}

/// 128 random bits, as text.
pub(super) fn nonce() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|source| Error::new(ErrorKind::Internal, "draw a random number").caused_by(source))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn marker() -> Marker {
        Marker { text: "@mark".into(), searched: 0, started: None, is_ending: false, is_starved: false }
    }

    #[test]
    fn what_comes_before_the_command_is_no_output_of_its() {
        for (before, after) in [("", ""), ("hello\n", "out"), ("no newline ", "\n"), ("@mar@", "@mark\n")] {
            let whole = [before, "@mark\n", after].concat();
            for end in 0..before.len() + "@mark\n".len() {
                let mut part = whole.as_bytes()[..end].to_vec();
                assert!(!marker().cut_prelude(&mut part) && part.len() == end);
            }
            let mut all = whole.into_bytes();
            assert!(marker().cut_prelude(&mut all));
            assert_eq!(all, after.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn our_lines_are_taken_out_however_they_are_cut(
            before in "[@mark \n]{0,12}",
            between in "[@mark \n]{0,12}",
            after in "[@mark \n]{0,12}",
            cuts in proptest::collection::vec(0_usize..80, 0..5),
        ) {
            // What looks like a marker is one.
            prop_assume!(![&before, &between, &after].iter().any(|text| text.contains("@mark")));
            let ours = ["@mark 42 /bin/sh\n", "@mark 0\r\n"];
            let whole = [before.as_str(), ours[0], &between, ours[1], &after].concat();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(whole.len())).collect();
            cuts.push(whole.len());
            cuts.sort_unstable();
            let (mut marker, mut stream, mut from) = (marker(), Vec::new(), 0);
            for cut in cuts {
                stream.extend_from_slice(&whole.as_bytes()[from..cut]);
                from = cut;
                marker.take_from(&mut stream);
            }
            prop_assert_eq!(String::from_utf8(stream).unwrap(), [before, between, after].concat());
            prop_assert_eq!(marker.started, Some((42, "/bin/sh".to_owned())));
            prop_assert!(marker.is_ending);
        }
    }
}
