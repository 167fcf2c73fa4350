//! What single processes leave, and what stands in the way of a sweep.

use super::{
    run::Run,
    support::{block_on, ec2, eventually, has_ended, insist, instances, sdk},
    world::{World, kill_with_watchdog},
};
use aws_sdk_ec2::types::InstanceType;
use rustix::process::Signal;

/// Under nextest a run goes on for long after one of its tests was killed: here this process takes nextest's place.
#[test]
fn what_a_killed_test_has_left_ends_while_its_run_goes_on() {
    let ec2 = ec2();
    let run_id = super::support::unique("run");
    let start = || {
        let mut run = Run::start("waits", |command| {
            command.env("NEXTEST_RUN_ID", &run_id).env("EC2_HARNESS_RUN_ID", &run_id);
        });
        let id = run.value("id");
        (run, id)
    };
    let ((killed, gone), (mut other, stays)) = (start(), start());
    killed.signal(Signal::KILL);
    killed.end();
    eventually("its machine has ended", || has_ended(&ec2, &gone));
    assert!(other.is_running() && !has_ended(&ec2, &stays));
    other.signal(Signal::INT);
    other.end();
}

#[test]
fn what_is_used_of_a_run_is_left_and_its_user_named() {
    let ec2 = ec2();
    let client = sdk(&ec2);
    let mut run = Run::start("waits", |_| {});
    let (instance, id) = (run.value("id"), run.id.clone());
    let mut found = None;
    eventually("it is seen with its group", || {
        found = instances(&ec2, "instance-id", &instance).pop().filter(|it| !it.security_groups().is_empty());
        found.is_some()
    });
    let ours = found.unwrap();
    let group = ours.security_groups()[0].group_id().unwrap();
    let launch = client.run_instances().image_id(ours.image_id().unwrap()).instance_type(InstanceType::T3Micro);
    let launch =
        launch.min_count(1).max_count(1).security_group_ids(group).client_token(super::support::unique("foreign"));
    let answer = insist(|| block_on(launch.clone().send()).map_err(Box::new));
    let foreign = answer.instances()[0].instance_id().unwrap().to_owned();
    kill_with_watchdog(run);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ec2-harness"));
    let output = super::run::clean(&mut command).args(["sweep", "--run", &id]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{output:?}");
    assert!(said.contains("waiting in us-east-1 of the local EC2 for"), "{said}");
    assert!(said.contains("failed to delete") && said.contains(&format!("{group} (in use by {foreign})")), "{said}");
    assert!(has_ended(&ec2, &instance) && !has_ended(&ec2, &foreign));
    let terminate = client.terminate_instances().instance_ids(&foreign);
    insist(|| block_on(terminate.clone().send()).map_err(Box::new));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ec2-harness"));
    let output = super::run::clean(&mut command).args(["sweep", "--run", &id]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_sweep_of_one_run_takes_its_directory_and_no_others() {
    let world = World::new();
    let (mut first, mut second) = (world.start("waits"), world.start("waits"));
    let ids = [first.id.clone(), second.id.clone()];
    first.value("id");
    second.value("id");
    kill_with_watchdog(first);
    kill_with_watchdog(second);
    let directory = |id: &str| world.harness().join("runs").join(id);
    world.sweep_with(&["--run", &ids[0]]);
    assert!(!directory(&ids[0]).exists() && directory(&ids[1]).exists());
    world.sweep_with(&["--mine"]);
    assert!(!directory(&ids[1]).exists());
    world.assert_is_empty();
}

#[test]
fn what_a_sweep_has_ended_counts_no_more() {
    let world = World::new();
    let start = |name: &str| {
        Run::start_quietly(name, |command| {
            world.enter(command.env("EC2_HARNESS_MAX_INSTANCES", "1"));
        })
    };
    let mut killed = start("waits");
    killed.value("id");
    kill_with_watchdog(killed);
    let (status, text) = start("passes").end_with_text();
    assert!(!status.success() && text.contains("1 instances exist or are being launched, and 1 are allowed"), "{text}");
    world.sweep();
    let (status, text) = start("passes").end_with_text();
    assert!(status.success(), "{text}");
    // What is kept exists, and counts.
    let mut kept = start("keeps");
    let instance = kept.value("id");
    let (status, text) = kept.end_with_text();
    assert!(status.success(), "{text}");
    assert!(!start("passes").end_with_text().0.success());
    world.sweep_with(&["--instance", &instance]);
    let (status, text) = start("passes").end_with_text();
    assert!(status.success(), "{text}");
    eventually("its key goes with it", || world.sweep().contains("nothing is left"));
    world.assert_is_empty();
}
