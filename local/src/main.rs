//! `ec2-local`: the local EC2 as a command.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

use clap::{Parser, Subcommand};
use ec2_local::endpoint::{self, Settings, Stay};
use std::{io, process::ExitCode};

/// A local EC2 with real machines behind it.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until Ctrl-C, and then end all machines
    Serve {
        /// The port on 127.0.0.1; 0 for any that is free
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// The factor on all times that AWS takes: 1 for rehearsals
        #[arg(long, default_value_t = 0.01)]
        pace: f64,
        /// The seed of everything that is drawn at random
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Print what an AWS client needs in its environment: eval "$(ec2-local env)"
    Env,
    /// Connect standard input and output to a machine's port, for ssh's ProxyCommand:
    /// ssh -o ProxyCommand='ec2-local connect %h %p' ec2-user@i-…
    Connect {
        /// The machine: an instance id, a private or public address, or a DNS name
        machine: String,
        /// The TCP port
        #[arg(default_value_t = 22)]
        port: u16,
    },
}

fn main() -> ExitCode {
    ec2_local::roles::run_named();
    let result = match Arguments::parse().command {
        Command::Serve { port, pace, seed } => serve(port, pace, seed),
        Command::Env => env(),
        Command::Connect { machine, port } => {
            endpoint::connect_standard_streams(&machine, port).map_err(|e| e.to_string())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("ec2-local: failed to {reason}");
            ExitCode::FAILURE
        }
    }
}

fn serve(port: u16, pace: f64, seed: Option<u64>) -> Result<(), String> {
    if !(pace.is_finite() && pace >= 0.0) {
        return Err(format!("serve: the pace {pace} is no number from 0 upwards"));
    }
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()))
        .with_writer(io::stderr)
        .init();
    let mut settings = Settings::default();
    settings.port = port;
    settings.pace = pace;
    settings.seed = seed.unwrap_or(settings.seed);
    endpoint::run(&settings, Stay::UntilTold, |url| {
        println!("serving EC2 on {url}");
        println!("in another shell:  eval \"$(ec2-local env)\"");
    })
    .map_err(|e| e.to_string())
}

fn env() -> Result<(), String> {
    let client = endpoint::connect().map_err(|e| e.to_string())?;
    let credentials = client.credentials();
    for (name, value) in [
        ("AWS_ENDPOINT_URL_EC2", client.url()),
        ("AWS_ENDPOINT_URL_STS", client.url()),
        ("AWS_ACCESS_KEY_ID", &credentials.access_key),
        ("AWS_SECRET_ACCESS_KEY", &credentials.secret_key),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ] {
        println!("export {name}={value}");
    }
    // Left over from an AWS session, it would be signed along and refused.
    println!("unset AWS_SESSION_TOKEN AWS_PROFILE");
    Ok(())
}
