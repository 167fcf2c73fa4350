//! A set-up that fails.

use super::world::{World, outputs, text};
use std::process::Child;

#[test]
fn a_failing_set_up_fails_all_that_need_it_once() {
    let world = World::new();
    let start = |_| {
        let mut child = world.child("needs_what_fails");
        child.env("EC2_HARNESS_RUN_ID", "one-run").spawn().unwrap()
    };
    let children: Vec<Child> = (0..4).map(start).collect();
    let said: Vec<String> = outputs(children)
        .iter()
        .map(|output| {
            assert!(!output.status.success());
            text(output)
        })
        .collect();
    assert_eq!(world.noted().len(), 1, "{said:#?}");
    let (first, others): (Vec<_>, Vec<_>) = said.iter().partition(|text| text.contains("--- stderr ---"));
    assert_eq!((first.len(), others.len()), (1, 3), "{said:#?}");
    for part in ["make the snapshot failing (key ", "child.rs:", "what went wrong", "exit status 3", "console"] {
        assert!(first[0].contains(part), "{part}: {}", first[0]);
    }
    for other in others {
        for part in ["use the snapshot failing", "exit status 3", "has the whole report", "child::needs_what_fails"] {
            assert!(other.contains(part), "{part}: {other}");
        }
    }
    // A retry of nextest's tries again, and so does another run.
    let mut retry = world.child("needs_what_fails");
    let output = retry.env("EC2_HARNESS_RUN_ID", "one-run").env("NEXTEST_ATTEMPT", "2").output().unwrap();
    assert!(text(&output).contains("--- stderr ---"), "{}", text(&output));
    let output = world.child("needs_what_fails").output().unwrap();
    assert!(text(&output).contains("--- stderr ---"), "{}", text(&output));
    assert_eq!(world.noted().len(), 3);
}

#[test]
fn a_test_that_has_too_little_time_fails_alone() {
    let world = World::new();
    let mut both = world.child("has_no_time");
    let output = both.args(["child::launches"]).output().unwrap();
    let said = text(&output);
    assert!(!output.status.success() && said.contains("has_no_time ... FAILED"), "{said}");
    assert!(said.contains("launches ... ok") && said.contains("timed out"), "{said}");
    assert_eq!(world.noted().iter().filter(|note| note.starts_with("begins")).count(), 1, "{said}");
}
