//! Points in time: of whole seconds, as EC2 shows them, but for those that have milliseconds there.

use super::*;

#[test]
fn times_are_of_whole_seconds_but_for_that_of_a_volume() {
    let mut world = World::new();
    world.pass(Duration::from_millis(345));
    world.ok("CreateKeyPair", Structure::new().with("KeyName", "k").with("KeyType", "ed25519"));
    let launch = world.launch();
    let id = instance_id(&world.ok("RunInstances", launch));
    let whole = |structure: &Structure, member: &str| match structure.get(member) {
        Some(crate::wire::Value::Timestamp(time)) => time.nanosecond() == 0,
        other => panic!("{member} is {other:?}"),
    };
    let instance = world.instance(&id);
    assert!(whole(&instance, "LaunchTime") && whole(&instance, "UsageOperationUpdateTime"), "{instance:?}");
    let mapping = instance.structures("BlockDeviceMappings").next().unwrap();
    assert!(whole(mapping.structure("Ebs").unwrap(), "AttachTime"), "{mapping:?}");
    let interface = instance.structures("NetworkInterfaces").next().unwrap();
    assert!(whole(interface.structure("Attachment").unwrap(), "AttachTime"), "{interface:?}");
    let key = world.ok("DescribeKeyPairs", Structure::new());
    assert!(whole(key.structures("KeyPairs").next().unwrap(), "CreateTime"), "{key:?}");
    let console = world.ok("GetConsoleOutput", Structure::new().with("InstanceId", id.as_str()));
    assert!(whole(&console, "Timestamp"), "{console:?}");
    let volumes = world.ok("DescribeVolumes", Structure::new());
    let volume = volumes.structures("Volumes").next().unwrap();
    assert!(!whole(volume, "CreateTime"), "{volume:?}");
    assert!(whole(volume.structures("Attachments").next().unwrap(), "AttachTime"), "{volume:?}");
    // A filter goes by what is shown.
    let shown = Structure::new()
        .with("Filters", vec![Structure::new().with("Name", "launch-time").with("Values", vec!["*.000Z"])]);
    assert_eq!(world.ok("DescribeInstances", shown).list("Reservations").len(), 1);
}
