//! What security groups let in and out, between machines and from the host.

use crate::lab::{Lab, anyone, nic, rule};
use crate::machine::Machine;
use ec2_local::network::{Direction, Nic, Peer, Rule, Traffic};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddrV4, TcpStream},
    time::Duration,
};

/// How long nothing must come until it is taken for dropped; the switch forwards within a millisecond.
const SILENCE: Duration = Duration::from_millis(300);

fn out() -> Rule {
    rule(Direction::Egress, Traffic::All, anyone())
}

fn tcp_in(port: u16, peer: Peer) -> Rule {
    rule(Direction::Ingress, Traffic::Tcp(port..=port), peer)
}

fn only(address: Ipv4Addr) -> Peer {
    Peer::Network(address, 32)
}

fn group(id: &str) -> Peer {
    Peer::Group(id.to_owned())
}

fn nics() -> [Nic; 3] {
    [nic("vpc-1", [10, 0, 0, 5]), nic("vpc-1", [10, 0, 0, 6]), nic("vpc-1", [10, 0, 1, 7])]
}

/// Connects, or learns that nobody answers: unlike a refusal that takes all the time there is.
fn reaches(from: &Machine, to: &Machine, port: u16) -> bool {
    match from.connect_within(SILENCE, SocketAddrV4::new(to.address, port)) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
            false
        }
    }
}

fn says(from: &mut TcpStream, to: &mut TcpStream, word: &[u8; 4]) -> bool {
    to.set_read_timeout(Some(SILENCE)).unwrap();
    from.write_all(word).unwrap();
    let mut got = [0; 4];
    to.read_exact(&mut got).is_ok_and(|()| got == *word)
}

#[test]
fn the_default_group_admits_its_own_members_only() {
    let (lab, nics) = (Lab::new(), nics());
    lab.set_rules("sg-default", vec![rule(Direction::Ingress, Traffic::All, group("sg-default")), out()]);
    lab.set_rules("sg-other", vec![out()]);
    let (one, _attached) = lab.machine_of(&["sg-default"], &nics[0]);
    let (two, _attached) = lab.machine_of(&["sg-other", "sg-default"], &nics[1]);
    let (three, _attached) = lab.machine_of(&["sg-other"], &nics[2]);
    let _listening = [one.listen(80), two.listen(80), three.listen(80)];
    assert!(reaches(&one, &two, 80) && reaches(&two, &one, 80));
    assert!(!reaches(&three, &one, 80) && !reaches(&three, &two, 80));
    assert!(!reaches(&one, &three, 80), "sg-other lets nobody in");
    let refused = lab.reach(&nics[0], 80).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{refused}");
    assert!(refused.to_string().contains("authorize TCP port 80 from 203.0.113.0/24"), "{refused}");
}

#[test]
fn rules_go_by_network_port_and_protocol() {
    let (lab, nics) = (Lab::new(), nics());
    lab.set_rules(
        "sg-1",
        vec![
            tcp_in(80, Peer::Network(Ipv4Addr::new(10, 0, 0, 0), 24)),
            rule(Direction::Ingress, Traffic::Icmp(Some(8), None), only(nics[2].addresses[0])),
        ],
    );
    let (server, _attached) = lab.machine_of(&["sg-1"], &nics[0]);
    let (near, _attached) = lab.machine(&nics[1]);
    let (far, _attached) = lab.machine(&nics[2]);
    let _listening = [server.listen(80), server.listen(81)];
    assert!(reaches(&near, &server, 80) && !reaches(&near, &server, 81) && !reaches(&far, &server, 80));
    assert!(pings(&far, &server) && !pings(&near, &server));
}

fn pings(from: &Machine, to: &Machine) -> bool {
    let socket = from.ping();
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    socket.send_to(&[8, 0, 0, 0, 0, 0, 0, 1], (to.address, 0)).unwrap();
    socket.recv(&mut [0; 64]).is_ok()
}

#[test]
fn what_may_leave_is_said_by_egress_rules() {
    let (lab, nics) = (Lab::new(), nics());
    lab.set_rules("sg-1", vec![rule(Direction::Egress, Traffic::Tcp(80..=80), group("sg-open"))]);
    let (client, _attached) = lab.machine_of(&["sg-1"], &nics[0]);
    let (server, _attached) = lab.machine(&nics[1]);
    let _listening = [server.listen(80), server.listen(81)];
    assert!(reaches(&client, &server, 80) && !reaches(&client, &server, 81));
}

#[test]
fn a_change_of_rules_holds_for_new_connections_and_spares_tracked_ones() {
    let (lab, nics) = (Lab::new(), nics());
    lab.set_rules("sg-1", vec![tcp_in(80, only(nics[1].addresses[0])), out()]);
    let (server, _attached) = lab.machine_of(&["sg-1"], &nics[0]);
    let (client, _attached) = lab.machine(&nics[1]);
    let listener = server.listen(80);
    let mut there = client.connect(SocketAddrV4::new(server.address, 80)).unwrap();
    let (mut here, _) = listener.accept().unwrap();
    assert!(says(&mut there, &mut here, b"ping") && says(&mut here, &mut there, b"pong"));

    lab.set_rules("sg-1", vec![out()]);
    assert!(!reaches(&client, &server, 80));
    assert!(says(&mut there, &mut here, b"ping") && says(&mut here, &mut there, b"pong"));

    lab.set_rules("sg-1", vec![tcp_in(80, group("sg-open"))]);
    assert!(reaches(&client, &server, 80));
}

#[test]
fn live_connections_outlast_the_rule_that_admitted_them_by_address_or_by_group() {
    let (lab, nics) = (Lab::new(), nics());
    lab.set_rules("sg-2", vec![]);
    // Not open both ways, so that its connections are tracked.
    lab.set_rules("sg-3", vec![out()]);
    lab.set_rules("sg-4", vec![out()]);
    for (peer, other) in [(only(nics[1].addresses[0]), group("sg-other")), (group("sg-3"), only([10, 9, 9, 9].into()))]
    {
        lab.set_rules("sg-1", vec![tcp_in(80, peer.clone()), out()]);
        let (server, _attached) = lab.machine_of(&["sg-1"], &nics[0]);
        let (client, _attached) = lab.machine_of(&["sg-3"], &nics[1]);
        let listener = server.listen(80);
        let connect = || {
            let there = client.connect_within(Duration::from_secs(10), SocketAddrV4::new(server.address, 80));
            let there = there.unwrap_or_else(|error| panic!("{peer:?}: {error}"));
            (there, listener.accept().unwrap().0)
        };
        let (mut first, mut here) = connect();
        let mut lives = |what: &str| {
            assert!(says(&mut first, &mut here, b"ping") && says(&mut here, &mut first, b"pong"), "{peer:?}: {what}");
        };
        lives("as long as its rule is there");
        // Another rule in its place.
        lab.set_rules("sg-1", vec![tcp_in(80, other), out()]);
        assert!(!reaches(&client, &server, 80), "{peer:?}");
        lives("without its rule");
        // Another group, which has none, in the place of the server's.
        lab.set_rules("sg-1", vec![tcp_in(80, peer.clone()), out()]);
        assert!(reaches(&client, &server, 80), "{peer:?}");
        lab.set_attributes(&nics[0], |attributes| attributes.groups = vec!["sg-2".to_owned()]);
        assert!(!reaches(&client, &server, 80), "{peer:?}");
        lives("without its group");
        // And the client's.
        lab.set_attributes(&nics[0], |attributes| attributes.groups = vec!["sg-1".to_owned()]);
        lab.set_attributes(&nics[1], |attributes| attributes.groups = vec!["sg-4".to_owned()]);
        assert_eq!(reaches(&client, &server, 80), matches!(peer, Peer::Network(..)));
        lives("from another group");
        lab.set_attributes(&nics[1], |attributes| attributes.groups = vec!["sg-2".to_owned()]);
        assert!(!reaches(&client, &server, 80), "{peer:?}");
        lives("from a group without rules");
    }
}

#[test]
fn a_connection_that_all_the_world_may_make_is_cut_with_its_rule() {
    let (lab, nics) = (Lab::new(), nics());
    lab.set_rules("sg-1", vec![tcp_in(80, anyone()), out()]);
    let (server, _attached) = lab.machine_of(&["sg-1"], &nics[0]);
    let (client, _attached) = lab.machine(&nics[1]);
    let listener = server.listen(80);
    let mut there = client.connect(SocketAddrV4::new(server.address, 80)).unwrap();
    let (mut here, _) = listener.accept().unwrap();
    assert!(says(&mut there, &mut here, b"ping"));
    lab.set_rules("sg-1", vec![out()]);
    assert!(!says(&mut there, &mut here, b"ping"));
}

#[test]
fn an_interface_may_change_its_groups() {
    let (lab, nics) = (Lab::new(), nics());
    lab.set_rules("sg-1", vec![out()]);
    let (server, _attached) = lab.machine_of(&["sg-1"], &nics[0]);
    let (client, _attached) = lab.machine(&nics[1]);
    let _listening = server.listen(80);
    assert!(!reaches(&client, &server, 80));
    lab.set_attributes(&nics[0], |attributes| attributes.groups = vec!["sg-1".to_owned(), "sg-open".to_owned()]);
    assert!(reaches(&client, &server, 80));
}

#[test]
fn the_host_comes_in_as_either_of_its_addresses() {
    let (lab, nics) = (Lab::new(), nics());
    lab.set_rules("sg-1", vec![]);
    let (server, _attached) = lab.machine_of(&["sg-1"], &nics[0]);
    let listener = server.listen(22);
    for (address, prefix, admitted) in [
        ([203, 0, 113, 0], 24, true),
        ([127, 0, 0, 1], 32, true),
        ([127, 0, 0, 2], 32, false),
        ([10, 0, 0, 0], 8, false),
    ] {
        lab.set_rules("sg-1", vec![tcp_in(22, Peer::Network(address.into(), prefix))]);
        match lab.reach(&nics[0], 22) {
            Ok(mut host) => {
                assert!(admitted, "{address:?}");
                let (mut guest, _) = listener.accept().unwrap();
                // Its answers leave, though no rule says so.
                guest.write_all(b"SSH-").unwrap();
                host.read_exact(&mut [0; 4]).unwrap();
            }
            Err(error) => assert!(!admitted && error.kind() == ErrorKind::PermissionDenied, "{address:?}: {error}"),
        }
    }
}

#[test]
fn without_a_source_check_a_machine_may_speak_for_others() {
    let (lab, nics) = (Lab::new(), nics());
    let (router, _attached) = lab.machine(&nics[0]);
    let (hearer, _attached) = lab.machine(&nics[1]);
    let heard = hearer.udp();
    heard.set_read_timeout(Some(SILENCE)).unwrap();
    rustix::net::bind(&heard, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 9)).unwrap();
    let mut frame = Vec::new();
    etherparse::PacketBuilder::ethernet2(nics[0].mac, nics[1].mac)
        .ipv4([10, 9, 9, 9], hearer.address.octets(), 9)
        .udp(9, 9)
        .write(&mut frame, b"for another")
        .unwrap();
    let frames = router.frames();
    let passes = |check| {
        lab.set_attributes(&nics[0], |attributes| {
            (attributes.groups, attributes.source_dest_check) = (vec!["sg-open".to_owned()], check);
        });
        rustix::net::send(&frames, &frame, rustix::net::SendFlags::empty()).unwrap();
        heard.recv(&mut [0; 64]).is_ok()
    };
    assert!(!passes(true));
    // The hearer drops what comes from where it would not send to, unless that is by its default route.
    assert!(passes(false));
}
