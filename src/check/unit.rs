//! Units as one says them: `30.secs()`, `gib(20)`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr, time::Duration};

/// Durations as one says them: `30.secs()`.
pub trait Durations {
    /// So many milliseconds.
    fn millis(self) -> Duration;
    /// So many seconds.
    fn secs(self) -> Duration;
    /// So many minutes.
    fn mins(self) -> Duration;
    /// So many hours.
    fn hours(self) -> Duration;
}

// For `u64` alone: with a second integer type the literal in `30.secs()` would become an `i32`.
impl Durations for u64 {
    fn millis(self) -> Duration {
        Duration::from_millis(self)
    }

    fn secs(self) -> Duration {
        Duration::from_secs(self)
    }

    fn mins(self) -> Duration {
        Duration::from_secs(self.saturating_mul(60))
    }

    fn hours(self) -> Duration {
        Duration::from_secs(self.saturating_mul(3600))
    }
}

/// A size in bytes; written `20GiB` in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

/// So many kibibytes, of 1,024 bytes.
pub const fn kib(number: u64) -> Size {
    Size(number.saturating_mul(1 << 10))
}

/// So many mebibytes, of 1,024 KiB.
pub const fn mib(number: u64) -> Size {
    Size(number.saturating_mul(1 << 20))
}

/// So many gibibytes, of 1,024 MiB: EC2's unit for volumes.
pub const fn gib(number: u64) -> Size {
    Size(number.saturating_mul(1 << 30))
}

const UNITS: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Size {
    /// A size of so many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The number of whole gibibytes.
    pub const fn whole_gib(self) -> u64 {
        self.0 >> 30
    }
}

impl From<u64> for Size {
    fn from(bytes: u64) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Size {
    /// The largest unit in which it is a whole number: `20 GiB`, `3223 bytes`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS[..4].iter().find(|(_, bytes)| self.0 >= *bytes && self.0.is_multiple_of(*bytes)) {
            Some((unit, bytes)) => write!(f, "{} {unit}", self.0 / bytes),
            None if self.0 == 1 => f.write_str("1 byte"),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a size; write bytes, or a whole number with KiB, MiB, GiB or TiB");
        let trimmed = text.trim();
        let digits = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
        let number: u64 = trimmed[..digits].parse().map_err(|_| bad())?;
        let unit = match trimmed[digits..].trim() {
            "" | "byte" | "bytes" => 1,
            name => UNITS.iter().find(|(unit, _)| unit.eq_ignore_ascii_case(name)).ok_or_else(bad)?.1,
        };
        number.checked_mul(unit).map(Self).ok_or_else(bad)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_string().replace(' ', "").replace("bytes", "B").replace("byte", "B"))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => text.parse().map_err(de::Error::custom),
            other => other.as_u64().map(Self).ok_or_else(|| de::Error::custom(format!("`{other}` is not a size"))),
        }
    }
}

/// Durations in files: `5s`, `1m 30s`.
pub(super) mod span {
    use super::{Deserialize, Deserializer, Duration, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(duration) => serializer.serialize_str(&humantime::format_duration(*duration).to_string()),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| {
            humantime::parse_duration(&text)
                .map_err(|error| de::Error::custom(format!("`{text}` is not a duration such as `30s`: {error}")))
        })
        .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_read_as_one_says_them() {
        assert_eq!(30.secs(), Duration::from_secs(30));
        assert_eq!(2.mins() + 1.hours() + 5.millis(), Duration::from_millis(3_720_005));
        assert_eq!(gib(20).bytes(), 20 << 30);
        assert_eq!((gib(20).to_string(), kib(3).to_string()), ("20 GiB".into(), "3 KiB".into()));
        assert_eq!((Size(0).to_string(), Size(1).to_string()), ("0 bytes".into(), "1 byte".into()));
        assert_eq!("20GiB".parse(), Ok(gib(20)));
        assert_eq!(" 20 gib ".parse(), Ok(gib(20)));
        for bad in ["", "GiB", "-1", "1.5GiB", "99999999999999TiB", "20 GB"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }
}
