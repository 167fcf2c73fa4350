use ec2_harness::prelude::*;

#[ec2_test(image)]
fn no_value(vm: Instance) {}

#[ec2_test(image("debian-12"))]
fn in_parentheses(vm: Instance) {}

#[ec2_test(region = )]
fn nothing(vm: Instance) {}

#[ec2_test(image = 12)]
fn a_number(vm: Instance) {}

#[ec2_test(instance_type = "")]
fn empty(vm: Instance) {}

#[ec2_test(timeout = 90)]
fn no_unit(vm: Instance) {}

#[ec2_test(timeout = "soon")]
fn no_time(vm: Instance) {}

#[ec2_test(timeout = "0s")]
fn zero(vm: Instance) {}

#[ec2_test(timeout = -1)]
fn negative(vm: Instance) {}

#[ec2_test(timeout = true)]
fn a_bool(vm: Instance) {}

#[ec2_test(keep = fialed)]
fn unknown_keep(vm: Instance) {}

#[ec2_test(keep = 3)]
fn a_number_to_keep(vm: Instance) {}

fn main() {}

#[ec2_test(volumes = gp3(20))]
fn one_volume() {}

#[ec2_test(volumes)]
fn no_volumes() {}

#[ec2_test(extra_nics = "one")]
fn interfaces_in_words() {}

#[ec2_test(extra_nics = -1)]
fn fewer_than_none() {}
