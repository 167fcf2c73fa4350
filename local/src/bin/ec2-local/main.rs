//! `ec2-local`: the local EC2 as a command.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

mod check;
mod environment;
mod image;
mod output;
mod run;

use clap::{Args, Parser, Subcommand};
use ec2_local::{
    account::{Capacity, InstanceProfile},
    conditions::{Conditions, Fault, FaultError},
    endpoint::{self, Client, EndpointError, Settings, StateDirectory, Status, Stay},
    network::PrivateNetwork,
};
use environment::Format;
use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

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
    Serve(Serve),
    /// Run a command with an endpoint of its own, which ends with it: ec2-local run -- pytest
    ///
    /// The command has in its environment what `env` prints, and EC2_LOCAL_STATE_DIR, so that other subcommands reach the same
    /// endpoint. Its exit status is kept, 128 and the signal's number where one has ended it; 125 is a failure of ec2-local's,
    /// 126 a command that can't be run, 127 one that isn't there. Machines, endpoint and state end with the command, whatever
    /// it leaves in the background, and with this process, however that ends.
    Run {
        #[command(flatten)]
        serve: Serve,
        #[command(flatten)]
        run: run::CommandLine,
    },
    /// Boot a machine, and tell what it has for this user on this host, or which setting forbids it
    Check,
    /// Import systems other than the host's, and list and remove them
    Image {
        #[command(subcommand)]
        command: image::Command,
    },
    /// Print what an AWS client needs in its environment: eval "$(ec2-local env)"
    Env {
        /// Who reads it
        #[arg(long, value_enum, default_value_t = Format::Sh)]
        format: Format,
    },
    /// Print the certificate of the key that instance identity documents are signed with, in PEM
    IdentityCertificate,
    /// Show what AWS does to you, and the faults that are still to come; or change it
    Conditions {
        /// calm, typical or hostile: for all clients from now on
        name: Option<Conditions>,
    },
    /// Ask for a fault of the coming requests:
    /// ec2-local fault RunInstances capacity next 3
    Fault {
        /// The action, or *; throttle, capacity, quota, internal, unavailable, lost, late=SECONDS or stuck=SECONDS; `next N`,
        /// `every N` or `chance P`
        #[arg(required_unless_present = "clear")]
        fault: Vec<String>,
        /// Take back those that were asked for
        #[arg(long)]
        clear: bool,
    },
    /// Put the account's clock forward; machines don't notice
    Advance {
        /// By how many seconds
        seconds: f64,
    },
    /// Take a Spot Instance away, as AWS does: it is told, and two minutes later, at the pace, it is stopped or terminated
    Interrupt {
        /// Its id, i-…
        instance: String,
        /// How many seconds later instead, whatever the pace
        #[arg(long, value_name = "SECONDS")]
        notice: Option<f64>,
    },
    /// Print what OpenSSH needs to reach machines by id, name or public address: ec2-local ssh-config >>~/.ssh/config
    SshConfig,
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

#[derive(Args)]
struct Serve {
    /// The port on 127.0.0.1; 0 for any that is free
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The factor on all times that AWS takes: 1 for rehearsals [default: 0.01]
    #[arg(long)]
    pace: Option<f64>,
    /// What AWS does to you on top of EC2's rules: calm, typical or hostile [default: typical]
    #[arg(long)]
    conditions: Option<Conditions>,
    /// The seed of everything that is drawn at random
    #[arg(long)]
    seed: Option<u64>,
    /// Regions have no default VPC, as those of accounts whose owner has deleted it
    #[arg(long)]
    no_default_vpc: bool,
    /// What a zone has room for, for example us-east-1a/t3.micro=3; * is any zone or any type; can be repeated
    #[arg(long, value_name = "ZONE/TYPE=COUNT")]
    capacity: Vec<Capacity>,
    /// An IAM instance profile, with a role of its name or of another: web or web=db. Where some are named, there are no others; can
    /// be repeated
    #[arg(long, value_name = "NAME[=ROLE]")]
    instance_profile: Vec<InstanceProfile>,
    /// A private network that this host reaches, and machines may as well, for example 10.20.0.0/16 or fd12:3456::/32; can be repeated
    #[arg(long, value_name = "NETWORK")]
    allow_private: Vec<PrivateNetwork>,
    /// No machine's root may mount its volumes: what is on them, mounted, reaches the host's kernel as a file system
    #[arg(long)]
    no_volume_mounts: bool,
    /// How many instances a region may run [default: 10000]
    #[arg(long, value_name = "COUNT")]
    instance_quota: Option<u64>,
    /// How many vCPUs a region may run [default: any number]
    #[arg(long, value_name = "COUNT")]
    vcpu_quota: Option<u64>,
    /// How many vCPUs of Spot Instances a region may run, beside those [default: any number]
    #[arg(long, value_name = "COUNT")]
    spot_vcpu_quota: Option<u64>,
    /// How many key pairs a region may have [default: 5000]
    #[arg(long, value_name = "COUNT")]
    key_pair_quota: Option<u64>,
    /// How many security groups a region may have [default: 2500]
    #[arg(long, value_name = "COUNT")]
    security_group_quota: Option<u64>,
    /// How many rules a security group may have in each direction, of IPv4 and of IPv6 [default: 60]
    #[arg(long, value_name = "COUNT")]
    rule_quota: Option<u64>,
    /// How many network interfaces a region may have [default: 5000]
    #[arg(long, value_name = "COUNT")]
    interface_quota: Option<u64>,
    /// How many elastic addresses a region may have [default: 5]
    #[arg(long, value_name = "COUNT")]
    address_quota: Option<u64>,
}

impl Serve {
    fn settings(self) -> Result<Settings, String> {
        if let Some(pace) = self.pace.filter(|pace| !(pace.is_finite() && *pace >= 0.0)) {
            return Err(format!("serve: the pace {pace} is no number from 0 upwards"));
        }
        let mut settings = Settings::default();
        settings.port = self.port;
        settings.pace = self.pace;
        settings.conditions = self.conditions;
        settings.seed = self.seed;
        settings.default_vpc = !self.no_default_vpc;
        settings.capacity = self.capacity;
        settings.instance_profiles = self.instance_profile;
        settings.private_networks = self.allow_private;
        let quotas = &mut settings.quotas;
        quotas.instances = self.instance_quota.unwrap_or(quotas.instances);
        quotas.vcpus = self.vcpu_quota;
        quotas.spot_vcpus = self.spot_vcpu_quota;
        quotas.key_pairs = self.key_pair_quota.unwrap_or(quotas.key_pairs);
        quotas.security_groups = self.security_group_quota.unwrap_or(quotas.security_groups);
        quotas.rules_per_security_group = self.rule_quota.unwrap_or(quotas.rules_per_security_group);
        quotas.network_interfaces = self.interface_quota.unwrap_or(quotas.network_interfaces);
        quotas.elastic_addresses = self.address_quota.unwrap_or(quotas.elastic_addresses);
        Ok(settings)
    }
}

fn main() -> ExitCode {
    ec2_local::roles::run_named();
    // Whatever the command is: what stays, and why, is for the person who gave it.
    endpoint::begin_log("warn");
    let asked = Arguments::parse().command;
    // Somebody else's command is to have the mask and the limits that it was given.
    if let Command::Run { serve, run: asked } = asked {
        let volume_mounts = !serve.no_volume_mounts;
        return match serve.settings() {
            Ok(settings) => run::run(&asked, &settings, volume_mounts),
            Err(reason) => run::fail(&reason),
        };
    }
    endpoint::keep_files_private();
    // What imports and clears passes files on, and who may have few open is refused that while machines of the user's pass on many.
    let _ = ec2_local::machine::allow_many_descriptors();
    let result = match asked {
        Command::Run { .. } => Ok(()),
        Command::Serve(asked) => serve(asked),
        Command::Check => check::run().and_then(|report| output::print(&report)),
        Command::Image { command } => image::run(command),
        Command::Env { format } => env(format),
        Command::IdentityCertificate => identity_certificate(),
        Command::Conditions { name } => control(|client| match name {
            Some(name) => client.set_conditions(name),
            None => client.status(),
        }),
        Command::Fault { fault, clear } => ask_for_fault(&fault.join(" "), clear),
        Command::Advance { seconds } => advance(seconds),
        Command::Interrupt { instance, notice } => interrupt(&instance, notice),
        Command::SshConfig => ssh_config(),
        Command::Connect { machine, port } => {
            endpoint::connect_standard_streams(&machine, port).map_err(|e| e.to_string())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            output::complain(&format!("ec2-local: failed to {reason}"));
            ExitCode::FAILURE
        }
    }
}

fn serve(asked: Serve) -> Result<(), String> {
    if asked.no_volume_mounts {
        ec2_local::machine::sandbox::forbid_volume_mounts();
    }
    let settings = asked.settings()?;
    endpoint::run(&settings, Stay::UntilTold, |opening| {
        // The reader of the first line may have gone; that ends nothing.
        let _ = writeln!(io::stdout(), "{opening}in another shell:  eval \"$(ec2-local env)\"");
    })
    .map_err(|e| e.to_string())
}

/// Asks the running endpoint, and prints what it is like then.
fn control(ask: impl FnOnce(&Client) -> Result<Status, EndpointError>) -> Result<(), String> {
    let client = endpoint::connect().map_err(|e| e.to_string())?;
    let status = ask(&client).map_err(|e| e.to_string())?;
    let mut said = format!("conditions: {}, seed {}\n", status.conditions, client.seed());
    if !status.advanced.is_zero() {
        said.push_str(&format!("clock: {} s ahead\n", status.advanced.as_secs_f64()));
    }
    for fault in &status.faults {
        said.push_str(&format!("fault: {fault}\n"));
    }
    output::print(&said)
}

fn identity_certificate() -> Result<(), String> {
    let certificate = StateDirectory::of_user().and_then(|state| state.identity_certificate());
    output::print(&certificate.map_err(|e| e.to_string())?)
}

fn ask_for_fault(text: &str, clear: bool) -> Result<(), String> {
    if clear {
        control(Client::clear_faults)?;
    }
    if text.is_empty() {
        return Ok(());
    }
    let fault: Fault = text.parse().map_err(|e: FaultError| e.to_string())?;
    control(|client| client.add_fault(fault))
}

fn advance(seconds: f64) -> Result<(), String> {
    let time = Duration::try_from_secs_f64(seconds).map_err(|e| format!("advance the clock by {seconds} s: {e}"))?;
    control(|client| client.advance(time))
}

fn interrupt(instance: &str, notice: Option<f64>) -> Result<(), String> {
    let wrong = |seconds: f64, e| format!("interrupt {instance} in {seconds} s: {e}");
    let notice = notice.map(|seconds| Duration::try_from_secs_f64(seconds).map_err(|e| wrong(seconds, e)));
    let notice = notice.transpose()?;
    control(|client| client.interrupt(instance, notice))
}

fn ssh_config() -> Result<(), String> {
    let program = std::env::current_exe().map_err(|e| format!("find this program: {e}"))?;
    let state = std::env::var_os("EC2_LOCAL_STATE_DIR").filter(|state| !state.is_empty());
    let state = state.map(std::path::PathBuf::from);
    let config = endpoint::ssh_config(&program, state.as_deref(), endpoint::LOGIN_USER);
    output::print(&config.map_err(|e| e.to_string())?)
}

fn env(format: Format) -> Result<(), String> {
    let client = endpoint::connect().map_err(|e| e.to_string())?;
    let status = client.status().map_err(|e| e.to_string())?;
    let note = format!("conditions: {}, seed {}", status.conditions, client.seed());
    output::print(&environment::written(format, &environment::set(&client), &note)?)
}
