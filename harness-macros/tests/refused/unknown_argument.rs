use ec2_harness::prelude::*;

#[ec2_test(imgae = "debian-12")]
fn nearest(vm: Instance) {}

#[ec2_test(volume = [gp3(20)])]
fn all(vm: Instance) {}

#[ec2_test("debian-12")]
fn no_name(vm: Instance) {}

#[ec2_test(image = "a" region = "b")]
fn no_comma(vm: Instance) {}

#[ec2_test(image = "a", image = "b")]
fn twice(vm: Instance) {}

fn main() {}
