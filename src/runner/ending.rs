//! The end of what a test has made: its evidence is taken, then it is kept or ended, all together.

use crate::{
    config::Keep,
    ec2::Machine,
    error::Error,
    task::{OnDrop, Task},
};
use futures_util::future::join_all;
use std::{fmt::Write, time::Duration};
use tokio::time::timeout;

/// How long evidence may take, of all machines together: a red test is not to wait for a dead machine.
const EVIDENCE_WITHIN: Duration = Duration::from_secs(15);

/// How the end of a test's machines went.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// What a failed test shows of its machines.
    pub(crate) evidence: String,
    /// How each machine that was kept is reached.
    pub(crate) kept: Vec<String>,
    /// Why something may have been left behind.
    pub(crate) left: Option<Error>,
}

/// Ends, or keeps, what is left of a test.
pub(crate) fn end(machines: Vec<Machine>, failed: bool, keep: Keep) -> Ending {
    if machines.is_empty() {
        return Ending::default();
    }
    let ending = Task::start("end a test's machines", OnDrop::Finish, async move {
        let mut ending = Ending::default();
        if failed {
            ending.evidence = evidence(&machines).await;
        }
        let keeps = match keep {
            Keep::No => false,
            Keep::Failed => failed,
            Keep::Always => true,
        };
        let machines = if keeps { keep_all(machines, &mut ending.kept).await } else { machines };
        ending.left = Machine::end_all(machines).await.err();
        Ok(ending)
    });
    ending.wait().unwrap_or_else(|failure| Ending { left: Some(failure.into_error()), ..Ending::default() })
}

async fn evidence(machines: &[Machine]) -> String {
    let of_all = join_all(machines.iter().map(Machine::evidence));
    let Ok(of_all) = timeout(EVIDENCE_WITHIN, of_all).await else {
        return format!("no evidence: the machines didn't answer within {} s\n", EVIDENCE_WITHIN.as_secs());
    };
    let mut text = String::new();
    for (machine, evidence) in machines.iter().zip(of_all) {
        let sections = [("failed units", &evidence.failed_units), ("the console's last lines", &evidence.console)];
        for (title, section) in sections {
            let section = section.trim_end();
            if !section.is_empty() {
                // Writing to a string can't fail.
                let _ = writeln!(text, "--- {} ({}): {title} ---\n{section}", machine.name(), machine.id());
            }
        }
    }
    text
}

/// Keeps what can be kept, and gives the others back: nobody will come for a machine that nobody can be told of.
async fn keep_all(machines: Vec<Machine>, kept: &mut Vec<String>) -> Vec<Machine> {
    let results = join_all(machines.iter().map(Machine::keep)).await;
    let mut rest = Vec::new();
    for (machine, result) in machines.into_iter().zip(results) {
        match result {
            Ok(how) => kept.push(how),
            Err(error) => {
                kept.push(format!(
                    "{} ({}) could not be kept, and is ended: failed to {error}",
                    machine.name(),
                    machine.id()
                ));
                rest.push(machine);
            }
        }
    }
    rest
}
