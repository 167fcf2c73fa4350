//! Machines of an endpoint, and what is asked of them over SSH.

use crate::{
    server::{Server, State, eventually},
    wire::Reply,
};
use std::{
    cell::RefCell,
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output},
};

/// An endpoint whose machines answer on SSH.
pub struct Machines {
    pub state: State,
    server: Option<Server>,
    key: PathBuf,
    /// How `ec2-local` is run, up to its subcommand.
    program: Vec<String>,
}

impl Machines {
    pub fn start(conditions: &str) -> Self {
        let state = State::new();
        let server = Server::start_with(&state, &["--conditions", conditions]);
        let program = vec![
            "env".to_owned(),
            format!("EC2_LOCAL_STATE_DIR={}", state.path().display()),
            env!("CARGO_BIN_EXE_ec2-local").to_owned(),
        ];
        Self::of(state, server, program)
    }

    /// Those of an endpoint that serves.
    pub fn of(state: State, server: Server, program: Vec<String>) -> Self {
        let material = server.door.ok("Action=CreateKeyPair&KeyName=k&KeyType=ed25519").one("keyMaterial");
        let key = state.beside().join("key");
        fs::write(&key, format!("{}\n", material.trim().replace("&#xA;", "\n"))).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        server.let_in_ssh();
        Self { state, server: Some(server), key, program }
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// Asks until it is done: what was just made isn't known everywhere.
    pub fn call(&self, parameters: &str) -> Reply {
        let done = RefCell::new(None);
        eventually(parameters, || {
            let reply = self.server().door.ask(parameters).unwrap();
            let may_pass = [".NotFound", "IncorrectInstanceState"].iter().any(|code| reply.body.contains(code));
            assert!(reply.status == 200 || may_pass, "{parameters}: {}", reply.body);
            let is_done = reply.status == 200;
            done.replace(Some(reply));
            is_done
        });
        done.into_inner().unwrap()
    }

    /// Launches machines that answer, with more parameters.
    pub fn launch(&self, count: usize, more: &str) -> Vec<String> {
        let image = self.server().image("host");
        let machines = self
            .call(&format!(
                "Action=RunInstances&ImageId={image}&InstanceType=t3.nano&MinCount={count}&MaxCount={count}&KeyName=k{more}"
            ))
            .all("instanceId");
        for machine in &machines {
            self.until_up(machine);
        }
        machines
    }

    pub fn until_up(&self, machine: &str) {
        self.until_state(machine, "running");
        eventually("it answers on SSH", || self.try_run(machine, "true").status.success());
    }

    pub fn until_state(&self, machine: &str, state: &str) {
        let filter = format!("Filter.1.Name=instance-state-name&Filter.1.Value.1={state}");
        let ask = format!("Action=DescribeInstances&{filter}&Filter.2.Name=instance-id&Filter.2.Value.1={machine}");
        eventually(state, || self.server().door.ok(&ask).body.contains("<instanceId>"));
    }

    /// Makes an interface beside a machine's own; its id and its address.
    pub fn interface(&self, machine: &str) -> (String, String) {
        let subnet = self.call(&format!("Action=DescribeInstances&InstanceId.1={machine}")).one("subnetId");
        let made = self.call(&format!("Action=CreateNetworkInterface&SubnetId={subnet}"));
        (made.one("networkInterfaceId"), made.one("privateIpAddress"))
    }

    /// Attaches it as the second one, and waits until the machine has it; the attachment's id.
    pub fn attach(&self, interface: &str, machine: &str) -> String {
        let parameters = format!("NetworkInterfaceId={interface}&InstanceId={machine}&DeviceIndex=1");
        let attachment = self.call(&format!("Action=AttachNetworkInterface&{parameters}")).one("attachmentId");
        eventually("the machine has it", || self.try_run(machine, "test -e /sys/class/net/eth1").status.success());
        attachment
    }

    /// The first interface of a machine: its id and its address.
    pub fn primary(&self, machine: &str) -> (String, String) {
        let shown = self.call(&format!("Action=DescribeInstances&InstanceId.1={machine}"));
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
        let proxy = format!("ProxyCommand={} connect %h %p", self.program.join(" "));
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes"]);
        ssh.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", &proxy, "-i"]);
        ssh.arg(&self.key).arg(format!("ec2-user@{machine}")).arg(command);
        ssh.env_remove("SSH_AUTH_SOCK").output().unwrap()
    }

    pub fn run(&self, machine: &str, command: &str) -> String {
        let output = self.try_run(machine, command);
        assert!(output.status.success(), "{command}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Kills the endpoint, and starts the next one.
    pub fn take_over(&mut self) {
        self.server.take().unwrap().kill();
        self.server = Some(Server::start(&self.state));
    }

    /// Ends it; nothing may be left.
    pub fn end(mut self) {
        self.server.take().unwrap().end();
        self.state.assert_clean();
    }
}
