//! What a text is expected to be.

use regex_lite::RegexBuilder;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap};
use serde_json::Value;
use similar::TextDiff;
use std::fmt;

/// What a text is expected to be: a small value, made by [`equals`], [`contains`], [`starts_with`], [`ends_with`],
/// [`matches()`] and [`not`].
///
/// A plain `&str` or `String` is the whole text, as [`equals`]. In files: `"text"`, `{ contains = "text" }`, `{ not =
/// { contains = "text" } }`, or a list of these that must all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Matcher {
    /// See [`equals`].
    Equals(String),
    /// See [`contains`].
    Contains(String),
    /// See [`starts_with`].
    StartsWith(String),
    /// See [`ends_with`].
    EndsWith(String),
    /// See [`matches()`].
    Matches(String),
    /// See [`not`].
    Not(Box<Matcher>),
    /// All of these hold.
    All(Vec<Matcher>),
}

/// The text is this one; line ends at the end of both don't count, so that `uname -m` equals `x86_64`.
pub fn equals(text: impl Into<String>) -> Matcher {
    Matcher::Equals(text.into())
}

/// The text contains this one.
pub fn contains(text: impl Into<String>) -> Matcher {
    Matcher::Contains(text.into())
}

/// The text starts with this one.
pub fn starts_with(text: impl Into<String>) -> Matcher {
    Matcher::StartsWith(text.into())
}

/// The text ends with this one; line ends at the end of both don't count.
pub fn ends_with(text: impl Into<String>) -> Matcher {
    Matcher::EndsWith(text.into())
}

/// This regular expression, in the syntax of the regex crate, is found in the text; `^` and `$` match at each line.
///
/// An expression that can't be read makes the check unanswerable.
pub fn matches(expression: impl Into<String>) -> Matcher {
    Matcher::Matches(expression.into())
}

/// The other doesn't hold.
pub fn not(matcher: impl Into<Matcher>) -> Matcher {
    Matcher::Not(Box::new(matcher.into()))
}

impl From<&str> for Matcher {
    fn from(text: &str) -> Self {
        equals(text)
    }
}

impl From<String> for Matcher {
    fn from(text: String) -> Self {
        equals(text)
    }
}

impl Matcher {
    /// Whether it holds for the text; an `Err` says why that can't be told.
    pub(super) fn holds(&self, text: &[u8]) -> Result<bool, String> {
        Ok(match self {
            Self::Equals(expected) => trim_end(text) == trim_end(expected.as_bytes()),
            Self::Contains(part) => find(text, part.as_bytes()),
            Self::StartsWith(start) => text.starts_with(start.as_bytes()),
            Self::EndsWith(end) => trim_end(text).ends_with(trim_end(end.as_bytes())),
            Self::Matches(expression) => RegexBuilder::new(expression)
                .multi_line(true)
                .build()
                .map_err(|error| format!("`{expression}` is not a regular expression: {error}"))?
                .is_match(&String::from_utf8_lossy(text)),
            Self::Not(other) => !other.holds(text)?,
            Self::All(all) => {
                for matcher in all {
                    if !matcher.holds(text)? {
                        return Ok(false);
                    }
                }
                true
            }
        })
    }

    /// What was found instead: the text itself, a diff, or the nearest line.
    pub(super) fn found(&self, text: &[u8]) -> String {
        if text.is_empty() {
            return "nothing, it is empty".to_owned();
        }
        let Ok(readable) = std::str::from_utf8(text) else {
            return format!("{} bytes that are not text", text.len());
        };
        let readable = readable.trim_end_matches(['\r', '\n']);
        if let Self::All(all) = self
            && let Some(broken) = all.iter().find(|matcher| matcher.holds(text) == Ok(false))
        {
            return broken.found(text);
        }
        if !readable.contains('\n') && readable.len() <= SHORT {
            return format!("{readable:?}");
        }
        match self {
            Self::Equals(expected) => diff(expected.trim_end_matches(['\r', '\n']), readable),
            Self::Contains(part) | Self::StartsWith(part) | Self::EndsWith(part) => nearest(part, readable),
            Self::Not(other) => present(other, readable),
            _ => format!("no match in {}", lines(readable)),
        }
    }
}

/// Longer texts are not shown whole in one line.
const SHORT: usize = 160;

fn trim_end(mut text: &[u8]) -> &[u8] {
    while let Some((b'\n' | b'\r', rest)) = text.split_last() {
        text = rest;
    }
    text
}

fn find(text: &[u8], part: &[u8]) -> bool {
    // A str's search is linear where that of windows isn't.
    match (std::str::from_utf8(text), std::str::from_utf8(part)) {
        (Ok(text), Ok(part)) => text.contains(part),
        _ => part.is_empty() || text.windows(part.len()).any(|window| window == part),
    }
}

fn diff(expected: &str, found: &str) -> String {
    // Without its line end, a last line would differ from the same line with one.
    let (expected, found) = (format!("{expected}\n"), format!("{found}\n"));
    let diff = TextDiff::from_lines(&expected, &found);
    let mut lines = vec!["another text (- expected, + found)".to_owned()];
    for line in diff.unified_diff().context_radius(2).to_string().lines() {
        lines.push(shorten(line));
        if lines.len() > 60 {
            lines.push("… and more".to_owned());
            break;
        }
    }
    lines.join("\n")
}

fn nearest(part: &str, text: &str) -> String {
    let wanted = part.lines().next().unwrap_or_default();
    let best = text
        .lines()
        .enumerate()
        .filter(|(_, line)| line.len() < 1000)
        .map(|(number, line)| (strsim::sorensen_dice(line.trim(), wanted.trim()), number, line))
        .filter(|(likeness, ..)| *likeness >= 0.5)
        // The first of equals.
        .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
    match best {
        Some((_, number, line)) => {
            format!("no such text in {}; nearest is line {}:\n{}", lines(text), number + 1, shorten(line))
        }
        None => format!("no such text in {}", lines(text)),
    }
}

fn present(unwanted: &Matcher, text: &str) -> String {
    match text.lines().enumerate().find(|(_, line)| unwanted.holds(line.as_bytes()) == Ok(true)) {
        Some((number, line)) => format!("it in line {}:\n{}", number + 1, shorten(line)),
        None => format!("it, in {}", lines(text)),
    }
}

fn lines(text: &str) -> String {
    match text.lines().count() {
        1 => format!("a line of {} bytes", text.len()),
        count => format!("{count} lines"),
    }
}

pub(super) fn shorten(line: &str) -> String {
    match line.char_indices().nth(SHORT) {
        Some((end, _)) => format!("{}… ({} bytes)", &line[..end], line.len()),
        None => line.to_owned(),
    }
}

impl fmt::Display for Matcher {
    /// Fits after the name of what is looked at: `contains "UsePAM yes"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &String| shorten(&format!("{text:?}"));
        match self {
            Self::Equals(text) if text.trim_end().contains('\n') => write!(f, "is the {} given", lines(text)),
            Self::Equals(text) => write!(f, "is {}", quoted(text)),
            Self::Contains(text) => write!(f, "contains {}", quoted(text)),
            Self::StartsWith(text) => write!(f, "starts with {}", quoted(text)),
            Self::EndsWith(text) => write!(f, "ends with {}", quoted(text)),
            Self::Matches(expression) => write!(f, "matches /{}/", shorten(expression)),
            Self::Not(other) => match &**other {
                Self::Equals(text) => write!(f, "is not {}", quoted(text)),
                Self::Contains(text) => write!(f, "does not contain {}", quoted(text)),
                Self::StartsWith(text) => write!(f, "does not start with {}", quoted(text)),
                Self::EndsWith(text) => write!(f, "does not end with {}", quoted(text)),
                Self::Matches(expression) => write!(f, "does not match /{}/", shorten(expression)),
                other => write!(f, "is not so that it {other}"),
            },
            Self::All(all) => {
                for (index, matcher) in all.iter().enumerate() {
                    write!(f, "{}{matcher}", if index == 0 { "" } else { " and " })?;
                }
                Ok(())
            }
        }
    }
}

impl Serialize for Matcher {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (key, text) = match self {
            Self::Equals(text) => return serializer.serialize_str(text),
            Self::All(all) => return serializer.collect_seq(all),
            Self::Not(other) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("not", other)?;
                return map.end();
            }
            Self::Contains(text) => ("contains", text),
            Self::StartsWith(text) => ("starts_with", text),
            Self::EndsWith(text) => ("ends_with", text),
            Self::Matches(text) => ("matches", text),
        };
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(key, text)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Matcher {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(Value::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

fn read(value: Value) -> Result<Matcher, String> {
    match value {
        Value::String(text) => Ok(Matcher::Equals(text)),
        Value::Array(all) if all.is_empty() => Err("an empty list matches nothing".to_owned()),
        Value::Array(all) => all.into_iter().map(read).collect::<Result<_, _>>().map(Matcher::All),
        Value::Object(table) => {
            let mut all = table.into_iter().map(|(key, value)| entry(&key, value)).collect::<Result<Vec<_>, _>>()?;
            match all.len() {
                0 => Err("an empty table matches nothing".to_owned()),
                1 => Ok(all.remove(0)),
                _ => Ok(Matcher::All(all)),
            }
        }
        other => Err(format!("`{other}` is not a text to match; put it in quotes")),
    }
}

fn entry(key: &str, value: Value) -> Result<Matcher, String> {
    let text = |value: Value| match value {
        Value::String(text) => Ok(text),
        other => Err(format!("`{key}` takes a text, not `{other}`")),
    };
    Ok(match key {
        "equals" => Matcher::Equals(text(value)?),
        "contains" => Matcher::Contains(text(value)?),
        "starts_with" => Matcher::StartsWith(text(value)?),
        "ends_with" => Matcher::EndsWith(text(value)?),
        "matches" => {
            let matcher = Matcher::Matches(text(value)?);
            matcher.holds(b"")?;
            matcher
        }
        "not" => Matcher::Not(Box::new(read(value)?)),
        _ => {
            return Err(format!(
                "unknown way to match `{key}`; there are equals, contains, starts_with, ends_with, matches, not"
            ));
        }
    })
}
