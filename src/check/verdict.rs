//! What came of a set of checks, and how it reads in a log.

use super::{
    finding::{Findings, Miss},
    matcher::shorten,
};
use crate::{Error, ErrorKind};
use ec2_state_directory::shown;

/// What came of each check, in their order.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    checks: Vec<(String, Findings)>,
}

impl Verdict {
    /// Adds a check: its line and subject, and what came of it.
    pub(super) fn add(&mut self, title: String, findings: Findings) {
        self.checks.push((title, findings));
    }

    /// Nothing if all held; else an error that lists every check that didn't, with the evidence.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Assertion`] if one failed; [`ErrorKind::Unanswerable`] if none failed, but one can't be answered;
    /// [`ErrorKind::Configuration`] if there were no checks: a test that didn't test doesn't pass.
    pub(crate) fn into_result(self, machine: &str) -> Result<(), Error> {
        let count = |is: fn(&Findings) -> bool| self.checks.iter().filter(|(_, findings)| is(findings)).count();
        let total = self.checks.len();
        let failed = count(has_failed);
        let unanswerable = count(|findings| !has_failed(findings) && is_unanswerable(findings));
        if total == 0 {
            return Err(Error::new(ErrorKind::Configuration, format!("check {machine}"))
                .because("there are no checks to make")
                .advise("an assert of nothing would pass without having tested anything; give it at least one check"));
        }
        if failed + unanswerable == 0 {
            return Ok(());
        }
        let kind = if failed > 0 { ErrorKind::Assertion } else { ErrorKind::Unanswerable };
        let mut summary = Vec::new();
        if failed > 0 {
            summary.push(format!("{failed} of {total} {} failed", if total == 1 { "check" } else { "checks" }));
        }
        if unanswerable > 0 {
            let of =
                if failed > 0 { "" } else { &format!(" of {total} {}", if total == 1 { "check" } else { "checks" }) };
            summary.push(format!("{unanswerable}{of} can't be answered"));
        }
        if total > failed + unanswerable {
            summary.push(format!("{} passed", total - failed - unanswerable));
        }
        let mut error = Error::new(kind, format!("check {machine}")).because(summary.join(", "));
        for (title, findings) in &self.checks {
            if has_failed(findings) || is_unanswerable(findings) {
                error = error.with_evidence(title, text(findings));
            }
        }
        Err(error)
    }
}

fn has_failed(findings: &Findings) -> bool {
    findings.list.iter().any(|(_, outcome)| matches!(outcome, Err(Miss::Failed(_))))
}

fn is_unanswerable(findings: &Findings) -> bool {
    findings.list.iter().any(|(_, outcome)| matches!(outcome, Err(Miss::Unanswerable(_))))
}

/// Expectations that came to the same stand together above what they came to.
fn text(findings: &Findings) -> String {
    let mut text = String::new();
    let misses = findings.list.iter().filter_map(|(expected, outcome)| Some((expected, outcome.as_ref().err()?)));
    let mut misses = misses.peekable();
    while let Some((expected, miss)) = misses.next() {
        row(&mut text, "expected", expected);
        if misses.peek().is_some_and(|(_, next)| *next == miss) {
            continue;
        }
        match miss {
            Miss::Failed(found) => row(&mut text, "found", found),
            Miss::Unanswerable(why) => row(&mut text, "unknown", why),
        }
    }
    for (title, evidence) in &findings.evidence {
        row(&mut text, title, evidence);
    }
    text
}

/// Longer evidence is cut in the middle: both its start and its end tell something.
const LINES: usize = 40;

fn row(text: &mut String, title: &str, value: &str) {
    let lines: Vec<&str> = value.trim_end().lines().collect();
    let left_out = if lines.len() > LINES { lines.len() - LINES } else { 0 };
    for (index, line) in lines.iter().enumerate() {
        let line = printable(line);
        let title = if index == 0 { title } else { "" };
        if left_out > 0 && index == LINES / 4 {
            text.push_str(&format!("{:9} … {left_out} lines left out …\n", ""));
        }
        if left_out > 0 && (LINES / 4..LINES / 4 + left_out).contains(&index) {
            continue;
        }
        text.push_str(format!("{title:9} {}", shorten(&line)).trim_end());
        text.push('\n');
    }
}

/// What a machine said must not steer the terminal that shows it.
fn printable(line: &str) -> String {
    line.split('\t').map(shown).collect::<Vec<_>>().join("\t")
}
