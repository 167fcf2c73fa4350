//! A machine that is configured by user data, in two ways: as cloud-config and as a script.
//!
//! `cargo run --example user_data`

use ec2_harness::prelude::*;

const CLOUD_CONFIG: &str = "\
#cloud-config
write_files:
- path: /etc/motto
  content: it boots
  permissions: '0640'
runcmd:
- touch /run/commanded
";

fn main() -> Result {
    let ec2 = Ec2::connect().wait()?;

    let configured = ec2.launch_default().name("configured").user_data(CLOUD_CONFIG).wait()?;
    configured.assert((file("/etc/motto").contains("it boots").mode(0o640), file("/run/commanded"))).wait()?;

    let scripted = ec2.launch_default().name("scripted").user_data("#!/bin/sh\nid -un > /run/who").wait()?;
    scripted.assert(file("/run/who").contains("root")).wait()?;

    println!("both are as they were told to be");
    Ok(())
}
