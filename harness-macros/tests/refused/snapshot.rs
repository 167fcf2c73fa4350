use ec2_harness::prelude::*;

#[ec2_snapshot(form = "debian-12")]
fn unknown(_vm: Machine) {}

#[ec2_snapshot(image = "debian-12")]
fn of_a_test(_vm: Machine) {}

#[ec2_snapshot(from)]
fn without_a_value(_vm: Machine) {}

#[ec2_snapshot(from = 12)]
fn from_a_number(_vm: Machine) {}

#[ec2_snapshot(max_age = 7)]
fn without_a_unit(_vm: Machine) {}

#[ec2_snapshot(max_age = "7 fortnights")]
fn with_another_unit(_vm: Machine) {}

#[ec2_snapshot(max_age = "7d", max_age = "8d")]
fn twice(_vm: Machine) {}

#[ec2_snapshot(inputs = "Cargo.toml")]
fn no_list(_vm: Machine) {}

#[ec2_snapshot(inputs = [1])]
fn no_path(_vm: Machine) {}

#[ec2_snapshot]
fn no_machine() {}

#[ec2_snapshot]
fn two_machines(_vm: Machine, _other: Machine) {}

#[ec2_snapshot]
fn a_guard(_vm: Instance) {}

#[ec2_snapshot]
fn generic<T>(_vm: Machine) {}

#[ec2_snapshot]
fn a_number(_vm: Machine) -> u32 {
    7
}

#[ec2_snapshot]
fn under_a_condition(_vm: Machine) {
    #[cfg(unix)]
    println!("unix");
    if cfg!(unix) {}
}

#[ec2_snapshot]
#[ec2_test]
fn a_test(_vm: Machine) {}

#[ec2_snapshot]
#[inline]
fn another_attribute(_vm: Machine) {}

#[ec2_snapshot]
struct NoFunction;

#[ec2_test(image = 5)]
fn an_image_that_is_a_number() {}

fn main() {}
