use ec2_harness::prelude::*;

#[ec2_test]
#[tokio::test]
async fn of_tokio(vm: Instance) {}

#[ec2_test]
#[rstest]
#[case(1)]
fn rstest_below(#[case] n: u32, vm: Instance) {}

#[ec2_test]
fn rstest_forgotten(#[ignore] vm: Instance) {}

#[ec2_test]
fn settings_at_the_parameter(#[image("debian-12")] vm: Instance) {}

#[ec2_test]
#[ec2_test]
fn twice(vm: Instance) {}

fn main() {}
