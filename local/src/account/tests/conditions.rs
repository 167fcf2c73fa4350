//! What the conditions of a name do to an account at AWS's own pace; faults that are asked for are in `faults`.

use super::*;

/// An account in conditions, at AWS's own pace. The name and seed stand in each failure's message.
fn world(conditions: Conditions, seed: u64) -> World {
    let world = World::with(|settings| {
        settings.conditions = conditions;
        settings.conditions_seed = seed;
        settings.pace = 1.0;
    });
    World { patience: Duration::ZERO, ..world }
}

/// The same, and a launch that was prepared while it was calm.
fn world_with_launch(conditions: Conditions, seed: u64) -> (World, Structure) {
    let mut world = world(Conditions::Calm, seed);
    let launch = world.launch();
    world.account.set_conditions(conditions);
    (world, launch)
}

fn code(answer: Result<Structure, ApiError>) -> &'static str {
    answer.map_or_else(|error| error.code.name(), |_| "ok")
}

/// Whether something is seen, four times a second for as long as given.
fn watch(world: &mut World, time: Duration, mut sees: impl FnMut(&mut World) -> bool) -> Vec<bool> {
    let mut seen = Vec::new();
    for _ in 0..time.as_millis() / 250 {
        world.now += Duration::from_millis(250);
        seen.push(sees(world));
    }
    seen
}

fn describe_of(kind: &str, id: &str) -> (&'static str, Structure, &'static str) {
    let (action, member, not_found) = match kind {
        "instance" => ("DescribeInstances", "InstanceIds", "InvalidInstanceID.NotFound"),
        "volume" => ("DescribeVolumes", "VolumeIds", "InvalidVolume.NotFound"),
        "interface" => ("DescribeNetworkInterfaces", "NetworkInterfaceIds", "InvalidNetworkInterfaceID.NotFound"),
        "group" => ("DescribeSecurityGroups", "GroupIds", "InvalidGroup.NotFound"),
        "key" => ("DescribeKeyPairs", "KeyNames", "InvalidKeyPair.NotFound"),
        other => panic!("{other}"),
    };
    (action, Structure::new().with(member, vec![id]), not_found)
}

/// Makes one of each, and names them.
fn make_all(world: &mut World) -> Vec<(&'static str, String)> {
    let launched = world.launch();
    let answer = world.ok("RunInstances", launched);
    let instance = first_instance(&answer);
    let volume = world.account.regions[REGION].volumes.iter().next().unwrap().0;
    let interface = instance.structures("NetworkInterfaces").next().unwrap();
    let mut all = vec![
        ("instance", instance.string("InstanceId").unwrap().to_owned()),
        ("volume", volume.to_string()),
        ("interface", interface.string("NetworkInterfaceId").unwrap().to_owned()),
    ];
    let group = Structure::new().with("GroupName", "fresh").with("Description", "fresh");
    all.push(("group", world.ok("CreateSecurityGroup", group).string("GroupId").unwrap().to_owned()));
    world.ok("CreateKeyPair", Structure::new().with("KeyName", "fresh").with("KeyType", "ed25519"));
    all.push(("key", "fresh".to_owned()));
    all
}

#[test]
fn in_calm_conditions_all_is_seen_at_once() {
    let mut world = world(Conditions::Calm, 1);
    for (kind, id) in make_all(&mut world) {
        let (action, input, _) = describe_of(kind, &id);
        for _ in 0..20 {
            world.ok(action, input.clone());
        }
    }
}

#[test]
fn fresh_ids_come_go_and_stay_in_the_end() {
    let mut went = std::collections::BTreeSet::new();
    for seed in 0..8 {
        let mut world = world(Conditions::Typical, seed);
        let all = make_all(&mut world);
        for (kind, id) in all {
            let (action, input, not_found) = describe_of(kind, &id);
            let mut ask = |world: &mut World| match code(world.call(action, input.clone())) {
                "ok" => true,
                // The token buckets are those of the conditions, too.
                "RequestLimitExceeded" => false,
                other => {
                    assert_eq!(other, not_found, "typical, seed {seed}: {kind}");
                    false
                }
            };
            let seen = watch(&mut world, Duration::from_secs(1), &mut ask);
            if seen.windows(2).any(|pair| pair == [true, false]) {
                went.insert(kind);
            }
        }
        world.now += Duration::from_secs(60);
        for _ in 0..20 {
            world.now += Duration::from_secs(1);
            world.ok("DescribeKeyPairs", Structure::new().with("KeyNames", vec!["fresh"]));
        }
    }
    assert!(went.contains("instance"), "an instance never went again once it was seen: {went:?}");
    assert!(went.len() > 2, "only {went:?} ever went again");
}

#[test]
fn a_list_just_lacks_what_is_not_seen_yet() {
    let lacks = |seed| {
        let (mut world, launch) = world_with_launch(Conditions::Hostile, seed);
        let Ok(answer) = world.call("RunInstances", launch) else { return false };
        let id = instance_id(&answer);
        let mut counts = std::collections::BTreeSet::new();
        for _ in 0..30 {
            world.now += Duration::from_millis(250);
            if let Ok(listed) = world.call("DescribeInstances", filters(&[("instance-id", &[&id])])) {
                counts.insert(listed.structures("Reservations").count());
            }
        }
        counts.len() == 2
    };
    assert!((0..8).any(lacks), "in eight hostile worlds the list was always the same");
}

#[test]
fn a_launch_may_not_find_its_fresh_group_or_key_and_does_later_with_the_same_token() {
    let mut refused = std::collections::BTreeSet::new();
    for seed in 0..12 {
        let mut world = world(Conditions::Typical, seed);
        let group = Structure::new().with("GroupName", "fresh").with("Description", "fresh");
        let group = world.ok("CreateSecurityGroup", group).string("GroupId").unwrap().to_owned();
        world.ok("CreateKeyPair", Structure::new().with("KeyName", "fresh").with("KeyType", "ed25519"));
        let launch = world.launch();
        let launch = launch.with("SecurityGroupIds", vec![group.as_str()]).with("KeyName", "fresh");
        let launch = launch.with("ClientToken", "the same");
        let launched = (0..30).any(|_| {
            let outcome = code(world.call("RunInstances", launch.clone()));
            refused.insert(outcome);
            world.now += Duration::from_secs(1);
            outcome == "ok"
        });
        assert!(launched, "typical, seed {seed}");
    }
    assert!(refused.contains("InvalidGroup.NotFound"), "{refused:?}");
    assert!(refused.contains("InvalidKeyPair.NotFound"), "{refused:?}");
    assert!(refused.is_subset(&["InvalidGroup.NotFound", "InvalidKeyPair.NotFound", "ok"].into()), "{refused:?}");
}

#[test]
fn names_are_taken_at_once() {
    for seed in 0..8 {
        let mut world = world(Conditions::Typical, seed);
        let group = Structure::new().with("GroupName", "one").with("Description", "one");
        world.ok("CreateSecurityGroup", group.clone());
        assert!(world.err("CreateSecurityGroup", group).starts_with("InvalidGroup.Duplicate"), "typical, seed {seed}");
        let key = Structure::new().with("KeyName", "one").with("KeyType", "ed25519");
        world.ok("CreateKeyPair", key.clone());
        assert!(world.err("CreateKeyPair", key).starts_with("InvalidKeyPair.Duplicate"), "typical, seed {seed}");
    }
}

#[test]
fn tags_that_are_added_later_are_seen_later() {
    let was_late = |seed| {
        let mut world = world(Conditions::Typical, seed);
        let (id, image) = (world.run(), world.image("host"));
        world.pass(Duration::from_secs(30));
        let tag = |value: &str| vec![Structure::new().with("Key", "late").with("Value", value)];
        for resource in [id.as_str(), image.as_str()] {
            world.ok("CreateTags", Structure::new().with("Resources", vec![resource]).with("Tags", tag("1")));
        }
        let count = |world: &mut World| {
            let listed = world.ok("DescribeInstances", filters(&[("tag:late", &["1"])]));
            let tags = world.ok("DescribeTags", filters(&[("key", &["late"]), ("resource-id", &[&image])]));
            (listed.structures("Reservations").count(), tags.structures("Tags").count())
        };
        let early: Vec<_> = watch(&mut world, Duration::from_secs(2), |world| count(world) == (1, 1));
        world.pass(Duration::from_secs(10));
        assert_eq!((0..9).map(|_| count(&mut world)).filter(|counts| *counts != (1, 1)).count(), 0, "seed {seed}");
        early.contains(&false)
    };
    assert!((0..8).any(was_late), "in eight typical worlds tags were always seen at once");
}

/// The states that are shown of an instance, and how they change.
fn states_shown(world: &mut World, id: &str, time: Duration) -> Vec<String> {
    let mut shown = Vec::new();
    watch(world, time, |world| {
        if let Ok(found) = world.call("DescribeInstances", ids(&[id])) {
            shown.push(first_instance(&found).structure("State").unwrap().string("Name").unwrap().to_owned());
        }
        true
    });
    shown.dedup();
    shown
}

/// An instance that runs and is known everywhere; whatever fails at random was tried again.
fn known(world: &mut World) -> String {
    world.account.set_conditions(Conditions::Calm);
    let id = world.run();
    world.pass(Duration::from_secs(10));
    world.obey();
    world.pass(Duration::from_secs(300));
    assert_eq!(world.state(&id), "running");
    world.account.set_conditions(Conditions::Hostile);
    id
}

/// Asks until nothing that comes at random is in the way.
fn insist(world: &mut World, action: &str, id: &str) -> Structure {
    (0..100).find_map(|_| world.call(action, ids(&[id])).ok()).expect("some request gets through")
}

#[test]
fn on_a_bad_day_an_instance_that_stops_or_starts_is_still_shown_as_it_was_and_never_again_once_it_is_there() {
    let mut stale = std::collections::BTreeSet::new();
    for seed in 0..8 {
        let mut world = world(Conditions::Hostile, seed);
        let id = known(&mut world);
        for (action, was, between, then) in
            [("StopInstances", "running", "stopping", "stopped"), ("StartInstances", "stopped", "pending", "running")]
        {
            let answer = insist(&mut world, action, &id);
            let changes =
                answer.structures(if action == "StopInstances" { "StoppingInstances" } else { "StartingInstances" });
            for change in changes {
                let current = change.structure("CurrentState").unwrap().string("Name");
                assert_eq!(current, Some(between), "seed {seed}: who asks for it is told what it is");
            }
            let shown = states_shown(&mut world, &id, Duration::from_secs(20));
            assert!(shown.iter().all(|state| [was, between].contains(&state.as_str())), "seed {seed}: {shown:?}");
            if shown.iter().any(|state| state == was) {
                stale.insert(action);
            }
            world.pass(Duration::from_secs(600));
            world.obey();
            world.pass(Duration::from_secs(600));
            let shown = states_shown(&mut world, &id, Duration::from_secs(90));
            assert_eq!(shown, [then], "seed {seed}");
        }
        insist(&mut world, "TerminateInstances", &id);
        let shown = states_shown(&mut world, &id, Duration::from_secs(5));
        assert!(!shown.contains(&"running".to_owned()), "seed {seed}: an end is seen at once");
    }
    assert_eq!(stale.len(), 2, "in eight hostile worlds only {stale:?} was ever seen late");
}

#[test]
fn on_an_ordinary_day_a_stop_is_seen_at_once() {
    let mut world = world(Conditions::Hostile, 1);
    let id = known(&mut world);
    world.account.set_conditions(Conditions::Typical);
    world.ok("StopInstances", ids(&[&id]));
    assert_eq!(states_shown(&mut world, &id, Duration::from_secs(5)), ["stopping"]);
}

#[test]
fn the_buckets_are_those_of_the_documentation() {
    let mut world = world(Conditions::Typical, 1);
    let launch = world.launch();
    world.now += Duration::from_secs(60);
    let launched = (0..10).filter(|_| code(world.call("RunInstances", launch.clone())) == "ok").count();
    assert_eq!(launched, 5, "RunInstances has five tokens");
    let error = world.call("RunInstances", launch.clone()).unwrap_err();
    assert_eq!((error.code.name(), error.code.status()), ("RequestLimitExceeded", 503));
    world.now += Duration::from_secs(1);
    let launched = (0..10).filter(|_| code(world.call("RunInstances", launch.clone())) == "ok").count();
    assert_eq!(launched, 2, "of which two come back in a second");
    let unfiltered = (0..200).filter(|_| code(world.call("DescribeVolumes", Structure::new())) == "ok").count();
    let paged = Structure::new().with("MaxResults", 5_i64);
    let paged = (0..200).filter(|_| code(world.call("DescribeVolumes", paged.clone())) == "ok").count();
    assert_eq!((unfiltered, paged), (50, 100));
}

#[test]
fn a_console_is_empty_at_first() {
    for (conditions, early, early_latest) in
        [(Conditions::Calm, true, true), (Conditions::Typical, false, true), (Conditions::Hostile, false, false)]
    {
        let mut world = world(Conditions::Calm, 3);
        let id = world.run();
        world.account.set_conditions(conditions);
        world.obey();
        world.event(&id, Event::Console(b"hello".to_vec()));
        let has_output = |world: &mut World, latest: bool| {
            let input = Structure::new().with("InstanceId", id.as_str()).with("Latest", latest);
            // Hostile answers fail at random.
            let answers = (0..100).filter_map(|_| world.call("GetConsoleOutput", input.clone()).ok());
            answers.map(|answer| answer.get("Output").is_some()).next()
        };
        assert_eq!(has_output(&mut world, false), Some(early), "{conditions}");
        assert_eq!(has_output(&mut world, true), Some(early_latest), "{conditions}");
        world.pass(Duration::from_secs(600));
        assert_eq!(has_output(&mut world, false), Some(true), "{conditions}");
    }
}

#[test]
fn a_machine_that_shuts_down_holds_its_nic_and_its_group() {
    let mut world = world(Conditions::Typical, 1);
    let group = Structure::new().with("GroupName", "held").with("Description", "held");
    let group = world.ok("CreateSecurityGroup", group).string("GroupId").unwrap().to_owned();
    world.now += Duration::from_secs(30);
    let launch = world.launch().with("SecurityGroupIds", vec![group.as_str()]);
    let id = instance_id(&world.ok("RunInstances", launch));
    world.settle();
    world.pass(Duration::from_secs(30));
    assert_eq!(world.state(&id), "running");
    world.ok("TerminateInstances", ids(&[&id]));
    world.settle();
    let delete = Structure::new().with("GroupId", group.as_str());
    for _ in 0..20 {
        assert_eq!(world.state(&id), "shutting-down", "its machine is off, but it is not over");
        assert!(world.err("DeleteSecurityGroup", delete.clone()).starts_with("DependencyViolation"));
        world.pass(Duration::from_secs(1));
    }
    world.pass(Duration::from_secs(30));
    assert_eq!(world.state(&id), "terminated");
    world.ok("DeleteSecurityGroup", delete);
}

#[test]
fn the_metadata_comes_a_while_after_the_machine() {
    for conditions in Conditions::ALL {
        let (mut world, launch) = world_with_launch(Conditions::Calm, 1);
        let answer = world.ok("RunInstances", launch);
        let nic = first_instance(&answer).structures("NetworkInterfaces").next().unwrap();
        let nic = nic.string("NetworkInterfaceId").unwrap();
        world.account.set_conditions(*conditions);
        world.pass(Duration::from_secs(300));
        let calm = *conditions == Conditions::Calm;
        assert_eq!(world.account.metadata_is_ready(world.now, nic), calm, "{conditions}: it has no power yet");
        world.obey();
        world.pass(Duration::from_secs(4));
        assert_eq!(world.account.metadata_is_ready(world.now, nic), calm, "{conditions}");
        world.pass(Duration::from_secs(60));
        assert!(world.account.metadata_is_ready(world.now, nic), "{conditions}");
    }
}

/// What two accounts see whose secrets differ: ids differ, and nothing else.
#[test]
fn the_same_seed_means_the_same_day_whatever_the_secret() {
    let day = |secret: u8, seed: u64| {
        let mut world = World::with(|settings| {
            settings.seed = [secret; 32];
            settings.conditions = Conditions::Hostile;
            settings.conditions_seed = seed;
            settings.pace = 1.0;
        });
        world.patience = Duration::ZERO;
        let image = world.account.regions[REGION].images.iter().next().unwrap().0.to_string();
        let mut seen = Vec::new();
        for name in ["a", "b", "c", "d", "e"] {
            let key = Structure::new().with("KeyName", name).with("KeyType", "ed25519");
            seen.push(code(world.call("CreateKeyPair", key)));
            let tags = vec![Structure::new().with("Key", name).with("Value", "")];
            let tagging = Structure::new().with("Resources", vec![image.as_str()]).with("Tags", tags);
            seen.push(code(world.call("CreateTags", tagging)));
            world.now += Duration::from_secs(5);
            seen.push(code(world.call("DescribeKeyPairs", Structure::new().with("KeyNames", vec![name]))));
            let tagged = world.call("DescribeImages", filters(&[("tag-key", &[name])]));
            seen.push(
                tagged.map_or_else(|error| error.code.name(), |images| ["", "seen"][images.list("Images").len()]),
            );
        }
        seen
    };
    let days: std::collections::BTreeSet<_> = (0..8).map(|seed| day(1, seed)).collect();
    assert!(days.len() > 4, "{days:?}");
    for seed in 0..8 {
        assert_eq!(day(1, seed), day(2, seed), "hostile, seed {seed}");
    }
}

/// What happens in a hostile account to requests in a row, and then whether it still does what it should.
fn hostile_day(seed: u64) -> Vec<String> {
    let (mut world, launch) = world_with_launch(Conditions::Hostile, seed);
    let launch = launch.with("ClientToken", "one");
    let mut log = Vec::new();
    let mut id = None;
    for _ in 0..40 {
        world.now += Duration::from_secs(2);
        let answer = world.call("RunInstances", launch.clone());
        log.push(format!("{} {:?}", code(answer.clone()), world.account.take_delivery()));
        let found = answer.ok().map(|answer| instance_id(&answer));
        assert!(id.is_none() || found.is_none() || id == found, "hostile, seed {seed}: one token, two instances");
        id = id.or(found);
    }
    let id = id.unwrap_or_else(|| panic!("hostile, seed {seed}: never launched: {log:?}"));
    for _ in 0..200 {
        world.obey();
        world.pass(Duration::from_secs(2));
        let terminated = code(world.call("TerminateInstances", ids(&[&id])));
        if terminated != "ok" {
            log.push(terminated.to_owned());
        }
    }
    assert_eq!(world.account.live_instances(), 0, "hostile, seed {seed}: never terminated");
    log
}

#[test]
fn hostile_days_are_survived_and_follow_from_the_seed() {
    let days: Vec<_> = (0..40).map(hostile_day).collect();
    assert_eq!(hostile_day(0), days[0]);
    assert_ne!(days[0], days[1]);
    let all: Vec<_> = days.concat();
    for word in ["InsufficientInstanceCapacity", "VcpuLimitExceeded", "RequestLimitExceeded", "InternalError", "Lost"] {
        assert!(all.iter().any(|line| line.contains(word)), "never {word}");
    }
}
