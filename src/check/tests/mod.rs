//! Checks against this machine, through each shell that it has, as root and as an ordinary user.

mod answers;
mod form;
mod hostile;
mod kinds;
mod rights;
mod text;

use super::*;
use crate::{Error, ErrorKind};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

/// The shells of this machine.
fn shells() -> Vec<&'static [&'static str]> {
    const ALL: [&[&str]; 4] = [&["sh", "-s"], &["dash", "-s"], &["bash", "-s"], &["busybox", "sh", "-s"]];
    let is_there = |shell: &&[&str]| Command::new(shell[0]).arg("--help").output().is_ok();
    ALL.into_iter().filter(is_there).collect()
}

/// Gives a script to a command's stdin.
fn run(command: &mut Command, script: &str) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the shell starts");
    let mut stdin = child.stdin.take().expect("it has a stdin");
    std::thread::scope(|scope| {
        // A shell that ends early closes it.
        scope.spawn(move || drop(stdin.write_all(script.as_bytes())));
        child.wait_with_output().expect("it ends")
    })
}

/// What comes of the checks in a command that reads a script from its stdin.
fn check_in(command: &mut Command, checks: impl Into<Checks>) -> Result<(), Error> {
    let checks = checks.into();
    let output = run(command, &checks.script());
    checks.judge(&output.stdout, &output.stderr).into_result("i-0abc")
}

/// What comes of the checks in `sh`.
fn check(checks: impl Into<Checks>) -> Result<(), Error> {
    check_in(Command::new("sh").arg("-s"), checks)
}

/// The checks pass in every shell.
#[track_caller]
fn passes(checks: impl Into<Checks>) {
    let checks = checks.into();
    for shell in shells() {
        if let Err(error) = check_in(Command::new(shell[0]).args(&shell[1..]), &checks) {
            panic!("in {shell:?}: failed to {error}");
        }
    }
}

/// Every single one of the checks fails, in every shell, and each text says so.
#[track_caller]
fn fails<const N: usize>(checks: [(Checks, &str); N]) {
    ends(ErrorKind::Assertion, checks);
}

/// Every single one of the checks is unanswerable, in every shell, and each text says so.
#[track_caller]
fn unanswerable<const N: usize>(checks: [(Checks, &str); N]) {
    ends(ErrorKind::Unanswerable, checks);
}

#[track_caller]
fn ends<const N: usize>(kind: ErrorKind, checks: [(Checks, &str); N]) {
    let all: Checks = checks.iter().map(|(checks, _)| checks.clone()).collect();
    for shell in shells() {
        // One round trip for all, then each is judged by itself.
        let output = run(Command::new(shell[0]).args(&shell[1..]), &all.script());
        let error = all.judge(&output.stdout, &output.stderr).into_result("i-0abc").expect_err("none of them holds");
        assert_eq!(error.kind(), kind, "in {shell:?}: failed to {error}");
        let text = error.to_string();
        let blocks: Vec<_> = text.split("\n--- ").skip(1).collect();
        assert_eq!(blocks.len(), all.len(), "in {shell:?}: failed to {text}");
        for (block, (_, expected)) in blocks.iter().zip(&checks) {
            assert!(block.contains(expected), "in {shell:?}: {expected:?} is not said in\n{block}");
        }
    }
}

/// What a probe would print that answered the first fact so: parts with their data.
fn answer(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut output = "some greeting\n\n== facts for ec2-harness ==\n".to_owned();
    for (name, data) in parts {
        output.push_str(&format!("data 0 {name} base64\n{}\n\nend\n", STANDARD.encode(data)));
    }
    output.push_str("is 0 done yes\n== end of facts ==\n");
    output.into_bytes()
}

/// What comes of the checks when the probe answers the first fact so.
fn given(parts: &[(&str, &str)], checks: impl Into<Checks>) -> Result<(), Error> {
    checks.into().judge(&answer(parts), b"").into_result("i-0abc")
}
