//! Machines of an endpoint, and what is asked of them over SSH.

use crate::endpoint::{Endpoint, Login, eventually};
use std::process::Output;

/// An endpoint whose machines answer on SSH.
pub struct Machines {
    pub endpoint: Endpoint,
    login: Login,
}

impl Machines {
    pub fn start(conditions: &str) -> Self {
        let endpoint = Endpoint::start(&["--conditions", conditions]);
        let login = Login::new(&endpoint.state);
        Self::of(endpoint, login)
    }

    /// Those of an endpoint that serves.
    pub fn of(endpoint: Endpoint, login: Login) -> Self {
        login.prepare(&endpoint);
        Self { endpoint, login }
    }

    /// Launches machines that answer, with more parameters.
    pub fn launch(&self, count: usize, more: &str) -> Vec<String> {
        let machines = self.endpoint.launch("host", count, &format!("&KeyName=k{more}"));
        for machine in &machines {
            self.until_up(machine);
        }
        machines
    }

    pub fn until_up(&self, machine: &str) {
        self.endpoint.until_state(machine, "running");
        eventually("it answers on SSH", || self.try_run(machine, "true").status.success());
    }

    /// Makes an interface beside a machine's own; its id and its address.
    pub fn interface(&self, machine: &str) -> (String, String) {
        let subnet = self.endpoint.call(&format!("Action=DescribeInstances&InstanceId.1={machine}")).one("subnetId");
        let made = self.endpoint.call(&format!("Action=CreateNetworkInterface&SubnetId={subnet}"));
        (made.one("networkInterfaceId"), made.one("privateIpAddress"))
    }

    /// Attaches it as the second one, and waits until the machine has it; the attachment's id.
    pub fn attach(&self, interface: &str, machine: &str) -> String {
        let parameters = format!("NetworkInterfaceId={interface}&InstanceId={machine}&DeviceIndex=1");
        let attachment = self.endpoint.call(&format!("Action=AttachNetworkInterface&{parameters}")).one("attachmentId");
        eventually("the machine has it", || self.try_run(machine, "test -e /sys/class/net/eth1").status.success());
        attachment
    }

    /// The first interface of a machine: its id and its address.
    pub fn primary(&self, machine: &str) -> (String, String) {
        let shown = self.endpoint.call(&format!("Action=DescribeInstances&InstanceId.1={machine}"));
        (shown.one("networkInterfaceId"), shown.one("privateIpAddress"))
    }

    /// Configures the second interface, so that what comes for its address is answered from there.
    pub fn configure(&self, machine: &str, address: &str) {
        // Default subnets are of 4,096 addresses, the second of which is the router's.
        let bits: std::net::Ipv4Addr = address.parse().unwrap();
        let base = bits.to_bits() & !0xfff;
        let (subnet, router) = (std::net::Ipv4Addr::from_bits(base), std::net::Ipv4Addr::from_bits(base + 1));
        self.run(
            machine,
            &format!(
                "sudo ip addr add {address}/32 dev eth1 && sudo ip link set eth1 up && sudo ip rule add from {address} table 100 \
                 && sudo ip route add {subnet}/20 dev eth1 src {address} table 100 \
                 && sudo ip route add default via {router} dev eth1 src {address} table 100"
            ),
        );
    }

    /// Whether a machine reaches the SSH server at an address.
    pub fn reaches(&self, machine: &str, address: &str) -> bool {
        let greeting = format!("timeout 2 bash -c 'exec 3<>/dev/tcp/{address}/22 && head -c 4 <&3'");
        self.try_run(machine, &greeting).stdout == b"SSH-"
    }

    pub fn try_run(&self, machine: &str, command: &str) -> Output {
        self.login.run(machine, command)
    }

    pub fn run(&self, machine: &str, command: &str) -> String {
        self.login.says(machine, command)
    }
}
