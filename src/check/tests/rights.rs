//! What the login user may not see, and what sudo can do about it.

use super::*;
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

/// A shell of a user who is not root; as an ordinary user, our own.
fn ordinary_shell() -> Command {
    if !rustix::process::geteuid().is_root() {
        let mut shell = Command::new("sh");
        shell.arg("-s");
        return shell;
    }
    let mut shell = Command::new("setpriv");
    shell.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-s"]).current_dir("/");
    shell
}

fn script(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
}

/// A sudo that does as it is told, but for `-n` itself.
const SUDO: &str = "#!/bin/sh\nshift\nVIA=sudo exec \"$@\"\n";

#[test]
fn what_needs_root_and_cannot_have_it_is_unanswerable() {
    let tools = tempfile::tempdir().unwrap();
    fs::set_permissions(tools.path(), PermissionsExt::from_mode(0o755)).unwrap();
    script(tools.path(), "sudo", "#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n");
    script(tools.path(), "doas", "#!/bin/sh\nexit 1\n");
    let closed = tempfile::tempdir().unwrap();
    fs::write(closed.path().join("file"), "secret").unwrap();
    fs::set_permissions(closed.path().join("file"), PermissionsExt::from_mode(0o000)).unwrap();
    fs::set_permissions(closed.path(), PermissionsExt::from_mode(0o000)).unwrap();
    let inside = closed.path().join("file").to_str().unwrap().to_owned();
    let path = format!("{}:/usr/bin:/bin", tools.path().display());

    let mut shell = ordinary_shell();
    shell.env("PATH", &path);
    let error =
        check_in(&mut shell, (file(&inside).contains("x"), command("true").sudo(), file("/etc/passwd"))).unwrap_err();
    let text = error.to_string();
    fs::remove_file(tools.path().join("doas")).unwrap();
    let without_doas = check_in(&mut shell, (file(&inside).is_missing(), user("root").uid(0))).unwrap_err().to_string();
    let both = check_in(&mut shell, (file(&inside), file("/nosuch"))).unwrap_err();

    fs::set_permissions(closed.path(), PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(error.kind(), ErrorKind::Unanswerable);
    assert!(text.starts_with("check i-0abc: 2 of 3 checks can't be answered, 1 passed\n"), "{text}");
    assert!(without_doas.contains("it needs root, which can't be had: sudo: a password is required"), "{without_doas}");
    assert_eq!(both.kind(), ErrorKind::Assertion);
    assert!(both.to_string().starts_with("check i-0abc: 1 of 2 checks failed, 1 can't be answered\n"), "{both}");
}

#[test]
fn what_needs_root_is_asked_by_sudo() {
    let tools = tempfile::tempdir().unwrap();
    fs::set_permissions(tools.path(), PermissionsExt::from_mode(0o755)).unwrap();
    script(tools.path(), "sudo", SUDO);
    // No matter who we are, the probe takes us for somebody else.
    script(tools.path(), "id", "#!/bin/sh\necho 1000\n");
    let mut shell = Command::new("sh");
    shell.arg("-s").env("PATH", format!("{}:/usr/bin:/bin", tools.path().display())).env_remove("VIA");
    let who = "echo ${VIA-nobody}";
    check_in(
        &mut shell,
        (command(who).stdout("nobody"), command(who).sudo().stdout("sudo"), command("a='\n'; exit 3").sudo().exits(3)),
    )
    .unwrap();
}

#[test]
fn nothing_is_left_behind() {
    let scratch = tempfile::tempdir().unwrap();
    for shell in shells() {
        let mut command_line = Command::new(shell[0]);
        command_line.args(&shell[1..]).env("TMPDIR", scratch.path());
        check_in(&mut command_line, command(r#"ls -A "$TMPDIR" | grep -c ec2-harness"#).stdout("1")).unwrap();
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "{shell:?}");
    }
}

#[test]
fn a_probe_that_is_told_to_end_takes_its_command_along() {
    let scratch = tempfile::tempdir().unwrap();
    let mark = format!("7{}", std::process::id());
    for shell in shells() {
        let checks = Checks::from(command(format!("sleep {mark}; :")));
        let mut child = Command::new(shell[0])
            .args(&shell[1..])
            .env("TMPDIR", scratch.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(checks.script().as_bytes()).unwrap();
        let running = || {
            fs::read_dir("/proc").unwrap().flatten().any(|entry| {
                fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == format!("sleep\0{mark}\0").as_bytes())
            })
        };
        wait_until(running);
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
        child.wait().unwrap();
        wait_until(|| !running());
        // On a busy host a part of it may still be at that.
        wait_until(|| fs::read_dir(scratch.path()).unwrap().count() == 0);
    }
}

fn wait_until(is_so: impl Fn() -> bool) {
    let started = std::time::Instant::now();
    while !is_so() {
        assert!(started.elapsed().as_secs() < 60, "it never came to be");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
