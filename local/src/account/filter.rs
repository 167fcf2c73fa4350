//! Filters of the Describe actions.
//!
//! A filter is a name and a path into what Describe shows, so that a filter can't disagree with the answer. Filters are
//! joined by "and", the values of one by "or"; values are case-sensitive and may hold `*`, `?` and, before either of them
//! or itself, `\`. Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html>.

use super::tags::TagSet;
use crate::{
    error::{ApiError, Code},
    wire::{Structure, Value},
};
use std::borrow::Cow;
use time::{OffsetDateTime, macros::format_description};

/// A filter's name, and the path of the members that it looks at. An empty path is for what no resource has here.
pub(super) type Definition = (&'static str, &'static str);

/// The filters of one request.
#[derive(Debug)]
pub(super) struct Filters {
    filters: Vec<Filter>,
}

#[derive(Debug)]
struct Filter {
    subject: Subject,
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
enum Subject {
    Path(&'static str),
    Tag(String),
    TagKey,
    TagValue,
}

/// How many filters a request may have, how many values, and of how many characters.
const MOST: usize = 50;
const MOST_VALUES: usize = 200;
const LONGEST: usize = 255;

impl Filters {
    /// Reads the member `Filters` of a request; `tags` says whether the resource is one that has tags.
    pub(super) fn read(input: &Structure, known: &[Definition], tags: bool) -> Result<Self, ApiError> {
        let mut filters = Vec::new();
        let mut count = 0;
        for filter in input.structures("Filters") {
            let name = filter.string("Name").unwrap_or("null");
            if let Some(long) = filter.strings("Values").find(|value| value.chars().count() > LONGEST) {
                let message = format!("The filter '{name}' has a value of more than {LONGEST} characters: {long}");
                return Err(ApiError::new(Code::InvalidParameterValue, message));
            }
            let patterns: Vec<_> = filter.strings("Values").map(Pattern::new).collect();
            count += patterns.len();
            if count > MOST_VALUES || filters.len() == MOST {
                let message = format!(
                    "The maximum number of filter values specified on a single call is {MOST_VALUES}, and of filters {MOST}"
                );
                return Err(ApiError::new(Code::FilterLimitExceeded, message));
            }
            if patterns.is_empty() {
                let message = format!("The filter '{name}' must have at least one value");
                return Err(ApiError::new(Code::InvalidParameterValue, message));
            }
            let subject = Subject::find(name, known, tags)
                .ok_or_else(|| ApiError::new(Code::InvalidParameterValue, format!("The filter '{name}' is invalid")))?;
            filters.push(Filter { subject, patterns });
        }
        Ok(Self { filters })
    }

    /// Whether the tags pass; cheap, so asked first.
    pub(super) fn pass_tags(&self, tags: Option<&TagSet>) -> bool {
        self.filters.iter().all(|filter| {
            let mut tags = tags.into_iter().flatten();
            match &filter.subject {
                Subject::Path(_) => true,
                Subject::Tag(key) => tags.any(|(k, value)| k == key && filter.matches(value)),
                Subject::TagKey => tags.any(|(key, _)| filter.matches(key)),
                Subject::TagValue => tags.any(|(_, value)| filter.matches(value)),
            }
        })
    }

    /// Whether the id passes where a filter looks at nothing but the id; cheap, so asked early.
    pub(super) fn pass_id(&self, path: &str, id: &str) -> bool {
        self.filters.iter().all(|filter| match filter.subject {
            Subject::Path(p) if p == path => filter.matches(id),
            _ => true,
        })
    }

    /// Whether what Describe shows passes; tags are not looked at again.
    pub(super) fn pass(&self, shown: &Structure, hidden: &Structure) -> bool {
        self.filters.iter().all(|filter| match filter.subject {
            Subject::Path(path) => {
                any_at(shown, path, &|v| filter.matches(v)) || any_at(hidden, path, &|v| filter.matches(v))
            }
            _ => true,
        })
    }
}

impl Subject {
    fn find(name: &str, known: &[Definition], tags: bool) -> Option<Self> {
        if let Some((_, path)) = known.iter().find(|(known, _)| *known == name) {
            return Some(Self::Path(path));
        }
        match name {
            _ if !tags => None,
            "tag-key" => Some(Self::TagKey),
            "tag-value" => Some(Self::TagValue),
            _ => name.strip_prefix("tag:").map(|key| Self::Tag(key.to_owned())),
        }
    }
}

impl Filter {
    fn matches(&self, value: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(value))
    }
}

/// Whether a value at the path is one that is wanted; a list stands for each of its items.
fn any_at(structure: &Structure, path: &str, wanted: &dyn Fn(&str) -> bool) -> bool {
    let (member, rest) = path.split_once('.').unwrap_or((path, ""));
    structure.get(member).is_some_and(|value| any_in(value, rest, wanted))
}

fn any_in(value: &Value, path: &str, wanted: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::List(items) => items.iter().any(|item| any_in(item, path, wanted)),
        Value::Structure(structure) => any_at(structure, path, wanted),
        scalar => text(scalar).is_some_and(|text| wanted(&text)),
    }
}

fn text(value: &Value) -> Option<Cow<'_, str>> {
    Some(match value {
        Value::String(s) => Cow::Borrowed(s),
        Value::Integer(n) => Cow::Owned(n.to_string()),
        Value::Double(n) => Cow::Owned(n.to_string()),
        Value::Boolean(b) => Cow::Borrowed(if *b { "true" } else { "false" }),
        Value::Timestamp(t) => Cow::Owned(timestamp(*t)),
        _ => return None,
    })
}

/// A point in time as EC2 writes it.
pub(super) fn timestamp(time: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    time.to_offset(time::UtcOffset::UTC).format(format).unwrap_or_default()
}

/// A point in time as EC2 shows most of them: of whole seconds. Of what is served, only a volume's making has milliseconds.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeVolumes.html>, its examples beside those of other
/// actions.
pub(super) fn whole_second(time: OffsetDateTime) -> OffsetDateTime {
    time.replace_nanosecond(0).unwrap_or(time)
}

/// A value of a filter.
#[derive(Debug)]
struct Pattern(Vec<Token>);

#[derive(Debug, PartialEq, Clone, Copy)]
enum Token {
    Literal(char),
    One,
    Any,
}

impl Pattern {
    fn new(text: &str) -> Self {
        let mut tokens = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::Any,
                '?' => Token::One,
                '\\' => Token::Literal(chars.next_if(|next| matches!(next, '*' | '?' | '\\')).unwrap_or('\\')),
                c => Token::Literal(c),
            });
        }
        Self(tokens)
    }

    /// Walks text and pattern side by side and, on a mismatch, lets the last `*` take one more: linear times linear at
    /// worst, whatever the pattern.
    fn matches(&self, text: &str) -> bool {
        let mut rest = text.chars();
        let mut at = 0;
        let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            let before = rest.clone();
            let next = rest.next();
            match (self.0.get(at), next) {
                (Some(Token::Any), _) => {
                    at += 1;
                    rest = before;
                    retry = Some((at, rest.clone()));
                }
                (None, None) => return true,
                (Some(Token::One), Some(_)) => at += 1,
                (Some(Token::Literal(wanted)), Some(c)) if *wanted == c => at += 1,
                _ => {
                    let Some((after, from)) = &mut retry else { return false };
                    if from.next().is_none() {
                        return false;
                    }
                    at = *after;
                    rest = from.clone();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern).matches(text)
    }

    #[test]
    fn wildcards() {
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("*", "anything"),
            ("a*c", "abbbc"),
            ("a*b*c", "a-b-b-c"),
            ("?", "é"),
            ("a?c", "abc"),
            ("*database*", "the database x"),
            (r"\*amazon\?\\", r"*amazon?\"),
            (r"a\b", r"a\b"),
            (r"a\", r"a\"),
            ("**", "x"),
        ] {
            assert!(matches(pattern, text), "{pattern} should match {text}");
        }
        for (pattern, text) in
            [("", "a"), ("a", ""), ("?", ""), ("?", "ab"), ("A", "a"), (r"\*", "x"), ("a*c", "abcd"), ("*a", "ab")]
        {
            assert!(!matches(pattern, text), "{pattern} should not match {text}");
        }
    }

    /// The definition, by recursion.
    fn reference(pattern: &[Token], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((Token::Any, rest)), _) => (0..=text.len()).any(|n| reference(rest, &text[n..])),
            (Some((Token::One, rest)), Some((_, after))) => reference(rest, after),
            (Some((Token::Literal(c), rest)), Some((first, after))) => c == first && reference(rest, after),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn the_walk_agrees_with_the_definition(pattern in r"[ab*?\\]{0,8}", text in r"[ab*\\]{0,8}") {
            let chars: Vec<char> = text.chars().collect();
            prop_assert_eq!(matches(&pattern, &text), reference(&Pattern::new(&pattern).0, &chars));
        }

        #[test]
        fn an_escaped_text_matches_itself_and_nothing_else(text in ".{0,12}", other in ".{0,12}") {
            let escaped: String = text.chars().flat_map(|c| match c {
                '*' | '?' | '\\' => vec!['\\', c],
                c => vec![c],
            }).collect();
            prop_assert!(matches(&escaped, &text));
            prop_assert_eq!(matches(&escaped, &other), text == other);
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        assert!(!matches(&"*a".repeat(500), &"b".repeat(10_000)));
        assert!(!matches(&format!("{}b", "a*".repeat(200)), &"a".repeat(5_000)));
    }

    #[test]
    fn paths() {
        let item = |n: i64| Structure::new().with("N", n);
        let shown = Structure::new()
            .with("State", Structure::new().with("Name", "running"))
            .with("List", vec![item(1), item(2)])
            .with("On", true);
        for (path, value, expected) in [
            ("State.Name", "run*", true),
            ("List.N", "2", true),
            ("List.N", "3", false),
            ("On", "true", true),
            ("Off", "*", false),
            ("", "*", false),
        ] {
            let pattern = Pattern::new(value);
            assert_eq!(any_at(&shown, path, &|v| pattern.matches(v)), expected, "{path} {value}");
        }
    }

    fn filter(name: Option<&str>, values: &[&str]) -> Structure {
        let filter = Structure::new().with_some("Name", name).with("Values", values.to_vec());
        Structure::new().with("Filters", vec![filter])
    }

    #[test]
    fn unknown_empty_and_too_many() {
        let read = |input: &Structure| Filters::read(input, &[("known", "Known")], true).unwrap_err().to_string();
        assert_eq!(read(&filter(Some("x"), &["1"])), "InvalidParameterValue: The filter 'x' is invalid");
        assert_eq!(read(&filter(None, &["1"])), "InvalidParameterValue: The filter 'null' is invalid");
        assert!(read(&filter(Some("known"), &[])).starts_with("InvalidParameterValue"));
        assert!(read(&filter(Some("known"), &["x"; 201])).starts_with("FilterLimitExceeded"));
        assert!(read(&filter(Some("known"), &[&"x".repeat(256)])).starts_with("InvalidParameterValue"));
        let one = filter(Some("known"), &[&"é".repeat(255)]).structures("Filters").next().unwrap().clone();
        let many = |count| Structure::new().with("Filters", vec![one.clone(); count]);
        assert!(Filters::read(&many(50), &[("known", "Known")], true).is_ok());
        assert!(read(&many(51)).starts_with("FilterLimitExceeded"));
        assert!(Filters::read(&filter(Some("tag:x"), &["1"]), &[], false).is_err());
    }
}
