//! Checks against this machine, through the shells that it has.

use super::*;
use crate::{Error, ErrorKind};
use std::{
    io::Write,
    process::{Command, Stdio},
};

/// The shells of this machine; some must be there, or nothing is tested.
fn shells() -> Vec<Vec<&'static str>> {
    let all = [vec!["dash"], vec!["bash", "--posix"], vec!["bash"], vec!["busybox", "sh"]];
    let there = |shell: &Vec<&str>| Command::new(shell[0]).arg("--help").output().is_ok();
    let shells: Vec<_> = all.into_iter().filter(there).collect();
    assert!(!shells.is_empty());
    shells
}

/// Runs a program with the checks' script on its stdin, and judges.
fn judge(program: &[&str], checks: &Checks) -> Result<(), Error> {
    let mut child = Command::new(program[0])
        .args(&program[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let script = checks.script();
    let writer = std::thread::spawn(move || drop(stdin.write_all(script.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    checks.judge(&output.stdout, &output.stderr).into_result("i-0abc")
}

/// What comes of the checks in `sh`.
fn check(checks: impl Into<Checks>) -> Result<(), Error> {
    judge(&["sh", "-s"], &checks.into())
}

#[test]
#[ignore]
fn show() {
    let first = (
        file("/etc/passwd").mode(0o600).owner("admin").contains("rooot:x").is_file(),
        file("/etc/nope").mode(0o600).contains("x"),
        file("/etc/os-release").contains("ID="),
        (port(1).is_listening(), port(22)),
        service("ssh").is_running().is_enabled(),
        package("dash").version("7"),
        package("nosuch"),
        user("root").uid(1).shell("/bin/zsh").in_group("wheel"),
        user("nobody"),
    );
    let second = (
        mount("/proc").fs_type("ext4").option("nosuid").option("loud"),
        process("nosuch").count(1..),
        process("systemd").is_not_running(),
        command("echo hello; echo oops >&2; exit 3").stdout("hullo"),
        command("sleep 60").timeout(std::time::Duration::from_secs(1)),
        (command("printf 'a\\nb\\nc\\n'").stdout("a\nx\nc"), group("root"), group("nosuch")),
        reach("127.0.0.1", tcp(1)),
    );
    let checks = Checks::from((first, second));
    for shell in shells() {
        let started = std::time::Instant::now();
        println!("{shell:?}\nfailed to {}\n{:?}", judge(&shell, &checks).unwrap_err(), started.elapsed());
    }
}
