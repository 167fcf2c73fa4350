//! The local EC2 is killed: the next one takes its account over, and whatever looks after machines goes on with that.

use super::{
    run::lives,
    support::eventually,
    world::{World, kill_with_watchdog, send},
};
use rustix::process::Signal;

#[test]
fn a_test_goes_on_at_the_endpoint_that_comes_next() {
    let world = World::new();
    let mut run = world.start("goes_on_without_its_endpoint");
    run.value("id");
    assert!(run.end().success());
    world.assert_is_empty();
}

#[test]
fn a_test_that_passes_without_its_endpoint_has_left_nothing() {
    let world = World::new();
    let mut run = world.start("ends_without_its_endpoint");
    let instance = run.value("id");
    assert!(run.end().success());
    // It was ended by the test, and not by anyone who came later.
    assert!(!world.sweep().contains(&instance));
    world.assert_is_empty();
}

#[test]
fn a_watchdog_ends_what_was_killed_together_with_its_endpoint() {
    let world = World::new();
    let mut run = world.start("waits");
    let endpoint = run.value("endpoint");
    send(&endpoint, Signal::KILL);
    run.signal(Signal::KILL);
    run.end();
    eventually("the endpoint has ended", || !lives(&endpoint));
    world.assert_is_empty();
}

#[test]
fn a_sweep_ends_what_was_killed_together_with_its_endpoint() {
    let world = World::new();
    let mut run = world.start("waits");
    let (instance, endpoint) = (run.value("id"), run.value("endpoint"));
    send(&endpoint, Signal::KILL);
    kill_with_watchdog(run);
    eventually("the endpoint has ended", || !lives(&endpoint));
    assert!(world.sweep().contains(&instance));
    assert!(world.sweep().contains("nothing is left"));
    world.assert_is_empty();
}
