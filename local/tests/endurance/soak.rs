//! Random requests by many clients, valid and hostile, in all conditions, with faults: whatever they do, once it is tidied up
//! after them the endpoint is as it was before.

use crate::{
    endpoint::{Answer, Door, Server, State, descendants, eventually},
    scale::{Usage, answers, setting},
};
use ec2_local::account::Account;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// For how many seconds: an hour by `scripts/endurance`.
const SECONDS: (&str, usize) = ("EC2_LOCAL_TEST_SOAK", 15);
/// How often it is tidied up, and looked.
const LOOKS: usize = 4;
const CLIENTS: u64 = 8;
/// What it may have grown by in the second half of the looks: allocators keep what was needed at once, which is more at times.
/// What leaks grows with the requests, of which there are hundreds of thousands in an hour.
const GROWTH_KIB: u64 = 48 << 10;
/// How many instances a client has at most.
const INSTANCES: usize = 40;

/// Words that mean something somewhere.
const WORDS: &[&str] = &[
    "",
    "default",
    "host",
    "blank",
    "t3.nano",
    "us-east-1a",
    "running",
    "i-0123456789abcdef0",
    "sg-0123456789abcdef0",
    "instance-state-name",
    "tag%3An",
    "0.0.0.0%2F0",
    "tcp",
    "-1",
    "65536",
    "9223372036854775807",
    "1e9",
    "true",
    "aGVsbG8%3D",
    "%F0%9F%A6%80",
    "%00",
    "%3Cxml%3E",
    "terminate",
    "*",
];
const PARAMETERS: &[&str] = &[
    "InstanceId.1",
    "InstanceId",
    "ImageId",
    "ImageId.1",
    "InstanceType",
    "KeyName",
    "KeyName.1",
    "GroupName",
    "GroupId",
    "GroupId.1",
    "GroupDescription",
    "Filter.1.Name",
    "Filter.1.Value.1",
    "Filter.2.Name",
    "MaxResults",
    "NextToken",
    "ClientToken",
    "DryRun",
    "MinCount",
    "MaxCount",
    "ResourceId.1",
    "Tag.1.Key",
    "Tag.1.Value",
    "UserData",
    "Attribute",
    "SubnetId",
    "VpcId",
    "IpProtocol",
    "FromPort",
    "ToPort",
    "CidrIp",
    "IpPermissions.1.IpProtocol",
    "IpPermissions.1.IpRanges.1.CidrIp",
    "BlockDeviceMapping.1.DeviceName",
    "BlockDeviceMapping.1.Ebs.VolumeSize",
    "NetworkInterface.1.DeviceIndex",
    "Nonsense",
];

struct Client<'a> {
    random: StdRng,
    door: &'a Door,
    run: &'a Path,
    images: &'a [String; 2],
    number: u64,
    asked: u64,
    instances: Vec<String>,
    keys: Vec<String>,
    groups: Vec<String>,
}

impl Client<'_> {
    fn any<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| of[self.random.random_range(0..of.len())].clone())
    }

    /// Asks; the answer may be lost, and whatever is answered must be what EC2 could say.
    fn ask(&mut self, parameters: &str) -> Option<Answer> {
        self.asked += 1;
        let reply = self.door.ask(parameters).ok()?;
        if reply.body.contains("<Code>InternalError</Code>") {
            assert!(reply.one("Message").contains("(by the conditions)"), "{parameters}: {}", reply.body);
        }
        Some(reply)
    }

    fn step(&mut self) {
        match self.random.random_range(0..20) {
            0..4 => self.launch(),
            4..7 => self.end_one(),
            7 => self.key(),
            8 => self.group(),
            9..11 => self.change(),
            11..16 => self.hostile(),
            16 => self.garbage(),
            17 => self.hang_up(),
            _ => self.look(),
        }
    }

    fn launch(&mut self) {
        if self.instances.len() >= INSTANCES {
            return;
        }
        let (token, count) = (format!("t-{}-{}", self.number, self.asked), self.random.random_range(1..8));
        let tags =
            "&TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=n&TagSpecification.1.Tag.1.Value=1";
        let data = "&UserData=aGVsbG8%3D";
        let request = format!("Action=RunInstances&ImageId={}&InstanceType=t3.nano", self.images[1]);
        let request = format!("{request}&MinCount={count}&MaxCount={count}&ClientToken={token}{tags}{data}");
        // A lost answer is asked for again by its token.
        let reply = self.ask(&request).or_else(|| self.ask(&request));
        self.instances.extend(reply.iter().flat_map(|reply| reply.all("instanceId")));
    }

    fn end_one(&mut self) {
        let Some(id) = self.instances.pop() else { return };
        let reply = self.ask(&format!("Action=TerminateInstances&InstanceId.1={id}"));
        if reply.is_none_or(|reply| reply.status != 200) {
            self.instances.insert(0, id);
        }
    }

    fn change(&mut self) {
        let Some(id) = self.any(&self.instances.clone()) else { return };
        let number = self.random.random::<u16>();
        let what = [
            format!("StopInstances&InstanceId.1={id}"),
            format!("StartInstances&InstanceId.1={id}"),
            format!("RebootInstances&InstanceId.1={id}"),
            format!("CreateTags&ResourceId.1={id}&Tag.1.Key=k{}&Tag.1.Value={number}", number % 8),
            format!("DeleteTags&ResourceId.1={id}&Tag.1.Key=k{}", number % 8),
            format!("ModifyInstanceAttribute&InstanceId={id}&InstanceInitiatedShutdownBehavior.Value=terminate"),
        ];
        let what = self.any(&what).unwrap();
        self.ask(&format!("Action={what}"));
    }

    fn key(&mut self) {
        match self.keys.pop() {
            Some(name) => drop(self.ask(&format!("Action=DeleteKeyPair&KeyName={name}"))),
            None => {
                let name = format!("k-{}-{}", self.number, self.asked);
                self.ask(&format!("Action=CreateKeyPair&KeyName={name}&KeyType=ed25519"));
                self.keys.push(name);
            }
        }
    }

    fn group(&mut self) {
        match self.groups.pop() {
            Some(name) => drop(self.ask(&format!("Action=DeleteSecurityGroup&GroupName={name}"))),
            None => {
                let name = format!("g-{}-{}", self.number, self.asked);
                self.ask(&format!("Action=CreateSecurityGroup&GroupName={name}&GroupDescription=x"));
                let port = self.random.random_range(1..1000);
                let rule = format!("IpProtocol=udp&FromPort={port}&ToPort={port}&CidrIp=10.0.0.0%2F8");
                self.ask(&format!("Action=AuthorizeSecurityGroupIngress&GroupName={name}&{rule}"));
                self.groups.push(name);
            }
        }
    }

    fn look(&mut self) {
        let what =
            ["DescribeInstances", "DescribeTags", "DescribeVolumes", "DescribeSecurityGroupRules", "DescribeImages"];
        let what = self.any(&what).unwrap();
        self.ask(&format!("Action={what}&MaxResults=5"));
    }

    /// Any action, with parameters that may mean nothing to it. Launches are dry runs: nobody would know of them.
    fn hostile(&mut self) {
        let actions: Vec<&str> = Account::actions().collect();
        let action = self.any(&actions).unwrap();
        let mut request = format!("Action={action}");
        for _ in 0..self.random.random_range(0..6) {
            let (name, mut value) = (self.any(PARAMETERS).unwrap(), self.any(WORDS).unwrap().to_owned());
            if self.random.random_bool(0.2) {
                value = "x".repeat(self.random.random_range(0..2000));
            }
            request.push_str(&format!("&{name}={value}"));
        }
        // What makes something makes it for nobody, and what changes something is not to last.
        if !["Describe", "Get"].iter().any(|start| action.starts_with(start)) {
            request = format!("{}&DryRun=true", request.replace("&DryRun=", "&Nonsense="));
        }
        self.ask(&request);
    }

    /// What isn't a request at all.
    fn garbage(&mut self) {
        let bytes: Vec<u8> = match self.random.random_range(0..4) {
            0 => (0..self.random.random_range(0..500)).map(|_| self.random.random()).collect(),
            1 => b"POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 5\r\n\r\nhello".to_vec(),
            2 => b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: AWS4-HMAC-SHA256 Credential=x\r\n\r\n".to_vec(),
            _ => [b"POST / HTTP/1.1\r\nHost: localhost\r\nX: ".to_vec(), vec![b'y'; 100_000]].concat(),
        };
        let Ok(mut stream) = TcpStream::connect(self.door.address) else { return };
        let _ = stream.write_all(&bytes);
        if self.random.random_bool(0.5) {
            let _ = stream.set_read_timeout(Some(Duration::from_millis(20)));
            let _ = stream.read(&mut [0; 1000]);
        }
    }

    /// Leaves in the middle of it.
    fn hang_up(&mut self) {
        let Ok(mut way_in) = UnixStream::connect(self.run.join("way-in")) else { return };
        let line = ["hello\n", "connect i-0123456789abcdef0 22\n", "connect ", "nonsense\n", "status\n"];
        let line = self.any(&line).unwrap();
        let _ = way_in.write_all(line.as_bytes());
    }
}

/// A sandbox comes, answers and goes.
fn boot_and_end(client: &mut Client<'_>) {
    let request =
        format!("Action=RunInstances&ImageId={}&InstanceType=t3.nano&MinCount=1&MaxCount=1", client.images[0]);
    let launched = client.ask(&request).map_or_else(Vec::new, |reply| reply.all("instanceId"));
    for id in launched {
        let since = Instant::now();
        while !answers(client.run, &id) && since.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_millis(50));
        }
        client.instances.insert(0, id);
    }
    for _ in 0..3 {
        client.end_one();
    }
}

/// Asks the way in; its answer.
fn control(run: &Path, line: &str) -> String {
    let mut way_in = UnixStream::connect(run.join("way-in")).unwrap();
    writeln!(way_in, "{line}").unwrap();
    let mut answer = String::new();
    BufReader::new(way_in).read_line(&mut answer).unwrap();
    assert!(answer.starts_with("ok "), "{line}: {answer}");
    answer
}

/// Changes the weather until it is over.
fn trouble(run: &Path, mut random: StdRng, until: Instant) {
    let lines = [
        "conditions calm",
        "conditions typical",
        "conditions hostile",
        "fault * lost every 7",
        "fault RunInstances capacity next 3",
        "fault * late=5 chance 0.1",
        "fault TerminateInstances stuck=60 next 2",
        "faults clear",
        "advance 900",
    ];
    while Instant::now() < until {
        control(run, lines[random.random_range(0..lines.len())]);
        thread::sleep(Duration::from_millis(100));
    }
}

fn work(server: &Server, run: &Path, seed: u64, until: Instant) -> u64 {
    let images = [server.image("host"), server.image("blank")];
    thread::scope(|scope| {
        scope.spawn(|| trouble(run, StdRng::seed_from_u64(seed), until));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (door, images) = (&server.door, &images);
                scope.spawn(move || {
                    let random = StdRng::seed_from_u64(seed ^ (number + 1));
                    let (instances, keys, groups) = (Vec::new(), Vec::new(), Vec::new());
                    let mut client = Client { random, door, run, images, number, asked: 0, instances, keys, groups };
                    while Instant::now() < until {
                        if number == 0 && client.asked.is_multiple_of(10) {
                            boot_and_end(&mut client)
                        } else {
                            client.step()
                        }
                    }
                    client.asked
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    })
}

/// Ends and deletes all there is, and lets an hour pass.
fn tidy_up(server: &Server, run: &Path) {
    control(run, "faults clear");
    control(run, "conditions calm");
    let ids = |action: &str, element: &str| -> Vec<String> {
        let mut ids = server.door.ok(&format!("Action={action}")).all(element);
        ids.sort();
        ids.dedup();
        ids
    };
    for some in ids("DescribeInstances", "instanceId").chunks(500) {
        let ids: String = some.iter().enumerate().map(|(n, id)| format!("&InstanceId.{}={id}", n + 1)).collect();
        server.door.ok(&format!("Action=TerminateInstances{ids}&Force=true"));
    }
    let left = || ids("DescribeInstances", "instanceId").len();
    eventually("all are terminated", || {
        // What got stuck is so for an hour at most.
        control(run, "advance 3600");
        left() == server.count("terminated")
    });
    control(run, "advance 3700");
    eventually("all have vanished", || left() == 0);
    for name in ids("DescribeKeyPairs", "keyName") {
        server.door.ok(&format!("Action=DeleteKeyPair&KeyName={name}"));
    }
    for name in ids("DescribeSecurityGroups", "groupName").into_iter().filter(|name| name != "default") {
        server.door.ok(&format!("Action=DeleteSecurityGroup&GroupName={name}"));
    }
    eventually("no machine is left", || descendants(server.pid()).is_empty());
}

/// The files of an endpoint, without what says how much there is in them.
fn files(run: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(run).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.extend(fs::read_dir(run.join("disks")).unwrap().map(|entry| entry.unwrap().path()));
    files.sort();
    files
}

#[test]
fn nothing_leaks() {
    let seed: u64 = std::env::var("EC2_LOCAL_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| getrandom::u64().unwrap());
    println!("EC2_LOCAL_TEST_SEED={seed}");
    let time = Duration::from_secs(u64::try_from(setting(SECONDS)).unwrap()) / u32::try_from(LOOKS).unwrap();
    let state = State::new();
    let server = Server::start(&state);
    let [run] = &state.runs()[..] else { panic!("{:?}", state.runs()) };
    server.let_in_ssh();
    let what_there_is = || {
        [
            "DescribeNetworkInterfaces",
            "DescribeVolumes",
            "DescribeTags",
            "DescribeSecurityGroupRules",
            "DescribeKeyPairs",
        ]
        .map(|action| server.door.ok(&format!("Action={action}")).body.matches("<item>").count())
    };
    let (before, things, names) = (Usage::of(server.pid()), what_there_is(), files(run));
    println!("before: {before:?}");
    let mut sizes = Vec::new();
    for look in 0..LOOKS as u64 {
        let asked = work(&server, run, seed.wrapping_add(1000 * look), Instant::now() + time);
        let busy = Usage::of(server.pid());
        tidy_up(&server, run);
        assert_eq!(what_there_is(), things, "something of the account's is left");
        eventually("the disks are gone", || files(run) == names);
        eventually("descriptors and threads are as before", || {
            let now = Usage::of(server.pid());
            now.descriptors <= before.descriptors && now.threads <= before.threads
        });
        let journal = fs::metadata(run.join("journal")).unwrap().len() >> 10;
        let now = Usage::of(server.pid());
        println!("{asked} requests; busy: {busy:?}; then: {now:?}; the journal has {journal} KiB");
        sizes.push(now.kib);
    }
    let largest = |sizes: &[u64]| sizes.iter().copied().max().unwrap_or_default();
    let (first, second) = sizes.split_at(LOOKS / 2);
    assert!(largest(second) <= largest(first) + GROWTH_KIB, "its memory has grown: {sizes:?} KiB");
    server.end();
    state.assert_clean();
}
