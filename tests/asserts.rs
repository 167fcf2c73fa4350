//! Asserts: what they cost, and how they read when they fail.

use ec2_harness::prelude::*;
use serde_json::Value;

/// How many commands the machine's SSH server has started, the one that asks included.
async fn execs(vm: &Machine) -> Result<u64> {
    let counters = vm.exec("cat /run/ec2-local/ssh-counters.json").await?.stdout;
    let counters: Value = serde_json::from_str(&counters)?;
    counters["execs"].as_u64().ok_or_else(|| std::io::Error::other(format!("no count in {counters}")).into())
}

#[ec2_test]
async fn one_round_trip_each(vm: Instance) -> Result {
    let before = execs(&vm).await?;
    vm.assert((
        command("true").succeeds(),
        command("echo out; echo err >&2; exit 3").exits(3).stdout("out\n").stderr("err\n"),
        file("/etc/os-release").mode(0o644).contains("ID="),
        file("/no/such/file").is_missing(),
        package("no-such-package").is_missing(),
        port(22).is_listening(),
        tcp(81).is_free(),
        user("root").uid(0),
        process("no-such-process").is_not_running(),
        mount("/proc").fs_type("proc"),
        (0..50).map(|n| command(format!("echo {n}")).stdout(format!("{n}\n"))).collect::<Vec<_>>(),
    ))
    .await?;
    let after = execs(&vm).await?;
    assert_eq!(after - before, 2, "one for the assert, one to ask");
    // So do those that fail.
    let error = vm.assert([file("/no/such/file"), file("/etc/os-release").mode(0o600)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Assertion, "{error}");
    assert_eq!(execs(&vm).await? - after, 2);
    Ok(())
}

#[ec2_test]
async fn every_failure_is_listed_with_its_evidence(vm: Instance) -> Result {
    let first = line!() + 3;
    let error = vm
        .assert((
            file("/etc/os-release").mode(0o600),
            file("/etc/passwd").contains("root:"),
            command("echo found; exit 4").stdout("wanted\n"),
            user("no-such-user").exists(),
        ))
        .await
        .unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Assertion, "{text}");
    assert!(text.contains(vm.id()) && text.contains("3 of 4 checks failed, 1 passed"), "{text}");
    for line in [first, first + 2, first + 3] {
        assert!(text.contains(&format!("tests/asserts.rs:{line}")), "line {line} is missing: {text}");
    }
    assert!(!text.contains(&format!("tests/asserts.rs:{}", first + 1)), "{text}");
    for expected in ["/etc/os-release", "0644", "0600", "wanted", "found", "no-such-user"] {
        assert!(text.contains(expected), "{expected} is missing: {text}");
    }
    assert!(format!("{error:?}").contains("at tests/asserts.rs:"), "{error:?}");
    Ok(())
}

#[ec2_test]
async fn what_a_machine_cannot_have_is_neither_right_nor_wrong(vm: Instance) -> Result {
    for check in [service("ssh"), service("ssh").is_not_running(), service("ssh").is_missing()] {
        let error = vm.assert(check).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unanswerable, "{error}");
        assert!(error.to_string().contains("systemd"), "{error}");
    }
    // A failure beside it is one all the same, and both are told.
    let error = vm.assert((service("ssh"), file("/no/such/file"))).await.unwrap_err();
    let text = error.to_string();
    assert!(
        error.kind() == ErrorKind::Assertion && text.contains("systemd") && text.contains("/no/such/file"),
        "{text}"
    );
    Ok(())
}

#[ec2_test]
async fn within_a_time(vm: Instance) -> Result {
    vm.exec("(sleep 1; touch /tmp/late) >/dev/null 2>&1 &").await?;
    vm.assert(file("/tmp/late")).within(60.secs()).await?;
    let error = vm.assert(file("/tmp/never")).within(300.millis()).await.unwrap_err();
    let text = error.to_string();
    assert!(error.kind() == ErrorKind::Assertion && text.contains("/tmp/never"), "{text}");
    assert!(text.contains("looked") && text.contains("within 300ms"), "{text}");
    Ok(())
}

#[ec2_test]
async fn checks_are_values(vm: Instance) -> Result {
    let mut checks = Checks::from_toml("[[check]]\nfile = \"/etc/os-release\"\nmode = \"0644\"\n")?;
    checks.extend([file("/etc/passwd")]);
    checks.extend(vec![user("root")]);
    vm.assert(&checks).await?;
    vm.assert(checks.clone()).await?;
    let again: Checks = serde_json::from_str(&serde_json::to_string(&checks)?)?;
    assert_eq!((again.len(), vm.assert(again).await.is_ok()), (3, true));
    let nothing = vm.assert(Checks::default()).await.unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::Configuration, "{nothing}");
    Ok(())
}

#[ec2_test]
fn from_sync_code_too(vm: Instance) -> Result {
    let task = vm.assert(port(22).is_listening()).start();
    vm.assert(command("id -u").sudo().stdout("0\n")).wait()?;
    task.wait()
}
