//! Interfaces that come to machines and go.

use crate::{endpoint::eventually, machines::Machines};

/// An interface comes to a machine that runs, down, with all that is its; it is reached once it is configured; it goes.
pub fn comes_and_goes(machines: &Machines) {
    let [one, other] = &machines.launch(2, "")[..] else { panic!("not two") };
    let (interface, address) = machines.interface(one);
    let attachment = machines.attach(&interface, one);
    let shown = machines.endpoint.call(&format!("Action=DescribeNetworkInterfaces&NetworkInterfaceId.1={interface}"));
    let seen = machines.run(one, "cd /sys/class/net/eth1; cat address mtu operstate");
    assert_eq!(seen, format!("{}\n9001\ndown\n", shown.one("macAddress")));
    assert!(metadata(machines, one).contains(&shown.one("macAddress")));
    machines.configure(one, &address);
    eventually("the second interface is reached", || machines.reaches(other, &address));

    machines.endpoint.call(&format!("Action=DetachNetworkInterface&AttachmentId={attachment}"));
    eventually("it is gone", || machines.try_run(one, "test ! -e /sys/class/net/eth1").status.success());
    assert!(!machines.reaches(other, &address) && !metadata(machines, one).contains(&shown.one("macAddress")));
    let listed = "Action=DescribeNetworkInterfaces&Filter.1.Name=status&Filter.1.Value.1=available";
    eventually("it is free", || machines.endpoint.call(listed).body.contains(&interface));
    machines.endpoint.call(&format!("Action=DeleteNetworkInterface&NetworkInterfaceId={interface}"));
    // And the next one has its place.
    let (interface, address) = machines.interface(one);
    machines.attach(&interface, one);
    machines.configure(one, &address);
    eventually("the next one is reached", || machines.reaches(other, &address));
}

/// What the metadata service tells a machine of its interfaces.
fn metadata(machines: &Machines, machine: &str) -> String {
    let request = "GET /latest/meta-data/network/interfaces/macs/ HTTP/1.0\\r\\nHost: metadata\\r\\n\\r\\n";
    let ask = format!("exec 3<>/dev/tcp/169.254.169.254/80; printf '{request}' >&3; cat <&3");
    machines.run(machine, &format!("bash -c \"{ask}\""))
}

#[test]
fn one_comes_to_a_running_machine_and_goes() {
    let machines = Machines::start("calm");
    comes_and_goes(&machines);
}

#[test]
fn one_comes_and_goes_on_an_ordinary_day() {
    let machines = Machines::start("typical");
    comes_and_goes(&machines);
}

#[test]
fn secondary_addresses_are_reached_as_long_as_they_are_assigned() {
    let machines = Machines::start("calm");
    let [one, other] = &machines.launch(2, "")[..] else { panic!("not two") };
    let (interface, _) = machines.primary(one);
    let assign = format!("NetworkInterfaceId={interface}&SecondaryPrivateIpAddressCount=1");
    let address = machines.endpoint.call(&format!("Action=AssignPrivateIpAddresses&{assign}")).one("privateIpAddress");
    assert!(!machines.reaches(other, &address), "it isn't configured");
    machines.run(one, &format!("sudo ip addr add {address}/20 dev eth0"));
    eventually("it is reached", || machines.reaches(other, &address));
    // To the other machine, and back.
    let (others, _) = machines.primary(other);
    let moved = format!("NetworkInterfaceId={others}&PrivateIpAddress.1={address}&AllowReassignment=true");
    machines.endpoint.call(&format!("Action=AssignPrivateIpAddresses&{moved}"));
    machines.run(one, &format!("sudo ip addr del {address}/20 dev eth0"));
    machines.run(other, &format!("sudo ip addr add {address}/20 dev eth0"));
    eventually("it is reached there", || machines.reaches(one, &address));
    machines
        .endpoint
        .call(&format!("Action=UnassignPrivateIpAddresses&NetworkInterfaceId={others}&PrivateIpAddress.1={address}"));
    assert!(!machines.reaches(one, &address));
}

/// Over a stop and a start, and when the endpoint was killed.
#[test]
fn a_machine_boots_with_all_that_it_has() {
    let mut machines = Machines::start("calm");
    let [one, other] = &machines.launch(2, "")[..] else { panic!("not two") };
    let (interface, address) = machines.interface(one);
    machines.endpoint.call(&format!("Action=StopInstances&InstanceId.1={one}"));
    machines.endpoint.until_state(one, "stopped");
    let parameters = format!("NetworkInterfaceId={interface}&InstanceId={one}&DeviceIndex=1");
    machines.endpoint.call(&format!("Action=AttachNetworkInterface&{parameters}"));
    machines.endpoint.call(&format!("Action=StartInstances&InstanceId.1={one}"));
    machines.until_up(one);
    assert_eq!(machines.run(one, "cat /sys/class/net/eth1/operstate"), "down\n");
    machines.configure(one, &address);
    eventually("it is reached", || machines.reaches(other, &address));
    machines.endpoint.succeed();
    machines.until_up(one);
    machines.until_up(other);
    machines.configure(one, &address);
    eventually("it is reached again", || machines.reaches(other, &address));
}

#[test]
fn several_come_with_a_launch() {
    let machines = Machines::start("calm");
    let other = machines.launch(1, "").remove(0);
    let (interface, address) = machines.interface(&other);
    let shown = machines.endpoint.call(&format!("Action=DescribeNetworkInterfaces&NetworkInterfaceId.1={interface}"));
    let more = format!(
        "&NetworkInterface.1.DeviceIndex=0&NetworkInterface.1.SubnetId={}\
         &NetworkInterface.2.DeviceIndex=1&NetworkInterface.2.NetworkInterfaceId={interface}",
        shown.one("subnetId")
    );
    let machine = machines.launch(1, &more).remove(0);
    assert_eq!(machines.run(&machine, "ls /sys/class/net"), "eth0\neth1\nlo\n");
    machines.configure(&machine, &address);
    eventually("it is reached", || machines.reaches(&other, &address));
    machines.endpoint.call(&format!("Action=TerminateInstances&InstanceId.1={machine}"));
    let listed = "Action=DescribeNetworkInterfaces&Filter.1.Name=status&Filter.1.Value.1=available";
    eventually("what was there before stays", || machines.endpoint.call(listed).body.contains(&interface));
}
