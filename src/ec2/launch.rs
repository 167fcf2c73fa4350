//! Launching.

use crate::{
    Error, ErrorKind,
    ec2::{Ec2, Instance},
    task::operation,
};

/// A launch that is being prepared; see [`Ec2::launch`].
#[must_use = "nothing is launched before `.await` or `.wait()`"]
#[derive(Debug)]
pub struct Launch {
    ec2: Ec2,
    image: Option<String>,
    name: Option<String>,
    instance_type: Option<String>,
    user_data: Option<String>,
    tags: Vec<(String, String)>,
}

impl Launch {
    pub(crate) fn new(ec2: Ec2, image: Option<String>) -> Self {
        Self { ec2, image, name: None, instance_type: None, user_data: None, tags: Vec::new() }
    }

    /// The name by which progress, errors and the `Name` tag speak of the machine; default: the test's name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The instance type; default: the configuration's.
    pub fn instance_type(mut self, instance_type: impl Into<String>) -> Self {
        self.instance_type = Some(instance_type.into());
        self
    }

    /// The user data, as cloud-init reads it; default: none.
    pub fn user_data(mut self, user_data: impl Into<String>) -> Self {
        self.user_data = Some(user_data.into());
        self
    }

    /// A tag on all that this launch makes, beside our own.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.push((key.into(), value.into()));
        self
    }

    async fn run(self) -> Result<Instance, Error> {
        Err(Error::new(ErrorKind::Internal, "launch"))
    }
}

operation!(Launch -> Instance, "launch an instance", Finish);
