//! The control plane at moto's server, <https://pypi.org/project/moto/>: an EC2 that isn't ours, without machines. What it can't answer stands in
//! CONTRIBUTING.md, with the reason.
//!
//! The environment is a process's, so the rows are run by another test in a process of its own, which is over with its run.

mod support;

use ec2_harness::{
    aws_sdk_ec2::config::Credentials,
    config::{Config, KeyType},
    ec2::{ImageSource, Launch},
    prelude::*,
};
use std::{
    env, fs,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};
use support::{PATIENCE, block_on, eventually, has_processes, sdk};

/// An image that moto has from the start.
fn ubuntu() -> ImageQuery {
    ImageQuery::named("ubuntu/images/hvm-ssd/ubuntu-xenial-16.04-{deb-arch}-server-*").owner("099720109477")
}

mod child {
    use super::*;

    fn ec2() -> Ec2 {
        support::ec2()
    }

    /// moto takes no part of a mapping for the image's own: it wants the size of each.
    fn launch(ec2: &Ec2, image: impl Into<ImageSource>) -> Launch {
        ec2.launch(image).root_size(gib(20)).without_waiting()
    }

    fn machine(ec2: &Ec2) -> Instance {
        let vm = launch(ec2, ubuntu()).wait().unwrap();
        vm.wait_running().wait().unwrap();
        vm
    }

    #[test]
    #[ignore = "run by another"]
    fn key_pairs() {
        let ec2 = ec2();
        let names = || -> Vec<String> {
            ec2.key_pairs().wait().unwrap().into_iter().filter_map(|pair| pair.key_name).collect()
        };
        for key_type in [KeyType::Ed25519, KeyType::Rsa] {
            let pair = ec2.create_key_pair(key_type).wait().unwrap();
            assert!(names().iter().any(|name| name == pair.name()));
            pair.delete().wait().unwrap();
            assert!(!names().iter().any(|name| name == pair.name()));
        }
    }

    #[test]
    #[ignore = "run by another"]
    fn images() {
        let ec2 = ec2();
        let all = ec2.images(ubuntu()).wait().unwrap();
        assert_eq!(all[0].owner_id(), Some("099720109477"));
        assert_eq!(ec2.find_image(ubuntu()).wait().unwrap().id(), all[0].image_id().unwrap());
        let vm = machine(&ec2);
        assert_eq!((vm.describe().wait().unwrap().image_id(), &*vm.user().unwrap()), (all[0].image_id(), "ubuntu"));
        let error = ec2.launch("debian-13").wait().unwrap_err();
        assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("debian-13-amd64-*"), "{error}");
    }

    #[test]
    #[ignore = "run by another"]
    fn launch_options() {
        let said = launch(&ec2(), ubuntu()).name("web").instance_type("t3.small").tag("team", "ours");
        let vm = said.volumes([gp3(1)]).imds(Imds::v2()).user_data("#!/bin/sh\n").wait().unwrap();
        let described = vm.describe().wait().unwrap();
        let tags = vm.tags();
        let has = |key: &str, value: &str| tags.iter().any(|(k, v)| k == key && v == value);
        assert!(
            vm.instance_type().as_deref() == Some("t3.small") && has("Name", "web") && has("team", "ours"),
            "{tags:?}"
        );
        assert_eq!(described.block_device_mappings().len(), 2);
    }

    #[test]
    #[ignore = "run by another"]
    fn many() {
        let ec2 = ec2();
        let vms = launch(&ec2, ubuntu()).name("node").count(3).wait().unwrap();
        assert_eq!(vms.iter().map(|vm| vm.name()).collect::<Vec<_>>(), ["node[0]", "node[1]", "node[2]"]);
        ec2.terminate_all(&vms).wait().unwrap();
        ec2.wait_all_terminated(&vms).wait().unwrap();
    }

    #[test]
    #[ignore = "run by another"]
    fn existing() {
        let ec2 = ec2();
        let vm = machine(&ec2);
        let theirs = ec2.instance(vm.id()).wait().unwrap();
        assert_eq!(theirs.describe().wait().unwrap().instance_id(), Some(vm.id()));
        drop(theirs);
        assert_eq!(support::state(&ec2, vm.id()), "running");
        let error = ec2.instance("i-0123456789abcdef0").wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }

    #[test]
    #[ignore = "run by another"]
    fn power() {
        let ec2 = ec2();
        let vm = machine(&ec2);
        vm.stop().wait().unwrap();
        assert_eq!(support::state(&ec2, vm.id()), "stopped");
        vm.start().without_waiting().wait().unwrap();
        vm.wait_running().wait().unwrap();
        vm.terminate().wait().unwrap();
        vm.wait_terminated().wait().unwrap();
    }

    #[test]
    #[ignore = "run by another"]
    fn volumes() {
        let ec2 = ec2();
        let vm = machine(&ec2);
        let added = vm.add_volume(gp3(1)).wait().unwrap();
        assert_eq!(added.describe().wait().unwrap().attachments()[0].instance_id(), Some(vm.id()));
        let other = ec2.create_volume(gp3(2), vm.zone().unwrap()).wait().unwrap();
        other.delete().wait().unwrap();
        assert_eq!(other.describe().wait().unwrap_err().kind(), ErrorKind::Ended);
    }

    #[test]
    #[ignore = "run by another"]
    fn interfaces() {
        let ec2 = ec2();
        let vm = machine(&ec2);
        let added = vm.add_network_interface(NewNetworkInterface::new()).wait().unwrap();
        assert_eq!(added.device_index(), Some(1));
        let described = added.describe().wait().unwrap();
        assert_eq!(described.attachment().unwrap().instance_id(), Some(vm.id()));
    }

    #[test]
    #[ignore = "run by another"]
    fn vpcs() {
        let ec2 = ec2();
        let vpc = ec2.create_vpc("10.20.0.0/16").wait().unwrap();
        assert_eq!(vpc.subnets().wait().unwrap().len(), 2);
        let vm = launch(&ec2, ubuntu()).vpc(&vpc).wait().unwrap();
        assert_eq!(vm.describe().wait().unwrap().vpc_id(), Some(vpc.id()));
        vpc.delete().wait().unwrap();
        assert_eq!(vpc.describe().wait().unwrap_err().kind(), ErrorKind::Ended);
    }
}

/// A running server, until this is dropped.
struct Moto {
    process: Child,
    url: String,
}

impl Moto {
    /// `None` where it isn't installed: then the test ends here, and says so, or fails where nothing may be skipped.
    fn start() -> Option<Self> {
        let python = |program: &str| {
            let mut command = Command::new("python3");
            command.args(["-c", program]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        if !python("import moto.server, flask_cors, moto.ec2").status().is_ok_and(|status| status.success()) {
            assert!(env::var_os("EC2_HARNESS_NO_SKIP").is_none(), "moto is not installed");
            println!("skipped: moto is not installed: python3 -m pip install 'moto[ec2]' flask flask-cors");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut serve = python("from moto.server import main; main()");
        let process = serve.args(["-H", "127.0.0.1", "-p", &port.to_string()]).spawn().unwrap();
        let moto = Self { process, url: format!("http://127.0.0.1:{port}") };
        let since = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(since.elapsed() < PATIENCE, "moto's server doesn't listen");
            sleep(Duration::from_millis(50));
        }
        Some(moto)
    }

    /// The account as its own client sees it.
    fn ec2(&self) -> Ec2 {
        let mut config = Config::default();
        config.target = self.url.parse().unwrap();
        config.region = Some("us-east-1".into());
        let credentials = Credentials::new("AKIAMOTO", "secret", None, None, "this test");
        Ec2::connect().config(config).credentials(credentials).wait().unwrap()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// All rows, in one run, which leaves nothing.
#[test]
fn the_control_plane_of_every_row() {
    let Some(moto) = Moto::start() else { return };
    let state = tempfile::tempdir().unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["child::", "--ignored", "--test-threads", "9"]);
    command.env_remove("NEXTEST_RUN_ID").env("EC2_HARNESS_STATE_DIR", state.path()).env("RUST_BACKTRACE", "0");
    command.envs([
        ("EC2_HARNESS_TARGET", moto.url.as_str()),
        ("EC2_HARNESS_REGION", "us-east-1"),
        ("EC2_HARNESS_SSH_FROM", "127.0.0.1/32"),
        ("AWS_ACCESS_KEY_ID", "AKIAMOTO"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    // Its watchdog would look for a server that has ended for long.
    eventually(&format!("its run is over: {text}"), || !has_processes(state.path()));
    assert!(output.status.success() && text.contains("9 passed"), "{text}");
    assert_eq!(fs::read_dir(state.path().join("runs")).map_or(0, Iterator::count), 0, "a run's directory was left");
    let ec2 = moto.ec2();
    assert!(ec2.key_pairs().wait().unwrap().is_empty());
    let described = block_on(sdk(&ec2).describe_instances().send()).unwrap();
    for instance in described.reservations().iter().flat_map(|reservation| reservation.instances()) {
        assert_eq!(instance.state().unwrap().name().unwrap().as_str(), "terminated", "{instance:?}");
    }
    let groups = block_on(sdk(&ec2).describe_security_groups().send()).unwrap();
    assert!(groups.security_groups().iter().all(|group| group.group_name() == Some("default")), "{groups:?}");
    assert!(block_on(sdk(&ec2).describe_volumes().send()).unwrap().volumes().is_empty());
    assert_eq!(block_on(sdk(&ec2).describe_vpcs().send()).unwrap().vpcs().len(), 1, "the default one");
}
