//! An endpoint, its networks and its machines.

use crate::fixture::{Answer, Signed};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(120);

/// An endpoint in the foreground, with a state directory of its own; it ends with the value, and its machines with it.
pub struct Serving {
    place: tempfile::TempDir,
    process: Child,
    address: SocketAddr,
    key: (String, String),
}

impl Serving {
    pub fn start() -> Self {
        let place = tempfile::tempdir().unwrap();
        let (process, address) = serve(&place.path().join("state"));
        let secret = fs::read(place.path().join("state/secret")).unwrap();
        let secret: serde_json::Value = serde_json::from_slice(&secret).unwrap();
        let text = |key: &str| secret[key].as_str().unwrap().to_owned();
        Self { key: (text("access_key"), text("secret_key")), place, process, address }
    }

    /// Kills it; the next one takes its account over.
    pub fn succeed(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        (self.process, self.address) = serve(&self.state());
    }

    /// Its state directory.
    pub fn state(&self) -> PathBuf {
        self.place.path().join("state")
    }

    fn ask(&self, parameters: &str) -> Answer {
        let mut request = Signed::ec2(&format!("{parameters}&Version=2016-11-15"));
        (request.key, request.secret) = self.key.clone();
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(&request.bytes(self.address, true)).unwrap();
        Answer::read(stream)
    }

    /// Asks until what is named is known, and what is in the way has gone.
    pub fn call(&self, parameters: &str) -> Answer {
        let passes = ["NotFound", "DependencyViolation", "RequestLimitExceeded"];
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(parameters);
            if answer.status == 200 {
                return answer;
            }
            let may_pass = passes.iter().any(|code| answer.element("Code").contains(code));
            assert!(may_pass && Instant::now() < deadline, "{parameters}: {answer:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the first element of a name holds in an answer, once it is there.
    pub fn find(&self, parameters: &str, element: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.call(parameters);
            if answer.body.contains(&format!("<{element}>")) {
                return answer.element(element).to_owned();
            }
            assert!(Instant::now() < deadline, "no {element}: {answer:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

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
    pub fn launch(&self, subnet: &str, address: &str, script: &str) -> String {
        self.launch_with(subnet, address, script, "")
    }

    /// The same, with further parameters.
    pub fn launch_with(&self, subnet: &str, address: &str, script: &str, more: &str) -> String {
        let image = self.find("Action=DescribeImages&Filter.1.Name=name&Filter.1.Value.1=host", "imageId");
        let script = STANDARD.encode(script).replace('=', "%3D").replace('+', "%2B").replace('/', "%2F");
        let launch = format!(
            "Action=RunInstances&ImageId={image}&InstanceType=t3.micro&MinCount=1&MaxCount=1&SubnetId={subnet}\
             &PrivateIpAddress={address}&UserData={script}{more}"
        );
        self.find(&launch, "instanceId")
    }

    /// Launches a machine that says on its console whenever it begins or ceases to reach an SSH server.
    pub fn watcher(&self, subnet: &str, address: &str, target: &str) -> Watcher<'_> {
        self.watcher_with(subnet, address, target, &Self::watching(target), "")
    }

    /// The same by a script of one's own, with further parameters.
    pub fn watcher_with(&self, subnet: &str, address: &str, target: &str, script: &str, more: &str) -> Watcher<'_> {
        Watcher { serving: self, instance: self.launch_with(subnet, address, script, more), target: target.to_owned() }
    }

    /// What such a machine does.
    pub fn watching(target: &str) -> String {
        format!(
            "#!/bin/sh\nwas=\nwhile :; do\nif timeout 2 bash -c 'exec 3<>/dev/tcp/{target}/22 && head -c 4 <&3' 2>/dev/null | \
             grep -q SSH-; then now=reached; else now=lost; fi\n[ \"$was\" = $now ] || echo \"it has $now {target}\" \
             >/dev/console\nwas=$now\nsleep 0.2\ndone &\n"
        )
    }

    /// Waits for words on the console.
    pub fn until_console(&self, instance: &str, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let console = self.console(instance);
            if console.contains(words) {
                return;
            }
            assert!(Instant::now() < deadline, "no {words:?} on the console: {console}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn console(&self, instance: &str) -> String {
        let answer = self.call(&format!("Action=GetConsoleOutput&InstanceId={instance}&Latest=true"));
        let output = answer.body.split_once("<output>").and_then(|(_, rest)| rest.split_once("</output>"));
        let text = output.map(|(text, _)| text.split_whitespace().collect::<String>()).unwrap_or_default();
        String::from_utf8_lossy(&STANDARD.decode(text).unwrap()).into_owned()
    }
}

fn serve(state: &Path) -> (Child, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ec2-local"));
    command.args(["serve", "--port", "0"]).env("EC2_LOCAL_STATE_DIR", state);
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(process.stdout.as_mut().unwrap());
    while !said.contains("in another shell") {
        assert!(lines.read_line(&mut said).unwrap() > 0, "it ended: {said}");
    }
    let address = said.lines().find_map(|line| line.strip_prefix("serving EC2 on http://"));
    (process, address.unwrap().parse().unwrap())
}

impl Drop for Serving {
    fn drop(&mut self) {
        let process = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process(process, rustix::process::Signal::INT);
        let _ = self.process.wait();
    }
}

/// A machine that tries again and again to reach an SSH server.
pub struct Watcher<'a> {
    serving: &'a Serving,
    pub instance: String,
    target: String,
}

impl Watcher<'_> {
    /// Waits until the last that it has said is this.
    pub fn until(&self, state: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let console = self.serving.console(&self.instance);
            let last = console.lines().rfind(|line| line.contains("it has "));
            if last.is_some_and(|line| line.contains(&format!("it has {state} {}", self.target))) {
                return;
            }
            assert!(Instant::now() < deadline, "{} is not {state}: {console}", self.target);
            thread::sleep(Duration::from_millis(20));
        }
    }
}
