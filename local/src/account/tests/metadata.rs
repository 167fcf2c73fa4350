//! Metadata says from within what Describe says from without.

use super::*;

#[test]
fn metadata_and_describe_agree() {
    let mut world = World::new();
    world.ok("CreateKeyPair", Structure::new().with("KeyName", "my key").with("KeyType", "ed25519"));
    let tag = Structure::new().with("Key", "role").with("Value", "web");
    let options = Structure::new().with("InstanceMetadataTags", "enabled").with("HttpTokens", "required");
    let launch = world
        .launch()
        .with("KeyName", "my key")
        .with("UserData", "aGVsbG8")
        .with("MetadataOptions", options)
        .with("TagSpecifications", vec![Structure::new().with("ResourceType", "instance").with("Tags", vec![tag])]);
    let id = instance_id(&world.ok("RunInstances", launch));
    let nic = world.account.find(&id).unwrap().nic;
    let early = world.account.metadata(&nic).unwrap();
    assert!(!early.tree.iter().any(|(path, _)| path.contains("public-ipv4")), "none while pending");
    world.settle();
    let metadata = world.account.metadata(&nic).unwrap();
    let instance = world.instance(&id);
    let get = |path: &str| metadata.tree.iter().find(|(p, _)| p == path).map(|(_, content)| content.as_str());
    assert!(metadata.enabled && metadata.token_required);
    assert_eq!(metadata.user_data.as_deref(), Some(&b"hello"[..]));
    for (path, member) in [
        ("meta-data/ami-id", "ImageId"),
        ("meta-data/hostname", "PrivateDnsName"),
        ("meta-data/instance-id", "InstanceId"),
        ("meta-data/instance-type", "InstanceType"),
        ("meta-data/local-hostname", "PrivateDnsName"),
        ("meta-data/local-ipv4", "PrivateIpAddress"),
        ("meta-data/public-ipv4", "PublicIpAddress"),
        ("meta-data/public-hostname", "PublicDnsName"),
    ] {
        assert_eq!(get(path), instance.string(member), "{path}");
    }
    let name = get("meta-data/local-hostname").unwrap();
    assert_eq!(world.account.private_domain(&nic).as_deref(), name.split_once('.').map(|(_, domain)| domain));
    let interface = instance.structures("NetworkInterfaces").next().unwrap();
    let mac = interface.string("MacAddress").unwrap();
    assert_eq!(get("meta-data/mac"), Some(mac));
    for (name, member) in [
        ("interface-id", "NetworkInterfaceId"),
        ("subnet-id", "SubnetId"),
        ("vpc-id", "VpcId"),
        ("local-ipv4s", "PrivateIpAddress"),
        ("owner-id", "OwnerId"),
    ] {
        assert_eq!(get(&format!("meta-data/network/interfaces/macs/{mac}/{name}")), interface.string(member), "{name}");
    }
    assert_eq!(get(&format!("meta-data/network/interfaces/macs/{mac}/device-number")), Some("0"));
    assert_eq!(get(&format!("meta-data/network/interfaces/macs/{mac}/subnet-ipv4-cidr-block")), Some("172.31.0.0/20"));
    assert_eq!(get("meta-data/placement/availability-zone"), Some("us-east-1a"));
    assert_eq!(get("meta-data/placement/region"), Some(REGION));
    assert_eq!(get("meta-data/security-groups"), Some("default"));
    assert_eq!(get("meta-data/tags/instance/role"), Some("web"));
    assert!(get("meta-data/public-keys/0/openssh-key").unwrap().ends_with(" my key\n"));
    let document: serde_json::Value = serde_json::from_str(get("dynamic/instance-identity/document").unwrap()).unwrap();
    assert_eq!(document["instanceId"], id.as_str());
    assert_eq!(document["region"], REGION);
    assert_eq!(document["privateIp"], instance.string("PrivateIpAddress").unwrap());
    assert_eq!(document["pendingTime"], "2026-11-22T12:00:00Z");

    // A name is either a value or a listing, never both: cloud-init drops everything where a listed name fails.
    let paths: Vec<&str> = metadata.tree.iter().map(|(path, _)| path.as_str()).collect();
    for path in &paths {
        assert!(
            !paths.iter().any(|other| other.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))),
            "{path}"
        );
        assert_eq!(paths.iter().filter(|other| other == &path).count(), 1, "{path}");
    }
    world.ok("TerminateInstances", ids(&[&id]));
    world.settle();
    assert_eq!(world.account.metadata(&nic), None);
    assert_eq!(world.account.metadata("nonsense"), None);
}
