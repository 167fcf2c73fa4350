//! A record as libtest shows it: the text of a failed test.

use super::record::Record;
use crate::error::shown;
use std::fmt::Write;

/// Why a test failed, with its evidence. The first word is the one by which nextest finds the cause.
pub(super) fn text(record: &Record) -> String {
    let mut report = String::new();
    // Writing to a string can't fail.
    for (n, cause) in record.causes.iter().enumerate() {
        let cause = cause.to_string();
        let _ = match n {
            0 => {
                writeln!(report, "Error: test `{}` failed: {}\n  test at {}", record.test, cause.trim_end(), record.at)
            }
            _ => writeln!(report, "also: {}", cause.trim_end()),
        };
    }
    let causes = report.clone();
    if let Some(seed) = record.local_seed {
        let _ =
            writeln!(report, "  at the local EC2 of seed {seed}; EC2_HARNESS_LOCAL_SEED={seed} draws the same again");
    }
    if let Some(reason) = &record.no_evidence {
        let _ = writeln!(report, "no evidence: {reason}");
    }
    for machine in &record.machines {
        for (title, section) in machine.remark.iter().chain(&machine.evidence) {
            let section = shown(section.trim_end());
            // A failed launch has shown its console already, among its causes.
            let is_known = causes.contains(&machine.id) && causes.contains(&section);
            if !section.is_empty() && !is_known {
                let _ = writeln!(report, "--- {} ({}): {title} ---\n{section}", machine.name, machine.id);
            }
        }
    }
    report
}
