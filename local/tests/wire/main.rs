//! The door, from outside: real HTTP, signed by hand, and boto3 where it is installed.

mod boto3;
mod door;
mod fixture;
mod signed;
