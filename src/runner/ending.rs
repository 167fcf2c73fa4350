//! The end of what a test has made: its evidence is taken, then it is kept or ended, all together.

use super::record::Ended;
use crate::{
    config::Keep,
    error::Error,
    task::{OnDrop, Task},
    teardown::owned::{Owned, end_all},
};
use futures_util::future::join_all;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long evidence may take, of all machines together: a red test is not to wait for a dead machine.
const EVIDENCE_WITHIN: Duration = Duration::from_secs(15);

/// How the end of a test's machines went.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// The machines.
    pub(crate) machines: Vec<Ended>,
    /// Why a failed test's machines gave no evidence.
    pub(crate) no_evidence: Option<String>,
    /// Why something may have been left behind.
    pub(crate) left: Option<Error>,
}

/// Ends, or keeps, what is left of a test.
pub(crate) fn end(mut machines: Vec<Arc<dyn Owned>>, failed: bool, keep: Keep) -> Ending {
    // It was ended, or kept, after its guard had left it to the test's end.
    machines.retain(|machine| !machine.identity().is_forgotten());
    if machines.is_empty() {
        return Ending::default();
    }
    let ending = Task::start("end a test's machines", OnDrop::Finish, async move {
        let ended = |machine: &Arc<dyn Owned>| Ended {
            name: machine.name().to_owned(),
            id: machine.identity().id.clone(),
            remark: machine.remark(),
            evidence: Vec::new(),
            kept: None,
        };
        let mut ending = Ending { machines: machines.iter().map(ended).collect(), ..Ending::default() };
        if failed {
            ending.no_evidence = take_evidence(&machines, &mut ending.machines).await;
        }
        let keeps = match keep {
            Keep::No => false,
            Keep::Failed => failed,
            Keep::Always => true,
        };
        let machines = if keeps { keep_all(machines, &mut ending.machines).await } else { machines };
        ending.left = end_all(machines).await.err();
        Ok(ending)
    });
    ending.wait().unwrap_or_else(|failure| Ending { left: Some(failure.into_error()), ..Ending::default() })
}

/// Takes what the machines show; says why, if there is nothing to be had.
async fn take_evidence(machines: &[Arc<dyn Owned>], ended: &mut [Ended]) -> Option<String> {
    let of_all = join_all(machines.iter().map(|machine| machine.evidence()));
    let Ok(of_all) = timeout(EVIDENCE_WITHIN, of_all).await else {
        return Some(format!("the machines didn't answer within {} s", EVIDENCE_WITHIN.as_secs()));
    };
    for (ended, evidence) in ended.iter_mut().zip(of_all) {
        ended.evidence = evidence;
    }
    None
}

/// Keeps what can be kept, and gives the others back: nobody will come for a machine that nobody can be told of.
async fn keep_all(machines: Vec<Arc<dyn Owned>>, ended: &mut [Ended]) -> Vec<Arc<dyn Owned>> {
    let results = join_all(machines.iter().map(|machine| machine.keep())).await;
    let mut rest = Vec::new();
    for ((machine, result), ended) in machines.into_iter().zip(results).zip(ended) {
        ended.kept = Some(match result {
            Ok(how) => how,
            Err(error) => {
                let text = format!("{machine} could not be kept, and is ended: failed to {error}");
                rest.push(machine);
                text
            }
        });
    }
    rest
}
