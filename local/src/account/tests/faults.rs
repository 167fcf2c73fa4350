//! Faults that are asked for, by action, in an account that is calm otherwise.

use super::*;
use crate::conditions::Kind as FaultKind;

fn world() -> World {
    let world = World::with(|settings| {
        settings.conditions = Conditions::Calm;
        settings.pace = 1.0;
    });
    World { patience: Duration::ZERO, ..world }
}

fn fault(world: &mut World, text: &str) {
    world.account.add_fault(text.parse().unwrap()).unwrap();
}

#[test]
fn a_fault_that_is_asked_for_does_nothing_and_says_so() {
    for (line, action, expected, status) in [
        ("DescribeVpcs throttle", "DescribeVpcs", "RequestLimitExceeded", 503),
        ("* internal", "CreateSecurityGroup", "InternalError", 500),
        ("CreateSecurityGroup unavailable", "CreateSecurityGroup", "Unavailable", 503),
        ("RunInstances capacity", "RunInstances", "InsufficientInstanceCapacity", 500),
        ("RunInstances quota", "RunInstances", "VcpuLimitExceeded", 400),
    ] {
        let mut world = world();
        let input = match action {
            "RunInstances" => world.launch().with("ClientToken", "a token"),
            "CreateSecurityGroup" => Structure::new().with("GroupName", "a").with("Description", "a"),
            _ => Structure::new(),
        };
        fault(&mut world, line);
        let error = world.call(action, input.clone()).unwrap_err();
        assert_eq!((error.code.name(), error.code.status()), (expected, status), "{line}");
        assert_eq!(world.account.take_delivery(), Delivery::Prompt);
        assert!(world.effects.is_empty() && world.account.live_instances() == 0, "{line}");
        // The same request, with the same token, once the fault is over.
        world.ok(action, input);
    }
}

#[test]
fn a_launch_that_is_wrong_says_what_is_wrong_whatever_is_short() {
    let mut world = world();
    fault(&mut world, "RunInstances capacity every 1");
    let launch = world.launch().with("KeyName", "nobody's");
    assert!(world.err("RunInstances", launch).starts_with("InvalidKeyPair.NotFound"));
    let launch = world.launch();
    assert!(world.err("RunInstances", launch.clone().with("DryRun", true)).starts_with("DryRunOperation"));
    let error = world.err("RunInstances", launch);
    assert!(error.contains("t3.micro") || error.contains("t4g.micro"), "{error}");
    assert!(error.contains("us-east-1"), "{error}");
}

#[test]
fn a_start_may_find_no_capacity() {
    let mut world = world();
    let id = world.run();
    world.obey();
    world.pass(Duration::from_secs(60));
    world.ok("StopInstances", ids(&[&id]));
    world.obey();
    world.pass(Duration::from_secs(60));
    fault(&mut world, "StartInstances capacity");
    assert!(world.err("StartInstances", ids(&[&id])).starts_with("InsufficientInstanceCapacity"));
    assert_eq!(world.state(&id), "stopped");
    world.ok("StartInstances", ids(&[&id]));
    assert_eq!(world.state(&id), "pending");
}

#[test]
fn what_is_answered_late_or_never_is_done() {
    let mut world = world();
    fault(&mut world, "RunInstances lost");
    let launch = world.launch().with("ClientToken", "a token");
    let lost = instance_id(&world.ok("RunInstances", launch.clone()));
    assert_eq!((world.account.take_delivery(), world.account.take_delivery()), (Delivery::Lost, Delivery::Prompt));
    assert_eq!(instance_id(&world.ok("RunInstances", launch)), lost, "the token finds it");
    fault(&mut world, "DescribeVpcs late=3");
    world.ok("DescribeVpcs", Structure::new());
    assert_eq!(world.account.take_delivery(), Delivery::Late(Duration::from_secs(3)));
    world.ok("DescribeVpcs", Structure::new());
    assert_eq!(world.account.take_delivery(), Delivery::Prompt);
}

#[test]
fn stuck_instances_stay_in_between() {
    let mut world = world();
    let (within, after) = (Duration::from_secs(500), Duration::from_secs(130));
    let stays = |world: &mut World, id: &str, between: &str, end: &str| {
        world.obey();
        world.pass(within);
        assert_eq!(world.state(id), between);
        world.pass(after);
        world.obey();
        assert_eq!(world.state(id), end);
    };
    fault(&mut world, "RunInstances stuck=600");
    let id = world.run();
    stays(&mut world, &id, "pending", "running");
    fault(&mut world, "StopInstances stuck=600");
    world.ok("StopInstances", ids(&[&id]));
    stays(&mut world, &id, "stopping", "stopped");
    fault(&mut world, "StartInstances stuck=600");
    world.ok("StartInstances", ids(&[&id]));
    stays(&mut world, &id, "pending", "running");
    fault(&mut world, "TerminateInstances stuck=600");
    world.ok("TerminateInstances", ids(&[&id]));
    stays(&mut world, &id, "shutting-down", "terminated");
}

#[test]
fn faults_are_of_actions_that_there_are() {
    let mut world = world();
    let unserved = Fault::of("CreateFleet", FaultKind::Lost, crate::conditions::When::Every(1)).unwrap();
    assert_eq!(world.account.add_fault(unserved).unwrap_err().code, Code::UnsupportedOperation);
    fault(&mut world, "* lost every 2");
    assert_eq!(world.account.faults().len(), 1);
    world.account.clear_faults();
    assert_eq!(world.account.faults(), []);
}
