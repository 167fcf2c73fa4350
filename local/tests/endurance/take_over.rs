//! What becomes of an account whose endpoint was killed.

use crate::endpoint::{Login, Server, State, eventually, mounts_of};
use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

#[test]
fn machines_boot_again_with_all_that_is_theirs() {
    const BOOT: &str = "cat /proc/sys/kernel/random/boot_id";
    let state = State::new();
    let server = Server::start(&state);
    let ssh = Login::wary(&state);
    ssh.prepare(&server);
    let machines = server.launch("host", 3, "&KeyName=k");
    let boots: Vec<String> =
        machines.iter().map(|id| ssh.says(id, &format!("echo {id} >mark; sync; {BOOT}"))).collect();
    let stopped = server.launch("host", 1, "&KeyName=k").remove(0);
    ssh.says(&stopped, "echo stopped >mark");
    server.door.ok(&format!("Action=StopInstances&InstanceId.1={stopped}"));
    eventually("it is stopped", || server.count("stopped") == 1);
    let before: Vec<String> = machines.iter().map(|id| server.describe(id).one("reservationSet")).collect();
    server.kill();
    assert_eq!(mounts_of(&state.path()), 0);

    // Twice, and the second time while they are just booting.
    for _ in 0..2 {
        let server = Server::start(&state);
        assert!(server.opening.contains("was killed: 3 instances boot again\n"), "{}", server.opening);
        server.kill_at_once();
    }
    let server = Server::start(&state);
    for ((id, boot), before) in machines.iter().zip(boots).zip(before) {
        assert_eq!(ssh.says(id, "cat mark"), format!("{id}\n"));
        assert_ne!(ssh.says(id, BOOT), boot);
        assert_eq!(server.describe(id).one("reservationSet"), before, "state, addresses and all are the same");
        let console = server.door.ok(&format!("Action=GetConsoleOutput&InstanceId={id}")).one("output");
        assert!(!console.is_empty());
    }
    server.door.ok(&format!("Action=StartInstances&InstanceId.1={stopped}"));
    assert_eq!(ssh.says(&stopped, "cat mark"), "stopped\n");
    server.end();
    state.assert_clean();
}

#[test]
fn a_machine_whose_disk_is_gone_fails() {
    let state = State::new();
    let server = Server::start(&state);
    let machines = server.launch("host", 2, "");
    eventually("they run", || server.count("running") == 2);
    let volume = server.volume_of(&machines[0]);
    server.kill();
    let [run] = &state.runs()[..] else { panic!("{:?}", state.runs()) };
    // It becomes one of no volume, which goes.
    fs::rename(run.join("disks").join(volume), run.join("disks/vol-0123456789abcdef0")).unwrap();
    let server = Server::start(&state);
    eventually("one has failed", || server.count("stopped") == 1);
    let failed = server.describe(&machines[0]);
    assert!(failed.body.contains("Server.InternalError"), "{failed:?}");
    assert!(failed.body.contains("find its disk"), "{failed:?}");
    eventually("one runs", || server.count("running") == 1);
    assert!(!run.join("disks/vol-0123456789abcdef0").exists());
    server.end();
    state.assert_clean();
}

/// Makes of an account that was left one that another build has left.
pub fn rename(state: &State, format: &str, build: &str) -> PathBuf {
    let [run] = &state.runs()[..] else { panic!("{:?}", state.runs()) };
    let other = run.with_file_name(build);
    fs::rename(run, &other).unwrap();
    let journal = other.join("journal");
    let text = fs::read_to_string(&journal).unwrap();
    let (header, entries) = text.split_once('\n').unwrap();
    let own = run.file_name().unwrap().to_str().unwrap();
    let header = header.replace(own, build).replace("\"format\":1", &format!("\"format\":{format}"));
    fs::write(&journal, format!("{header}\n{entries}")).unwrap();
    other
}

#[test]
fn the_account_of_an_older_build_is_taken_over() {
    let state = State::new();
    let server = Server::start_with(&state, &["--conditions", "typical", "--seed", "7"]);
    let ids = server.launch("blank", 2, "&ClientToken=t");
    server.kill();
    let other = rename(&state, "1", "0.0.9-older");
    let server = Server::start_with(&state, &[]);
    assert!(server.opening.contains("conditions: typical, seed 7\n"), "{}", server.opening);
    let said =
        "took over the account of an endpoint of the build 0.0.9-older that was killed: 2 instances boot again\n";
    assert!(server.opening.contains(said), "{}", server.opening);
    assert!(!other.exists());
    assert_eq!(server.launch("blank", 2, "&ClientToken=t"), ids, "the token holds");
    server.kill();
    // What is given on the command line wins.
    let server = Server::start(&state);
    assert!(server.opening.contains("conditions: calm, seed 7\n"), "{}", server.opening);
    server.end();
    state.assert_clean();
}

#[test]
fn what_cannot_be_read_is_refused_and_kept() {
    let state = State::new();
    Server::start(&state).kill();
    let other = rename(&state, "9", "9.0.0-newer");
    for _ in 0..2 {
        let said = state.refusal();
        let directory = other.display().to_string();
        for part in [&directory, "9.0.0-newer", "in the format 9", &format!("rm -r {directory}")] {
            assert!(said.contains(part), "{said}");
        }
    }
    fs::remove_dir_all(&other).unwrap();
    Server::start(&state).kill();
    let journal = |state: &State| state.runs()[0].join("journal");
    let text = fs::read_to_string(journal(&state)).unwrap();
    fs::write(journal(&state), text.replacen("us-east-1", "us-east-9", 1)).unwrap();
    File::options()
        .append(true)
        .open(journal(&state))
        .unwrap()
        .write_all(text.lines().nth(1).unwrap().as_bytes())
        .unwrap();
    File::options().append(true).open(journal(&state)).unwrap().write_all(b"\n").unwrap();
    let said = state.refusal();
    assert!(said.contains("line 2 is damaged"), "{said}");
    fs::write(journal(&state), text).unwrap();
    Server::start(&state).end();
    state.assert_clean();
}

#[test]
fn half_a_line_at_the_end_counts_for_nothing() {
    let state = State::new();
    let server = Server::start(&state);
    server.launch("blank", 1, "");
    server.kill();
    let journal = state.runs()[0].join("journal");
    let whole = fs::read(&journal).unwrap();
    for end in [&b"0123"[..], b"01234567 {\"at\":", b"\0\0\0\0\0\0\0\0\0\0\0\0", b"\n"] {
        fs::write(&journal, [&whole, end].concat()).unwrap();
        let server = Server::start(&state);
        eventually("it runs", || server.count("running") == 1);
        server.kill();
    }
    Server::start(&state).end();
    state.assert_clean();
}

#[test]
fn an_endpoint_of_another_build_that_is_in_use_is_left_alone() {
    let state = State::new();
    let server = Server::start(&state);
    server.launch("blank", 1, "");
    server.kill();
    let other = rename(&state, "9", "9.0.0-newer");
    let lock = File::open(other.join("endpoint")).unwrap();
    lock.lock().unwrap();
    let server = Server::start(&state);
    assert!(!server.opening.contains("took over"), "{}", server.opening);
    assert_eq!(server.count("running"), 0);
    server.launch("blank", 1, "");
    server.kill();
    // Both were killed now: this build's own is first, and the other is named.
    drop(lock);
    let server = Server::start(&state);
    assert!(server.opening.contains("was killed: 1 instance boots again\n"), "{}", server.opening);
    assert!(server.opening.contains(&format!("for a later start, in {}\n", other.display())), "{}", server.opening);
    server.end();
    assert!(other.join("journal").exists());
    fs::remove_dir_all(&other).unwrap();
    fs::remove_dir(state.path().join("run")).unwrap();
    state.assert_clean();
}

#[test]
fn of_several_accounts_each_start_takes_one_over() {
    let state = State::new();
    let leave = |count: usize, build: &str| {
        let server = Server::start(&state);
        server.launch("blank", count, "");
        server.kill();
        rename(&state, "1", build);
        // Out of the way, so that the next one begins anew.
        fs::rename(state.runs()[0].parent().unwrap(), state.beside().join(build)).unwrap();
    };
    for (count, build) in [(1, "0.0.7"), (2, "0.0.8"), (3, "0.0.9")] {
        leave(count, build);
    }
    fs::create_dir(state.path().join("run")).unwrap();
    for build in ["0.0.7", "0.0.8", "0.0.9"] {
        fs::rename(state.beside().join(build).join(build), state.path().join("run").join(build)).unwrap();
    }
    // The one that was used last comes first.
    for (count, left) in [(3, 2), (2, 1), (1, 0)] {
        let server = Server::start(&state);
        assert!(server.opening.contains(&format!("was killed: {count} instance")), "{}", server.opening);
        assert_eq!(server.opening.matches("is left for a later start, in ").count(), left, "{}", server.opening);
        server.end();
    }
    state.assert_clean();
}

#[test]
fn a_port_that_is_taken_costs_nobody_the_account() {
    let state = State::new();
    let server = Server::start(&state);
    server.launch("blank", 1, "");
    server.kill();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    assert!(!state.command().args(["serve", "--port", &port]).output().unwrap().status.success());
    let server = Server::start(&state);
    eventually("one runs", || server.count("running") == 1);
    server.end();
    state.assert_clean();
}

#[test]
fn where_nothing_can_be_written_nothing_is_done() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root may mount a small file system");
        return;
    }
    let state = State::new();
    Server::start(&state).end();
    let run = state.path().join("run");
    fs::create_dir(&run).unwrap();
    let script = "mount -t tmpfs -o size=400k none \"$0\" && head -c 200000 /dev/zero >\"$0/ballast\" && exec \"$1\" serve --conditions calm";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).arg(&run).arg(env!("CARGO_BIN_EXE_ec2-local"));
    let server = Server::run(&state, command.env("EC2_LOCAL_STATE_DIR", state.path()));
    let image = server.image("blank");
    let request = format!("Action=RunInstances&ImageId={image}&InstanceType=t3.nano&MinCount=5&MaxCount=5");
    let mut launched = 0;
    let refused = loop {
        let reply = server.door.ask(&request).unwrap();
        if reply.status != 200 {
            break reply;
        }
        launched += 5;
    };
    assert_eq!((refused.status, refused.one("Code").as_str()), (503, "Unavailable"), "{refused:?}");
    assert!(refused.one("Message").contains("nothing was done"), "{refused:?}");
    eventually("all are there", || server.count("*") == launched);
    assert_eq!(server.door.ask(&request).unwrap().status, 503);
    let ballast = Path::new("/proc").join(server.pid().to_string()).join("root").join(run.strip_prefix("/").unwrap());
    fs::remove_file(ballast.join("ballast")).unwrap();
    server.door.ok(&request);
    launched += 5;
    eventually("all run", || server.count("running") == launched);
    let nics = server.door.ok("Action=DescribeNetworkInterfaces").all("networkInterfaceId");
    assert_eq!(nics.len(), launched);
    server.end();
    fs::remove_dir(&run).unwrap();
    state.assert_clean();
}

/// What is in `journals` was written once, by the first version of each format, and stays as it is.
#[test]
fn what_older_versions_have_written_is_read() {
    let state = State::new();
    Server::start(&state).end();
    let run = state.path().join("run/0.1.0-format-1");
    fs::create_dir_all(&run).unwrap();
    let journal = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/endurance/journals/format-1");
    fs::copy(journal, run.join("journal")).unwrap();
    let server = Server::start_with(&state, &[]);
    assert!(server.opening.contains("conditions: calm, seed 7\n"), "{}", server.opening);
    assert!(server.opening.contains("of the build 0.1.0-format-1 that was killed: 2 instances"), "{}", server.opening);
    eventually("all are as they were", || (server.count("running"), server.count("stopped")) == (2, 1));
    let all = server.door.ok("Action=DescribeInstances&Filter.1.Name=tag%3Aof&Filter.1.Value.1=format+1");
    assert!(!all.all("instanceId").is_empty());
    for (action, parts) in [
        ("DescribeKeyPairs", &["<keyName>k</keyName>", "<value>format 1</value>"][..]),
        ("DescribeSecurityGroups", &["of format 1", "10.0.0.0/8", "2001:db8::/32", "<ipProtocol>icmp</ipProtocol>"]),
        ("DescribeVolumes", &["<size>9</size>", "/dev/sdb"]),
    ] {
        let reply = server.door.ok(&format!("Action={action}"));
        assert!(parts.iter().all(|part| reply.body.contains(part)), "{reply:?}");
    }
    let faults = state.command().arg("conditions").output().unwrap().stdout;
    assert!(String::from_utf8_lossy(&faults).contains("fault: StartInstances capacity next 3"));
    server.end();
    state.assert_clean();
}
