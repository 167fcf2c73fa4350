//! Elastic addresses.

use super::{
    network_interfaces::{addresses, described, interface, named, subnet_of},
    *,
};

/// Allocates one: its id and the address.
fn allocate(world: &mut World) -> (String, String) {
    let answer = world.ok("AllocateAddress", Structure::new().with("Domain", "vpc"));
    (answer.string("AllocationId").unwrap().to_owned(), answer.string("PublicIp").unwrap().to_owned())
}

fn allocation(id: &str) -> Structure {
    Structure::new().with("AllocationId", id)
}

fn associate(world: &mut World, id: &str, instance: &str) -> String {
    let answer = world.ok("AssociateAddress", allocation(id).with("InstanceId", instance));
    answer.string("AssociationId").unwrap().to_owned()
}

fn public(world: &mut World, instance: &str) -> Option<String> {
    world.instance(instance).string("PublicIpAddress").map(str::to_owned)
}

#[test]
fn one_takes_the_place_of_the_address_that_came_by_itself_and_stays() {
    let mut world = World::new();
    let id = world.running();
    let before = public(&mut world, &id).unwrap();
    let (eip, address) = allocate(&mut world);
    let association = associate(&mut world, &eip, &id);
    assert_eq!(public(&mut world, &id), Some(address.clone()));
    assert!(world.account.find(&before).is_none());
    assert_eq!(world.account.find(&address).unwrap().instance, id);
    assert!(world.instance(&id).string("PublicDnsName").unwrap().contains(&address.replace('.', "-")));
    let nic = world.instance(&id).structures("NetworkInterfaces").next().unwrap().clone();
    assert_eq!(nic.structure("Association").unwrap().string("PublicIp"), Some(address.as_str()));
    let by_allocation = filters(&[("network-interface.association.allocation-id", &[&eip])]);
    assert_eq!(world.ok("DescribeInstances", by_allocation).list("Reservations").len(), 1);
    let shown = described(&mut world, nic.string("NetworkInterfaceId").unwrap());
    let shown = shown.structure("Association").unwrap();
    assert_eq!((shown.string("AllocationId"), shown.string("IpOwnerId")), (Some(eip.as_str()), Some("000000000000")));
    let tree = world.account.metadata(nic.string("NetworkInterfaceId").unwrap()).unwrap().tree;
    assert!(tree.contains(&("meta-data/public-ipv4".to_owned(), address.clone())));
    assert_eq!(associate(&mut world, &eip, &id), association, "it is so already");

    world.ok("StopInstances", ids(&[&id]));
    world.settle();
    assert_eq!(public(&mut world, &id), Some(address.clone()));
    world.ok("StartInstances", ids(&[&id]));
    world.settle();
    assert_eq!(public(&mut world, &id), Some(address.clone()));
    let busy = world.err("ReleaseAddress", allocation(&eip));
    assert_eq!(busy, format!("InvalidIPAddress.InUse: Address {address} is in use."));
    world.ok("DisassociateAddress", Structure::new().with("AssociationId", association.as_str()));
    let again = public(&mut world, &id).expect("one of its own again");
    assert!(again != address && again != before);
    let gone = world.err("DisassociateAddress", Structure::new().with("AssociationId", association.as_str()));
    let expected = format!("InvalidAssociationID.NotFound: The association ID '{association}' does not exist");
    assert_eq!(gone, expected);
    world.ok("ReleaseAddress", allocation(&eip));
    assert!(world.err("ReleaseAddress", allocation(&eip)).starts_with("InvalidAllocationID.NotFound: "));
    assert_eq!(world.account.whole(), Ok(()));
}

#[test]
fn it_moves_unless_it_must_not() {
    let mut world = World::new();
    let (one, other) = (world.running(), world.running());
    let (eip, address) = allocate(&mut world);
    let association = associate(&mut world, &eip, &one);
    let strict = allocation(&eip).with("InstanceId", other.as_str()).with("AllowReassociation", false);
    let refused = world.err("AssociateAddress", strict);
    let expected =
        format!("Resource.AlreadyAssociated: resource {eip} is already associated with associate-id {association}");
    assert_eq!(refused, expected);
    associate(&mut world, &eip, &other);
    assert_eq!(public(&mut world, &other), Some(address.clone()));
    let again = public(&mut world, &one).expect("one of its own again");
    assert_ne!(again, address);
    world.ok("TerminateInstances", ids(&[&other]));
    world.settle();
    let shown = world.ok("DescribeAddresses", Structure::new().with("PublicIps", vec![address.as_str()]));
    let shown = shown.structures("Addresses").next().unwrap();
    assert_eq!((shown.string("AssociationId"), shown.string("InstanceId")), (None, None));
    assert_eq!(world.account.whole(), Ok(()));
}

#[test]
fn one_is_for_any_private_address_and_goes_with_it() {
    let mut world = World::new();
    let id = world.running();
    let subnet = subnet_of(&mut world, &id, true);
    let (one, other) = (interface(&mut world, &subnet), interface(&mut world, &subnet));
    world.ok("AssignPrivateIpAddresses", named(&one).with("SecondaryPrivateIpAddressCount", 1_i64));
    let secondary = addresses(&described(&mut world, &one))[1].clone();
    let (eip, address) = allocate(&mut world);
    let bind = allocation(&eip).with("NetworkInterfaceId", one.as_str()).with("PrivateIpAddress", secondary.as_str());
    let bound = world.ok("AssociateAddress", bind.clone());
    let own = addresses(&described(&mut world, &one))[0].clone();
    let to_own = allocation(&eip).with("NetworkInterfaceId", one.as_str()).with("PrivateIpAddress", own.as_str());
    assert_ne!(world.ok("AssociateAddress", to_own), bound, "it moves within its interface, too");
    let filter = filters(&[("private-ip-address", &[&own])]);
    assert_eq!(world.ok("DescribeAddresses", filter).list("Addresses").len(), 1);
    world.ok("AssociateAddress", bind);
    let filter = filters(&[("private-ip-address", &[&secondary]), ("network-interface-id", &[&one])]);
    assert_eq!(world.ok("DescribeAddresses", filter).list("Addresses").len(), 1);
    let attached = named(&one).with("InstanceId", id.as_str()).with("DeviceIndex", 1_i64);
    world.ok("AttachNetworkInterface", attached);
    let found = world.account.find(&address).unwrap();
    assert_eq!(
        (found.instance, found.nic, found.address.unwrap().to_string()),
        (id.clone(), one.clone(), secondary.clone())
    );
    let several = world.err("AssociateAddress", allocation(&eip).with("InstanceId", id.as_str()));
    assert!(several.starts_with("InvalidInstanceID: There are multiple interfaces attached"), "{several}");
    let moved = named(&other).with("PrivateIpAddresses", vec![secondary.as_str()]).with("AllowReassignment", true);
    world.ok("AssignPrivateIpAddresses", moved);
    assert_eq!(world.account.whole(), Ok(()));
    let shown = described(&mut world, &other);
    let association = shown.structures("PrivateIpAddresses").nth(1).unwrap().structure("Association").unwrap();
    assert_eq!(association.string("PublicIp"), Some(address.as_str()));
    world.ok("UnassignPrivateIpAddresses", named(&other).with("PrivateIpAddresses", vec![secondary]));
    world.ok("ReleaseAddress", Structure::new().with("PublicIp", address));
    assert_eq!(world.account.whole(), Ok(()));
}

#[test]
fn there_are_five_and_none_by_wish() {
    let mut world = World::new();
    for _ in 0..5 {
        allocate(&mut world);
    }
    let full = world.err("AllocateAddress", Structure::new());
    assert_eq!(full, "AddressLimitExceeded: The maximum number of addresses has been reached.");
    let wish = world.err("AllocateAddress", Structure::new().with("Address", "127.1.2.3"));
    assert!(wish.starts_with("UnsupportedOperation: The parameter Address "), "{wish}");
    let pending = world.run();
    let (eip, _) = {
        let shown = world.ok("DescribeAddresses", Structure::new());
        let first = shown.structures("Addresses").next().unwrap();
        (first.string("AllocationId").unwrap().to_owned(), ())
    };
    let early = world.err("AssociateAddress", allocation(&eip).with("InstanceId", pending.as_str()));
    let expected =
        format!("InvalidInstanceID: The pending instance '{pending}' is not in a valid state for this operation.");
    assert_eq!(early, expected);
    let lost = world.err("DescribeAddresses", Structure::new().with("PublicIps", vec!["127.9.9.9"]));
    assert_eq!(lost, "InvalidAddress.NotFound: Address '127.9.9.9' not found.");
}

#[test]
fn names_in_reverse_are_kept() {
    let mut world = World::new();
    let (eip, address) = allocate(&mut world);
    let set = world.ok("ModifyAddressAttribute", allocation(&eip).with("DomainName", "mail.example.com"));
    let update = set.structure("Address").unwrap().structure("PtrRecordUpdate").unwrap();
    assert_eq!((update.string("Value"), update.string("Status")), (Some("mail.example.com."), Some("PENDING")));
    let ask = Structure::new().with("Attribute", "domain-name");
    let shown = world.ok("DescribeAddressesAttribute", ask.clone());
    let shown = shown.structures("Addresses").next().unwrap();
    assert_eq!(
        (shown.string("PublicIp"), shown.string("PtrRecord")),
        (Some(address.as_str()), Some("mail.example.com."))
    );
    world.ok("ResetAddressAttribute", allocation(&eip).with("Attribute", "domain-name"));
    let shown = world.ok("DescribeAddressesAttribute", ask);
    assert_eq!(shown.structures("Addresses").next().unwrap().string("PtrRecord"), None);
    assert!(
        world
            .err("ModifyAddressAttribute", allocation(&eip).with("DomainName", "no name"))
            .starts_with("InvalidParameterValue: ")
    );
}
