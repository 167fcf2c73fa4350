//! Files, to and from a machine.
#[derive(Debug)]
pub struct Push;
#[derive(Debug)]
pub struct Pull;
