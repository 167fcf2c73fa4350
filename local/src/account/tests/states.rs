//! What can be done with an instance in each of its states.

use super::*;

/// An instance in a state; `pending` is of a first start, and `restarting` of a later one.
fn instance_in(world: &mut World, state: &str) -> String {
    let id = world.run();
    if state == "pending" {
        return id;
    }
    world.settle();
    let named = ids(&[&id]);
    match state {
        "running" => {}
        "stopping" => _ = world.ok("StopInstances", named),
        "shutting-down" => _ = world.ok("TerminateInstances", named),
        "terminated" => {
            world.ok("TerminateInstances", named);
            world.settle();
        }
        _ => {
            world.ok("StopInstances", named.clone());
            world.settle();
            if state == "restarting" {
                world.ok("StartInstances", named);
            }
        }
    }
    id
}

/// A change of an attribute of an instance.
fn change(id: &str, member: &'static str, value: impl Into<crate::wire::Value>) -> Structure {
    Structure::new().with("InstanceId", id).with(member, Structure::new().with("Value", value))
}

#[test]
fn each_state_allows_what_it_allows_on_ec2() {
    const STATES: [&str; 7] =
        ["pending", "running", "stopping", "stopped", "restarting", "shutting-down", "terminated"];
    const ANY: &str = "ooooo--";
    const STOPPED: &str = "---o---";
    let instance_type = |id: &str| {
        let name = if Architecture::host() == Architecture::Arm64 { "t4g.small" } else { "t3.small" };
        change(id, "InstanceType", name)
    };
    type Input<'a> = &'a dyn Fn(&str) -> Structure;
    let cases: [(&str, Input<'_>, &str); 14] = [
        ("StartInstances", &|id| ids(&[id]), "oo-oo--"),
        ("StopInstances", &|id| ids(&[id]), "-oooo--"),
        ("RebootInstances", &|id| ids(&[id]), "oo--o-o"),
        ("TerminateInstances", &|id| ids(&[id]), "ooooooo"),
        (
            "ModifyInstanceMetadataOptions",
            &|id| Structure::new().with("InstanceId", id).with("HttpTokens", "required"),
            "-o-o---",
        ),
        ("ModifyInstanceAttribute", &instance_type, STOPPED),
        ("ModifyInstanceAttribute", &|id| change(id, "UserData", crate::wire::Value::Blob(b"x".to_vec())), STOPPED),
        ("ModifyInstanceAttribute", &|id| change(id, "EbsOptimized", true), STOPPED),
        ("ModifyInstanceAttribute", &|id| change(id, "DisableApiTermination", false), ANY),
        ("ModifyInstanceAttribute", &|id| change(id, "DisableApiStop", false), ANY),
        ("ModifyInstanceAttribute", &|id| change(id, "SourceDestCheck", false), ANY),
        ("ModifyInstanceAttribute", &|id| change(id, "InstanceInitiatedShutdownBehavior", "terminate"), ANY),
        ("GetConsoleOutput", &|id| Structure::new().with("InstanceId", id), "ooooooo"),
        ("DescribeInstanceStatus", &|id| ids(&[id]), "ooooooo"),
    ];
    for (at, state) in STATES.into_iter().enumerate() {
        for (action, input, allowed) in &cases {
            let mut world = World::new();
            let id = instance_in(&mut world, state);
            let shown = world.state(&id);
            assert_eq!(shown, if state == "restarting" { "pending" } else { state });
            let input = input(&id);
            let answer = world.call(action, input.clone());
            let expected = if allowed.as_bytes()[at] == b'o' { None } else { Some(Code::IncorrectInstanceState) };
            assert_eq!(answer.err().map(|error| error.code), expected, "{action} {input:?} in {state}");
        }
    }
}

#[test]
fn what_never_ran_can_not_be_stopped_and_the_message_is_ec2s() {
    let mut world = World::new();
    let id = world.run();
    let error = world.err("StopInstances", ids(&[&id]));
    let reason = format!("Instance '{id}' cannot be stopped as it has never reached the 'running' state.");
    assert_eq!(error, format!("IncorrectInstanceState: {reason}"));
    world.settle();
    let error = world.err("ModifyInstanceAttribute", change(&id, "InstanceType", "t3.small"));
    assert_eq!(error, format!("IncorrectInstanceState: The instance '{id}' is not in the 'stopped' state."));
}

#[test]
fn metadata_options_are_pending_until_they_are_applied() {
    let mut world = World::new();
    let launch = world.launch();
    let launched = world.ok("RunInstances", launch);
    let state = |options: Option<&Structure>| options.unwrap().string("State").unwrap().to_owned();
    assert_eq!(state(first_instance(&launched).structure("MetadataOptions")), "pending");
    world.settle();
    let id = instance_id(&launched);
    assert_eq!(state(world.instance(&id).structure("MetadataOptions")), "applied");
    let options = Structure::new().with("InstanceId", id.as_str()).with("HttpTokens", "required");
    let answer = world.ok("ModifyInstanceMetadataOptions", options);
    assert_eq!(state(answer.structure("InstanceMetadataOptions")), "pending");
    assert_eq!(state(world.instance(&id).structure("MetadataOptions")), "applied");
}
