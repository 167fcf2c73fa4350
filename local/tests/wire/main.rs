//! The door, from outside: real HTTP, signed by hand, and boto3 where it is installed. Behind it stands a stub, or the
//! account itself.

mod account;
mod again;
mod boto3;
mod codes;
mod conditions;
mod door;
#[path = "../endpoint/mod.rs"]
mod endpoint;
mod fixture;
mod generated;
mod hoard;
mod older;
mod pipes;
mod samples;
mod signed;
mod strangers;
