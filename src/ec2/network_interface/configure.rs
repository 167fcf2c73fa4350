//! Configuring an interface in its machine: addresses, up, and answers by the way that they were asked.

use super::NetworkInterface;
use crate::{
    connection::api_error,
    ec2::Machine,
    error::{Error, ErrorKind},
};
use ipnet::IpNet;
use std::net::IpAddr;

/// Where tables of routes for added interfaces begin; a machine's own lie elsewhere.
const TABLES: i32 = 1000;

/// Configures it; doing so again changes nothing.
pub(super) async fn configure(machine: &Machine, interface: &NetworkInterface) -> Result<(), Error> {
    let tried = format!("configure {interface} in {machine}");
    let failed = |reason: &str| Error::new(ErrorKind::Internal, &tried).because(reason);
    let mac = interface.mac_address().ok_or_else(|| failed("EC2 doesn't say its MAC address"))?;
    let subnet = interface.last_described().subnet_id.clone().ok_or_else(|| failed("EC2 doesn't say its subnet"))?;
    let call = machine.client().describe_subnets().subnet_ids(&subnet).send().await;
    let answer = call.map_err(|e| api_error::failed("DescribeSubnets", &tried, e))?;
    let cidr = answer.subnets().first().and_then(|subnet| subnet.cidr_block()?.parse::<IpNet>().ok());
    let cidr = cidr.ok_or_else(|| failed("EC2 doesn't say the block of its subnet"))?;
    let table = TABLES + interface.device_index().unwrap_or_default();
    let script = script(&mac, &interface.private_ips(), &interface.ipv6_addresses(), cidr, table);
    machine.run_script(script).sudo().await.map(drop).map_err(|failure| failure.into_error().while_trying(&tried))
}

/// What does it, by iproute2. The router of a subnet is its first address.
/// <https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html>
fn script(mac: &str, addresses: &[IpAddr], addresses6: &[IpAddr], cidr: IpNet, table: i32) -> String {
    let router = cidr.hosts().next().unwrap_or_else(|| cidr.network());
    let mut script = format!(
        "set -eu\nfor at in 1 2 3 4 5 6 7 8 9 10; do\n  for link in /sys/class/net/*; do\n    \
         [ \"$(cat \"$link/address\")\" = {mac} ] && nic=${{link##*/}}\n  done\n  [ -n \"${{nic-}}\" ] && break\n  sleep 1\ndone\n\
         [ -n \"${{nic-}}\" ] || {{ echo 'no interface has the address {mac}' >&2; exit 1; }}\nip link set \"$nic\" up\n"
    );
    for address in addresses {
        script += &format!("ip address replace {address}/{} dev \"$nic\"\n", cidr.prefix_len());
        script += &format!(
            "ip rule delete from {address} table {table} 2>/dev/null || true\nip rule add from {address} table {table}\n"
        );
    }
    script += &format!(
        "ip route replace {cidr} dev \"$nic\" table {table}\nip route replace default via {router} dev \"$nic\" table {table}\n"
    );
    for address in addresses6 {
        script += &format!("ip -6 address replace {address}/128 dev \"$nic\"\n");
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_leave_by_where_they_were_asked() {
        let addresses = ["10.0.1.7", "10.0.1.8"].map(|address| address.parse().unwrap());
        let script = script("02:ab", &addresses, &["2600::7".parse().unwrap()], "10.0.1.0/24".parse().unwrap(), 1001);
        for line in [
            "ip address replace 10.0.1.7/24 dev \"$nic\"",
            "ip rule add from 10.0.1.8 table 1001",
            "ip route replace default via 10.0.1.1 dev \"$nic\" table 1001",
            "ip -6 address replace 2600::7/128 dev \"$nic\"",
        ] {
            assert!(script.lines().any(|found| found == line), "{line}\n{script}");
        }
    }
}
