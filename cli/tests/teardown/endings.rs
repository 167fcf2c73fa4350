//! Each way to end, at the endpoint that all tests share.

use super::{
    run::{Run, all_ended, clean},
    support::{block_on, ec2, eventually, insist, sdk, unique},
};
use aws_sdk_ec2::types::Filter;
use rustix::process::Signal;
use std::{os::unix::process::ExitStatusExt, process::Command};

#[test]
fn when_a_test_is_over_its_machines_have_ended() {
    let ec2 = ec2();
    for (name, passes) in [("passes", true), ("panics", false), ("errs", false), ("drops_in_any_order", false)] {
        let mut run = Run::start(name, |_| {});
        run.value("id");
        let id = run.id.clone();
        assert_eq!(run.end().success(), passes, "{name}");
        assert!(all_ended(&ec2, &id), "{name}");
    }
}

#[test]
fn a_signal_ends_them_first() {
    let ec2 = ec2();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        for name in ["waits", "waits_outside_of_operations"] {
            let mut run = Run::start(name, |_| {});
            run.value("endpoint");
            run.signal_group(signal);
            let id = run.id.clone();
            assert_eq!(run.end().signal(), Some(signal.as_raw()), "{name}");
            assert!(all_ended(&ec2, &id), "{signal:?} {name}");
        }
    }
}

#[test]
fn a_signal_that_is_ignored_stays_so() {
    let mut nohup = Command::new("env");
    nohup.args(["--default-signal=TERM", "--ignore-signal=HUP"]);
    let mut run = Run::start_under(nohup, "waits", |_| {});
    run.value("endpoint");
    run.signal(Signal::HUP);
    // Had it been heeded, it would be what ends the process.
    std::thread::sleep(std::time::Duration::from_millis(300));
    run.signal(Signal::TERM);
    assert_eq!(run.end().signal(), Some(Signal::TERM.as_raw()));
}

#[test]
fn a_signal_ends_what_is_being_launched() {
    let ec2 = ec2();
    let mut run = Run::start("launches", |_| {});
    run.value("endpoint");
    run.signal(Signal::INT);
    let id = run.id.clone();
    assert_eq!(run.end().signal(), Some(Signal::INT.as_raw()));
    eventually("both have ended", || all_ended(&ec2, &id));
}

#[test]
fn the_watchdog_ends_what_a_killed_process_leaves_and_all_that_the_run_shared() {
    let ec2 = ec2();
    let (mut killed, mut exited) = (Run::start("waits", |_| {}), Run::start("exits", |_| {}));
    killed.value("endpoint");
    exited.value("endpoint");
    killed.signal(Signal::KILL);
    let ids = [killed.id.clone(), exited.id.clone()];
    assert_eq!(killed.end().signal(), Some(Signal::KILL.as_raw()));
    assert_eq!(exited.end().code(), Some(7));
    for id in ids {
        eventually("the watchdog has ended its machines", || all_ended(&ec2, &id));
        eventually("its key and its group are gone", || {
            let filter = Filter::builder().name("tag:ec2-harness:run").values(&id).build();
            let client = sdk(&ec2);
            block_on(async {
                // A call that is throttled tells nothing.
                let keys = client.describe_key_pairs().filters(filter.clone()).send().await;
                let groups = client.describe_security_groups().filters(filter).send().await;
                keys.is_ok_and(|it| it.key_pairs().is_empty()) && groups.is_ok_and(|it| it.security_groups().is_empty())
            })
        });
    }
}

#[test]
fn a_sweep_ends_what_a_killed_process_has_left() {
    let ec2 = ec2();
    let mut run = Run::start("waits", |_| {});
    let instance = run.value("id");
    run.value("endpoint");
    let sweep = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ec2-harness"));
        let output = clean(&mut command).arg("sweep").args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let id = run.id.clone();
    assert!(!sweep(&["--dry-run"]).contains(&instance), "a run that goes on is not swept");
    run.signal(Signal::KILL);
    run.end();
    let would = sweep(&["--run", &id, "--dry-run"]);
    assert!(would.contains("would end") && would.contains(&instance), "{would}");
    assert!(!all_ended(&ec2, &id));
    assert!(sweep(&[]).contains(&instance));
    assert!(all_ended(&ec2, &id));
    assert!(sweep(&["--run", &id]).contains("nothing is left"));
}

/// A run's id is anybody's to choose, and so are the names that follow from it.
#[test]
fn what_is_only_named_as_ours_would_be_is_left_alone() {
    let client = sdk(&ec2());
    let taken = unique("taken");
    let name = format!("ec2-harness-{taken}");
    let said = || {
        let run = Run::start_quietly("passes", |command| {
            command.env("EC2_HARNESS_RUN_ID", &taken);
        });
        let (status, text) = run.end_with_text();
        assert!(!status.success());
        text
    };

    insist(|| block_on(client.create_key_pair().key_name(&name).send()).map_err(Box::new));
    let key = || {
        let call = client.describe_key_pairs().filters(Filter::builder().name("key-name").values(&name).build());
        insist(|| block_on(call.clone().send()).map_err(Box::new)).key_pairs().to_vec()
    };
    // What was seen once may not be the next time.
    let mut before = Vec::new();
    eventually("it is seen", || {
        before = key();
        !before.is_empty()
    });
    let text = said();
    assert!(text.contains("that this run has not made") && text.contains("EC2_HARNESS_RUN_ID"), "{text}");
    eventually("it is as it was", || key() == before);
    insist(|| block_on(client.delete_key_pair().key_name(&name).send()).map_err(Box::new));

    let made = insist(|| {
        let call = client.create_security_group().group_name(&name).description("of somebody else");
        block_on(call.send()).map_err(Box::new)
    });
    let id = made.group_id().unwrap();
    let group = || {
        let call = client.describe_security_groups().filters(Filter::builder().name("group-id").values(id).build());
        insist(|| block_on(call.clone().send()).map_err(Box::new)).security_groups().to_vec()
    };
    let mut before = Vec::new();
    eventually("it is seen", || {
        before = group();
        !before.is_empty()
    });
    let text = said();
    assert!(text.contains("that this run has not made"), "{text}");
    eventually("it was neither opened nor removed", || group() == before);
    insist(|| block_on(client.delete_security_group().group_id(id).send()).map_err(Box::new));
}
