//! Services, and other units, of systemd.

use super::table::{Learn, kind};
use crate::check::{
    answer::{Answer, Answers},
    fact::Fact,
    finding::hold,
};
use std::collections::HashMap;

kind! {
    /// What a service is expected to be; made by [`service`].
    #[derive(Default)]
    ServiceCheck

    /// A service of systemd, or another unit by its full name: `ssh`, `fstrim.timer`.
    ///
    /// Expects that it runs, unless told otherwise. Unanswerable where systemd doesn't manage the machine.
    service(service: String = name) expects is_running;

    exists: Option<bool> {
        /// systemd knows it.
        exists() = true;
        /// systemd doesn't know it.
        is_missing() = false;
    } expects ["exists", "doesn't exist"] => |exists, state| hold(state.exists() == *exists, || state.describe());

    running: Option<bool> {
        /// It is active.
        is_running() = true;
        /// It is not active; true of one that doesn't exist.
        is_not_running() = false;
    } expects ["running", "not running"] => |running, state| hold(state.is_running() == *running, || state.describe());

    enabled: Option<bool> {
        /// It starts at boot, or when something asks for it: enabled, static, indirect, alias or generated.
        is_enabled() = true;
        /// It doesn't start at boot: disabled, masked, or not there.
        is_not_enabled() = false;
    } expects ["enabled", "not enabled"] => |enabled, state| {
        hold(state.is_enabled() == *enabled, || state.describe_enabled())
    };

    failed: Option<bool> {
        /// It has not failed; true of one that never ran.
        has_not_failed() = false;
    } expects ["failed", "not failed"] => |failed, state| {
        hold((state.get("ActiveState") == "failed") == *failed, || state.describe())
    };

    masked: Option<bool> {
        /// It is masked.
        is_masked() = true;
    } expects ["masked", "not masked"] => |masked, state| {
        hold((state.get("LoadState") == "masked") == *masked, || state.describe_enabled())
    };
}

impl ServiceCheck {
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

impl Learn for ServiceCheck {
    type Learnt = State;

    fn facts(&self) -> Vec<Fact> {
        self.unit().iter().map(|unit| Fact::shared("units", [unit])).collect()
    }

    fn learn(&self, answers: &Answers) -> Result<State, String> {
        let unit = self.unit().ok_or("this can't be the name of a unit")?;
        State::read(answers.get(&Fact::shared("units", [&unit]))?, &unit)
    }

    fn evidence(&self, state: &State) -> Vec<(&'static str, String)> {
        vec![("log", state.log.clone())]
    }
}

/// What `systemctl show` said of one unit.
pub(super) struct State {
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
