use ec2_harness::prelude::*;

#[ec2_test(requires = [sytemd])]
fn nearest(vm: Instance) {}

#[ec2_test(requires = systemd)]
fn no_list(vm: Instance) {}

#[ec2_test(requires = [systemd sudo])]
fn no_comma(vm: Instance) {}

#[ec2_test(requires = ["windows"])]
fn unknown(vm: Instance) {}

fn main() {}
