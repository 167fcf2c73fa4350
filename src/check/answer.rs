//! The probe's output, read back.

use super::fact::{Fact, Facts};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::collections::HashMap;

/// All that the probe said.
#[derive(Debug)]
pub(super) struct Answers {
    facts: Facts,
    by_number: HashMap<usize, Answer>,
    ended_early: String,
}

/// What the probe said about one fact, by name.
#[derive(Debug, Default)]
pub(super) struct Answer {
    parts: HashMap<String, Vec<u8>>,
    undecodable: bool,
}

impl Answers {
    /// Reads what the script printed. What stands before the first line of ours, a greeting for example, is no concern.
    pub(super) fn read(facts: Facts, stdout: &[u8], stderr: &[u8]) -> Self {
        let mut by_number: HashMap<usize, Answer> = HashMap::new();
        let mut block: Option<Block> = None;
        let mut lines = stdout.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        lines.find(|line| *line == b"== facts for ec2-harness ==");
        for line in lines {
            if let Some(open) = &mut block {
                if line == b"end" {
                    let Block { number, name, encoding, encoded } = std::mem::take(open);
                    block = None;
                    let answer = by_number.entry(number).or_default();
                    match decode(&encoding, &encoded) {
                        Some(data) => drop(answer.parts.insert(name, data)),
                        None => answer.undecodable = true,
                    }
                } else {
                    open.encoded.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
                }
                continue;
            }
            let Ok(line) = std::str::from_utf8(line) else { continue };
            let words: Vec<_> = line.splitn(4, ' ').collect();
            let [what, number, name, value] = words[..] else { continue };
            let Ok(number) = number.parse() else { continue };
            match what {
                "is" => drop(by_number.entry(number).or_default().parts.insert(name.into(), value.into())),
                "data" => {
                    block = Some(Block { number, name: name.into(), encoding: value.into(), encoded: Vec::new() });
                }
                _ => {}
            }
        }
        let ended_early = match String::from_utf8_lossy(stderr).trim() {
            "" => "the probe's shell ended before it came to this".to_owned(),
            said => format!("the probe's shell ended before it came to this, and said: {said}"),
        };
        Self { facts, by_number, ended_early }
    }

    /// The answer to a fact; an `Err` says why there is none.
    pub(super) fn get(&self, fact: &Fact) -> Result<&Answer, String> {
        if !fact.can_be_asked() {
            return Err("a name with a NUL character can't be asked for".to_owned());
        }
        let answer = self.facts.number_of(fact).and_then(|number| self.by_number.get(&number));
        let Some(answer) = answer.filter(|answer| answer.text("done").is_some()) else {
            return Err(self.ended_early.clone());
        };
        if let Some(why) = answer.text("denied") {
            return Err(match why.trim() {
                "not even root may" => "not even root may look at it".to_owned(),
                why => format!("it needs root, which can't be had: {why}"),
            });
        }
        if answer.undecodable {
            return Err("this machine has neither base64 nor od, which the probe writes its answers with".to_owned());
        }
        Ok(answer)
    }
}

impl Answer {
    /// A part as it is.
    pub(super) fn data(&self, name: &str) -> Option<&[u8]> {
        self.parts.get(name).map(Vec::as_slice)
    }

    /// A part as text; what isn't text is replaced.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.data(name).map(|data| String::from_utf8_lossy(data).into_owned())
    }

    /// Whether a part has this value.
    pub(super) fn says(&self, name: &str, value: &str) -> bool {
        self.data(name) == Some(value.as_bytes())
    }

    /// The names of the parts that start so, without that start.
    pub(super) fn names<'a>(&'a self, start: &'a str) -> impl Iterator<Item = &'a str> {
        self.parts.keys().filter_map(move |name| name.strip_prefix(start))
    }
}

#[derive(Default)]
struct Block {
    number: usize,
    name: String,
    encoding: String,
    encoded: Vec<u8>,
}

fn decode(encoding: &str, encoded: &[u8]) -> Option<Vec<u8>> {
    match encoding {
        "base64" => STANDARD.decode(encoded).ok(),
        "hexadecimal" => encoded
            .chunks(2)
            .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()))
            .collect(),
        _ => None,
    }
}
