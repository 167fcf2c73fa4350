use ec2_harness::prelude::*;

#[ec2_test(vm(replcia, image = "debian-12"))]
fn nearest(primary: Instance, replica: Instance) {}

#[ec2_test(vm(vm, image = "debian-12"))]
fn none() {}

#[ec2_test(vm(image = "debian-12"))]
fn no_parameter(vm: Instance) {}

#[ec2_test(vm = "debian-12")]
fn no_parentheses(vm: Instance) {}

#[ec2_test(vm())]
fn empty(vm: Instance) {}

#[ec2_test(vm(vm))]
fn nothing(vm: Instance) {}

#[ec2_test(vm(vm, timeout = "5m"))]
fn of_the_whole_test(vm: Instance) {}

#[ec2_test(vm(vm, imag = "a"))]
fn unknown(vm: Instance) {}

#[ec2_test(vm(vm, image = "a"), vm(vm, image = "b"))]
fn twice(vm: Instance) {}

fn main() {}
