//! One image for processes that start at once, on one host and on two, and when one of them is killed.

use super::world::{World, outputs, text, wait_until_noted};
use std::{
    collections::BTreeSet,
    process::{Child, Output},
    time::Instant,
};

const PROCESSES: usize = 16;

/// They have all passed, and their machines are of one image.
#[track_caller]
fn are_of_one_image(outputs: &[Output]) {
    let set_ups: BTreeSet<String> = outputs
        .iter()
        .map(|output| {
            let text = text(output);
            assert!(output.status.success(), "{text}");
            text.lines().find_map(|line| line.strip_prefix("set-up=").map(str::to_owned)).expect("its set-up")
        })
        .collect();
    assert_eq!(set_ups.len(), 1, "{set_ups:?}");
}

/// How often the set-up was begun.
fn begun(world: &World) -> usize {
    world.noted().iter().filter(|note| note.starts_with("begins")).count()
}

#[test]
fn sixteen_processes_that_start_at_once_run_the_set_up_once() {
    let world = World::new();
    let children: Vec<Child> = (0..PROCESSES).map(|_| world.child("launches").spawn().unwrap()).collect();
    let outputs = outputs(children);
    are_of_one_image(&outputs);
    assert_eq!(begun(&world), 1, "{:?}", world.noted());
    let said: Vec<String> = outputs.iter().map(text).collect();
    let count = |what: &str| said.iter().filter(|text| text.contains(what)).count();
    assert_eq!(count("making the snapshot noted (key "), 1, "{said:#?}");
    assert_eq!(count("using the snapshot noted (key "), PROCESSES - 1, "{said:#?}");
    // So does a later run.
    are_of_one_image(&super::world::outputs(vec![world.child("launches").spawn().unwrap()]));
    assert_eq!(begun(&world), 1);
}

#[test]
fn a_builder_that_is_killed_is_replaced() {
    let world = World::new();
    let mut children: Vec<Child> = (0..PROCESSES).map(|_| world.child("launches").spawn().unwrap()).collect();
    wait_until_noted(&world, "begins");
    let builder = world.noted()[0].split(' ').nth(1).unwrap().parse::<u32>().unwrap();
    let killed = children.iter().position(|child| child.id() == builder).unwrap();
    let mut killed = children.swap_remove(killed);
    killed.kill().unwrap();
    killed.wait().unwrap();
    are_of_one_image(&outputs(children));
    assert_eq!(begun(&world), 2, "{:?}", world.noted());
}

#[test]
fn hosts_agree_on_one_image() {
    let world = World::new();
    let hosts = ["one", "another", "third"];
    let start = |host: &&str| world.child_on(host, "launches").spawn().unwrap();
    let outputs = outputs(hosts.iter().chain(&hosts).map(start).collect());
    are_of_one_image(&outputs);
    // Those who began in the same moment may see too late that they did: then a name decides.
    assert!(begun(&world) <= hosts.len(), "{:?}", world.noted());
}

#[test]
fn whatever_a_killed_builder_leaves_is_whole_or_gone() {
    const ROUNDS: u32 = 5;
    let world = World::new();
    let since = Instant::now();
    let output = world.child("makes_it_anew").output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    // So much may happen until one is launched from it.
    let whole = since.elapsed();
    for round in 1..=ROUNDS {
        let mut killed = world.child("makes_it_anew").spawn().unwrap();
        std::thread::sleep(whole * round / ROUNDS);
        killed.kill().unwrap();
        killed.wait().unwrap();
        let output = world.child("makes_it_anew").output().unwrap();
        assert!(output.status.success(), "killed after {round} of {ROUNDS} parts: {}", text(&output));
    }
    assert!(world.noted().iter().filter(|note| note.starts_with("launched")).count() > ROUNDS as usize);
}
