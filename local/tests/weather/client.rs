//! An endpoint in some conditions, and what is made there, whatever has to be asked again.

use crate::endpoint::{Endpoint, user_data};

/// One that rolls the same dice each time.
pub fn start(conditions: &str) -> Endpoint {
    Endpoint::start(&["--conditions", conditions, "--seed", "5"])
}

impl Endpoint {
    /// The id of an image, once it is available.
    pub fn available(&self, name: &str) -> String {
        let request = format!("Action=DescribeImages&Filter.1.Name=name&Filter.1.Value.1={name}");
        self.until(&request, "<imageState>available</imageState>").one("imageId")
    }

    /// Has an image made of an instance; its id, once it is available.
    pub fn make_image(&self, instance: &str, name: &str) -> String {
        let request = format!("Action=CreateImage&InstanceId={instance}&Name={name}&NoReboot=true");
        self.insist(&request, "InvalidAMIName.Duplicate");
        self.available(name)
    }

    /// Launches a machine that runs a script, with further parameters.
    pub fn boot(&self, image: &str, token: &str, script: &str, more: &str) -> String {
        let request = "Action=RunInstances&InstanceType=t3.nano&MinCount=1&MaxCount=1";
        let script = user_data(&format!("#!/bin/sh\n{script}\n"));
        self.call(&format!("{request}&ImageId={image}&ClientToken={token}{script}{more}")).one("instanceId")
    }
}
