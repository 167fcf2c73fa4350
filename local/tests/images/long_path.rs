//! A state directory whose path is longer than a socket's address can be.

use crate::{place::Place, serving::Serving};
use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What its SSH server says first, by a command that connects to it; asked again until it is there.
fn greeting(mut command: Command) -> String {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let deadline = Instant::now() + crate::place::PATIENCE;
    loop {
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let _ = process.kill();
        process.wait().unwrap();
        if line.starts_with("SSH-2.0-") || Instant::now() > deadline {
            return line;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_state_directory_may_have_a_long_path() {
    for length in [95, 200] {
        let place = Place::deep(&"x".repeat(length));
        let serving = Serving::start(&place);
        let instance = serving.launch("host", "");
        serving.until_state(&instance, "running");
        let group = serving.call("Action=DescribeSecurityGroups&GroupName.1=default").element("groupId").to_owned();
        serving.call(&format!(
            "Action=AuthorizeSecurityGroupIngress&GroupId={group}&IpProtocol=tcp&FromPort=22&ToPort=22&CidrIp=0.0.0.0%2F0"
        ));
        let connect = place.command(&["connect", &instance]);
        assert!(greeting(connect).starts_with("SSH-2.0-"), "{length}");
        // What it tells OpenSSH, which puts the name and the port in.
        let config = place.says(&["ssh-config"]);
        let (_, proxy) = config.split_once("ProxyCommand ").unwrap();
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("exec {}", proxy.trim().replace("%h", &instance).replace("%p", "22")));
        assert!(greeting(command).starts_with("SSH-2.0-"), "{proxy}");
        serving.terminate(&instance);
        serving.end();
        assert!(!fs::exists(place.state().join("run")).unwrap());
    }
}
