//! Answers that this machine doesn't give: other package managers, systemd, old tools, a probe that broke off.

use super::*;

const SHOWN: &str = "Id=ssh.service\nNames=ssh.service sshd.service\nLoadState=loaded\nActiveState=active\n\
    SubState=running\nUnitFileState=enabled\nResult=success\nExecMainStatus=0\n\n\
    Id=web.service\nNames=web.service\nLoadState=loaded\nActiveState=failed\nSubState=failed\n\
    UnitFileState=disabled\nResult=exit-code\nExecMainStatus=3\n\n\
    Id=nosuch.service\nNames=nosuch.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead\n\
    UnitFileState=\nResult=success\nExecMainStatus=0\n";

#[test]
fn services() {
    let parts = [("units", SHOWN), ("log-web.service", "web[7]: can't bind port 80\n")];
    given(
        &parts,
        (
            service("ssh").is_running().is_enabled().exists().has_not_failed(),
            service("sshd.service"),
            service("nosuch").is_missing().is_not_running().is_not_enabled(),
            service("web").is_not_running().is_not_enabled(),
        ),
    )
    .unwrap();
    let error =
        given(&parts, (service("web").is_running().is_enabled(), service("nosuch"), service("ssh").is_masked()))
            .unwrap_err();
    let text = error.to_string();
    for said in [
        "expected  running\nfound     failed (failed), its process ended with status 3\n",
        "expected  enabled\nfound     disabled\nlog       web[7]: can't bind port 80",
        "service nosuch ---\nexpected  running\nfound     systemd knows no such unit",
        "expected  masked\nfound     enabled",
    ] {
        assert!(text.contains(said), "{said:?} is not in {text}");
    }
    let error = given(&parts, (service("*"), service("other"), service("a b"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unanswerable);
    let error = given(&[("systemd", "no")], service("ssh")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unanswerable);
    assert!(error.to_string().contains("not managed by systemd"), "{error}");
}

#[test]
fn a_tool_that_shows_how_to_call_it_has_answered_nothing() {
    let said =
        "nc: invalid option -- 'z'\nBusyBox v1.36.1 multi-call binary.\n\nUsage: nc [-iN] [-wN] [-l] [-p PORT]\n";
    for expected in [reach("db", 5432).is_open(), reach("db", 5432).is_unreachable()] {
        let error = given(&[("tool", "nc"), ("code", "1"), ("stdout", ""), ("stderr", said)], expected).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unanswerable, "{error}");
        assert!(error.to_string().contains("this machine's nc can't be asked so: nc: invalid option"), "{error}");
    }
}

#[test]
fn one_call_for_all_services() {
    let checks = Checks::from((service("a").is_running(), service("b.timer"), service("a").is_enabled()));
    assert_eq!(checks.script().matches("units 0 '\\''a.service'\\'' '\\''b.timer'\\''").count(), 1);
}

#[test]
fn package_managers() {
    let bash = |version: &str| package("bash").is_installed().version(version);
    let missing = || package("bash").is_missing();
    for (manager, said, version) in [
        ("dpkg", "config-files 4\ninstalled 5.2-1\n", "5.2-1"),
        ("rpm", "installed 1:5.2.26-3.fc40\ninstalled 1:5.3-1.fc40\n", "1:5.3-1.fc40"),
        ("apk", "WARNING: opening from cache\nbash-5.2.26-r0\n", "5.2.26-r0"),
        ("pacman", "bash 5.2.026-2\n", "5.2.026-2"),
    ] {
        let parts = [("manager", manager), ("answer", said)];
        given(&parts, bash(version)).unwrap();
        assert_eq!(given(&parts, bash("0")).unwrap_err().kind(), ErrorKind::Assertion);
        assert_eq!(given(&parts, missing()).unwrap_err().kind(), ErrorKind::Assertion);
    }
    for (manager, said) in [
        ("dpkg", "dpkg-query: no packages found matching bash\n"),
        ("dpkg", "config-files 5.2-1\n"),
        ("rpm", "package bash is not installed\n"),
        ("apk", ""),
        ("pacman", "error: package 'bash' was not found\n"),
    ] {
        let parts = [("manager", manager), ("answer", said)];
        given(&parts, missing()).unwrap();
        assert_eq!(given(&parts, bash("1")).unwrap_err().kind(), ErrorKind::Assertion);
    }
    for (manager, said) in [
        ("dpkg", ""),
        ("dpkg", "dpkg-query: error: parsing file '/var/lib/dpkg/status'\n"),
        ("rpm", "error: cannot open Packages database\n"),
        ("apk", "ERROR: Unable to open database\n"),
        ("pacman", "error: failed to initialize alpm library\n"),
        ("none", ""),
    ] {
        let error = given(&[("manager", manager), ("answer", said)], (bash("1"), missing())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unanswerable, "{error}");
    }
}

#[test]
fn ls_where_stat_is_too_small() {
    let listing = "ls\n-rwsr-sr-t 1 0 42 1234 Jan 1 00:00 /x\n-rwsr-sr-t 1 root shadow 1234 Jan 1 00:00 /x\n";
    let parts = [("exists", "yes"), ("stat", listing)];
    given(&parts, file("/x").is_file().mode(0o7755).owner("root").group("shadow").size(1234)).unwrap();
    let listing = "ls\nbrw-rwS--T 1 0 6 259, 0 Jan 1 00:00 /x\n";
    let parts = [("exists", "yes"), ("stat", listing)];
    given(&parts, file("/x").kind(FileKind::BlockDevice).mode(0o3660).owner("0").group("6")).unwrap();
    let error = given(&[("exists", "yes"), ("stat", "ls\n")], file("/x")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unanswerable);
}

#[test]
fn a_probe_that_broke_off_passes_nothing() {
    let checks =
        Checks::from((file("/etc/passwd").contains("root:"), user("root").uid(0), command("echo hi").stdout("hi")));
    let whole = run(Command::new("sh").arg("-s"), &checks.script()).stdout;
    checks.judge(&whole, b"").into_result("i-0abc").unwrap();
    let last = b"== end of facts ==\n".len() + b"is 3 done yes\n".len();
    for end in 0..whole.len() - last {
        let error = checks.judge(&whole[..end], b"Killed\n").into_result("i-0abc").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unanswerable, "cut at {end}: {error}");
        assert!(error.to_string().contains("ended before it came to this, and said: Killed"), "{error}");
    }
}

#[test]
fn answers_without_base64_and_without_any_tool() {
    let directory = tempfile::tempdir().unwrap();
    // Only what a small system has; the shell's own PATH additions don't exist there.
    for tool in ["sh", "cat", "head", "od", "id", "ls", "rm", "mkdir"] {
        let path = Command::new("sh").args(["-c", "command -v \"$0\"", tool]).output().unwrap().stdout;
        let path = String::from_utf8(path).unwrap();
        std::os::unix::fs::symlink(path.trim(), directory.path().join(tool)).unwrap();
    }
    let checks = Checks::from((file("/etc/passwd").contains("root:").owner("root").mode(0o644), user("root").uid(0)));
    let small = |script: String| {
        let path = format!("PATH={}", directory.path().display());
        let narrow = script.replace("PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", &path);
        let output = run(Command::new(directory.path().join("sh")).arg("-s").env("PATH", directory.path()), &narrow);
        checks.judge(&output.stdout, &output.stderr).into_result("i-0abc")
    };
    small(checks.script()).unwrap();
    std::fs::remove_file(directory.path().join("od")).unwrap();
    let error = small(checks.script()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unanswerable);
    assert!(error.to_string().contains("neither base64 nor od"), "{error}");
}
