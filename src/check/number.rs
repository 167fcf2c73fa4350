//! What a number is expected to be: a value, or a range of them.

use super::unit::Size;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{
    fmt,
    ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive},
    str::FromStr,
};

/// What a number is expected to be: `2`, `1..`, `1..=3`, `gib(1)..`.
///
/// In files: `2`, `"1.."`, `"1..=3"`, `"1GiB.."`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    least: u64,
    most: u64,
}

impl Numbers {
    /// Whether the number is one of these.
    pub fn contains(&self, number: u64) -> bool {
        (self.least..=self.most).contains(&number)
    }

    pub(super) fn describe(&self, show: impl Fn(u64) -> String) -> String {
        match (self.least, self.most) {
            (least, most) if least == most => show(least),
            (0, u64::MAX) => "anything".to_owned(),
            (least, u64::MAX) => format!("at least {}", show(least)),
            (0, most) => format!("at most {}", show(most)),
            (least, most) => format!("{} to {}", show(least), show(most)),
        }
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe(|number| number.to_string()))
    }
}

// For `u64` and `Size` alone: with a second integer type the literal in `count(2)` would become an `i32`.
macro_rules! numbers_from {
    ($type:ty, $number:expr) => {
        impl From<$type> for Numbers {
            fn from(value: $type) -> Self {
                Self { least: $number(value), most: $number(value) }
            }
        }

        impl From<RangeFrom<$type>> for Numbers {
            fn from(range: RangeFrom<$type>) -> Self {
                Self { least: $number(range.start), most: u64::MAX }
            }
        }

        impl From<RangeInclusive<$type>> for Numbers {
            fn from(range: RangeInclusive<$type>) -> Self {
                Self { least: $number(*range.start()), most: $number(*range.end()) }
            }
        }

        impl From<RangeToInclusive<$type>> for Numbers {
            fn from(range: RangeToInclusive<$type>) -> Self {
                Self { least: 0, most: $number(range.end) }
            }
        }

        impl From<RangeTo<$type>> for Numbers {
            /// An empty range holds for no number.
            fn from(range: RangeTo<$type>) -> Self {
                Self::from(0..$number(range.end))
            }
        }

        impl From<Range<$type>> for Numbers {
            /// An empty range holds for no number.
            fn from(range: Range<$type>) -> Self {
                match $number(range.end).checked_sub(1) {
                    Some(most) => Self { least: $number(range.start), most },
                    None => Self { least: 1, most: 0 },
                }
            }
        }
    };
}
numbers_from!(u64, std::convert::identity);
numbers_from!(Size, Size::bytes);

impl From<RangeFull> for Numbers {
    fn from(_: RangeFull) -> Self {
        Self { least: 0, most: u64::MAX }
    }
}

impl FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| part.parse::<Size>().map(Size::bytes);
        match text.split_once("..") {
            None => number(text).map(Self::from),
            Some((least, most)) => {
                let least = if least.trim().is_empty() { 0 } else { number(least)? };
                let most = match most.trim() {
                    "" => u64::MAX,
                    most => number(most.strip_prefix('=').ok_or_else(|| {
                        format!("`{text}` leaves it open whether {most} belongs to the range; write `..={most}`")
                    })?)?,
                };
                Ok(Self { least, most })
            }
        }
    }
}

impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.least, self.most) {
            (least, most) if least == most => serializer.serialize_u64(least),
            (least, u64::MAX) => serializer.collect_str(&format_args!("{least}..")),
            (least, most) => serializer.collect_str(&format_args!("{least}..={most}")),
        }
    }
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => text.parse().map_err(de::Error::custom),
            other => other
                .as_u64()
                .map(Self::from)
                .ok_or_else(|| de::Error::custom(format!("`{other}` is neither a number nor a range such as `1..`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::gib;
    use proptest::prelude::*;

    fn numbers(from: impl Into<Numbers>) -> Numbers {
        from.into()
    }

    #[test]
    fn ranges_mean_what_they_mean_in_rust() {
        assert!(numbers(2).contains(2) && !numbers(2).contains(3));
        assert!(numbers(1..).contains(u64::MAX) && !numbers(1..).contains(0));
        assert!(numbers(1..3).contains(2) && !numbers(1..3).contains(3));
        assert!(numbers(1..=3).contains(3) && numbers(..=3).contains(0) && numbers(..).contains(0));
        assert!(!numbers(0..0).contains(0) && !numbers(gib(1)..).contains(1));
        assert_eq!("1..=3".parse(), Ok(numbers(1..=3)));
        assert_eq!("1GiB..".parse(), Ok(numbers(gib(1)..)));
        assert!("1..3".parse::<Numbers>().unwrap_err().contains("write `..=3`"));
    }

    proptest! {
        #[test]
        fn the_form_in_files_reads_back(least: u64, most: u64) {
            let given = numbers(least..=most);
            let json = serde_json::to_string(&given).unwrap();
            prop_assert_eq!(serde_json::from_str::<Numbers>(&json).unwrap(), given, "{}", json);
        }
    }
}
