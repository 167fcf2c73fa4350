//! What `#[ec2_test]` accepts: real tests, run against the stub, that look at what the expansion said.
//!
//! They aren't cases of trybuild: it builds binaries, and of a binary the compiler drops every `#[test]` unseen.

use ec2_harness::{__private::said, prelude::*};
use std::time::Duration;

mod renamed {
    pub use ec2_harness as my_harness;
}

const IMAGE: &str = "debian-12";

fn chosen() -> String {
    "t3.".to_owned() + "small"
}

#[ec2_test]
fn bare() {
    assert_eq!(said(), ["accepted::bare"]);
}

#[ec2_test()]
async fn empty_parentheses() {
    assert_eq!(said(), ["accepted::empty_parentheses"]);
}

#[ec2_test(
    image = IMAGE,
    instance_type = chosen(),
    user_data = concat!("#cloud", "-config"),
    vpc = "10.20.0.0/16",
    region = "eu-west-1",
    timeout = "1m 30s",
    keep = failed,
    tags = { team = "images", "cost:center" = format!("{}", 7), type = "x" },
    requires = [systemd, local,],
    volumes = [gp3(20), gp3(1)],
    extra_nics = 1,
)]
fn every_argument(context: TestContext) {
    let expected = [
        "accepted::every_argument",
        "image \"debian-12\"",
        "instance_type \"t3.small\"",
        "user_data \"#cloud-config\"",
        "vpc \"10.20.0.0/16\"",
        "region \"eu-west-1\"",
        "timeout 90s",
        "keep Failed",
        "tag (\"team\", \"images\")",
        "tag (\"cost:center\", \"7\")",
        "tag (\"type\", \"x\")",
        "requires Systemd",
        "requires Local",
        "volumes [NewVolume(20), NewVolume(1)]",
        "extra_nics 1",
        "declare context",
    ];
    assert_eq!(context.0, expected);
}

#[ec2_test(timeout = Duration::from_millis(1500), keep = "no", requires = ["sudo"])]
fn other_ways_to_write_them(TestContext(said): TestContext) {
    assert_eq!(said[1..4], ["timeout 1.5s", "keep No", "requires Sudo"]);
}

#[ec2_test(vm(replica, image = "al2023", tags = { role = "replica" }), vm(nodes, instance_type = "t3.nano", volumes = [gp3(7)], extra_nics = 2))]
async fn parameters(primary: Instance, replica: Instance, mut nodes: [Instance; 2], _ec2: Ec2, context: TestContext) {
    nodes.reverse();
    let [first, second] = nodes;
    let names = [primary, replica, first, second].map(|machine| machine.0);
    assert_eq!(names, ["primary", "replica", "nodes[1]", "nodes[0]"]);
    let expected = [
        "declare primary",
        "declare replica with image \"al2023\", tag (\"role\", \"replica\")",
        "declare nodes with instance_type \"t3.nano\", volumes [NewVolume(7)], extra_nics 2",
        "declare ec2",
        "declare context",
    ];
    assert_eq!(context.0[1..], expected);
}

#[ec2_test(crate = crate::renamed::my_harness, keep = always, requires = [aws])]
async fn a_renamed_crate(vm: Instance) -> Result<(), std::fmt::Error> {
    assert_eq!(vm.0, "vm");
    Ok(())
}

#[ec2_test]
#[test]
fn once_though_test_stands_there() {}

#[ec2_test]
#[should_panic(expected = "exactly so")]
async fn should_panic(context: TestContext) {
    assert_eq!(context.0[1], "should_panic \"exactly so\"");
    panic!("exactly so");
}

#[ec2_test]
#[cfg_attr(all(), should_panic = "under a condition")]
fn should_panic_under_a_condition(context: TestContext) {
    assert_eq!(context.0[1], "should_panic \"under a condition\"");
    panic!("under a condition");
}

#[ec2_test]
#[cfg_attr(any(), should_panic)]
fn no_panic_without_the_condition(context: TestContext) {
    assert_eq!(context.0[1], "declare context");
}

#[ec2_test]
#[ignore = "it says so"]
fn ignored() {
    unreachable!();
}

#[ec2_test]
#[cfg(any())]
fn not_compiled(vm: NoSuchType) {}

/// Documented.
#[ec2_test]
#[allow(unused_variables)]
pub async fn lints_and_lifetimes<'a>(#[allow(unused_mut)] mut r#type: Instance, plan: Instance, given: Instance)
where
    'a: 'a,
{
    assert_eq!((r#type.0, plan.0, given.0), ("type".into(), "plan".into(), "given".into()));
}
