//! `ec2-harness`: what is done beside tests: the sweep, and a way into local machines.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

#[cfg(feature = "local")]
mod connect;
mod sweep;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Look after what tests on EC2 have made.
#[derive(Parser)]
#[command(name = "ec2-harness", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// End what runs have left: those of this user on this host that are over, and whatever is past its lease
    Sweep(sweep::Sweep),
    /// Connect standard input and output to a port of a machine of the local EC2, for ssh's ProxyCommand:
    /// ssh -o ProxyCommand='ec2-harness connect %h %p' ec2-user@i-…
    #[cfg(feature = "local")]
    Connect(connect::Connect),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Sweep(sweep) => sweep.run().map(|text| println!("{text}")).map_err(|e| e.to_string()),
        #[cfg(feature = "local")]
        Command::Connect(connect) => connect.run().map_err(|e| e.to_string()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ec2-harness: failed to {error}");
            ExitCode::FAILURE
        }
    }
}
