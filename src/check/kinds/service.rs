//! Services, and other units, of systemd.

use super::{is_default, subject};
use crate::check::{
    answer::{Answer, Answers},
    checks::Kind,
    fact::Fact,
    finding::{Findings, Outcome},
    source::Source,
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// What a service is expected to be; made by [`service`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "checks are only data until a machine is asserted to hold them"]
pub struct ServiceCheck {
    service: String,
    #[serde(default, skip_serializing_if = "is_default")]
    exists: Option<bool>,
    #[serde(default, skip_serializing_if = "is_default")]
    running: Option<bool>,
    #[serde(default, skip_serializing_if = "is_default")]
    enabled: Option<bool>,
    #[serde(default, skip_serializing_if = "is_default")]
    failed: Option<bool>,
    #[serde(default, skip_serializing_if = "is_default")]
    masked: Option<bool>,
    #[serde(skip)]
    source: Source,
}

subject! {
    /// A service of systemd, or another unit by its full name: `ssh`, `fstrim.timer`.
    ///
    /// Expects that it runs, unless told otherwise. Unanswerable where systemd doesn't manage the machine.
    service -> ServiceCheck
}

impl ServiceCheck {
    /// systemd knows it.
    pub fn exists(mut self) -> Self {
        self.exists = Some(true);
        self
    }

    /// systemd doesn't know it.
    pub fn is_missing(mut self) -> Self {
        self.exists = Some(false);
        self
    }

    /// It is active.
    pub fn is_running(mut self) -> Self {
        self.running = Some(true);
        self
    }

    /// It is not active; true of one that doesn't exist.
    pub fn is_not_running(mut self) -> Self {
        self.running = Some(false);
        self
    }

    /// It starts at boot, or when something asks for it: enabled, static, indirect, alias or generated.
    pub fn is_enabled(mut self) -> Self {
        self.enabled = Some(true);
        self
    }

    /// It doesn't start at boot: disabled, masked, or not there.
    pub fn is_not_enabled(mut self) -> Self {
        self.enabled = Some(false);
        self
    }

    /// It has not failed; true of one that never ran.
    pub fn has_not_failed(mut self) -> Self {
        self.failed = Some(false);
        self
    }

    /// It is masked.
    pub fn is_masked(mut self) -> Self {
        self.masked = Some(true);
        self
    }

    /// The unit's full name; none for what can't be one, or is a pattern.
    fn unit(&self) -> Option<String> {
        let valid = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
        if self.service.is_empty() || self.service.starts_with('-') || !self.service.chars().all(valid) {
            return None;
        }
        const KINDS: [&str; 11] =
            ["service", "socket", "device", "mount", "automount", "swap", "target", "path", "timer", "slice", "scope"];
        let has_kind = self.service.rsplit_once('.').is_some_and(|(_, kind)| KINDS.contains(&kind));
        Some(if has_kind { self.service.clone() } else { format!("{}.service", self.service) })
    }
}

impl Kind for ServiceCheck {
    fn source(&self) -> Source {
        self.source
    }

    fn subject(&self) -> String {
        format!("service {}", self.service)
    }

    fn facts(&self) -> Vec<Fact> {
        self.unit().iter().map(|unit| Fact::shared("units", [unit])).collect()
    }

    fn judge(&self, answers: &Answers) -> Findings {
        let mut findings = Findings::default();
        let unit = self.unit().ok_or_else(|| "this can't be the name of a unit".to_owned());
        let state = unit.and_then(|unit| State::read(answers.get(&Fact::shared("units", [&unit]))?, &unit));
        if let Some(exists) = self.exists {
            findings.expect(if exists { "exists" } else { "doesn't exist" }, &state, |state| {
                Outcome::of(state.exists() == exists, || state.describe())
            });
        }
        let running = self.running.or((self.clone() == service(self.service.clone())).then_some(true));
        if let Some(running) = running {
            findings.expect(if running { "running" } else { "not running" }, &state, |state| {
                Outcome::of(state.is_running() == running, || state.describe())
            });
        }
        if let Some(enabled) = self.enabled {
            findings.expect(if enabled { "enabled" } else { "not enabled" }, &state, |state| {
                Outcome::of(state.is_enabled() == enabled, || state.describe_enabled())
            });
        }
        if let Some(failed) = self.failed {
            findings.expect(if failed { "failed" } else { "not failed" }, &state, |state| {
                Outcome::of((state.get("ActiveState") == "failed") == failed, || state.describe())
            });
        }
        if let Some(masked) = self.masked {
            findings.expect(if masked { "masked" } else { "not masked" }, &state, |state| {
                Outcome::of((state.get("LoadState") == "masked") == masked, || state.describe_enabled())
            });
        }
        if let Ok(state) = &state {
            findings.evidence("log", &state.log);
        }
        findings
    }
}

/// What `systemctl show` said of one unit.
struct State {
    properties: HashMap<String, String>,
    log: String,
}

impl State {
    fn read(answer: &Answer, unit: &str) -> Result<Self, String> {
        if answer.says("systemd", "no") {
            return Err("this machine is not managed by systemd: there is no /run/systemd/system".to_owned());
        }
        let shown = answer.text("units").unwrap_or_default();
        for block in shown.split("\n\n") {
            let properties: HashMap<_, _> = block
                .lines()
                .filter_map(|line| line.split_once('='))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect();
            let is_named = |key| properties.get(key).is_some_and(|names| names.split(' ').any(|name| name == unit));
            if is_named("Id") || is_named("Names") {
                let log = answer.text(&format!("log-{unit}")).unwrap_or_default();
                return Ok(Self { properties, log });
            }
        }
        Err(match shown.trim() {
            "" => "systemctl said nothing of it".to_owned(),
            said => format!("systemctl said nothing of it, but: {}", said.lines().last().unwrap_or_default()),
        })
    }

    fn get(&self, key: &str) -> &str {
        self.properties.get(key).map_or("", String::as_str)
    }

    fn exists(&self) -> bool {
        self.get("LoadState") != "not-found"
    }

    fn is_running(&self) -> bool {
        matches!(self.get("ActiveState"), "active" | "reloading")
    }

    fn is_enabled(&self) -> bool {
        matches!(
            self.get("UnitFileState"),
            "enabled" | "enabled-runtime" | "static" | "alias" | "indirect" | "generated" | "linked" | "linked-runtime"
        )
    }

    fn describe(&self) -> String {
        if !self.exists() {
            return "systemd knows no such unit".to_owned();
        }
        let mut text = format!("{} ({})", self.get("ActiveState"), self.get("SubState"));
        match self.get("Result") {
            "" | "success" => {}
            "exit-code" => text.push_str(&format!(", its process ended with status {}", self.get("ExecMainStatus"))),
            result => text.push_str(&format!(", result {result}")),
        }
        text
    }

    fn describe_enabled(&self) -> String {
        match self.get("UnitFileState") {
            _ if !self.exists() => self.describe(),
            "" => format!("no unit file ({})", self.get("LoadState")),
            state => state.to_owned(),
        }
    }
}
