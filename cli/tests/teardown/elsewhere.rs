//! What isn't seen from one place: another state directory, or none any more; another region; another host.

use super::{
    run::Run,
    support::unique,
    world::{World, kill_with_watchdog},
};
use rustix::process::Signal;
use std::fs;

#[test]
fn a_sweep_from_another_state_directory_leaves_what_lives() {
    let world = World::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut run = world.start("waits");
    let instance = run.value("id");
    let sweep = || {
        let output = world.try_to_sweep(|command| {
            command.env("EC2_HARNESS_STATE_DIR", elsewhere.path());
        });
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = sweep();
    assert!(said.contains(&format!("left alone: run {}", run.id)) && !said.contains(&instance), "{said}");
    assert!(said.contains(&format!("sweep --run {}", run.id)), "{said}");
    assert!(run.is_running());
    run.signal(Signal::INT);
    run.end();
    world.assert_is_empty();
}

#[test]
fn a_run_whose_state_directory_was_removed_is_ended_by_its_tags() {
    let world = World::new();
    let mut run = world.start("waits_in_two_regions");
    run.value("id");
    fs::remove_dir_all(world.harness()).unwrap();
    run.signal(Signal::KILL);
    run.end();
    world.assert_is_empty();
}

#[test]
fn watchdogs_of_two_regions_end_what_is_in_each() {
    let world = World::new();
    let mut run = world.start("waits_in_two_regions");
    run.value("id");
    run.signal(Signal::KILL);
    run.end();
    world.assert_is_empty();
}

#[test]
fn a_sweep_looks_in_all_regions_that_were_used() {
    let world = World::new();
    let mut run = world.start("waits_in_two_regions");
    let instance = run.value("id");
    kill_with_watchdog(run);
    let said = world.sweep();
    assert!(said.contains(&instance) && said.contains("ended in eu-west-1"), "{said}");
    assert!(said.contains("ended in us-east-1"), "{said}");
    world.assert_is_empty();
}

#[test]
fn a_run_of_the_same_id_on_another_host_is_left_alone() {
    leaves_the_other_alone("other");
}

/// As in two containers of one name.
#[test]
fn a_run_of_the_same_id_and_owner_of_another_state_directory_is_left_alone() {
    leaves_the_other_alone("one");
}

/// An id is anybody's to choose: a build's number, say, in each place that has a part of it.
fn leaves_the_other_alone(owner: &str) {
    let (world, elsewhere) = (World::new(), tempfile::tempdir().unwrap());
    let id = unique("build");
    let start = |name: &str, owner: &str, state: &std::path::Path| {
        Run::start_quietly(name, |command| {
            world.enter(command);
            command.env("EC2_HARNESS_RUN_ID", &id).env("USER", owner).env("EC2_HARNESS_STATE_DIR", state);
        })
    };
    let mut one = start("waits", "one", &world.harness());
    let instance = one.value("id");
    let (status, text) = start("passes", owner, elsewhere.path()).end_with_text();
    assert!(!status.success());
    assert!(
        text.contains("that this run has not made") && text.contains("choose another EC2_HARNESS_RUN_ID"),
        "{text}"
    );
    // Its watchdog has looked, too, once the run's directory is gone.
    super::support::eventually("the other run is over", || {
        fs::read_dir(elsewhere.path().join("runs")).unwrap().count() == 0
    });
    assert!(world.sweep_with(&["--dry-run", "--run", &id]).contains(&instance) && one.is_running());
    one.signal(Signal::INT);
    one.end();
    world.assert_is_empty();
}
