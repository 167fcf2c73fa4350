//! `ec2-local`: the local EC2 as a command.
fn main() {}
