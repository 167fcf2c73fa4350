//! `#[ec2_test]` with machines, from launch to end: what passes, and what a test that fails shows and leaves.
//!
//! Tests that must fail are ignored, and run by others in a process of their own, which look at what they printed and
//! whether their machines have ended.

use ec2_harness::prelude::*;
use std::{
    env,
    process::{Command, Output},
    time::Duration,
};

#[ec2_test]
async fn a_machine_answers(vm: Instance) -> Result {
    let kernel = vm.exec("uname -r").await?;
    assert!(!kernel.stdout.is_empty());
    Ok(())
}

#[ec2_test(tags = { team = "ours" }, vm(replica, user_data = "#!/bin/sh\necho replica > /etc/role"))]
fn all_that_is_declared_is_there(
    primary: Instance,
    replica: Instance,
    nodes: [Instance; 2],
    context: TestContext,
) -> Result {
    let names = [&primary, &replica, &nodes[0], &nodes[1]].map(|machine| machine.name().to_owned());
    assert_eq!(names, ["primary", "replica", "nodes[0]", "nodes[1]"]);
    assert_eq!(context.tags()["team"], "ours");
    assert_eq!(replica.exec("cat /etc/role").wait()?.stdout.trim(), "replica");
    primary.exec("test ! -e /etc/role").wait()?;
    assert!(nodes[0].describe().wait()?.tags().iter().any(|tag| tag.key() == Some("team")));
    Ok(())
}

#[ec2_test]
#[should_panic(expected = "on purpose")]
async fn an_expected_panic_passes(vm: Instance) {
    vm.exec("true").await.unwrap();
    panic!("on purpose");
}

#[rstest]
#[case("one")]
#[case("two")]
#[test_attr(ec2_test)]
async fn each_case_launches(#[case] text: &str, #[ignore] vm: Instance) -> Result {
    assert_eq!(vm.exec(format!("echo {text}")).await?.stdout.trim(), text);
    Ok(())
}

#[cfg(feature = "rstest")]
mod fixtures {
    use ec2_harness::{fixtures::instance, prelude::*};

    #[rstest]
    fn plain_rstest_has_a_fixture(
        instance: Instance,
        #[from(instance)]
        #[with("host")]
        named: Instance,
    ) {
        assert_ne!(instance.id(), named.id());
    }
}

mod red {
    use super::*;

    #[ec2_test]
    #[ignore = "fails"]
    async fn error(vm: Instance) -> Result {
        println!("id={}", vm.id());
        vm.exec("echo to-stdout; echo to-stderr >&2; exit 3").await?;
        Ok(())
    }

    #[ec2_test(keep = failed)]
    #[ignore = "fails"]
    fn panic(vm: Instance) {
        println!("id={}", vm.id());
        panic!("the body's own words");
    }

    #[ec2_test]
    #[ignore = "fails"]
    async fn forgotten_assert(vm: Instance) {
        println!("id={}", vm.id());
        let _ = vm.assert(file("/etc/passwd"));
    }

    #[ec2_test]
    #[ignore = "fails"]
    async fn forgotten_command_and_copy(vm: Instance) -> Result {
        println!("id={}", vm.id());
        let _ = vm.exec("rm -rf /nothing");
        let _ = vm.push("/etc/os-release", "copy");
        let again = vm.exec("true");
        // One that was run is not forgotten, whichever of its clones it was.
        again.clone().await.map(drop)
    }

    #[ec2_test(timeout = "8s")]
    #[ignore = "fails"]
    async fn hangs(vm: Instance) {
        println!("id={}", vm.id());
        std::future::pending::<()>().await;
    }

    #[ec2_test(timeout = "8s")]
    #[ignore = "fails"]
    fn too_long(vm: Instance) -> Result {
        println!("id={}", vm.id());
        vm.exec("sleep 600").wait().map(drop)?;
        Ok(())
    }

    #[ec2_test(vm(other, image = "no-such-image"))]
    #[should_panic]
    #[ignore = "fails"]
    fn failed_launch(vm: Instance, other: Instance) {
        unreachable!("{} {}", vm.id(), other.id());
    }

    #[ec2_test]
    #[should_panic]
    #[ignore = "fails"]
    fn failed_launch_in_the_body(ec2: Ec2) {
        let _vm = ec2.launch("no-such-image").wait().unwrap();
    }

    #[ec2_test(user_data = "#cloud-config\nntp:\n  enabled: true\n")]
    #[ignore = "fails on purpose"]
    async fn degraded(vm: Instance) {
        println!("id={}", vm.id());
        panic!("the body's own words");
    }

    #[ec2_test(requires = [systemd])]
    #[ignore = "is skipped"]
    fn needs_systemd(vm: Instance) {
        unreachable!("{} has no service manager", vm.id());
    }
}

/// Runs one test of this file in a process of its own.
fn run(name: &str, variables: &[(&str, &str)]) -> (bool, String) {
    let Output { status, stdout, stderr } = Command::new(env::current_exe().unwrap())
        .args(["--exact", &format!("red::{name}"), "--ignored", "--nocapture"])
        .env_remove("NEXTEST_RUN_ID")
        .env("RUST_BACKTRACE", "0")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    assert!(text.contains("running 1 test"), "{text}");
    (status.success(), text)
}

fn id(text: &str) -> &str {
    let rest = text.split_once("id=").unwrap_or_else(|| panic!("no id in {text}")).1;
    rest.lines().next().unwrap()
}

/// The state of an instance, as EC2 has it.
fn state(id: &str) -> String {
    let ec2 = Ec2::connect().wait().unwrap();
    let described = ec2.instance(id).wait().unwrap().describe().wait().unwrap();
    described.state().unwrap().name().unwrap().as_str().to_owned()
}

fn assert_ended(text: &str) {
    let state = state(id(text));
    assert!(["shutting-down", "terminated"].contains(&state.as_str()), "{state}: {text}");
}

#[test]
fn an_error_is_reported_with_its_evidence() {
    let (passed, text) = run("error", &[]);
    assert!(!passed, "{text}");
    for expected in [
        "Error: test `red::error` failed: failed to",
        "to-stdout",
        "to-stderr",
        "local EC2 of seed",
        "the console's last lines",
    ] {
        assert!(text.contains(expected), "{expected} is missing: {text}");
    }
    assert_ended(&text);
}

#[test]
fn a_degraded_boot_is_told() {
    let (passed, text) = run("degraded", &[]);
    assert!(!passed && text.contains("booted, but cloud-init is degraded"), "{text}");
    assert!(text.contains("): its boot is degraded ---\n") && text.contains("status: done"), "{text}");
    assert_ended(&text);
}

#[test]
fn a_failed_test_keeps_what_it_is_told_to_keep() {
    // The run's directory stays with the kept machine, for its key, until a sweep: it goes with this one.
    let directory = tempfile::tempdir().unwrap();
    let (passed, text) = run("panic", &[("EC2_HARNESS_STATE_DIR", directory.path().to_str().unwrap())]);
    assert!(!passed && text.contains("the body's own words"), "{text}");
    let id = id(&text);
    assert_eq!(state(id), "running", "{text}");
    assert!(text.lines().any(|line| line.contains("kept") && line.contains(id)), "{text}");
    Ec2::connect().wait().unwrap().instance(id).wait().unwrap().terminate().wait().unwrap();
    assert_ended(&text);
}

#[test]
fn an_assert_that_was_never_run_fails_its_test() {
    let (passed, text) = run("forgotten_assert", &[]);
    assert!(!passed, "{text}");
    assert!(text.contains("tests/machines.rs:"), "{text}");
    assert_ended(&text);
}

#[test]
fn a_command_or_a_copy_that_was_never_run_fails_its_test() {
    let (passed, text) = run("forgotten_command_and_copy", &[]);
    assert!(!passed, "{text}");
    assert_eq!(text.matches("was never run; put `.await` or `.wait()` behind it").count(), 2, "{text}");
    assert!(
        text.contains("the command at tests/machines.rs:") && text.contains("the copy at tests/machines.rs:"),
        "{text}"
    );
    assert_ended(&text);
}

#[test]
fn a_body_that_does_not_return_is_dropped_at_the_timeout() {
    let (passed, text) = run("hangs", &[]);
    assert!(!passed && text.contains("timed out: the test's 8s have passed"), "{text}");
    assert_ended(&text);
}

#[test]
fn an_operation_fails_at_the_timeout() {
    let (passed, text) = run("too_long", &[]);
    assert!(!passed && text.contains("timed out: the test's 8s have passed"), "{text}");
    assert_ended(&text);
}

#[test]
fn a_failed_launch_never_satisfies_should_panic() {
    for name in ["failed_launch", "failed_launch_in_the_body"] {
        let (passed, text) = run(name, &[]);
        assert!(!passed && text.contains("no-such-image"), "{text}");
        assert!(text.contains("did not panic"), "{text}");
    }
}

#[test]
fn a_skip_says_why_and_can_be_forbidden() {
    let (passed, text) = run("needs_systemd", &[]);
    assert!(passed && text.contains("skipped: it requires systemd, which vm doesn't have"), "{text}");
    let (passed, text) = run("needs_systemd", &[("EC2_HARNESS_NO_SKIP", "1")]);
    assert!(!passed && text.contains("skipped: it requires systemd"), "{text}");
}

#[ec2_test]
async fn tokio_is_at_hand(vm: Instance) -> Result {
    let (one, other) = tokio::join!(vm.exec("echo one"), vm.exec("echo other").into_future());
    assert_eq!((one?.stdout.trim(), other?.stdout.trim()), ("one", "other"));
    let task = tokio::spawn(vm.exec("echo spawned").start());
    assert_eq!(task.await?.unwrap().stdout.trim(), "spawned");
    tokio::time::timeout(Duration::from_secs(60), vm.exec("true")).await??;
    Ok(())
}
