//! Processes, by name.

use super::{is_default, subject};
use crate::check::{
    Numbers,
    answer::{Answer, Answers},
    checks::Kind,
    fact::Fact,
    finding::{Findings, Outcome},
    source::Source,
};
use serde::{Deserialize, Serialize};

/// Which processes are expected to run; made by [`process`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "checks are only data until a machine is asserted to hold them"]
pub struct ProcessCheck {
    process: String,
    #[serde(default, skip_serializing_if = "is_default")]
    running: Option<bool>,
    #[serde(default, skip_serializing_if = "is_default")]
    count: Option<Numbers>,
    #[serde(skip)]
    source: Source,
}

subject! {
    /// The processes with this name: what `ps -o comm` shows, or the last part of the path that they were started by.
    ///
    /// Expects that at least one runs, unless told otherwise. Zombies, and the probe itself, don't count.
    process -> ProcessCheck
}

impl ProcessCheck {
    /// At least one runs.
    pub fn is_running(mut self) -> Self {
        self.running = Some(true);
        self
    }

    /// None runs.
    pub fn is_not_running(mut self) -> Self {
        self.running = Some(false);
        self
    }

    /// So many run: `2`, `1..`.
    pub fn count(mut self, count: impl Into<Numbers>) -> Self {
        self.count = Some(count.into());
        self
    }

    fn fact(&self) -> Option<Fact> {
        (!self.process.is_empty()).then(|| Fact::shared("processes", [&self.process]))
    }
}

impl Kind for ProcessCheck {
    fn source(&self) -> Source {
        self.source
    }

    fn subject(&self) -> String {
        format!("process {}", self.process)
    }

    fn facts(&self) -> Vec<Fact> {
        self.fact().into_iter().collect()
    }

    fn judge(&self, answers: &Answers) -> Findings {
        let mut findings = Findings::default();
        let fact = self.fact().ok_or_else(|| "a process has a name".to_owned());
        let found = fact.and_then(|fact| read(answers.get(&fact)?, &self.process));
        let describe = |found: &Vec<Process>| match found.len() {
            0 => "no such process".to_owned(),
            _ => found.iter().map(Process::describe).collect::<Vec<_>>().join("\n"),
        };
        if self.running == Some(false) {
            findings.expect("not running", &found, |found| Outcome::of(found.is_empty(), || describe(found)));
        }
        if let Some(count) = self.count {
            findings.expect(format!("count {count}"), &found, |found| {
                Outcome::of(count.contains(found.len() as u64), || match found.len() {
                    0 => describe(found),
                    count => format!("count {count}:\n{}", describe(found)),
                })
            });
        }
        if self.running == Some(true) || findings.list.is_empty() {
            findings.expect("running", &found, |found| Outcome::of(!found.is_empty(), || describe(found)));
        }
        findings
    }
}

struct Process {
    number: u32,
    line: String,
}

impl Process {
    fn describe(&self) -> String {
        format!("process {}: {}", self.number, self.line)
    }
}

fn read(answer: &Answer, name: &str) -> Result<Vec<Process>, String> {
    if answer.says("proc", "no") {
        return Err("there is no /proc on this machine".to_owned());
    }
    let own = answer.text("own").unwrap_or_default();
    let mut found: Vec<_> = answer
        .names("stat-")
        .filter_map(|number| {
            let stat = answer.text(&format!("stat-{number}"))?;
            // The name stands in parentheses, and may contain any character (proc(5)).
            let (before, after) = (stat.find('(')?, stat.rfind(')')?);
            let comm = stat.get(before + 1..after)?;
            let mut fields = stat.get(after + 1..)?.split_whitespace();
            let (state, parent) = (fields.next()?, fields.next()?);
            if state == "Z" || state == "X" || own == number || own == parent {
                return None;
            }
            let line = answer.data(&format!("line-{number}")).unwrap_or_default();
            let arguments: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
            let program = arguments.first().map(|program| program.rsplit('/').next().unwrap_or_default().to_owned());
            // The kernel keeps 15 bytes of a name.
            let is_comm = comm == name || (comm.len() == 15 && name.starts_with(comm));
            (is_comm || program.as_deref() == Some(name)).then(|| Process {
                number: number.parse().unwrap_or(0),
                line: match line.is_empty() {
                    true => format!("[{comm}]"),
                    false => arguments.join(" ").trim_end().to_owned(),
                },
            })
        })
        .collect();
    found.sort_by_key(|process| process.number);
    Ok(found)
}
