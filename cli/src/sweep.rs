//! `ec2-harness sweep`: ends what runs have left.

use clap::Args;
use ec2_harness::{
    Error,
    config::Config,
    ec2::{Ec2, Swept},
};
use std::{fmt::Write, time::SystemTime};

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
    /// Only this region; default: the configuration's, and all in which runs on this host may have left something
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
        let connect = |region: Option<&String>| {
            let connect = Ec2::connect().config(config.clone()).to_running();
            region.map_or(connect.clone(), |region| connect.region(region)).wait()
        };
        let first = connect(self.region.as_ref())?;
        let mut texts = vec![self.region(&first)?];
        if self.region.is_none() {
            for region in &first.used_regions()?[1..] {
                texts.push(self.region(&connect(Some(region))?)?);
            }
        }
        Ok(texts.join("\n"))
    }

    /// Sweeps one region.
    fn region(&self, ec2: &Ec2) -> Result<String, Error> {
        let place = format!("{} of {}", ec2.region(), ec2.target());
        let waiting = format!("waiting in {place} for");
        let mut sweep = ec2.sweep().on_wait(move |what| eprintln!("{waiting} {what}"));
        if let Some(run) = &self.run {
            sweep = sweep.run_id(run);
        }
        if let Some(instance) = &self.instance {
            sweep = sweep.instance(instance);
        }
        if self.mine {
            sweep = sweep.mine();
        }
        if self.dry_run {
            sweep = sweep.dry_run();
        }
        Ok(tell(&sweep.wait()?, self.dry_run, &place))
    }
}

fn tell(swept: &Swept, dry_run: bool, place: &str) -> String {
    let mut text = match (swept.is_empty(), dry_run) {
        (true, _) if swept.alive.is_empty() => format!("nothing is left in {place}"),
        (true, _) => format!("nothing else is left in {place}"),
        (false, true) => format!("would end in {place}:"),
        (false, false) => format!("ended in {place}:"),
    };
    for resource in &swept.resources {
        let _ = write!(text, "\n  {resource}");
    }
    for (run, until) in &swept.alive {
        let seconds = until.duration_since(SystemTime::now()).unwrap_or_default().as_secs();
        let _ = write!(
            text,
            "\nleft alone: run {run}, whose processes can't be seen from here: its state directory is another, or is gone\n  \
             it counts as living for another {seconds} s; to end it now: ec2-harness sweep --run {run}"
        );
    }
    text
}
