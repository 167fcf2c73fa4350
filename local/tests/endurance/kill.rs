//! Clients that ask for all kinds of things, while their endpoint is killed again and again: what was answered is there, and
//! of what wasn't there is all or nothing.

use crate::endpoint::{Answer, Door, Server, State, Unanswered};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::Duration,
};

const CLIENTS: u64 = 4;
const ROUNDS: usize = 10;

/// What a client knows of something: for sure, or perhaps, since the last request about it was not answered.
#[derive(Debug, Clone)]
enum Known<T> {
    Sure(T),
    Perhaps(T, Option<T>),
}

/// A group: its id, and the ports that it lets in.
type Group = (String, Vec<Known<u16>>);

/// A launch: under its token, what it asked for and what came of it.
#[derive(Debug, Default)]
struct Launch {
    request: String,
    count: usize,
    /// None as long as it was not answered.
    instances: Option<Vec<String>>,
}

/// A client, and what it knows.
struct Client {
    number: u64,
    random: StdRng,
    asked: u32,
    /// Names of key pairs, to their ids; none where the request was not answered.
    keys: BTreeMap<String, Option<String>>,
    /// Names of groups, to their ids and the ports that they let in.
    groups: BTreeMap<String, Option<Group>>,
    launches: BTreeMap<String, Launch>,
    ending: BTreeSet<String>,
    perhaps_ending: BTreeSet<String>,
    /// The value of the tag `n` of an instance.
    tags: BTreeMap<String, Known<u32>>,
    /// All ids that were ever given out.
    ids: BTreeSet<String>,
}

impl Client {
    fn new(number: u64, seed: u64) -> Self {
        Self {
            number,
            random: StdRng::seed_from_u64(seed ^ number),
            asked: 0,
            keys: BTreeMap::new(),
            groups: BTreeMap::new(),
            launches: BTreeMap::new(),
            ending: BTreeSet::new(),
            perhaps_ending: BTreeSet::new(),
            tags: BTreeMap::new(),
            ids: BTreeSet::new(),
        }
    }

    /// A name that nobody has used before.
    fn name(&mut self, kind: &str) -> String {
        self.asked += 1;
        format!("{kind}-{}-{}", self.number, self.asked)
    }

    /// An id must be a new one.
    fn fresh(&mut self, id: &str) {
        assert!(self.ids.insert(id.to_owned()), "{id} was given out twice");
    }

    fn any_instance(&mut self) -> Option<String> {
        let launched: Vec<&String> =
            self.launches.values().filter_map(|launch| launch.instances.as_ref()).flatten().collect();
        let known = launched.into_iter().filter(|id| !self.ending.contains(*id) && !self.perhaps_ending.contains(*id));
        let known: Vec<&String> = known.collect();
        (!known.is_empty()).then(|| known[self.random.random_range(0..known.len())].clone())
    }

    /// Asks until the endpoint is killed.
    fn work(&mut self, door: &Door, image: &str) {
        while self.step(door, image).is_ok() {}
    }

    fn step(&mut self, door: &Door, image: &str) -> Result<(), Unanswered> {
        match self.random.random_range(0..10) {
            0 => self.import_key(door),
            1 => self.create_group(door),
            2 | 3 => self.launch(door, image),
            4 => self.terminate(door),
            5 | 6 => self.tag(door),
            7 => self.authorize(door),
            8 => self.change("Reboot", door),
            _ => self.change("Stop", door),
        }
    }

    fn import_key(&mut self, door: &Door) -> Result<(), Unanswered> {
        let name = self.name("key");
        self.keys.insert(name.clone(), None);
        let key = "c3NoLWVkMjU1MTkgQUFBQUMzTnphQzFsWkRJMU5URTVBQUFBSUlMeEpIeVQ3cU5udVc0Wk4vSG44TkNTeVZ1cXhyandxbXVZWG95eXlCazU=";
        let key = key.replace('/', "%2F").replace('=', "%3D").replace('+', "%2B");
        let reply = door.ask(&format!("Action=ImportKeyPair&KeyName={name}&PublicKeyMaterial={key}"))?;
        let id = expected(&reply).one("keyPairId");
        self.fresh(&id);
        self.keys.insert(name, Some(id));
        Ok(())
    }

    fn create_group(&mut self, door: &Door) -> Result<(), Unanswered> {
        let name = self.name("group");
        self.groups.insert(name.clone(), None);
        let reply = door.ask(&format!("Action=CreateSecurityGroup&GroupName={name}&GroupDescription=x"))?;
        let id = expected(&reply).one("groupId");
        self.fresh(&id);
        self.groups.insert(name, Some((id, Vec::new())));
        Ok(())
    }

    fn authorize(&mut self, door: &Door) -> Result<(), Unanswered> {
        let port = self.random.random_range(1..u16::MAX);
        let Some((id, ports)) = self.groups.values_mut().flatten().next() else { return Ok(()) };
        if ports.iter().any(|known| matches!(known, Known::Sure(known) | Known::Perhaps(known, _) if *known == port)) {
            return Ok(());
        }
        ports.push(Known::Perhaps(port, None));
        let rule = format!("IpProtocol=tcp&FromPort={port}&ToPort={port}&CidrIp=10.0.0.0%2F8");
        let reply = door.ask(&format!("Action=AuthorizeSecurityGroupIngress&GroupId={id}&{rule}"))?;
        if reply.status != 200 {
            // There is a quota.
            assert_eq!(reply.one("Code"), "RulesPerSecurityGroupLimitExceeded");
            ports.pop();
        } else if let Some(last) = ports.last_mut() {
            *last = Known::Sure(port);
        }
        Ok(())
    }

    fn launch(&mut self, door: &Door, image: &str) -> Result<(), Unanswered> {
        let (token, count) = (self.name("token"), self.random.random_range(1..6));
        let tag = format!(
            "TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=token&TagSpecification.1.Tag.1.Value={token}"
        );
        let request = format!(
            "Action=RunInstances&ImageId={image}&InstanceType=t3.nano&MinCount={count}&MaxCount={count}&ClientToken={token}&{tag}"
        );
        self.launches.insert(token.clone(), Launch { request: request.clone(), count, instances: None });
        let reply = door.ask(&request)?;
        let instances = expected(&reply).all("instanceId");
        assert_eq!(instances.len(), count);
        instances.iter().for_each(|id| self.fresh(id));
        self.launches.insert(token, Launch { request, count, instances: Some(instances) });
        Ok(())
    }

    fn terminate(&mut self, door: &Door) -> Result<(), Unanswered> {
        let Some(id) = self.any_instance() else { return Ok(()) };
        self.perhaps_ending.insert(id.clone());
        expected(&door.ask(&format!("Action=TerminateInstances&InstanceId.1={id}"))?);
        self.ending.insert(id);
        Ok(())
    }

    fn tag(&mut self, door: &Door) -> Result<(), Unanswered> {
        let Some(id) = self.any_instance() else { return Ok(()) };
        let value = self.random.random();
        let before = match self.tags.get(&id) {
            Some(Known::Sure(before)) => Some(*before),
            // It must be known what may be there.
            Some(Known::Perhaps(..)) => return Ok(()),
            None => None,
        };
        self.tags.insert(id.clone(), Known::Perhaps(value, before));
        expected(&door.ask(&format!("Action=CreateTags&ResourceId.1={id}&Tag.1.Key=n&Tag.1.Value={value}"))?);
        self.tags.insert(id, Known::Sure(value));
        Ok(())
    }

    /// What may be refused, as the instance is in another state.
    fn change(&mut self, how: &str, door: &Door) -> Result<(), Unanswered> {
        let Some(id) = self.any_instance() else { return Ok(()) };
        let reply = door.ask(&format!("Action={how}Instances&InstanceId.1={id}"))?;
        assert!(reply.status == 200 || reply.one("Code") == "IncorrectInstanceState", "{reply:?}");
        Ok(())
    }

    /// Compares what is there with what it knows.
    fn compare(&mut self, door: &Door) {
        let listed = door.ok("Action=DescribeKeyPairs");
        let listed: BTreeMap<String, String> = listed.all("keyName").into_iter().zip(listed.all("keyPairId")).collect();
        for (name, id) in &mut self.keys {
            match (&id, listed.get(name)) {
                (Some(id), there) => assert_eq!(Some(id), there, "{name}"),
                (None, there) => *id = there.cloned(),
            }
        }
        self.keys.retain(|_, id| id.is_some());
        for (name, group) in &mut self.groups {
            let reply =
                door.ok(&format!("Action=DescribeSecurityGroups&Filter.1.Name=group-name&Filter.1.Value.1={name}"));
            let id = reply.all("groupId").into_iter().next();
            let Some((known, ports)) = group else {
                *group = id.map(|id| (id, Vec::new()));
                continue;
            };
            assert_eq!(Some(&*known), id.as_ref(), "{name}");
            let there: BTreeSet<String> = reply.all("fromPort").into_iter().collect();
            ports.retain(|port| match port {
                Known::Sure(port) => {
                    assert!(there.contains(&port.to_string()), "{name} has lost the port {port}");
                    true
                }
                Known::Perhaps(port, _) => there.contains(&port.to_string()),
            });
            ports.iter_mut().for_each(|port| {
                let (Known::Sure(number) | Known::Perhaps(number, _)) = port;
                *port = Known::Sure(*number);
            });
            assert_eq!(ports.len(), there.len(), "{name} lets in {there:?}, and {ports:?} is known");
        }
        self.groups.retain(|_, group| group.is_some());
        self.compare_launches(door);
        for (id, known) in &mut self.tags {
            let filter = "Filter.1.Name=key&Filter.1.Value.1=n&Filter.2.Name=resource-id&Filter.2.Value.1";
            let there = door.ok(&format!("Action=DescribeTags&{filter}={id}")).all("value");
            let there: Option<u32> = there.first().map(|value| value.parse().unwrap());
            match known {
                Known::Sure(value) => assert_eq!(there, Some(*value), "{id}"),
                Known::Perhaps(value, before) => assert!(there == Some(*value) || there == *before, "{id}: {there:?}"),
            }
            if let Some(there) = there {
                *known = Known::Sure(there);
            }
        }
        self.tags.retain(|_, known| matches!(known, Known::Sure(_)));
    }

    fn compare_launches(&mut self, door: &Door) {
        let mut fresh = Vec::new();
        for (token, launch) in &mut self.launches {
            let filter = format!("Filter.1.Name=client-token&Filter.1.Value.1={token}");
            let there = door.ok(&format!("Action=DescribeInstances&{filter}"));
            let mut instances = there.all("instanceId");
            instances.dedup();
            let tags = there.body.matches(&format!("<value>{token}</value>")).count();
            assert_eq!(tags, instances.len(), "each has its tag from the launch");
            match &launch.instances {
                Some(known) => assert_eq!(*known, instances, "{token}"),
                None => assert!(instances.is_empty() || instances.len() == launch.count, "{token}: {instances:?}"),
            }
            // The token holds: nothing is launched twice.
            let reply = door.ask(&launch.request).unwrap();
            if instances.iter().any(|id| self.perhaps_ending.contains(id)) {
                assert!(reply.status == 200 || reply.one("Code") == "IdempotentInstanceTerminated", "{reply:?}");
            } else {
                let again = expected(&reply).all("instanceId");
                assert!(instances.is_empty() || again == instances, "{token}: {again:?} beside {instances:?}");
                instances = again;
            }
            if launch.instances.is_none() {
                fresh.extend(instances.iter().cloned());
                launch.instances = Some(instances);
            }
        }
        fresh.iter().for_each(|id| self.fresh(id));
        for id in &self.ending {
            let state = door.ok(&format!("Action=DescribeInstances&InstanceId.1={id}"));
            let state = state.one("instanceState");
            assert!(state.contains("shutting-down") || state.contains("terminated"), "{id} was terminated: {state}");
        }
    }
}

#[track_caller]
fn expected(reply: &Answer) -> &Answer {
    assert_eq!(reply.status, 200, "{reply:?}");
    reply
}

/// Every instance has its interface and its volume, and none of these is without its instance.
fn assert_whole(door: &Door) {
    let of = |action: &str| door.ok(&format!("Action={action}")).all("instanceId").into_iter().collect::<BTreeSet<_>>();
    let all = "Action=DescribeInstances&Filter.1.Name=instance-state-name";
    let states = "Filter.1.Value.1=pending&Filter.1.Value.2=running&Filter.1.Value.3=shutting-down\
                  &Filter.1.Value.4=stopping&Filter.1.Value.5=stopped";
    // Nobody asks for anything meanwhile, but instances may be on their way.
    let since = std::time::Instant::now();
    loop {
        let instances: BTreeSet<String> = door.ok(&format!("{all}&{states}")).all("instanceId").into_iter().collect();
        let (interfaces, volumes) = (of("DescribeNetworkInterfaces"), of("DescribeVolumes"));
        if instances == interfaces && instances == volumes {
            return;
        }
        assert!(since.elapsed() < crate::endpoint::PATIENCE, "{instances:?}\n{interfaces:?}\n{volumes:?}");
    }
}

#[test]
fn what_was_answered_is_there_and_the_rest_is_all_or_nothing() {
    let seed: u64 = std::env::var("EC2_LOCAL_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| getrandom::u64().unwrap());
    eprintln!("EC2_LOCAL_TEST_SEED={seed}");
    let state = State::new();
    let mut random = StdRng::seed_from_u64(seed);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|number| Client::new(number, seed)).collect();
    let mut asked = 0;
    for _ in 0..ROUNDS {
        let server = Server::start_with(&state, &["--conditions", "calm", "--instance-quota", "100000"]);
        clients.iter_mut().for_each(|client| client.compare(&server.door));
        assert_whole(&server.door);
        let (door, image) = (server.door.clone(), server.image("blank"));
        let time = Duration::from_millis(random.random_range(5..300));
        thread::scope(|scope| {
            for client in &mut clients {
                let (door, image) = (&door, &image);
                scope.spawn(move || client.work(door, image));
            }
            thread::sleep(time);
            server.kill_at_once();
        });
        asked = clients.iter().map(|client| client.asked).sum();
    }
    let server = Server::start(&state);
    clients.iter_mut().for_each(|client| client.compare(&server.door));
    assert_whole(&server.door);
    assert!(asked > 50, "{asked} is too little to say anything");
    server.end();
    state.assert_clean();
}
