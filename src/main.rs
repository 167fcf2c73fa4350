//! `ec2-harness`: what is done beside tests: the sweep, and a way into local machines.

use clap::{Parser, Subcommand};
use ec2_harness::{
    config::Config,
    ec2::{Ec2, Swept},
};
use std::process::ExitCode;

/// Look after what tests on EC2 have made.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// End what runs have left: those of this user on this host that are over, and whatever is past its lease
    Sweep {
        /// Everything of this run, even while it goes on
        #[arg(long, value_name = "ID", group = "which")]
        run: Option<String>,
        /// This instance, if ec2-harness has launched it
        #[arg(long, value_name = "ID", group = "which")]
        instance: Option<String>,
        /// Everything of this user on this host, also what is in use
        #[arg(long, group = "which")]
        mine: bool,
        /// Only tell what would be ended
        #[arg(long)]
        dry_run: bool,
        /// The region; default: the configuration's
        #[arg(long)]
        region: Option<String>,
    },
    /// Connect standard input and output to a port of a machine of the local EC2, for ssh's ProxyCommand:
    /// ssh -o ProxyCommand='ec2-harness connect %h %p' ec2-user@i-…
    #[cfg(feature = "local")]
    Connect {
        /// The machine: an instance id, a private or public address, or a DNS name
        machine: String,
        /// The TCP port
        #[arg(default_value_t = 22)]
        port: u16,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Sweep { run, instance, mine, dry_run, region } => {
            sweep(run, instance, mine, dry_run, region).map(|text| println!("{text}")).map_err(|e| e.to_string())
        }
        #[cfg(feature = "local")]
        Command::Connect { machine, port } => {
            ec2_local::endpoint::connect_standard_streams(&machine, port).map_err(|e| e.to_string())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ec2-harness: failed to {error}");
            ExitCode::FAILURE
        }
    }
}

fn sweep(
    run: Option<String>,
    instance: Option<String>,
    mine: bool,
    dry_run: bool,
    region: Option<String>,
) -> Result<String, ec2_harness::Error> {
    let config = Config::load()?;
    if !config.target.is_there() {
        return Ok(format!("nothing is left: {} isn't running", config.target));
    }
    let mut connect = Ec2::connect().config(config).to_running();
    if let Some(region) = region {
        connect = connect.region(region);
    }
    let ec2 = connect.wait()?;
    let mut sweep = ec2.sweep();
    if let Some(run) = run {
        sweep = sweep.run_id(run);
    }
    if let Some(instance) = instance {
        sweep = sweep.instance(instance);
    }
    if mine {
        sweep = sweep.mine();
    }
    if dry_run {
        sweep = sweep.dry_run();
    }
    let swept = sweep.wait()?;
    Ok(tell(&swept, dry_run, &format!("{} of {}", ec2.region(), ec2.target())))
}

fn tell(swept: &Swept, dry_run: bool, place: &str) -> String {
    if swept.is_empty() {
        return format!("nothing is left in {place}");
    }
    let mut text = format!("{} in {place}:", if dry_run { "would end" } else { "ended" });
    for resource in &swept.resources {
        text.push_str(&format!("\n  {resource}"));
    }
    text
}
