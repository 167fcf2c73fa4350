//! Whom a stack of `auth` lines lets in: whether it asks for a password, and whether there is a way past all that know somebody.

use super::line::Entry;
use std::collections::BTreeSet;

/// How many files may include each other, as with libpam.
const MAX_DEPTH: usize = 8;

/// What is known of a stack.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ways {
    /// Somebody may come to `pam_unix`, and not in vain.
    pub(super) asks: bool,
    /// Somebody may be let in whom nothing has known.
    pub(super) is_open: bool,
}

/// Goes all ways through the lines of a file, and of those that it includes.
pub(super) fn ways(lines: &[String], file: &dyn Fn(&str) -> Option<Vec<String>>) -> Ways {
    let mut ways = Ways::default();
    let ends = go(&steps(lines, file, 0), (Verdict::None, false), &mut ways.asks);
    ways.is_open = ends.contains(&(Verdict::Good, false));
    ways
}

enum Step {
    Module { entry: Entry, controls: Vec<(String, Action)> },
    Stack(Vec<Step>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Ignore,
    Ok,
    Done,
    Bad,
    Die,
    Reset,
    Jump(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    None,
    Good,
    Bad,
}

/// The verdict so far, and whether somebody has been known.
type State = (Verdict, bool);

fn steps(lines: &[String], file: &dyn Fn(&str) -> Option<Vec<String>>, depth: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    for entry in lines.iter().filter_map(|line| Entry::of(line)).filter(Entry::is_of_auth) {
        if !entry.is_include() {
            steps.push(Step::Module { controls: controls(&entry.control), entry });
            continue;
        }
        let included = file(&entry.target).filter(|_| depth < MAX_DEPTH);
        let included = included.map_or_else(Vec::new, |lines| self::steps(&lines, file, depth + 1));
        match entry.control.as_str() {
            "substack" => steps.push(Step::Stack(included)),
            _ => steps.extend(included),
        }
    }
    steps
}

/// What a line's control says, by the values that modules return.
fn controls(control: &str) -> Vec<(String, Action)> {
    let (success, default) = match control {
        "requisite" => (Action::Ok, Action::Die),
        "sufficient" => (Action::Done, Action::Ignore),
        "optional" => (Action::Ok, Action::Ignore),
        "required" => (Action::Ok, Action::Bad),
        _ => {
            let list = control.trim_start_matches('[').trim_end_matches(']').split_whitespace();
            let pair = |pair: &str| {
                let (value, action) = pair.split_once('=')?;
                let action = match action {
                    "ignore" | "0" => Action::Ignore,
                    "ok" => Action::Ok,
                    "done" => Action::Done,
                    "die" => Action::Die,
                    "reset" => Action::Reset,
                    number => number.parse().map_or(Action::Bad, Action::Jump),
                };
                Some((value.to_owned(), action))
            };
            return list.filter_map(pair).collect();
        }
    };
    [("success", success), ("ignore", Action::Ignore), ("default", default)]
        .map(|(value, action)| (value.into(), action))
        .into()
}

/// All states in which the way from one may end.
fn go(steps: &[Step], from: State, asks: &mut bool) -> BTreeSet<State> {
    let mut at = vec![BTreeSet::new(); steps.len() + 1];
    at[0].insert(from);
    for (index, step) in steps.iter().enumerate() {
        for (verdict, known) in std::mem::take(&mut at[index]) {
            match step {
                Step::Stack(steps) => at[index + 1].extend(go(steps, (verdict, known), asks)),
                Step::Module { entry, controls } => {
                    *asks |= entry.module() == "pam_unix" && verdict != Verdict::Bad;
                    for (succeeds, action) in outcomes(entry, controls) {
                        let (next, verdict) = follow(action, succeeds, verdict, from.0);
                        let known = known || (succeeds && knows(entry));
                        let next = next.map_or(steps.len(), |passed| index + 1 + passed);
                        // Who jumps past the end falls.
                        let verdict = if next > steps.len() { Verdict::Bad } else { verdict };
                        at[next.min(steps.len())].insert((verdict, known));
                    }
                }
            }
        }
    }
    at.pop().unwrap_or_default()
}

/// How many lines are passed over, or none to end, and the verdict.
fn follow(action: Action, succeeds: bool, verdict: Verdict, at_first: Verdict) -> (Option<usize>, Verdict) {
    match action {
        Action::Ignore => (Some(0), verdict),
        Action::Bad => (Some(0), Verdict::Bad),
        Action::Die => (None, Verdict::Bad),
        Action::Reset => (Some(0), at_first),
        Action::Jump(passed) => (Some(passed), verdict),
        // What a module returns is what the stack does, even where it is said to be all right.
        Action::Ok | Action::Done if verdict == Verdict::Bad || !succeeds => (Some(0), Verdict::Bad),
        Action::Ok => (Some(0), Verdict::Good),
        Action::Done => (None, Verdict::Good),
    }
}

/// What may come of a line: whether its module succeeds, and what is done then.
fn outcomes(entry: &Entry, controls: &[(String, Action)]) -> Vec<(bool, Action)> {
    let said = |wanted: &str| controls.iter().find(|(value, _)| value == wanted).map(|(_, action)| *action);
    let default = said("default").unwrap_or(Action::Bad);
    let success = (true, said("success").unwrap_or(default));
    // Those that know somebody always have a say.
    let is_decided = knows(entry) || entry.module() == "pam_deny";
    let is_failure = |value: &str| value != "success" && !(is_decided && value == "ignore");
    let failures = controls.iter().filter(|(value, _)| is_failure(value)).map(|(_, action)| (false, *action));
    let failures = failures.chain([(false, default)]);
    match entry.module() {
        "pam_permit" => vec![success],
        "pam_deny" => failures.collect(),
        _ => failures.chain([success]).collect(),
    }
}

/// Whether a module that succeeds knows who somebody is, or that it need not.
fn knows(entry: &Entry) -> bool {
    match entry.module() {
        "pam_unix" | "pam_rootok" | "pam_timestamp" => true,
        "pam_wheel" => entry.arguments.iter().any(|argument| argument == "trust"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::lines;
    use super::*;

    #[test]
    fn all_ways_are_gone() {
        let file = |name: &str| match name {
            "unix" => Some(lines(
                "auth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\nauth required pam_permit.so",
            )),
            "loop" => Some(lines("auth include loop")),
            _ => None,
        };
        for (text, asks, is_open) in [
            ("auth required pam_permit.so", false, true),
            ("auth required pam_env.so\nauth required pam_wheel.so", false, true),
            ("auth [default=ignore] pam_permit.so", false, false),
            ("auth sufficient pam_rootok.so\n@include unix", true, false),
            ("auth sufficient pam_wheel.so trust\nauth substack unix\nauth required pam_env.so", true, false),
            ("auth sufficient pam_permit.so\nauth include unix", false, true),
            ("auth requisite pam_deny.so\nauth include unix", false, false),
            ("auth sufficient pam_unix.so\nauth required pam_permit.so", true, true),
            (
                "auth [success=2 default=ignore] pam_succeed_if.so\nauth required pam_unix.so\nauth include loop",
                true,
                false,
            ),
            (
                "auth [success=1 default=ignore] pam_shells.so\nauth required pam_unix.so\nauth required pam_permit.so",
                true,
                true,
            ),
            (
                "auth [default=1 success=ok] pam_localuser.so\nauth sufficient pam_unix.so\nauth required pam_deny.so",
                true,
                false,
            ),
            ("account required pam_permit.so", false, false),
        ] {
            assert_eq!(ways(&lines(text), &file), Ways { asks, is_open }, "{text}");
        }
    }
}
