//! Elastic addresses, from the host and from machines.

use crate::{endpoint::eventually, machines::Machines};

#[test]
fn an_address_goes_from_machine_to_machine() {
    let mut machines = Machines::start("calm");
    let [one, other] = &machines.launch(2, "")[..] else { panic!("not two") };
    let made = machines.endpoint.call("Action=AllocateAddress");
    let (allocation, address) = (made.one("allocationId"), made.one("publicIp"));
    let name = |machines: &Machines, at: &str| machines.try_run(at, "hostname").stdout;
    let hostnames = [name(&machines, one), name(&machines, other)];
    for (machine, hostname) in [one, other, one].into_iter().zip(hostnames.iter().cycle()) {
        machines.endpoint.call(&format!("Action=AssociateAddress&AllocationId={allocation}&InstanceId={machine}"));
        eventually("the host reaches it there", || name(&machines, &address) == *hostname);
        let third = if machine == one { other } else { one };
        eventually("a machine reaches it there", || machines.reaches(third, &address));
    }
    machines.endpoint.call(&format!("Action=StopInstances&InstanceId.1={one}"));
    machines.endpoint.until_state(one, "stopped");
    machines.endpoint.call(&format!("Action=StartInstances&InstanceId.1={one}"));
    machines.until_up(one);
    eventually("it is reached after a start", || name(&machines, &address) == hostnames[0]);
    machines.endpoint.succeed();
    machines.until_up(one);
    eventually("it is reached after a take-over", || name(&machines, &address) == hostnames[0]);
    let association = machines.endpoint.call("Action=DescribeAddresses").one("associationId");
    machines.endpoint.call(&format!("Action=DisassociateAddress&AssociationId={association}"));
    assert!(!machines.try_run(&address, "true").status.success());
    machines.endpoint.call(&format!("Action=ReleaseAddress&AllocationId={allocation}"));
}

#[test]
fn an_address_is_for_a_second_interface_and_a_secondary_address_too() {
    let machines = Machines::start("calm");
    let [one, other] = &machines.launch(2, "")[..] else { panic!("not two") };
    let (interface, private) = machines.interface(one);
    machines.attach(&interface, one);
    machines.configure(one, &private);
    let made = machines.endpoint.call("Action=AllocateAddress");
    let (allocation, address) = (made.one("allocationId"), made.one("publicIp"));
    machines
        .endpoint
        .call(&format!("Action=AssociateAddress&AllocationId={allocation}&NetworkInterfaceId={interface}"));
    eventually("the host reaches the interface", || machines.try_run(&address, "true").status.success());

    let (primary, _) = machines.primary(other);
    let assign = format!("NetworkInterfaceId={primary}&SecondaryPrivateIpAddressCount=1");
    let private = machines.endpoint.call(&format!("Action=AssignPrivateIpAddresses&{assign}")).one("privateIpAddress");
    machines.run(other, &format!("sudo ip addr add {private}/20 dev eth0"));
    machines.endpoint.call(&format!(
        "Action=AssociateAddress&AllocationId={allocation}&NetworkInterfaceId={primary}&PrivateIpAddress={private}"
    ));
    let hostname = machines.run(other, "hostname");
    eventually("the host reaches the secondary address", || {
        machines.try_run(&address, "hostname").stdout == hostname.as_bytes()
    });
    eventually("a machine reaches it", || machines.reaches(one, &address));
}
