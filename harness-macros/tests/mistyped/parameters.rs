//! Each line with a mistake names the token and what is said of it.

use ec2_harness::prelude::*;

const IMAGE: u8 = 12;

#[ec2_test]
fn own_type(n: u32) {} //~ u32 | `u32` can't be a parameter of an `#[ec2_test]`

#[ec2_test]
async fn borrowed(vm: &Instance) {} //~ &Instance | `&ec2_harness::Instance` can't be a parameter

#[ec2_test]
fn several(_vm: Instance, more: Vec<Instance>) {} //~ Vec<Instance> | `Vec<ec2_harness::Instance>` can't be a parameter

#[ec2_test(vm(ec2, image = "debian-12"))]
fn settings_of_no_machine(ec2: Ec2) {} //~ Ec2 | `vm(..)` speaks of a parameter of type `ec2_harness::Ec2`

#[ec2_test(image = IMAGE)] //~ IMAGE | the trait bound `String: From<u8>` is not satisfied
fn image_of_another_type(_vm: Instance) {}

#[ec2_test(timeout = "90s".len())] //~ "90s".len() | mismatched types
fn timeout_of_another_type(_vm: Instance) {}

#[ec2_test]
fn outcome_of_another_type() -> u32 { //~ u32 | an `#[ec2_test]` can't return `u32`
    3
}

#[ec2_test]
async fn async_outcome_of_another_type() -> u32 { //~ u32 | can't return `u32`
    3
}
