use ec2_harness::prelude::*;

#[ec2_test(tags = [("team", "images")])]
fn no_braces(vm: Instance) {}

#[ec2_test(tags = { team: "images" })]
fn colon(vm: Instance) {}

#[ec2_test(tags = { team = 7 })]
fn a_number(vm: Instance) {}

#[ec2_test(tags = { team = "a", "team" = "b" })]
fn twice(vm: Instance) {}

#[ec2_test(tags = { "aws:team" = "a" })]
fn reserved(vm: Instance) {}

#[ec2_test(tags = { "a/b" = "a" })]
fn slash(vm: Instance) {}

#[ec2_test(tags = { "" = "a" })]
fn empty(vm: Instance) {}

#[ec2_test(tags = { team })]
fn no_value(vm: Instance) {}

fn main() {}
