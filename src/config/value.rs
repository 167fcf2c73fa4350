//! How a key's value is read, from TOML or from a string of the environment.

use super::{Architecture, HostKeys, Keep, KeyType, LocalConditions, Pace, Progress, Reach, Spot};
use crate::target::Target;
use ipnet::IpNet;
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// A value as it was written.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// In the file, with TOML's types.
    Toml(toml::Value),
    /// In the environment: only text.
    Text(String),
}

impl Value {
    fn text(&self) -> Result<&str, String> {
        match self {
            Self::Text(text) | Self::Toml(toml::Value::String(text)) => Ok(text),
            Self::Toml(other) => Err(format!("expected a string, found {} `{other}`", other.type_str())),
        }
    }
}

/// A type that a key can have; an error says what was expected.
pub(super) trait FromValue: Sized {
    fn from_value(value: &Value) -> Result<Self, String>;
}

impl FromValue for String {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value.text()? {
            "" => Err("expected some text, found an empty string".into()),
            text => Ok(text.to_owned()),
        }
    }
}

impl FromValue for PathBuf {
    fn from_value(value: &Value) -> Result<Self, String> {
        String::from_value(value).map(PathBuf::from)
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Result<Self, String> {
        T::from_value(value).map(Some)
    }
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Toml(toml::Value::Boolean(flag)) => Ok(*flag),
            other => match other.text()? {
                "1" | "true" | "yes" => Ok(true),
                "0" | "false" | "no" => Ok(false),
                text => Err(format!("expected true or false, found `{text}`")),
            },
        }
    }
}

macro_rules! whole_numbers {
    ($($type:ident)*) => {$(
        impl FromValue for $type {
            fn from_value(value: &Value) -> Result<Self, String> {
                let wrong = |found: String| format!("expected a whole number from 0 to {}, found `{found}`", $type::MAX);
                match value {
                    Value::Toml(toml::Value::Integer(number)) => {
                        $type::try_from(*number).map_err(|_| wrong(number.to_string()))
                    }
                    other => other.text()?.parse().map_err(|_| wrong(other.text().unwrap_or_default().to_owned())),
                }
            }
        }
    )*};
}

whole_numbers! { u32 u64 }

impl FromValue for Pace {
    fn from_value(value: &Value) -> Result<Self, String> {
        let factor = match value {
            Value::Toml(toml::Value::Float(factor)) => *factor,
            Value::Toml(toml::Value::Integer(factor)) => *factor as f64,
            other => other.text()?.parse().map_err(|_| "expected a number from 0 upwards, such as 0.01".to_owned())?,
        };
        if factor.is_finite() && factor >= 0.0 {
            Ok(Self(factor))
        } else {
            Err(format!("expected a number from 0 upwards, found `{factor}`"))
        }
    }
}

impl FromValue for Duration {
    fn from_value(value: &Value) -> Result<Self, String> {
        let text =
            value.text().map_err(|found| format!("{found}; write a time with its unit, such as \"90s\" or \"10m\""))?;
        humantime::parse_duration(text)
            .map_err(|e| format!("expected a time such as \"90s\", \"10m\" or \"2h\", found `{text}`: {e}"))
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Toml(toml::Value::Array(items)) => {
                items.iter().map(|item| T::from_value(&Value::Toml(item.clone()))).collect()
            }
            Value::Text(text) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                items.map(|item| T::from_value(&Value::Text(item.to_owned()))).collect()
            }
            Value::Toml(_) => T::from_value(value).map(|item| vec![item]),
        }
    }
}

impl<T: FromValue> FromValue for BTreeMap<String, T> {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Toml(toml::Value::Table(table)) => table
                .iter()
                .map(|(key, item)| {
                    Ok((key.clone(), T::from_value(&Value::Toml(item.clone())).map_err(|e| format!("`{key}`: {e}"))?))
                })
                .collect(),
            Value::Text(text) => text
                .split(',')
                .map(str::trim)
                .filter(|pair| !pair.is_empty())
                .map(|pair| {
                    let (key, item) =
                        pair.split_once('=').ok_or_else(|| format!("expected `key=value`, found `{pair}`"))?;
                    Ok((key.trim().to_owned(), T::from_value(&Value::Text(item.trim().to_owned()))?))
                })
                .collect(),
            Value::Toml(other) => Err(format!("expected a table, found {} `{other}`", other.type_str())),
        }
    }
}

impl FromValue for IpNet {
    fn from_value(value: &Value) -> Result<Self, String> {
        let text = value.text()?;
        // As EC2 takes it: the bits of a host say nothing of its network.
        text.parse::<IpNet>()
            .map(|network| network.trunc())
            .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
            .map_err(|_| format!("expected a network such as 203.0.113.0/24, found `{text}`"))
    }
}

impl FromValue for Target {
    fn from_value(value: &Value) -> Result<Self, String> {
        value.text()?.parse()
    }
}

impl FromValue for Reach {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Toml(toml::Value::String(_)) | Value::Text(_) => match value.text()? {
                "public" => Ok(Self::Public),
                "private" => Ok(Self::Private),
                // A file has lists for this; the environment has only words.
                text if matches!(value, Value::Text(_)) && text.contains(char::is_whitespace) => {
                    Ok(Self::Command(text.split_whitespace().map(str::to_owned).collect()))
                }
                text => Err(format!("expected `public`, `private` or a command with its arguments, found `{text}`")),
            },
            Value::Toml(_) => match Vec::<String>::from_value(value)? {
                command if command.is_empty() => {
                    Err("expected a command with its arguments, found an empty list".into())
                }
                command => Ok(Self::Command(command)),
            },
        }
    }
}

/// A choice among words.
macro_rules! words {
    ($($type:ident { $($word:literal = $variant:ident),+ })+) => {$(
        impl FromValue for $type {
            fn from_value(value: &Value) -> Result<Self, String> {
                match value.text()? {
                    $($word => Ok(Self::$variant),)+
                    text => Err(format!("expected one of {}, found `{text}`", [$(concat!("`", $word, "`")),+].join(", "))),
                }
            }
        }
    )+};
}

words! {
    Architecture { "x86_64" = X86_64, "arm64" = Arm64 }
    Keep { "no" = No, "failed" = Failed, "always" = Always }
    HostKeys { "first-use" = FirstUse, "console" = Console }
    LocalConditions { "calm" = Calm, "typical" = Typical, "hostile" = Hostile }
    KeyType { "ed25519" = Ed25519, "rsa" = Rsa }
    Spot { "no" = No, "only" = Only, "or-on-demand" = OrOnDemand }
    Progress { "auto" = Auto, "plain" = Plain, "off" = Off }
}
