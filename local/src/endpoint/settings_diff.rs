//! What a client asks for, beside what the endpoint that runs already is like.
//!
//! What a client names must be so, no matter who has made it so. What it doesn't name is as it is where somebody serves the endpoint
//! for everybody, where an account that was taken over had it, or where it was changed since. But what another client has named
//! when it started an endpoint on demand was named for that client: a client that names nothing then asks for the default.

use super::{Settings, Stay};
use crate::conditions::Conditions;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The pace where nobody names one.
pub(super) const PACE: f64 = 0.01;

/// What a running endpoint is like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SettingsInForce {
    /// Until when it stays.
    pub(super) stay: Stay,
    /// What the client that started it has named.
    pub(super) named: Settings,
    /// What holds now; nothing is left open.
    pub(super) now: Settings,
}

impl SettingsInForce {
    /// In what it isn't as it is asked to be: a setting each, in words.
    pub(super) fn differences(&self, asked: &Settings) -> Vec<String> {
        let [asked, named, now, default] = [asked, &self.named, &self.now, &Settings::default()].map(fields);
        let mut found = Vec::new();
        for (name, is) in &now {
            let of = |fields: &Map<String, Value>| fields.get(name).cloned().unwrap_or_default();
            let wish = if of(&asked) != of(&default) {
                of(&asked)
            } else if self.stay == Stay::UntilTold || of(&named) == of(&default) || of(&named) != *is {
                continue;
            } else {
                match name.as_str() {
                    "conditions" => Conditions::default().name().into(),
                    "pace" => PACE.into(),
                    // Any will do.
                    "seed" | "port" => continue,
                    _ => of(&default),
                }
            };
            // How long it stays makes it no other one.
            if name != "linger" && !are_same(is, &wish) {
                found.push(format!("{name} {} instead of {}", shown(is), shown(&wish)));
            }
        }
        found
    }
}

fn fields(settings: &Settings) -> Map<String, Value> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// As text, a number may lose its last digit.
fn are_same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) if !(one.fract() == 0.0 && other.fract() == 0.0) => {
            (one - other).abs() <= 1e-9 * one.abs()
        }
        _ => one == other,
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
        let mut settings = Settings::default();
        change(&mut settings);
        settings
    }

    /// As an endpoint that was started with these makes it known.
    fn in_force(stay: Stay, named: Settings) -> SettingsInForce {
        let mut now = named.clone();
        now.conditions = now.conditions.or(Some(Conditions::Typical));
        now.pace = now.pace.or(Some(PACE));
        now.seed = now.seed.or(Some(1));
        now.port = if now.port == 0 { 4000 } else { now.port };
        SettingsInForce { stay, named, now }
    }

    #[test]
    fn what_is_named_must_be_so() {
        for stay in [Stay::WhileNeeded, Stay::UntilTold] {
            let plain = in_force(stay, Settings::default());
            for (asked, said) in [
                (settings(|s| s.conditions = Some(Conditions::Hostile)), "conditions typical instead of hostile"),
                (settings(|s| s.pace = Some(1.0)), "pace 0.01 instead of 1.0"),
                (settings(|s| s.seed = Some(7)), "seed 1 instead of 7"),
                (settings(|s| s.port = 4001), "port 4000 instead of 4001"),
                (settings(|s| s.default_vpc = false), "default_vpc true instead of false"),
                (
                    settings(|s| s.private_networks = vec!["10.0.0.0/8".parse().unwrap()]),
                    "private_networks [] instead of [\"10.0.0.0/8\"]",
                ),
                (settings(|s| s.capacity = vec!["us-east-1a/t3.micro=3".parse().unwrap()]), "capacity [] instead of ["),
                (settings(|s| s.quotas.instances = 1), "quotas {"),
            ] {
                let [found] = &plain.differences(&asked)[..] else { panic!("{asked:?}") };
                assert!(found.starts_with(said), "{found}");
                assert_eq!(in_force(stay, asked.clone()).differences(&asked), [] as [String; 0]);
            }
        }
    }

    #[test]
    fn what_another_client_has_named_is_not_passed_on() {
        let named = settings(|s| {
            (s.conditions, s.pace, s.seed) = (Some(Conditions::Hostile), Some(1.0), Some(7));
            (s.default_vpc, s.port, s.linger) = (false, 4000, std::time::Duration::ZERO);
        });
        let found = in_force(Stay::WhileNeeded, named.clone()).differences(&Settings::default());
        let said =
            ["conditions hostile instead of typical", "default_vpc false instead of true", "pace 1.0 instead of 0.01"];
        assert_eq!(found, said);
        // Who serves it does so for everybody.
        let served = in_force(Stay::UntilTold, named);
        assert_eq!(served.differences(&Settings::default()), [] as [String; 0]);
        let typical = settings(|s| s.conditions = Some(Conditions::Typical));
        assert_eq!(served.differences(&typical), ["conditions hostile instead of typical"]);
    }

    #[test]
    fn what_was_found_or_changed_stays() {
        let mut found = in_force(Stay::WhileNeeded, Settings::default());
        found.now.conditions = Some(Conditions::Hostile);
        assert_eq!(found.differences(&Settings::default()), [] as [String; 0]);
        found.named.conditions = Some(Conditions::Calm);
        assert_eq!(found.differences(&Settings::default()), [] as [String; 0]);
        let calm = settings(|s| s.conditions = Some(Conditions::Calm));
        assert_eq!(found.differences(&calm), ["conditions hostile instead of calm"]);
    }

    #[test]
    fn numbers_survive_being_text() {
        let asked = settings(|s| (s.pace, s.seed) = (Some(0.1 + 0.2), Some(u64::MAX)));
        let text = serde_json::to_string(&in_force(Stay::WhileNeeded, asked.clone())).unwrap();
        let read: SettingsInForce = serde_json::from_str(&text).unwrap();
        assert_eq!(read.differences(&asked), [] as [String; 0]);
        let other = settings(|s| (s.pace, s.seed) = (asked.pace, Some(u64::MAX - 1)));
        assert_eq!(read.differences(&other), ["seed 18446744073709551615 instead of 18446744073709551614"]);
    }
}
