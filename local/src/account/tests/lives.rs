//! The lives of instances: calls, machine events and time, in all orders.

use super::*;
use proptest::prelude::*;

fn reason(instance: &Structure) -> (&str, &str) {
    let reason = instance.structure("StateReason").unwrap();
    (reason.string("Code").unwrap(), reason.string("Message").unwrap())
}

fn boot_id(effects: &[Effect]) -> String {
    match effects {
        [Effect::Start(start)] => start.machine.boot_id.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn running_waits_for_the_machine_and_for_its_time() {
    let mut world = World { patience: Duration::ZERO, ..World::with(|settings| settings.pace = 1.0) };
    let id = world.run();
    world.obey();
    let state = |world: &World| world.account.find(&id).unwrap().state;
    assert_eq!(state(&world), "pending", "the machine is up, but the time has not passed");
    world.pass(Duration::from_millis(2900));
    assert_eq!(state(&world), "pending");
    world.pass(Duration::from_millis(2200));
    assert_eq!(state(&world), "running");
}

#[test]
fn stop_and_start_give_another_public_address_and_keep_the_rest() {
    let mut world = World::new();
    let id = world.running();
    let before = world.instance(&id);
    let answer = world.ok("StopInstances", ids(&[&id]));
    let change = answer.structures("StoppingInstances").next().unwrap();
    assert_eq!(change.structure("PreviousState").unwrap().string("Name"), Some("running"));
    assert_eq!(change.structure("CurrentState").unwrap().string("Name"), Some("stopping"));
    assert_eq!(world.effects, [Effect::PowerOff { instance: id.clone() }]);
    assert!(world.err("StartInstances", ids(&[&id])).starts_with("IncorrectInstanceState: "));
    world.settle();
    let stopped = world.instance(&id);
    assert_eq!(world.state(&id), "stopped");
    assert_eq!(stopped.get("PublicIpAddress"), None);
    assert_eq!(stopped.string("PublicDnsName"), Some(""));
    assert_eq!(stopped.get("PrivateIpAddress"), before.get("PrivateIpAddress"));
    assert_eq!(
        reason(&stopped),
        ("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown")
    );
    assert_eq!(stopped.string("StateTransitionReason"), Some("User initiated (2026-11-22 12:00:01 GMT)"));
    assert_eq!(world.account.live_instances(), 0);

    world.ok("StartInstances", ids(&[&id]));
    assert_eq!(world.state(&id), "pending");
    boot_id(&world.effects);
    world.settle();
    let after = world.instance(&id);
    assert_eq!(world.state(&id), "running");
    assert_ne!(after.get("PublicIpAddress"), before.get("PublicIpAddress"));
    assert_eq!(after.get("PrivateIpAddress"), before.get("PrivateIpAddress"));
    assert_ne!(after.get("LaunchTime"), before.get("LaunchTime"));
    assert_eq!(after.get("StateReason"), None);
    assert_eq!(after.string("StateTransitionReason"), Some(""));
}

#[test]
fn stop_and_start_of_what_is_so_already_change_nothing() {
    let mut world = World::new();
    let id = world.running();
    world.ok("StartInstances", ids(&[&id]));
    assert_eq!((world.state(&id).as_str(), world.effects.len()), ("running", 0));
    world.ok("StopInstances", ids(&[&id]));
    world.settle();
    world.ok("StopInstances", ids(&[&id]));
    assert_eq!((world.state(&id).as_str(), world.effects.len()), ("stopped", 0));
    assert!(world.err("RebootInstances", ids(&[&id])).starts_with("IncorrectInstanceState: "));
}

#[test]
fn a_reboot_keeps_the_state_and_the_addresses() {
    let mut world = World::new();
    let id = world.run();
    let first = boot_id(&world.effects);
    world.settle();
    let before = world.instance(&id);
    world.ok("RebootInstances", ids(&[&id]));
    assert_eq!(world.effects, [Effect::PowerOff { instance: id.clone() }]);
    world.effects.clear();
    assert_eq!(world.state(&id), "running");
    world.event(&id, Event::PoweredOff);
    assert_ne!(boot_id(&world.effects), first);
    world.settle();
    assert_eq!(world.instance(&id), before);
}

#[test]
fn a_reboot_from_within_starts_again_with_a_new_boot_id() {
    let mut world = World::new();
    let id = world.run();
    let first = boot_id(&world.effects);
    world.settle();
    world.event(&id, Event::Rebooting);
    assert_ne!(boot_id(&world.effects), first);
    assert_eq!(world.state(&id), "running");
}

#[test]
fn a_power_off_from_within_follows_the_shutdown_behavior() {
    for (behavior, between, end) in [("stop", "stopping", "stopped"), ("terminate", "shutting-down", "terminated")] {
        let mut world = World::new();
        let launch = world.launch().with("InstanceInitiatedShutdownBehavior", behavior);
        let id = instance_id(&world.ok("RunInstances", launch));
        world.settle();
        world.event(&id, Event::PoweredOff);
        assert_eq!(world.state(&id), between);
        world.settle();
        assert_eq!(world.state(&id), end);
        assert_eq!(reason(&world.instance(&id)).0, "Client.InstanceInitiatedShutdown");
    }
}

#[test]
fn a_machine_that_never_came_up_ends_its_instance_and_says_why() {
    let mut world = World::new();
    let id = world.run();
    world.effects.clear();
    world.event(&id, Event::Failed("no\u{1b}[31m user namespaces".to_owned()));
    assert_eq!(world.state(&id), "shutting-down");
    world.settle();
    let instance = world.instance(&id);
    assert_eq!(world.state(&id), "terminated");
    assert_eq!(
        reason(&instance),
        ("Server.InternalError", "Server.InternalError: Internal error: no [31m user namespaces")
    );
    let console = world.ok("GetConsoleOutput", Structure::new().with("InstanceId", id.as_str()));
    assert!(
        String::from_utf8(request::decode(console.string("Output").unwrap()).unwrap())
            .unwrap()
            .contains("user namespaces")
    );
}

#[test]
fn a_machine_that_breaks_later_keeps_its_disk() {
    let mut world = World::new();
    let id = world.running();
    world.event(&id, Event::Failed("out of memory".to_owned()));
    world.settle();
    assert_eq!(world.state(&id), "stopped");
    assert_eq!(reason(&world.instance(&id)).0, "Server.InternalError");
    world.ok("StartInstances", ids(&[&id]));
    world.settle();
    assert_eq!(world.state(&id), "running");
}

#[test]
fn a_guest_that_does_not_go_off_loses_its_power() {
    let mut world = World::new();
    let id = world.running();
    world.ok("TerminateInstances", ids(&[&id]));
    world.effects.clear();
    world.pass(Duration::from_millis(4900));
    assert_eq!(world.effects, []);
    world.pass(Duration::from_millis(200));
    assert_eq!(world.effects, [Effect::Kill { instance: id.clone() }]);
    assert_eq!(world.state(&id), "shutting-down");
    world.settle();
    assert_eq!(world.state(&id), "terminated");
}

#[test]
fn a_reboot_that_hangs_is_cut_short_and_comes_back() {
    let mut world = World::new();
    let id = world.running();
    world.ok("RebootInstances", ids(&[&id]));
    world.effects.clear();
    world.pass(Duration::from_secs(6));
    assert_eq!(world.effects, [Effect::Kill { instance: id.clone() }]);
    world.effects.clear();
    world.event(&id, Event::PoweredOff);
    boot_id(&world.effects);
    assert_eq!(world.state(&id), "running");
}

#[test]
fn the_power_goes_at_once_where_the_shutdown_is_skipped_and_where_force_is_asked_for_again() {
    for action in ["StopInstances", "TerminateInstances"] {
        let mut world = World::new();
        let id = world.running();
        world.ok(action, ids(&[&id]).with("SkipOsShutdown", true));
        assert_eq!(world.effects, [Effect::Kill { instance: id }], "{action}");

        let mut world = World::new();
        let id = world.running();
        world.ok(action, ids(&[&id]).with("Force", true));
        let off = Effect::PowerOff { instance: id.clone() };
        assert_eq!(world.effects, std::slice::from_ref(&off), "{action}: the guest is asked first");
        world.ok(action, ids(&[&id]).with("Force", true));
        assert_eq!(world.effects, [off, Effect::Kill { instance: id.clone() }], "{action}");
    }
}

#[test]
fn an_instance_that_was_not_launched_for_it_is_not_hibernated() {
    let mut world = World::new();
    let id = world.running();
    let error = world.err("StopInstances", ids(&[&id]).with("Hibernate", true));
    assert!(error.starts_with("UnsupportedHibernationConfiguration: "), "{error}");
    assert_eq!(world.state(&id), "running");
    world.ok("StopInstances", ids(&[&id]).with("Hibernate", false));
    assert_eq!(world.state(&id), "stopping");
}

#[test]
fn a_stop_may_become_forced_and_a_reboot_a_stop() {
    let mut world = World::new();
    let id = world.running();
    world.ok("RebootInstances", ids(&[&id]));
    world.ok("StopInstances", ids(&[&id]));
    world.ok("StopInstances", ids(&[&id]).with("Force", true));
    let off = Effect::PowerOff { instance: id.clone() };
    assert_eq!(world.effects, [off, Effect::Kill { instance: id.clone() }]);
    world.effects.clear();
    world.event(&id, Event::PoweredOff);
    world.settle();
    assert_eq!(world.state(&id), "stopped");
}

#[test]
fn terminated_instances_hold_nothing_and_can_be_terminated_again() {
    let mut world = World::new();
    let id = world.running();
    world.ok("TerminateInstances", ids(&[&id]));
    assert!(
        !world.ok("DescribeNetworkInterfaces", Structure::new()).list("NetworkInterfaces").is_empty(),
        "held while shutting down"
    );
    world.effects.clear();
    let volumes = world.ok("DescribeVolumes", Structure::new());
    let volume = volumes.structures("Volumes").next().unwrap().string("VolumeId").unwrap().to_owned();
    world.event(&id, Event::PoweredOff);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.effects, [Effect::Discard { volume }]);
    world.effects.clear();
    let instance = world.instance(&id);
    for gone in ["VpcId", "SubnetId", "PrivateIpAddress", "PublicIpAddress"] {
        assert_eq!(instance.get(gone), None, "{gone}");
    }
    for empty in ["NetworkInterfaces", "SecurityGroups", "BlockDeviceMappings"] {
        assert!(instance.list(empty).is_empty(), "{empty}");
    }
    assert_eq!(instance.string("PrivateDnsName"), Some(""));
    for (action, member) in [("DescribeNetworkInterfaces", "NetworkInterfaces"), ("DescribeVolumes", "Volumes")] {
        assert!(world.ok(action, Structure::new()).list(member).is_empty());
    }
    assert_eq!(world.account.find(&id), None);
    world.ok("TerminateInstances", ids(&[&id]));
    assert_eq!((world.state(&id).as_str(), world.effects.len()), ("terminated", 0));
    world.ok("RebootInstances", ids(&[&id]));
    assert_eq!((world.state(&id).as_str(), world.effects.len()), ("terminated", 0), "it is ignored");
    for action in ["StartInstances", "StopInstances"] {
        assert!(world.err(action, ids(&[&id])).starts_with("IncorrectInstanceState: "), "{action}");
    }
}

#[test]
fn one_bad_id_spares_the_batch_and_protection_spares_its_zone() {
    let mut world = World::new();
    let id = world.running();
    let error = world.err("TerminateInstances", ids(&[&id, "i-0123456789abcdef0"]));
    assert_eq!(error, "InvalidInstanceID.NotFound: The instance ID 'i-0123456789abcdef0' does not exist");
    assert_eq!(world.state(&id), "running");

    let zoned = |world: &mut World, zone: &str, protected: bool| {
        let placement = Structure::new().with("AvailabilityZone", zone);
        let launch = world.launch().with("Placement", placement).with("DisableApiTermination", protected);
        instance_id(&world.ok("RunInstances", launch))
    };
    let guarded = zoned(&mut world, "us-east-1b", true);
    let neighbour = zoned(&mut world, "us-east-1b", false);
    let other = zoned(&mut world, "us-east-1c", false);
    world.settle();
    let error = world.err("TerminateInstances", ids(&[&guarded, &neighbour, &other]));
    assert!(
        error.starts_with(&format!("OperationNotPermitted: The instance '{guarded}' may not be terminated.")),
        "{error}"
    );
    assert_eq!(
        (world.state(&guarded), world.state(&neighbour), world.state(&other)),
        ("running".into(), "running".into(), "shutting-down".into())
    );
    let unprotect = Structure::new()
        .with("InstanceId", guarded.as_str())
        .with("DisableApiTermination", Structure::new().with("Value", false));
    world.ok("ModifyInstanceAttribute", unprotect);
    world.ok("TerminateInstances", ids(&[&guarded, &neighbour]));
}

#[test]
fn a_kept_root_volume_outlives_its_instance_and_can_be_deleted() {
    let mut world = World::new();
    let mapping = Structure::new()
        .with("DeviceName", "/dev/sda1")
        .with("Ebs", Structure::new().with("DeleteOnTermination", false));
    let launch = world.launch().with("BlockDeviceMappings", vec![mapping]);
    let id = instance_id(&world.ok("RunInstances", launch));
    world.settle();
    let volumes = world.ok("DescribeVolumes", filters(&[("attachment.instance-id", &[&id])]));
    let volume = volumes.structures("Volumes").next().unwrap().string("VolumeId").unwrap().to_owned();
    let named = Structure::new().with("VolumeId", volume.as_str());
    assert!(world.err("DeleteVolume", named.clone()).starts_with("VolumeInUse: "));
    world.ok("TerminateInstances", ids(&[&id]));
    world.settle();
    let left = world.ok("DescribeVolumes", Structure::new().with("VolumeIds", vec![volume.as_str()]));
    assert_eq!(left.structures("Volumes").next().unwrap().string("State"), Some("available"));
    world.effects.clear();
    world.ok("DeleteVolume", named.clone());
    assert_eq!(world.effects, [Effect::Discard { volume }]);
    assert!(world.err("DeleteVolume", named).starts_with("InvalidVolume.NotFound: "));
}

#[test]
fn statuses_pass_after_a_while() {
    let mut world = World::new();
    let pending = world.run();
    assert!(world.ok("DescribeInstanceStatus", Structure::new()).list("InstanceStatuses").is_empty());
    let all = world.ok("DescribeInstanceStatus", Structure::new().with("IncludeAllInstances", true));
    let status = |answer: &Structure| {
        let status = answer.structures("InstanceStatuses").next().unwrap().structure("InstanceStatus").unwrap();
        status.string("Status").unwrap().to_owned()
    };
    assert_eq!(status(&all), "not-applicable");
    world.obey();
    world.pass(Duration::from_millis(100));
    let running = world.ok("DescribeInstanceStatus", ids(&[&pending]));
    assert_eq!(status(&running), "initializing");
    world.pass(Duration::from_secs(2));
    assert_eq!(status(&world.ok("DescribeInstanceStatus", ids(&[&pending]))), "ok");
}

#[test]
fn the_console_keeps_its_tail() {
    let mut world = World::new();
    let id = world.running();
    let named = Structure::new().with("InstanceId", id.as_str());
    assert_eq!(world.ok("GetConsoleOutput", named.clone()).get("Output"), None);
    world.event(&id, Event::Console(vec![b'a'; 70_000]));
    world.event(&id, Event::Console(b"end\xff".to_vec()));
    let answer = world.ok("GetConsoleOutput", named.clone().with("Latest", true));
    let output = request::decode(answer.string("Output").unwrap()).unwrap();
    assert_eq!((output.len(), &output[output.len() - 5..]), (65536, &b"aend\xff"[..]));
    world.ok("StopInstances", ids(&[&id]));
    world.settle();
    world.ok("StartInstances", ids(&[&id]));
    assert_eq!(world.ok("GetConsoleOutput", named).get("Output"), None, "a new boot, a new console");
}

#[test]
fn the_latest_console_is_for_nitro() {
    let mut world = World::new();
    let launch = world.launch().with("ImageId", world.image("blank")).with("InstanceType", "t2.micro");
    let id = instance_id(&world.ok("RunInstances", launch));
    let named = Structure::new().with("InstanceId", id);
    world.ok("GetConsoleOutput", named.clone().with("Latest", false));
    let error = world.err("GetConsoleOutput", named.with("Latest", true));
    let message = "This instance type does not support retrieving the latest console logs.";
    assert_eq!(error, format!("UnsupportedOperation: {message}"));
}

#[test]
fn machines_are_found_by_all_their_names() {
    let mut world = World::new();
    let id = world.running();
    let instance = world.instance(&id);
    let nic = instance.structures("NetworkInterfaces").next().unwrap().string("NetworkInterfaceId").unwrap();
    for member in ["InstanceId", "PrivateIpAddress", "PublicIpAddress", "PrivateDnsName", "PublicDnsName"] {
        let found = world.account.find(instance.string(member).unwrap()).unwrap_or_else(|| panic!("{member}"));
        assert_eq!(
            (found.instance.as_str(), found.nic.as_str(), found.state),
            (id.as_str(), nic, "running"),
            "{member}"
        );
    }
    for nothing in ["", "i-0123456789abcdef0", "127.0.0.1", "10.0.0.1", "example.com"] {
        assert_eq!(world.account.find(nothing), None, "{nothing}");
    }
}

#[test]
fn effects_name_a_whole_machine() {
    let mut world = World::new();
    let id = world.run();
    let [Effect::Start(start)] = &world.effects[..] else { panic!() };
    let start = start.clone();
    let instance = world.instance(&id);
    assert_eq!(start.machine.hostname, instance.string("PrivateDnsName").unwrap());
    let nic = &start.machine.nics[0];
    assert_eq!(nic.addresses[0].to_string(), instance.string("PrivateIpAddress").unwrap());
    assert_eq!((nic.subnet.1, nic.vpc.as_str()), (20, instance.string("VpcId").unwrap()));
    let volumes = world.ok("DescribeVolumes", filters(&[("attachment.instance-id", &[&id])]));
    assert_eq!(volumes.structures("Volumes").next().unwrap().string("VolumeId"), Some(start.volume.as_str()));
    assert_eq!((start.machine.instance.as_str(), start.machine.login_user.as_str()), (id.as_str(), "admin"));
}

/// What may happen to an instance.
#[derive(Debug, Clone)]
enum Step {
    Call(&'static str, bool),
    Event(Event),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let actions = ["StartInstances", "StopInstances", "RebootInstances", "TerminateInstances"];
    let events =
        [Event::Started, Event::Rebooting, Event::PoweredOff, Event::Failed("x".into()), Event::Console(b"x".to_vec())];
    prop_oneof![
        (proptest::sample::select(actions.to_vec()), any::<bool>())
            .prop_map(|(action, force)| Step::Call(action, force)),
        proptest::sample::select(events.to_vec()).prop_map(Step::Event),
        prop_oneof![Just(1), Just(60), Just(6_000), Just(4_000_000)].prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens: EC2's order holds, public addresses come and go with `running`, and what was terminated stays so.
    #[test]
    fn states_follow_each_other_as_on_ec2(steps in proptest::collection::vec(step(), 0..40)) {
        let mut world = World::new();
        let id = world.run();
        // It is known everywhere by now, and no state must be missed.
        world.patience = Duration::ZERO;
        let mut previous = "pending".to_owned();
        for step in steps {
            match step {
                Step::Call(action, true) if matches!(action, "StopInstances" | "TerminateInstances") => {
                    let _ = world.call(action, ids(&[&id]).with("Force", true));
                }
                Step::Call(action, _) => { let _ = world.call(action, ids(&[&id])); }
                Step::Event(event) => world.event(&id, event),
                Step::Pass(milliseconds) => world.pass(Duration::from_millis(milliseconds)),
            }
            let Ok(answer) = world.call("DescribeInstances", ids(&[&id])) else {
                prop_assert_eq!(previous, "terminated");
                return Ok(());
            };
            let instance = first_instance(&answer);
            let state = instance.structure("State").unwrap().string("Name").unwrap().to_owned();
            prop_assert_eq!(instance.get("PublicIpAddress").is_some(), state == "running");
            let allowed: &[&str] = match previous.as_str() {
                "pending" => &["pending", "running", "stopping", "shutting-down", "stopped", "terminated"],
                "running" => &["running", "stopping", "shutting-down", "stopped", "terminated"],
                "stopping" => &["stopping", "stopped", "shutting-down", "terminated"],
                "stopped" => &["stopped", "pending", "shutting-down", "terminated"],
                "shutting-down" => &["shutting-down", "terminated"],
                _ => &["terminated"],
            };
            prop_assert!(allowed.contains(&state.as_str()), "{} after {}", state, previous);
            previous = state;
        }
    }
}
