//! Machines on their way somewhere, while their endpoint is killed: they get there, and nothing of the old ones is left.

use crate::endpoint::{Server, State, descendants, eventually, mounts_of};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

const ROUNDS: usize = 6;
/// Two regions of one account.
const REGIONS: [&str; 2] = ["us-east-1", "eu-west-1"];

fn image(server: &Server, region: &str) -> String {
    let named = "Action=DescribeImages&Filter.1.Name=name&Filter.1.Value.1=host";
    server.door.ask_in(region, named).unwrap().one("imageId")
}

fn ask(server: &Server, region: &str, request: &str) -> Vec<String> {
    let reply = server.door.ask_in(region, request).unwrap();
    assert_eq!(reply.status, 200, "{request}: {reply:?}");
    reply.all("instanceId")
}

fn in_state(server: &Server, region: &str, states: &[&str]) -> BTreeSet<String> {
    let mut filter = "Action=DescribeInstances&Filter.1.Name=instance-state-name".to_owned();
    for (number, state) in states.iter().enumerate() {
        filter += &format!("&Filter.1.Value.{}={state}", number + 1);
    }
    ask(server, region, &filter).into_iter().collect()
}

/// Whether a process is more than what its parent has yet to hear of.
fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}

/// Waits until nothing is on its way any more.
fn settle(server: &Server) {
    for region in REGIONS {
        let moving = ["pending", "stopping", "shutting-down"];
        eventually("nothing is on its way", || in_state(server, region, &moving).is_empty());
    }
}

#[test]
fn whatever_they_were_about_to_do_is_done() {
    let seed: u64 = std::env::var("EC2_LOCAL_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| getrandom::u64().unwrap());
    eprintln!("EC2_LOCAL_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let state = State::new();
    for round in 0..ROUNDS {
        let server = Server::start(&state);
        let mut expected: Vec<[BTreeSet<String>; 3]> = Vec::new();
        for region in REGIONS {
            let image = image(&server, region);
            let run = format!("Action=RunInstances&ImageId={image}&InstanceType=t3.nano&MinCount=2&MaxCount=2");
            let of = |all: Vec<String>| all.into_iter().collect::<BTreeSet<_>>();
            let [stops, starts, reboots, ends] = [(); 4].map(|()| of(ask(&server, region, &run)));
            settle(&server);
            let tell = |action: &str, instances: &BTreeSet<String>| {
                for instance in instances {
                    ask(&server, region, &format!("Action={action}Instances&InstanceId.1={instance}"));
                }
            };
            tell("Stop", &starts);
            settle(&server);
            // All at once, and the last ones are still on their way from nothing.
            tell("Terminate", &ends);
            tell("Stop", &stops);
            tell("Reboot", &reboots);
            tell("Start", &starts);
            let fresh = of(ask(&server, region, &run));
            let running = starts.into_iter().chain(reboots).chain(fresh).collect();
            expected.push([running, stops, ends]);
        }
        thread::sleep(Duration::from_millis(random.random_range(0..200)));
        let machines = descendants(server.pid());
        server.kill_at_once();
        // Twice more, while it takes over.
        for _ in 0..round % 3 {
            let mut taking_over = state.command().arg("serve").stdout(Stdio::null()).spawn().unwrap();
            thread::sleep(Duration::from_millis(random.random_range(0..60)));
            taking_over.kill().unwrap();
            taking_over.wait().unwrap();
        }
        let server = Server::start(&state);
        let alive: Vec<_> = machines.into_iter().filter(|pid| lives(*pid)).collect();
        assert!(alive.is_empty(), "{alive:?} of the old machines live beside the new ones");
        settle(&server);
        let mut disks = BTreeSet::new();
        for (region, [running, stopped, ended]) in REGIONS.iter().zip(&expected) {
            assert_eq!(in_state(&server, region, &["running"]), *running, "{region}");
            assert_eq!(in_state(&server, region, &["stopped"]), *stopped, "{region}");
            assert!(in_state(&server, region, &["terminated"]).is_superset(ended), "{region}");
            let volumes = server.door.ask_in(region, "Action=DescribeVolumes").unwrap().all("volumeId");
            let volumes: BTreeSet<_> = volumes.into_iter().collect();
            assert_eq!(volumes.len(), running.len() + stopped.len(), "{region}");
            disks.extend(volumes);
        }
        let disks_of = state.runs()[0].join("disks");
        let there = || -> BTreeSet<String> {
            fs::read_dir(&disks_of).unwrap().map(|disk| disk.unwrap().file_name().into_string().unwrap()).collect()
        };
        eventually("no disk is of no volume", || there() == disks);
        server.end();
        assert_eq!(mounts_of(&state.path()), 0);
        state.assert_clean();
    }
}

#[test]
fn a_check_tells_what_was_left_and_clears_it() {
    let state = State::new();
    let server = Server::start(&state);
    let instance = server.launch("host", 1, "").remove(0);
    eventually("it runs", || server.count("running") == 1);
    server.kill();
    let left = state.path().join(format!("check-{}", std::process::id()));
    fs::create_dir_all(left.join("files/root")).unwrap();
    symlink("a machine's disk", left.join(".ec2-local")).unwrap();
    let notes = state.path().join("check-1");
    fs::create_dir_all(notes.join("files")).unwrap();
    let check = || {
        let output = state.command().arg("check").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = check();
    let account = format!("for the next one to take over: {}\n", state.runs()[0].display());
    assert!(said.contains(&account), "{said}");
    assert!(!left.exists());
    assert!(notes.join("files").exists(), "it bears no mark");
    fs::remove_dir_all(notes).unwrap();
    let name = format!("ec2-local.{instance}.*");
    let cgroups = Command::new("find").args(["/sys/fs/cgroup", "-name", &name]).output().unwrap();
    assert!(cgroups.stdout.is_empty(), "{cgroups:?}");
    Server::start(&state).end();
    assert!(!check().contains("left:"));
    state.assert_clean();
}
