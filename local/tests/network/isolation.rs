//! What a machine must not be able to do.

use crate::lab::{Lab, nic};
use crate::machine::Machine;
use ec2_local::network::{Metadata, Nic};
use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, PacketBuilder};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

#[test]
fn vpcs_may_have_the_same_addresses_and_dont_hear_each_other() {
    let lab = Lab::new();
    let nics = [nic("vpc-1", [10, 0, 0, 5]), nic("vpc-2", [10, 0, 0, 5])];
    let (one, _attached) = lab.machine(&nics[0]);
    let (two, _attached) = lab.machine(&nics[1]);
    let (client, _attached) = lab.machine(&nic("vpc-2", [10, 0, 0, 6]));
    let (alone, _attached) = lab.machine(&nic("vpc-3", [10, 0, 0, 6]));
    for (machine, nic, word) in [(&one, &nics[0], b"one"), (&two, &nics[1], b"two")] {
        let listener = machine.listen(80);
        let mut host = lab.reach(nic, 80).unwrap();
        listener.accept().unwrap().0.write_all(word).unwrap();
        let mut got = Vec::new();
        host.read_to_end(&mut got).unwrap();
        assert_eq!(got, word);
    }
    let listener = two.listen(81);
    let _stream = client.connect(SocketAddrV4::new(two.address, 81)).unwrap();
    listener.accept().unwrap();
    let unreachable = alone.connect(SocketAddrV4::new(two.address, 81)).unwrap_err();
    assert_eq!(unreachable.kind(), ErrorKind::HostUnreachable);
}

#[test]
fn nobody_speaks_in_anothers_name() {
    let lab = Lab::new();
    let nics = [nic("vpc-1", [10, 0, 0, 5]), nic("vpc-1", [10, 0, 0, 6]), nic("vpc-1", [10, 0, 0, 7])];
    let (attacker, _attached) = lab.machine(&nics[0]);
    let (victim, _attached) = lab.machine(&nics[1]);
    let (_other, _attached) = lab.machine(&nics[2]);
    let heard = listen(&victim);
    let frames = attacker.frames();
    let send = |mac: [u8; 6], to: [u8; 6], from: Ipv4Addr, word: &[u8]| {
        let mut frame = Vec::new();
        let builder = PacketBuilder::ethernet2(mac, to).ipv4(from.octets(), victim.address.octets(), 9).udp(9, 9);
        builder.write(&mut frame, word).unwrap();
        rustix::net::send(&frames, &frame, rustix::net::SendFlags::empty()).unwrap();
    };
    let (own, other) = (&nics[0], &nics[2]);
    send(own.mac, nics[1].mac, other.addresses[0], b"foreign address");
    send(other.mac, nics[1].mac, own.addresses[0], b"foreign MAC");
    send(other.mac, nics[1].mac, other.addresses[0], b"both foreign");
    send(own.mac, nics[1].mac, Ipv4Addr::new(169, 254, 169, 254), b"metadata service");
    send(own.mac, [0xff; 6], own.addresses[0], b"broadcast");
    send(own.mac, nics[1].mac, own.addresses[0], b"honest");
    let mut buffer = [0; 64];
    let (length, _) = heard.recv_from(&mut buffer).unwrap();
    assert_eq!(std::str::from_utf8(&buffer[..length]), Ok("honest"));
}

#[test]
fn nobody_can_take_anothers_address_by_arp() {
    let lab = Lab::new();
    let nics = [nic("vpc-1", [10, 0, 0, 5]), nic("vpc-1", [10, 0, 0, 6]), nic("vpc-1", [10, 0, 0, 7])];
    let (attacker, _attached) = lab.machine(&nics[0]);
    let (victim, _attached) = lab.machine(&nics[1]);
    let (owner, _attached) = lab.machine(&nics[2]);
    let frames = attacker.frames();
    for operation in [ArpOperation::REQUEST, ArpOperation::REPLY] {
        let (liar, wanted) = (nics[2].addresses[0].octets(), nics[1].addresses[0].octets());
        let packet = ArpPacket::new(
            ArpHardwareId::ETHERNET,
            EtherType::IPV4,
            operation,
            &nics[0].mac,
            &liar,
            &nics[1].mac,
            &wanted,
        );
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(nics[0].mac, nics[1].mac).arp(packet.unwrap()).write(&mut frame).unwrap();
        rustix::net::send(&frames, &frame, rustix::net::SendFlags::empty()).unwrap();
    }
    let heard = listen(&owner);
    victim.udp().send_to(b"secret", (owner.address, 9)).unwrap();
    assert_eq!(heard.recv(&mut [0; 16]).unwrap(), 6);
}

#[test]
fn a_machine_that_doesnt_take_its_frames_holds_up_nobody_else() {
    let lab = Lab::new();
    let nics = [nic("vpc-1", [10, 0, 0, 5]), nic("vpc-1", [10, 0, 0, 6])];
    let (machine, _attached) = lab.machine(&nics[0]);
    let deaf = Machine::powered_off(&nics[1]);
    let mut deaf = deaf;
    let _deaf = lab.attach(&nics[1], &mut deaf);
    let socket = machine.udp();
    for _ in 0..5000 {
        let _ = socket.send_to(&[0; 1400], (deaf.address, 9));
    }
    let listener = machine.listen(80);
    lab.reach(&nics[0], 80).unwrap();
    listener.accept().unwrap();
}

#[test]
fn a_nic_that_is_plugged_in_again_replaces_the_old_one() {
    let lab = Lab::new();
    let nic: Nic = nic("vpc-1", [10, 0, 0, 5]);
    let (_old, old) = lab.machine(&nic);
    let (new, _new) = lab.machine(&nic);
    drop(old);
    let listener = new.listen(80);
    lab.reach(&nic, 80).unwrap();
    listener.accept().unwrap();
}

fn listen(machine: &Machine) -> UdpSocket {
    let socket = machine.udp();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 9)).unwrap();
    socket
}

#[test]
fn a_flood_of_questions_costs_no_other_machine_its_own() {
    let lab = Lab::new();
    let nics = [nic("vpc-1", [10, 0, 0, 5]), nic("vpc-1", [10, 0, 0, 6])];
    let (flooder, _attached) = lab.machine(&nics[0]);
    let (other, _attached) = lab.machine(&nics[1]);
    lab.account.set(&nics[1], Metadata { enabled: true, ..Metadata::default() });
    let socket = flooder.udp();
    socket.connect((Ipv4Addr::new(10, 0, 0, 2), 53)).unwrap();
    let over = AtomicBool::new(false);
    // A name that is known, so that nothing else bounds it.
    let question =
        b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x0bip-10-0-0-5\x03ec2\x08internal\x00\x00\x01\x00\x01";
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // Its own queue may be full, or an answer be about the last one.
                    let _ = socket.send(question);
                }
            });
        }
        thread::sleep(Duration::from_millis(300));
        let refused =
            (0..200).filter(|_| other.connect(SocketAddrV4::new([169, 254, 169, 254].into(), 80)).is_err()).count();
        over.store(true, Ordering::Relaxed);
        assert_eq!(refused, 0);
    });
}
