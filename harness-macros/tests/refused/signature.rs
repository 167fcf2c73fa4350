use ec2_harness::prelude::*;

struct Suite;

impl Suite {
    #[ec2_test]
    fn method(&self, vm: Instance) {}
}

#[ec2_test]
fn generic<T>(vm: T) {}

#[ec2_test]
fn generic_in_a_number<const N: usize>(vms: [Instance; N]) {}

#[ec2_test]
fn implied(vm: impl Send) {}

#[ec2_test]
const fn constant() {}

#[ec2_test]
unsafe fn promise() {}

#[ec2_test]
extern "C" fn foreign() {}

#[ec2_test]
mod module {}

#[ec2_test]
struct Structure;

fn main() {}
