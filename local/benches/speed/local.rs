//! An endpoint of this build, as any client finds it.

use crate::{
    Result,
    client::{Client, Server, element, elements},
};
use ec2_local::{
    conditions::Conditions,
    endpoint::{self, Settings},
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

/// How long anything may take that is about to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running endpoint, and a connection to its API. It ends with this value, and all its machines with it.
pub struct Local {
    pub endpoint: endpoint::Client,
    pub api: Client,
}

impl Local {
    pub fn start() -> Result<Self> {
        Self::start_with(Settings::default())
    }

    /// One in which nothing takes AWS's time.
    pub fn start_at_once() -> Result<Self> {
        let mut settings = Settings::default();
        settings.pace = Some(1e-6);
        Self::start_with(settings)
    }

    fn start_with(mut settings: Settings) -> Result<Self> {
        // Nothing of what AWS does to its customers: what is measured is ours.
        settings.conditions = Some(Conditions::Calm);
        let endpoint = endpoint::ensure(&settings)?;
        let mut local = Self { api: Self::server(&endpoint).connect(), endpoint };
        local.api.call("Action=DescribeRegions")?;
        Ok(local)
    }

    fn server(endpoint: &endpoint::Client) -> Server {
        let credentials = endpoint.credentials();
        Server {
            address: endpoint.url().trim_start_matches("http://").to_owned(),
            key: (credentials.access_key.clone(), credentials.secret_key.clone()),
        }
    }

    /// How to reach its API.
    pub fn api_server(&self) -> Server {
        Self::server(&self.endpoint)
    }

    /// The id of an image.
    pub fn image(&mut self, name: &str) -> Result<String> {
        let images = self.api.call(&format!("Action=DescribeImages&Filter.1.Name=name&Filter.1.Value.1={name}"))?;
        Ok(element(&images, "imageId")?.to_owned())
    }

    /// Launches instances, of a zone; their ids.
    pub fn launch(&mut self, image: &str, zone: &str, count: usize, more: &str) -> Result<Vec<String>> {
        let run = format!(
            "Action=RunInstances&ImageId={image}&InstanceType=t3.micro&MinCount={count}&MaxCount={count}\
             &Placement.AvailabilityZone={zone}{more}"
        );
        let answer = self.api.call(&run)?;
        let ids: Vec<_> = elements(&answer, "instanceId").into_iter().map(str::to_owned).collect();
        if ids.len() == count { Ok(ids) } else { Err(format!("{} of {count} instances", ids.len()).into()) }
    }

    /// Waits until so many instances are in a state.
    pub fn until(&mut self, state: &str, count: usize) -> Result {
        let deadline = Instant::now() + PATIENCE;
        let query = format!("Action=DescribeInstances&Filter.1.Name=instance-state-name&Filter.1.Value.1={state}");
        while elements(&self.api.call(&query)?, "reservationId").is_empty()
            || elements(&self.api.call(&query)?, "instanceId").len() < count
        {
            if Instant::now() > deadline {
                return Err(format!("there never were {count} instances {state}").into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// A connection to a TCP port of a machine, by the way in, as soon as something listens there.
    pub fn connect(&self, machine: &str, port: u16) -> Result<UnixStream> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.endpoint.reach(machine, port) {
                Ok(stream) => return Ok(stream),
                Err(error) if Instant::now() > deadline => return Err(error.into()),
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        if let Some(process) = Pid::from_raw(self.endpoint.pid().cast_signed()) {
            let _ = kill_process(process, Signal::TERM);
        }
    }
}
