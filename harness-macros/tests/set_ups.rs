//! What `#[ec2_snapshot]` accepts, and what it makes of it; against the stub.

use ec2_harness::prelude::*;
use std::time::Duration;

mod renamed {
    pub use ec2_harness as my_harness;
}

const IMAGE: &str = "debian-12";

/// Documented.
#[ec2_snapshot]
pub async fn bare(_vm: Machine) {}

#[ec2_snapshot(from = IMAGE, max_age = "12h", inputs = ["tests/set_ups.rs", "Cargo.toml"],)]
#[allow(unused_variables)]
async fn every_argument(vm: Machine) -> Result<(), std::fmt::Error> {
    Err(std::fmt::Error)
}

#[ec2_snapshot(from = every_argument, max_age = Duration::from_secs(5), crate = crate::renamed::my_harness)]
#[cfg(not(fuzzing))]
fn above_another(Machine(name): Machine) {
    assert_eq!(name, "vm");
}

#[ec2_snapshot()]
fn in_another_layout(Machine(name): Machine) {
    // A comment.
    assert_eq!(name, "vm",);
}

fn run(set_up: SetUp) -> Result<(), String> {
    (set_up.body)(Machine("vm".into()))
}

#[test]
fn what_is_not_said_is_left_to_the_library() {
    assert!(bare.from.is_none() && bare.max_age.is_none() && bare.inputs.is_none());
    assert_eq!((bare.name, run(bare)), ("bare", Ok(())));
}

#[test]
fn what_is_said_is_passed_on() {
    let from = |set_up: SetUp| set_up.from.unwrap()().0;
    assert_eq!((from(every_argument), from(above_another)), ("debian-12".into(), "every_argument".into()));
    assert_eq!(every_argument.max_age, Some(Duration::from_secs(12 * 60 * 60)));
    assert_eq!(above_another.max_age, Some(Duration::from_secs(5)));
    let (directory, inputs) = every_argument.inputs.unwrap();
    assert_eq!((directory, inputs), (env!("CARGO_MANIFEST_DIR"), &["tests/set_ups.rs", "Cargo.toml"][..]));
    assert_eq!((run(every_argument), run(above_another)), (Err("Error".into()), Ok(())));
}

#[test]
fn the_layout_of_a_body_is_none_of_its_text() {
    assert_eq!(above_another.tokens, in_another_layout.tokens);
    assert_ne!(above_another.tokens, bare.tokens);
}

#[ec2_test(image = every_argument, vm(replica, image = bare))]
fn a_test_names_it(primary: Instance, replica: Instance, context: TestContext) {
    assert_eq!((primary.0, replica.0), ("primary".into(), "replica".into()));
    let said = &context.0[1..4];
    assert_eq!(said, ["image SetUp(every_argument)", "declare primary", "declare replica with image SetUp(bare)"]);
}
