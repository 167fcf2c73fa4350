//! `ec2-harness connect`: a way into a machine of the local EC2.

use clap::Args;
use ec2_local::endpoint::{EndpointError, connect_standard_streams};

#[derive(Args)]
pub struct Connect {
    /// The machine: an instance id, a private or public address, or a DNS name
    machine: String,
    /// The TCP port
    #[arg(default_value_t = 22)]
    port: u16,
}

impl Connect {
    /// Carries bytes both ways until the machine ends the connection.
    pub fn run(&self) -> Result<(), EndpointError> {
        connect_standard_streams(&self.machine, self.port)
    }
}
