//! Networks, and machines that watch what they reach in them.

use crate::endpoint::{Endpoint, PATIENCE, user_data};
use std::{
    thread,
    time::{Duration, Instant},
};

impl Endpoint {
    /// A VPC whose default group lets SSH in; it and its one subnet, the first /24.
    pub fn network(&self, second: u8) -> (String, String) {
        let vpc = self.find(&format!("Action=CreateVpc&CidrBlock=10.{second}.0.0/16"), "vpcId");
        let of_vpc = format!("Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}");
        let group = self.find(&format!("Action=DescribeSecurityGroups&{of_vpc}"), "groupId");
        self.call(&format!(
            "Action=AuthorizeSecurityGroupIngress&GroupId={group}&IpProtocol=tcp&FromPort=22&ToPort=22&CidrIp=0.0.0.0%2F0"
        ));
        (vpc.clone(), self.subnet(&vpc, &format!("10.{second}.0.0/24")))
    }

    pub fn subnet(&self, vpc: &str, cidr: &str) -> String {
        self.find(&format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock={cidr}"), "subnetId")
    }

    /// The main route table of a VPC.
    pub fn main_table(&self, vpc: &str) -> String {
        let filter =
            format!("Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}&Filter.2.Name=association.main&Filter.2.Value.1=true");
        self.find(&format!("Action=DescribeRouteTables&{filter}"), "routeTableId")
    }

    /// Launches a machine at an address.
    pub fn put(&self, subnet: &str, address: &str, script: &str) -> String {
        self.put_with(subnet, address, script, "")
    }

    /// The same, with further parameters.
    pub fn put_with(&self, subnet: &str, address: &str, script: &str, more: &str) -> String {
        let more = format!("&SubnetId={subnet}&PrivateIpAddress={address}{}{more}", user_data(script));
        self.launch("host", 1, &more).remove(0)
    }

    /// Launches a machine that says on its console whenever it begins or ceases to reach an SSH server.
    pub fn watcher(&self, subnet: &str, address: &str, target: &str) -> Watcher<'_> {
        self.watcher_with(subnet, address, target, &Self::watching(target), "")
    }

    /// The same by a script of one's own, with further parameters.
    pub fn watcher_with(&self, subnet: &str, address: &str, target: &str, script: &str, more: &str) -> Watcher<'_> {
        Watcher { endpoint: self, instance: self.put_with(subnet, address, script, more), target: target.to_owned() }
    }

    /// What such a machine does.
    pub fn watching(target: &str) -> String {
        format!(
            "#!/bin/sh\nwas=\nwhile :; do\nif timeout 2 bash -c 'exec 3<>/dev/tcp/{target}/22 && head -c 4 <&3' 2>/dev/null | \
             grep -q SSH-; then now=reached; else now=lost; fi\n[ \"$was\" = $now ] || echo \"it has $now {target}\" \
             >/dev/console\nwas=$now\nsleep 0.2\ndone &\n"
        )
    }
}

/// A machine that tries again and again to reach an SSH server.
pub struct Watcher<'a> {
    endpoint: &'a Endpoint,
    pub instance: String,
    target: String,
}

impl Watcher<'_> {
    /// Waits until the last that it has said is this.
    pub fn until(&self, state: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let console = self.endpoint.console(&self.instance);
            let last = console.lines().rfind(|line| line.contains("it has "));
            if last.is_some_and(|line| line.contains(&format!("it has {state} {}", self.target))) {
                return;
            }
            assert!(Instant::now() < deadline, "{} is not {state}: {console}", self.target);
            thread::sleep(Duration::from_millis(20));
        }
    }
}
