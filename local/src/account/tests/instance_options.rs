//! What is changed of an instance by an action of its own each.

use super::*;

fn of(id: &str) -> Structure {
    Structure::new().with("InstanceId", id)
}

fn stopped(world: &mut World) -> String {
    let id = world.running();
    world.ok("StopInstances", ids(&[&id]));
    world.settle();
    id
}

#[test]
fn monitoring_is_switched_on_and_off_in_a_while() {
    let mut world = World::with(|settings| settings.pace = 1.0);
    world.patience = Duration::ZERO;
    world.account.set_conditions(Conditions::Calm);
    let id = world.run();
    world.pass(Duration::from_secs(20));
    world.obey();
    let state = |shown: &Structure| shown.structure("Monitoring").unwrap().string("State").unwrap().to_owned();
    assert_eq!(state(&world.instance(&id)), "disabled");
    for (action, at_first, at_last) in
        [("MonitorInstances", "pending", "enabled"), ("UnmonitorInstances", "disabling", "disabled")]
    {
        let answer = world.ok(action, ids(&[&id]));
        assert_eq!(answer.structures("InstanceMonitorings").map(&state).collect::<Vec<_>>(), [at_first]);
        assert_eq!(state(&world.instance(&id)), at_first);
        world.pass(Duration::from_secs(10));
        assert_eq!(state(&world.instance(&id)), at_last);
        let again = world.ok(action, ids(&[&id]));
        assert_eq!(again.structures("InstanceMonitorings").map(&state).collect::<Vec<_>>(), [at_last]);
    }
    world.ok("TerminateInstances", ids(&[&id]));
    world.obey();
    world.pass(Duration::from_secs(100));
    assert!(world.err("MonitorInstances", ids(&[&id])).starts_with("InvalidState"));
}

#[test]
fn an_instance_may_be_named_by_its_id() {
    let mut world = World::new();
    let options = Structure::new().with("HostnameType", "resource-name").with("EnableResourceNameDnsARecord", true);
    let launch = world.launch().with("PrivateDnsNameOptions", options.clone());
    let id = instance_id(&world.ok("RunInstances", launch));
    let Some(Effect::Start(start)) = world.effects.iter().find(|effect| matches!(effect, Effect::Start(_))) else {
        panic!("{:?}", world.effects)
    };
    let name = format!("{id}.ec2.internal");
    assert_eq!(start.machine.hostname, name);
    world.settle();
    let shown = world.instance(&id);
    assert_eq!(shown.string("PrivateDnsName"), Some(name.as_str()));
    assert_eq!(shown.structure("PrivateDnsNameOptions").unwrap().string("HostnameType"), Some("resource-name"));
    let found = world.ok("DescribeInstances", filters(&[("private-dns-name", &[&name])]));
    assert_eq!(found.structures("Reservations").count(), 1);
    let nic = world.account.find(&name).unwrap().nic;
    let address: Ipv4Addr = shown.string("PrivateIpAddress").unwrap().parse().unwrap();
    let other = world.running();
    let others = world.account.find(&other).unwrap().nic;
    assert_eq!(world.account.resource_name(&others, &id), Some(vec![address.into()]));
    assert_eq!(world.account.resource_name(&nic, &other), None, "it has no such record");
    let metadata = world.account.metadata(&nic).unwrap();
    assert!(metadata.tree.contains(&("meta-data/local-hostname".to_owned(), name)));

    let record = |on: bool| of(&id).with("EnableResourceNameDnsARecord", on);
    world.ok("ModifyPrivateDnsNameOptions", record(false));
    assert_eq!(world.account.resource_name(&others, &id), None);
    let by_address = of(&id).with("PrivateDnsHostnameType", "ip-name");
    assert!(world.err("ModifyPrivateDnsNameOptions", by_address.clone()).starts_with("IncorrectInstanceState"));
    world.ok("StopInstances", ids(&[&id]));
    world.settle();
    world.ok("ModifyPrivateDnsNameOptions", by_address);
    assert!(world.instance(&id).string("PrivateDnsName").unwrap().starts_with("ip-"));
    assert!(world.err("ModifyPrivateDnsNameOptions", of(&id)).starts_with("MissingParameter"));

    // A subnet says what holds where a launch doesn't.
    let subnet = shown.string("SubnetId").unwrap().to_owned();
    let subnet = Structure::new().with("SubnetId", subnet);
    world.ok("ModifySubnetAttribute", subnet.clone().with("PrivateDnsHostnameTypeOnLaunch", "resource-name"));
    let on = Structure::new().with("Value", true);
    world.ok("ModifySubnetAttribute", subnet.clone().with("EnableResourceNameDnsARecordOnLaunch", on));
    let launch = world.launch().with_some("SubnetId", subnet.get("SubnetId").cloned());
    let third = instance_id(&world.ok("RunInstances", launch));
    let third = world.instance(&third);
    assert_eq!(third.structure("PrivateDnsNameOptions"), shown.structure("PrivateDnsNameOptions"));
}

#[test]
fn cores_are_those_that_were_asked_for() {
    let mut world = World::new();
    let launch = world.launch().with("InstanceType", "m5.2xlarge").with("ImageId", world.image("blank"));
    let id = instance_id(&world.ok("RunInstances", launch));
    world.settle();
    let options = |cores: i64, threads: i64| of(&id).with("CoreCount", cores).with("ThreadsPerCore", threads);
    assert!(world.err("ModifyInstanceCpuOptions", options(2, 1)).starts_with("IncorrectInstanceState"));
    world.ok("StopInstances", ids(&[&id]));
    world.settle();
    for (cores, threads) in [(3, 2), (2, 3), (0, 1), (64, 2)] {
        let refused = world.err("ModifyInstanceCpuOptions", options(cores, threads));
        assert!(refused.starts_with("InvalidParameterValue"), "{refused}");
    }
    let half = world.err("ModifyInstanceCpuOptions", of(&id).with("CoreCount", 1_i64));
    assert!(half.starts_with("InvalidParameterCombination"), "{half}");
    let answer = world.ok("ModifyInstanceCpuOptions", options(2, 1));
    assert_eq!((answer.integer("CoreCount"), answer.integer("ThreadsPerCore")), (Some(2), Some(1)));
    let shown = world.instance(&id);
    assert_eq!(shown.structure("CpuOptions").unwrap().integer("CoreCount"), Some(2));
    world.ok("StartInstances", ids(&[&id]));
    let started = world.effects.iter().find_map(|effect| match effect {
        Effect::Start(start) => Some(start.machine.vcpus),
        _ => None,
    });
    assert_eq!(started, Some(2));
}

#[test]
fn credits_change_where_they_can() {
    let mut world = World::new();
    let first = world.running();
    let launch = world.launch().with("InstanceType", "m5.large").with("ImageId", world.image("blank"));
    let second = instance_id(&world.ok("RunInstances", launch));
    world.settle();
    let one = |id: &str, credits: &str| of(id).with("CpuCredits", credits);
    let asked = |all: Vec<Structure>| Structure::new().with("InstanceCreditSpecifications", all);
    let lost = "i-0123456789abcdef0";
    let all = asked(vec![one(&first, "standard"), one(&second, "standard"), one(lost, "unlimited")]);
    let answer = world.ok("ModifyInstanceCreditSpecification", all.with("ClientToken", "once"));
    let done = answer.structures("SuccessfulInstanceCreditSpecifications");
    assert_eq!(done.map(|done| done.string("InstanceId").unwrap()).collect::<Vec<_>>(), [&first]);
    let refused = answer.structures("UnsuccessfulInstanceCreditSpecifications");
    let refused = refused
        .map(|item| (item.string("InstanceId").unwrap(), item.structure("Error").unwrap().string("Code").unwrap()));
    let expected =
        [(second.as_str(), "InstanceCreditSpecification.NotSupported"), (lost, "InvalidInstanceID.NotFound")];
    assert_eq!(refused.collect::<Vec<_>>(), expected);
    let described = world.ok("DescribeInstanceCreditSpecifications", ids(&[&first]));
    let described = described.structures("InstanceCreditSpecifications").next().unwrap();
    assert_eq!(described.string("CpuCredits"), Some("standard"));
    let twice = asked(vec![one(&first, "standard"), one(&first, "unlimited")]);
    let twice = world.err("ModifyInstanceCreditSpecification", twice);
    assert!(twice.starts_with("InvalidInstanceCreditSpecification.DuplicateInstanceId"), "{twice}");
    let other = asked(vec![one(&first, "unlimited")]).with("ClientToken", "once");
    assert!(world.err("ModifyInstanceCreditSpecification", other).starts_with("IdempotentParameterMismatch"));
}

#[test]
fn placement_and_maintenance_are_what_can_be_had() {
    let mut world = World::new();
    let id = stopped(&mut world);
    for (member, value) in [("Tenancy", "default"), ("Affinity", "default"), ("GroupName", "")] {
        assert_eq!(world.ok("ModifyInstancePlacement", of(&id).with(member, value)).boolean("Return"), Some(true));
    }
    for (member, value) in
        [("Tenancy", "dedicated"), ("Affinity", "host"), ("GroupName", "g"), ("HostId", "h-1"), ("GroupId", "pg-1")]
    {
        let refused = world.err("ModifyInstancePlacement", of(&id).with(member, value));
        assert!(refused.starts_with("UnsupportedOperation") && refused.contains(member), "{refused}");
    }
    let running = world.running();
    let refused = world.err("ModifyInstancePlacement", of(&running).with("Tenancy", "default"));
    assert!(refused.starts_with("InvalidInstanceState"), "{refused}");
    world.ok("ModifyInstanceMaintenanceOptions", of(&id).with("AutoRecovery", "disabled"));
    let shown = world.instance(&id);
    assert_eq!(shown.structure("MaintenanceOptions").unwrap().string("AutoRecovery"), Some("disabled"));
}

#[test]
fn defaults_of_metadata_hold_where_a_launch_says_nothing() {
    let mut world = World::new();
    let defaults = Structure::new().with("HttpTokens", "required").with("HttpPutResponseHopLimit", 3_i64);
    world.ok("ModifyInstanceMetadataDefaults", defaults.with("InstanceMetadataTags", "enabled"));
    let got = world.ok("GetInstanceMetadataDefaults", Structure::new());
    let level = got.structure("AccountLevel").unwrap();
    assert_eq!((level.string("HttpTokens"), level.integer("HttpPutResponseHopLimit")), (Some("required"), Some(3)));
    assert_eq!((level.string("HttpEndpoint"), level.string("ManagedBy")), (None, Some("account")));
    let id = world.run();
    let shown = world.instance(&id);
    let shown = shown.structure("MetadataOptions").unwrap();
    assert_eq!(shown.string("HttpTokens"), Some("required"));
    assert_eq!(shown.string("InstanceMetadataTags"), Some("enabled"));
    let own = world.launch().with("MetadataOptions", Structure::new().with("HttpTokens", "optional"));
    let own = instance_id(&world.ok("RunInstances", own));
    let own = world.instance(&own);
    let own = own.structure("MetadataOptions").unwrap();
    assert_eq!((own.string("HttpTokens"), own.integer("HttpPutResponseHopLimit")), (Some("optional"), Some(3)));
    let none = Structure::new().with("HttpTokens", "no-preference").with("HttpPutResponseHopLimit", -1_i64);
    world.ok("ModifyInstanceMetadataDefaults", none.with("InstanceMetadataTags", "no-preference"));
    let plain = world.run();
    let plain = world.instance(&plain);
    let plain = plain.structure("MetadataOptions").unwrap();
    assert_eq!((plain.string("HttpTokens"), plain.integer("HttpPutResponseHopLimit")), (Some("optional"), Some(1)));
}

#[test]
fn what_is_only_asked_or_told() {
    let mut world = World::new();
    let id = world.running();
    let password = world.ok("GetPasswordData", of(&id));
    assert_eq!(password.string("PasswordData"), Some(""));
    world.ok("ModifyInstanceAttribute", of(&id).with("SourceDestCheck", Structure::new().with("Value", false)));
    world.ok("ResetInstanceAttribute", of(&id).with("Attribute", "sourceDestCheck"));
    assert_eq!(world.instance(&id).boolean("SourceDestCheck"), Some(true));
    let kernel = world.err("ResetInstanceAttribute", of(&id).with("Attribute", "kernel"));
    assert!(kernel.starts_with("UnsupportedInstanceAttribute"), "{kernel}");
    for (action, on) in [("EnableSerialConsoleAccess", true), ("DisableSerialConsoleAccess", false)] {
        world.ok(action, Structure::new());
        let status = world.ok("GetSerialConsoleAccessStatus", Structure::new());
        assert_eq!(status.boolean("SerialConsoleAccessEnabled"), Some(on));
    }
    let report = Structure::new().with("Instances", vec![id.as_str()]).with("Status", "impaired");
    let report = report.with("ReasonCodes", vec!["unresponsive"]);
    world.ok("ReportInstanceStatus", report.clone());
    let [early, late] = [world.now, world.now + Duration::from_secs(60)];
    let turned = report.with("StartTime", late).with("EndTime", early);
    assert!(world.err("ReportInstanceStatus", turned).starts_with("InvalidParameterCombination"));
    for options in ["EnclaveOptions", "HibernationOptions"] {
        let member = if options == "EnclaveOptions" { "Enabled" } else { "Configured" };
        let launch = world.launch().with(options, Structure::new().with(member, false));
        world.ok("RunInstances", launch.clone());
        let refused = world.err("RunInstances", launch.with(options, Structure::new().with(member, true)));
        assert!(refused.starts_with("UnsupportedOperation") && refused.contains(options), "{refused}");
    }
}
