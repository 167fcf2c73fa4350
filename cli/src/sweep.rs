//! `ec2-harness sweep`: ends what runs have left.

use clap::Args;
use ec2_harness::{
    Error,
    config::Config,
    ec2::{Ec2, Swept},
};

#[derive(Args)]
pub struct Sweep {
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
}

impl Sweep {
    /// Sweeps, and tells what came of it.
    pub fn run(self) -> Result<String, Error> {
        let config = Config::load()?;
        if !config.target.is_there() {
            return Ok(format!("nothing is left: {} isn't running", config.target));
        }
        let mut connect = Ec2::connect().config(config).to_running();
        if let Some(region) = self.region {
            connect = connect.region(region);
        }
        let ec2 = connect.wait()?;
        let mut sweep = ec2.sweep();
        if let Some(run) = self.run {
            sweep = sweep.run_id(run);
        }
        if let Some(instance) = self.instance {
            sweep = sweep.instance(instance);
        }
        if self.mine {
            sweep = sweep.mine();
        }
        if self.dry_run {
            sweep = sweep.dry_run();
        }
        let swept = sweep.wait()?;
        Ok(tell(&swept, self.dry_run, &format!("{} of {}", ec2.region(), ec2.target())))
    }
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
