//! Processes, by name.

use super::table::{Learn, kind};
use crate::check::{
    Numbers,
    answer::{Answer, Answers},
    fact::Fact,
    finding::hold,
};

kind! {
    /// Which processes are expected to run; made by [`process`].
    #[derive(Default)]
    ProcessCheck

    /// The processes with this name: what `ps -o comm` shows, or the last part of the path that they were started by.
    ///
    /// Expects that at least one runs, unless told otherwise. Zombies, and the probe itself, don't count.
    process(process: String = name) expects is_running;

    running: Option<bool> {
        /// At least one runs.
        is_running() = true;
        /// None runs.
        is_not_running() = false;
    } expects [last "running", "not running"] => |running, found| hold(found.is_empty() != *running, || list(found));

    count: Option<Numbers> {
        /// So many run: `2`, `1..`.
        count(count: impl Into<Numbers>) = count.into();
    } expects "count {}" => |count, found| hold(count.contains(found.len() as u64), || match found.len() {
        0 => list(found),
        count => format!("count {count}:\n{}", list(found)),
    });
}

impl ProcessCheck {
    fn fact(&self) -> Option<Fact> {
        (!self.process.is_empty()).then(|| Fact::shared("processes", [&self.process]))
    }
}

impl Learn for ProcessCheck {
    type Learnt = Vec<Process>;

    fn facts(&self) -> Vec<Fact> {
        self.fact().into_iter().collect()
    }

    fn learn(&self, answers: &Answers) -> Result<Vec<Process>, String> {
        let fact = self.fact().ok_or("a process has a name")?;
        read(answers.get(&fact)?, &self.process)
    }
}

fn list(found: &[Process]) -> String {
    match found {
        [] => "no such process".to_owned(),
        found => found.iter().map(Process::describe).collect::<Vec<_>>().join("\n"),
    }
}

pub(super) struct Process {
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
