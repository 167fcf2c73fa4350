//! Where routes lead, and what network ACLs let pass.

use crate::{
    lab::{Lab, OPEN, nic},
    machine::Machine,
};
use ec2_local::network::{AclRule, Attached, Attributes, Direction, Nic, Route, Traffic, Via};
use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddrV4},
    time::Duration,
};

/// How long nothing must come until it is taken for dropped.
const SILENCE: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(10);
const EVERYWHERE: (IpAddr, u8) = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

fn route(network: [u8; 4], prefix: u8, via: Via) -> Route {
    Route { destination: (Ipv4Addr::from(network).into(), prefix), via }
}

/// Gives a NIC of the open group its routes, and more.
fn set(lab: &Lab, nic: &Nic, routes: Vec<Route>, change: impl FnOnce(&mut Attributes)) {
    lab.set_attributes(nic, |attributes| {
        attributes.groups = vec![OPEN.to_owned()];
        attributes.routes = routes;
        change(attributes);
    });
}

/// What a machine is told by another one at a port.
fn hear(machine: &Machine, from: &Machine, address: Ipv4Addr, port: u16) -> Result<(), ErrorKind> {
    let listener = from.listen(port);
    let to = SocketAddrV4::new(address, port);
    let mut stream = machine.connect_within(PATIENCE, to).map_err(|error| error.kind())?;
    let (mut accepted, _) = listener.accept().unwrap();
    accepted.write_all(b"hello").unwrap();
    drop(accepted);
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert_eq!(said, "hello");
    Ok(())
}

#[test]
fn peers_reach_each_other_where_routes_on_both_sides_say_so() {
    let lab = Lab::new();
    let nics = [nic("vpc-1", [10, 1, 0, 5]), nic("vpc-2", [10, 2, 0, 5]), nic("vpc-3", [10, 2, 0, 5])];
    let machines: [(Machine, Attached); 3] = nics.each_ref().map(|nic| lab.machine(nic));
    let [(one, _), (two, _), (three, _)] = &machines;
    let peer = |network: [u8; 4], vpc: &str| vec![route(network, 16, Via::Peer(vpc.to_owned()))];
    set(&lab, &nics[0], peer([10, 2, 0, 0], "vpc-2"), |_| {});
    // Who has no way back doesn't answer.
    set(&lab, &nics[1], Vec::new(), |_| {});
    let listener = two.listen(79);
    let error = one.connect_within(SILENCE, SocketAddrV4::new(two.address, 79)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    drop(listener);
    set(&lab, &nics[1], peer([10, 1, 0, 0], "vpc-1"), |_| {});
    hear(one, two, two.address, 80).unwrap();
    hear(two, one, one.address, 81).unwrap();
    // Another VPC of the same addresses hears nothing of it, and reaches nobody, though it says the same of itself.
    set(&lab, &nics[2], peer([10, 1, 0, 0], "vpc-1"), |_| {});
    let _listener = one.listen(82);
    let error = three.connect_within(SILENCE, SocketAddrV4::new(one.address, 82)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    // What isn't a machine of the peer isn't reached by way of it.
    let error = one.connect_within(PATIENCE, SocketAddrV4::new(Ipv4Addr::new(10, 2, 0, 77), 80)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HostUnreachable);
    set(&lab, &nics[0], vec![route([10, 2, 0, 0], 16, Via::Nothing)], |_| {});
    let error = one.connect_within(PATIENCE, SocketAddrV4::new(two.address, 80)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
}

#[test]
fn routes_lead_to_what_is_behind_a_machine_that_may_forward() {
    let lab = Lab::new();
    let (near, forwarder) = (nic("vpc-1", [10, 0, 0, 5]), nic("vpc-1", [10, 0, 1, 9]));
    let (machine, _attached) = lab.machine(&near);
    // It has a private network behind it, and a public one, of which the switch knows nothing.
    let (private, public) = (Ipv4Addr::new(192, 168, 50, 1), Ipv4Addr::new(198, 51, 100, 77));
    let mut all = forwarder.clone();
    all.addresses.extend([private, public]);
    let mut behind = Machine::start(&all);
    let _behind = lab.attach(&forwarder, &mut behind);
    // Linux asks for its router in the name of the address that it sends from; of its own, the switch knows one.
    behind.udp().send_to(b"x", (machine.address, 9)).unwrap();
    let by = |nic: &Nic| vec![Route { destination: EVERYWHERE, via: Via::NetworkInterface(nic.id.clone()) }];
    set(&lab, &near, by(&forwarder), |_| {});
    set(&lab, &forwarder, Vec::new(), |attributes| attributes.source_dest_check = true);
    let error = machine.connect_within(PATIENCE, SocketAddrV4::new(private, 80)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HostUnreachable, "its source and destination are checked");
    set(&lab, &forwarder, Vec::new(), |attributes| attributes.source_dest_check = false);
    hear(&machine, &behind, private, 80).unwrap();
    hear(&machine, &behind, public, 81).unwrap();
    // Nobody else takes that from it: no route of theirs leads by it.
    let other = nic("vpc-1", [10, 0, 0, 6]);
    let (victim, _victim) = lab.machine(&other);
    let heard = victim.udp();
    rustix::net::bind(&heard, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 9)).unwrap();
    heard.set_read_timeout(Some(SILENCE)).unwrap();
    let liar = behind.udp();
    rustix::net::bind(&liar, &SocketAddrV4::new(public, 9)).unwrap();
    liar.send_to(b"forged", (victim.address, 9)).unwrap();
    assert!(heard.recv(&mut [0; 16]).is_err());
    set(&lab, &other, by(&forwarder), |_| {});
    liar.send_to(b"led", (victim.address, 9)).unwrap();
    assert_eq!(heard.recv(&mut [0; 16]).unwrap(), 3);
    // The host it never is.
    let _listener = victim.listen(22);
    lab.reach(&other, 22).unwrap();
}

#[test]
fn without_a_route_nothing_leaves() {
    let lab = Lab::new();
    let nic = nic("vpc-1", [10, 0, 0, 5]);
    let (machine, _attached) = lab.machine(&nic);
    set(&lab, &nic, Vec::new(), |_| {});
    let error = machine.connect_within(PATIENCE, SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 80)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
    // The host reaches it all the same.
    let listener = machine.listen(22);
    lab.reach(&nic, 22).unwrap();
    listener.accept().unwrap();
}

fn rule(direction: Direction, traffic: Traffic, allows: bool) -> AclRule {
    AclRule { direction, traffic, network: EVERYWHERE, allows }
}

#[test]
fn network_acls_are_asked_at_the_border_of_a_subnet_each_way() {
    use Direction::{Egress, Ingress};
    let lab = Lab::new();
    let nics = [nic("vpc-1", [10, 0, 0, 5]), nic("vpc-1", [10, 0, 0, 6]), nic("vpc-1", [10, 0, 1, 5])];
    let machines = nics.each_ref().map(|nic| lab.machine(nic));
    let [(one, _), (neighbour, _), (far, _)] = &machines;
    let acl = |rules: &[AclRule]| {
        for nic in &nics[..2] {
            set(&lab, nic, vec![Route::everywhere(Via::Internet)], |attributes| attributes.acl = Some(rules.to_vec()));
        }
    };
    let reaches = |port| {
        let _listener = one.listen(port);
        far.connect_within(SILENCE, SocketAddrV4::new(one.address, port)).map(drop).map_err(|error| error.kind())
    };
    acl(&[]);
    assert_eq!(reaches(80), Err(ErrorKind::TimedOut));
    assert_eq!(lab.reach(&nics[0], 80).unwrap_err().kind(), ErrorKind::PermissionDenied);
    // Within the subnet nobody asks.
    hear(neighbour, one, one.address, 80).unwrap();
    acl(&[rule(Ingress, Traffic::Tcp(80..=80), true)]);
    assert_eq!(reaches(80), Err(ErrorKind::TimedOut), "an answer has to pass, too");
    let out = rule(Egress, Traffic::Tcp(1024..=65535), true);
    acl(&[rule(Ingress, Traffic::Tcp(80..=80), true), out.clone()]);
    assert_eq!(reaches(80), Ok(()));
    assert_eq!(reaches(81), Err(ErrorKind::TimedOut));
    acl(&[rule(Ingress, Traffic::All, false), rule(Ingress, Traffic::Tcp(80..=80), true), out]);
    assert_eq!(reaches(80), Err(ErrorKind::TimedOut), "the first rule that fits decides");
}

#[test]
fn a_vpc_without_a_name_server_says_so_at_once() {
    let lab = Lab::new();
    let nic = nic("vpc-1", [10, 0, 0, 5]);
    let (machine, _attached) = lab.machine(&nic);
    set(&lab, &nic, Vec::new(), |attributes| attributes.is_nameless = true);
    let server = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 53);
    let socket = machine.udp();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(server).unwrap();
    socket.send(&[0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'x', 0, 0, 1, 0, 1]).unwrap();
    assert_eq!(socket.recv(&mut [0; 512]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(machine.connect_within(PATIENCE, server).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}
