//! Network interfaces beside the first: added, configured, reached, taken away.

use super::support::{TYPES, block_on, ec2, eventually, insist, sdk};
use ec2_harness::prelude::*;

/// Whether EC2 has an interface no more.
fn is_gone(ec2: &Ec2, id: &str) -> bool {
    let describe = sdk(ec2).describe_network_interfaces().network_interface_ids(id);
    insist(|| match block_on(describe.clone().send()) {
        Err(error) if format!("{error:?}").contains("InvalidNetworkInterfaceID.NotFound") => Ok(true),
        other => other.map(|answer| answer.network_interfaces().is_empty()).map_err(Box::new),
    })
}

/// The elastic addresses that bear a name.
fn tagged(ec2: &Ec2, name: &str) -> Vec<aws_sdk_ec2::types::Address> {
    let by_name = aws_sdk_ec2::types::Filter::builder().name("tag:Name").values(name).build();
    let describe = sdk(ec2).describe_addresses().filters(by_name);
    insist(|| block_on(describe.clone().send()).map_err(Box::new)).addresses.unwrap_or_default()
}

fn addresses(ec2: &Ec2, name: &str) -> usize {
    tagged(ec2, name).len()
}

#[test]
fn what_is_added_is_configured_reached_and_ends_with_its_machine() {
    let ec2 = ec2();
    let one = ec2.launch("host").wait().unwrap();
    if one.exec("PATH=$PATH:/sbin:/usr/sbin; command -v ip").unchecked().wait().unwrap().status.code() != Some(0) {
        assert!(std::env::var_os("EC2_HARNESS_NO_SKIP").is_none(), "iproute2 is not installed");
        return eprintln!("skipped: iproute2 is not installed");
    }
    let subnet = one.last_described().unwrap().subnet_id().unwrap().to_owned();
    let other = ec2.launch("host").subnet(subnet).instance_types(TYPES).wait().unwrap();
    let public = one.public_ip();
    let added = one.add_network_interface(NewNetworkInterface::new().addresses(2).configured()).wait().unwrap();
    assert_eq!((added.device_index(), added.private_ips().len()), (Some(1), 2));
    assert_eq!(added.describe().wait().unwrap().attachment().unwrap().delete_on_termination(), Some(true));
    one.describe().wait().unwrap();
    assert_eq!(one.public_ip(), public, "it keeps its address");
    for address in added.private_ips() {
        let greeting =
            other.exec(format!("timeout 20 bash -c 'exec 3<>/dev/tcp/{address}/22; head -c 4 <&3'")).wait().unwrap();
        assert_eq!(greeting.stdout, "SSH-");
    }
    drop(one);
    eventually("the interface ends with its machine", || is_gone(&ec2, added.id()));
    assert_eq!(added.describe().wait().unwrap_err().kind(), ErrorKind::Ended);
}

#[test]
fn one_is_taken_away_and_its_index_is_free_again() {
    let ec2 = ec2();
    let vm = ec2.launch("host").wait().unwrap();
    for _ in 0..2 {
        let added = vm.add_network_interface(NewNetworkInterface::new()).wait().unwrap();
        assert_eq!(added.device_index(), Some(1));
        let mac = added.mac_address().unwrap();
        vm.exec(format!("grep -qx {mac} /sys/class/net/*/address")).wait().unwrap();
        added.remove().wait().unwrap();
        eventually("the interface is gone", || is_gone(&ec2, added.id()));
        assert!(
            vm.exec(format!("grep -qx {mac} /sys/class/net/*/address")).unchecked().wait().unwrap().status.code()
                != Some(0)
        );
    }
}

#[test]
fn a_public_address_goes_with_its_machine() {
    let (ec2, name) = (ec2(), super::support::unique("public"));
    let vm = ec2.launch("host").name(&name).wait().unwrap();
    let added = vm.add_network_interface(NewNetworkInterface::new().public()).wait().unwrap();
    assert!(added.public_ip().is_some_and(|public| Some(public) != vm.public_ip()));
    eventually("the address is shown", || addresses(&ec2, &name) == 1);
    drop(vm);
    eventually("the address is released", || addresses(&ec2, &name) == 0);
}

#[test]
fn a_public_address_stays_with_a_machine_that_is_kept() {
    let (ec2, name) = (ec2(), super::support::unique("kept"));
    let vm = ec2.launch("host").name(&name).wait().unwrap();
    let added = vm.add_network_interface(NewNetworkInterface::new().public()).wait().unwrap();
    let (kept, id) = (vm.keep().wait().unwrap(), added.public_ip());
    eventually("the address is kept", || addresses(&ec2, &name) == 1);
    // It holds on to nothing that would end with the last of its handles.
    let instance = kept.id().to_owned();
    drop((kept, added));
    std::thread::sleep(2.secs());
    eventually("the address is still there", || addresses(&ec2, &name) == 1);
    let again = ec2.instance(&instance).wait().unwrap();
    let described = again.describe().wait().unwrap();
    let public: Vec<_> = described.network_interfaces().iter().filter_map(|it| it.association()?.public_ip()).collect();
    assert!(public.contains(&&*id.unwrap().to_string()), "{public:?}");
    again.terminate().wait().unwrap();
    for address in tagged(&ec2, &name) {
        assert!(address.tags().iter().any(|tag| tag.key() == Some("ec2-harness:kept")), "{address:?}");
        ec2.sweep().instance(address.allocation_id().unwrap()).wait().unwrap();
    }
    eventually("the address is swept by its id", || addresses(&ec2, &name) == 0);
}

#[test]
fn who_ends_a_kept_machine_ends_its_public_address() {
    let (ec2, name) = (ec2(), super::support::unique("kept"));
    let vm = ec2.launch("host").name(&name).wait().unwrap();
    vm.add_network_interface(NewNetworkInterface::new().public()).wait().unwrap();
    vm.keep().wait().unwrap().terminate().wait().unwrap();
    eventually("the address is released", || addresses(&ec2, &name) == 0);
}

#[ec2_test(instance_type = "t3.micro")]
async fn arguments_are_checked_before_anything_is_made(vm: Instance, ec2: Ec2) -> Result {
    let described = vm.describe().await?;
    let subnet = described.subnet_id().unwrap().to_owned();
    let of_subnet = aws_sdk_ec2::types::Filter::builder()
        .name("tag:ec2-harness:test")
        .values("network_interfaces::arguments_are_checked_before_anything_is_made")
        .build();
    let added = vm.add_network_interface(NewNetworkInterface::new()).await?;
    for (wanted, says) in [
        (NewNetworkInterface::new().addresses(9), "1 to 2 IPv4 addresses, not 9"),
        (NewNetworkInterface::new().addresses(0), "1 to 2 IPv4 addresses, not 0"),
        (NewNetworkInterface::new().subnet(&subnet).ipv6_addresses(7), "2 IPv6 addresses at most, not 7"),
    ] {
        let error = vm.add_network_interface(wanted).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    added.remove().await?;
    for (wanted, says) in [
        (NewNetworkInterface::new().subnet("subnet-0123456789abcdef0"), "subnet-0123456789abcdef0"),
        (NewNetworkInterface::new().security_groups(["sg-0123456789abcdef0"]), "sg-0123456789abcdef0"),
        (NewNetworkInterface::new().ipv6_addresses(1), "IPv6"),
    ] {
        let error = vm.add_network_interface(wanted).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    let client = sdk(&ec2);
    let left = client.describe_network_interfaces().filters(of_subnet).send().await?;
    let left: Vec<_> =
        left.network_interfaces().iter().filter_map(|interface| interface.attachment()?.device_index()).collect();
    assert_eq!(left, [0], "only the machine's own");
    Ok(())
}

#[ec2_test(extra_nics = 1)]
async fn those_of_a_launch_come_after_it(vm: Instance) -> Result {
    assert!(vm.public_ip().is_some());
    let [added] = &vm.network_interfaces()[..] else { panic!("{:?}", vm.network_interfaces()) };
    assert_eq!(added.device_index(), Some(1));
    vm.assert(command(format!("grep -li {} /sys/class/net/*/address", added.mac_address().unwrap())).succeeds())
        .await?;
    let second = vm.add_network_interface(NewNetworkInterface::new().name("second")).await;
    // The default type takes two.
    assert!(second.unwrap_err().to_string().contains("takes 2 interfaces"));
    added.remove().await?;
    assert!(vm.network_interfaces().is_empty());
    Ok(())
}

#[ec2_test(vm(three, instance_type = "t3.medium", extra_nics = 2))]
async fn those_of_one_machine_are_its_own(one: Instance, three: Instance) -> Result {
    assert!(one.network_interfaces().is_empty());
    let indexes: Vec<_> = three.network_interfaces().iter().map(NetworkInterface::device_index).collect();
    assert_eq!(indexes, [Some(1), Some(2)]);
    Ok(())
}

#[ec2_test]
async fn more_than_a_type_takes_are_refused_before_a_launch(ec2: Ec2) -> Result {
    let interfaces = |count| vec![NewNetworkInterface::new(); count];
    let launch = |count| ec2.launch("host").instance_type("t3.micro").network_interfaces(interfaces(count));
    let error = launch(2).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("t3.micro takes 2 interfaces, and it would have 3"), "{error}");
    let error = launch(1).without_waiting().await.unwrap_err();
    assert!(error.to_string().contains("leave out `.without_waiting()`"), "{error}");
    let of_test = aws_sdk_ec2::types::Filter::builder()
        .name("tag:ec2-harness:test")
        .values("network_interfaces::more_than_a_type_takes_are_refused_before_a_launch")
        .build();
    let found = sdk(&ec2).describe_instances().filters(of_test).send().await?;
    assert!(found.reservations().is_empty());
    Ok(())
}
