//! Endpoints that are started on demand, shared by clients that may ask for other things, and left when nobody can find them.

use crate::endpoint::{Door, Server, State, descendants, eventually};
use ec2_local::{
    conditions::Conditions::{self, Calm, Hostile, Typical},
    endpoint::{Presence, Settings, ensure, look},
};
use std::{
    fs,
    io::{self, BufRead, BufReader, Read},
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// Names the role of a client, which asks for these settings.
const SETTINGS: &str = "EC2_LOCAL_TEST_CLIENT";

/// The role: tells what it got, and stays until it is told to go.
pub fn play_client() {
    let Ok(settings) = std::env::var(SETTINGS) else { return };
    let got = ensure(&serde_json::from_str(&settings).unwrap());
    match &got {
        Ok(client) => {
            println!("{} {} {:?} {}", client.pid(), client.url(), client.status().unwrap().conditions, client.seed());
        }
        Err(error) => println!("{error}"),
    }
    let _ = io::stdin().read_to_end(&mut Vec::new());
    drop(got);
    std::process::exit(0);
}

/// Names the role of one who only looks.
const LOOKS: &str = "EC2_LOCAL_TEST_LOOKS";

/// The role: looks again and again until it is told to go, and tells how often there was nothing.
pub fn play_onlooker() {
    if std::env::var_os(LOOKS).is_none() {
        return;
    }
    let told = thread::spawn(|| io::stdin().read_to_end(&mut Vec::new()));
    let mut absent = 0;
    while !told.is_finished() {
        absent += usize::from(matches!(look().unwrap(), Presence::Absent));
    }
    println!("{absent}");
    std::process::exit(0);
}

/// Anyone who looks while one endpoint takes over what another had must not think that all is gone.
#[test]
fn what_is_just_being_taken_over_is_there() {
    let state = State::new();
    let mut server = Server::start(&state);
    server.launch("blank", 1, "");
    let onlookers: Vec<_> = (0..4)
        .map(|_| {
            let mut command = Command::new("/proc/self/exe");
            command.env("EC2_LOCAL_STATE_DIR", state.path()).env(LOOKS, "yes");
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for _ in 0..30 {
        server.kill_at_once();
        server = Server::start(&state);
    }
    for onlooker in onlookers {
        // Its standard input is closed by that.
        let output = onlooker.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "0\n");
    }
    server.end();
    state.assert_clean();
}

/// A client in a process of its own, as tests are.
struct Client {
    process: Child,
    said: String,
}

impl Client {
    fn start(state: &State, settings: &Settings) -> Self {
        let mut process = Command::new("/proc/self/exe")
            .env("EC2_LOCAL_STATE_DIR", state.path())
            .env(SETTINGS, serde_json::to_string(settings).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut said).unwrap();
        Self { process, said }
    }

    fn of(state: &State, conditions: Option<Conditions>) -> Self {
        Self::start(state, &asking(conditions))
    }

    /// The endpoint, its conditions and its seed.
    fn got(&self) -> (u32, &str, u64) {
        let [pid, _, conditions, seed] = self.said.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("{}", self.said)
        };
        (pid.parse().unwrap(), conditions, seed.parse().unwrap())
    }

    fn door(&self, state: &State) -> Door {
        state.door(self.said.split_whitespace().nth(1).unwrap())
    }

    fn leave(mut self) {
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Settings of an endpoint that isn't in the way for longer than the test.
fn asking(conditions: Option<Conditions>) -> Settings {
    let mut settings = Settings::default();
    settings.conditions = conditions;
    settings
}

fn lives(pid: u32) -> bool {
    // One that its parent hasn't waited for yet has no program any more.
    fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}

/// Ends the endpoint that was started last.
fn end(state: &State, pid: u32) {
    assert!(Command::new("kill").arg(pid.to_string()).status().unwrap().success());
    eventually("it has ended", || !lives(pid));
    state.assert_clean();
}

#[test]
fn who_asks_for_what_is_there_gets_it() {
    let state = State::new();
    let first = Client::of(&state, Some(Hostile));
    let (pid, conditions, seed) = first.got();
    assert_eq!(conditions, "Hostile");
    for settings in [asking(Some(Hostile)), {
        let mut same = asking(Some(Hostile));
        (same.seed, same.pace, same.linger) = (Some(seed), Some(0.01), Duration::ZERO);
        same
    }] {
        let second = Client::start(&state, &settings);
        assert_eq!(second.got(), (pid, "Hostile", seed));
        second.leave();
    }
    first.leave();
    end(&state, pid);
}

#[test]
fn an_endpoint_that_nobody_uses_makes_way() {
    let state = State::new();
    let mut last = 0;
    let mut seeded = asking(None);
    seeded.seed = Some(7);
    let mut paced = seeded.clone();
    paced.pace = Some(0.5);
    for (settings, conditions) in [
        (asking(Some(Hostile)), "Hostile"),
        // Anyone who names nothing isn't given what somebody else has named.
        (asking(None), "Typical"),
        (asking(Some(Calm)), "Calm"),
        (asking(Some(Typical)), "Typical"),
        (seeded, "Typical"),
        (paced, "Typical"),
    ] {
        let client = Client::start(&state, &settings);
        let (pid, got, seed) = client.got();
        assert_eq!(got, conditions);
        assert!(settings.seed.is_none_or(|asked| asked == seed));
        assert_ne!(pid, last);
        eventually("the other one has ended", || last == 0 || !lives(last));
        // What has ended uses nothing.
        if settings.conditions != Some(Hostile) {
            let door = client.door(&state);
            let image = door.ok("Action=DescribeImages&Filter.1.Name=name&Filter.1.Value.1=blank").one("imageId");
            let launch = format!("Action=RunInstances&ImageId={image}&InstanceType=t3.nano&MinCount=1&MaxCount=1");
            let instance = door.ok(&launch).one("instanceId");
            eventually("it is terminated", || {
                door.ask(&format!("Action=TerminateInstances&InstanceId.1={instance}")).unwrap().status == 200
            });
        }
        client.leave();
        last = pid;
    }
    end(&state, last);
}

#[test]
fn an_endpoint_that_somebody_uses_does_not() {
    let state = State::new();
    let first = Client::of(&state, None);
    let (pid, ..) = first.got();
    let refusal = |users: &str| {
        let refused = Client::of(&state, Some(Hostile));
        for part in [&format!("process {pid} "), "conditions typical instead of hostile", users, "EC2_LOCAL_STATE_DIR"]
        {
            assert!(refused.said.contains(part), "{}", refused.said);
        }
        refused.leave();
    };
    refusal("it has 1 client;");
    let door = first.door(&state);
    let image = door.ok("Action=DescribeImages&Filter.1.Name=name&Filter.1.Value.1=blank").one("imageId");
    let launch = format!("Action=RunInstances&ImageId={image}&InstanceType=t3.nano&MinCount=2&MaxCount=2");
    let instances = door.ok(&launch).all("instanceId");
    first.leave();
    refusal("it has 2 instances;");
    // What is changed while it runs is as good as what it was started with.
    assert!(state.command().args(["conditions", "hostile"]).output().unwrap().status.success());
    for asked in [Some(Hostile), None] {
        let client = Client::of(&state, asked);
        assert_eq!((client.got().0, client.got().1), (pid, "Hostile"));
        client.leave();
    }
    assert_eq!(instances.len(), 2);
    end(&state, pid);
}

#[test]
fn one_that_is_served_stays_as_it_is() {
    let state = State::new();
    let server = Server::start_with(&state, &["--conditions", "hostile", "--pace", "0"]);
    let anybody = Client::of(&state, None);
    assert_eq!((anybody.got().0, anybody.got().1), (server.pid(), "Hostile"));
    anybody.leave();
    let refused = Client::of(&state, Some(Calm));
    assert!(
        refused.said.contains("conditions hostile instead of calm, and it stays until it is told"),
        "{}",
        refused.said
    );
    refused.leave();
    server.end();
    state.assert_clean();
}

#[test]
fn of_clients_that_ask_for_different_things_at_once_one_kind_is_served() {
    let state = State::new();
    // Each round finds what the last one has left.
    for _ in 0..3 {
        let clients: Vec<_> = thread::scope(|scope| {
            let start = |n: usize| Client::of(&state, Some([Calm, Typical, Hostile][n % 3]));
            let threads: Vec<_> = (0..6).map(|n| scope.spawn(move || start(n))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (served, refused): (Vec<_>, Vec<_>) = clients.iter().partition(|client| client.said.contains("http://"));
        assert_eq!((served.len(), refused.len()), (2, 4), "{:?}", clients.iter().map(|c| &c.said).collect::<Vec<_>>());
        assert_eq!(served[0].got(), served[1].got());
        assert!(refused.iter().all(|client| client.said.contains(" clients;")), "{}", refused[0].said);
        clients.into_iter().for_each(Client::leave);
    }
    let last = Client::of(&state, None);
    let (pid, ..) = last.got();
    last.leave();
    end(&state, pid);
}

#[test]
fn an_account_that_was_taken_over_is_as_the_next_client_asks() {
    let state = State::new();
    let first = Client::of(&state, Some(Calm));
    let (pid, _, seed) = first.got();
    let door = first.door(&state);
    let image = door.ok("Action=DescribeImages&Filter.1.Name=name&Filter.1.Value.1=blank").one("imageId");
    door.ok(&format!("Action=RunInstances&ImageId={image}&InstanceType=t3.nano&MinCount=1&MaxCount=1"));
    first.leave();
    let kill = |pid: u32| {
        assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
        eventually("it is dead", || !lives(pid));
    };
    kill(pid);
    let second = Client::of(&state, None);
    let (pid, conditions, kept) = second.got();
    assert_eq!((conditions, kept), ("Calm", seed), "what it was is kept");
    second.leave();
    kill(pid);
    let third = Client::of(&state, Some(Hostile));
    let (pid, conditions, kept) = third.got();
    assert_eq!((conditions, kept), ("Hostile", seed));
    third.leave();
    end(&state, pid);
}

#[test]
fn one_that_nobody_can_find_any_more_ends() {
    for is_served in [true, false] {
        let state = State::new();
        let client = (!is_served).then(|| Client::of(&state, Some(Calm)));
        let server = is_served.then(|| Server::start(&state));
        let door = client.as_ref().map_or_else(|| server.as_ref().unwrap().door.clone(), |client| client.door(&state));
        let pid = client.as_ref().map_or_else(|| server.as_ref().unwrap().pid(), |client| client.got().0);
        let image = door.ok("Action=DescribeImages&Filter.1.Name=name&Filter.1.Value.1=host").one("imageId");
        door.ok(&format!("Action=RunInstances&ImageId={image}&InstanceType=t3.nano&MinCount=2&MaxCount=2"));
        eventually("it has machines", || descendants(pid).len() >= 6);
        let machines = descendants(pid);
        fs::rename(state.path(), state.beside().join("elsewhere")).unwrap();
        // Another one in its place is not disturbed.
        let other = Server::start(&state);
        let instances = other.launch("blank", 2, "");
        eventually("it has ended", || !lives(pid));
        let lives = |pid: &u32| Path::new(&format!("/proc/{pid}")).exists();
        eventually("its machines have ended", || !machines.iter().any(lives));
        drop((client, server));
        assert_eq!(other.launch("blank", 1, "").len() + instances.len(), 3);
        assert_eq!(state.runs().len(), 1);
        other.kill();
        Server::start(&state).end();
        state.assert_clean();
        // What was only put elsewhere is as whole as that of one that was killed.
        fs::remove_dir_all(state.path()).unwrap();
        fs::rename(state.beside().join("elsewhere"), state.path()).unwrap();
        let server = Server::start(&state);
        assert!(server.opening.contains("was killed: 2 instances boot again"), "{}", server.opening);
        server.end();
        state.assert_clean();
    }
}

#[test]
fn one_whose_files_were_removed_ends() {
    let state = State::new();
    let client = Client::of(&state, Some(Calm));
    let (pid, ..) = client.got();
    fs::remove_dir_all(state.path()).unwrap();
    eventually("it has ended", || !lives(pid));
    assert!(!state.path().exists());
    client.leave();
    // Without its socket alone nobody finds it, either.
    let client = Client::of(&state, Some(Calm));
    let (pid, ..) = client.got();
    fs::remove_file(state.runs()[0].join("way-in")).unwrap();
    let next = Client::of(&state, Some(Calm));
    assert_ne!(next.got().0, pid);
    eventually("it has ended", || !lives(pid));
    next.leave();
    client.leave();
    let last = Client::of(&state, Some(Calm));
    end(&state, last.got().0);
}

/// Nobody has ended it, and so nobody has given its account up.
#[test]
fn one_whose_socket_was_removed_leaves_its_account_to_the_next() {
    let state = State::new();
    let server = Server::start(&state);
    server.launch("host", 2, "");
    fs::remove_file(state.runs()[0].join("way-in")).unwrap();
    let pid = server.pid();
    eventually("it has ended", || !lives(pid));
    let next = Server::start(&state);
    assert!(next.opening.contains("2 instances boot again"), "{}", next.opening);
    next.end();
    state.assert_clean();
}

#[test]
fn one_that_is_just_ending_is_waited_for() {
    let state = State::new();
    for _ in 0..3 {
        let server = Server::start(&state);
        server.launch("host", 3, "");
        eventually("it has machines", || descendants(server.pid()).len() >= 9);
        let pid = server.pid();
        let way_in = state.runs()[0].join("way-in");
        assert!(Command::new("kill").arg(pid.to_string()).status().unwrap().success());
        // On a busy host a while goes by before it is told.
        eventually("it is ending", || UnixStream::connect(&way_in).is_err());
        Server::start(&state).end();
        eventually("it has ended", || !lives(pid));
        drop(server);
    }
    state.assert_clean();
}
