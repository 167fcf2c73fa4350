//! Machines that ask for their addresses, and one that would give others some.

use crate::lab::{Lab, nic};
use ec2_local::network::Nic;
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use rustix::net::{RecvFlags, SendFlags, sockopt, sockopt::Timeout};
use std::{
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::OwnedFd,
    time::Duration,
};

const SILENCE: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(10);
/// Where the options begin, after the fixed fields and the cookie (RFC 2131, 2).
const OPTIONS: usize = 240;
// RFC 2132, 9.6.
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACKNOWLEDGE: u8 = 5;

/// A message of a client or a server, with these options.
fn message(operation: u8, mac: [u8; 6], given: Ipv4Addr, options: &[&[u8]]) -> Vec<u8> {
    let mut message = vec![0; OPTIONS];
    message[..3].copy_from_slice(&[operation, 1, 6]);
    message[16..20].copy_from_slice(&given.octets());
    message[28..34].copy_from_slice(&mac);
    message[236..].copy_from_slice(&[99, 130, 83, 99]);
    message.extend(options.concat());
    message.push(255);
    message
}

fn broadcast(frames: &OwnedFd, nic: &Nic, message: &[u8]) {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2(nic.mac, [0xff; 6]).ipv4([0; 4], [255; 4], 64).udp(68, 67);
    builder.write(&mut frame, message).unwrap();
    rustix::net::send(frames, &frame, SendFlags::empty()).unwrap();
}

/// The next message from a server: its kind, and the address that it gives.
fn heard(frames: &OwnedFd) -> Option<(u8, Ipv4Addr)> {
    sockopt::set_socket_timeout(frames, Timeout::Recv, Some(PATIENCE)).unwrap();
    let mut frame = vec![0; 10_000];
    loop {
        let (length, _) = rustix::net::recv(frames, &mut frame[..], RecvFlags::empty()).ok()?;
        let Ok(packet) = SlicedPacket::from_ethernet(&frame[..length]) else { continue };
        if let (Some(NetSlice::Ipv4(_)), Some(TransportSlice::Udp(udp))) = (packet.net, packet.transport)
            && (udp.source_port(), udp.destination_port()) == (67, 68)
        {
            let message = udp.payload();
            return Some((message[OPTIONS + 2], Ipv4Addr::from(*message[16..20].first_chunk::<4>().unwrap())));
        }
    }
}

#[test]
fn a_machine_that_asks_gets_its_interfaces_address_whatever_its_groups_say() {
    let lab = Lab::new();
    lab.set_rules("sg-closed", Vec::new());
    let nic = nic("vpc-1", [10, 0, 0, 5]);
    let (machine, _attached) = lab.machine_of(&["sg-closed"], &nic);
    let frames = machine.frames();
    broadcast(&frames, &nic, &message(1, nic.mac, Ipv4Addr::UNSPECIFIED, &[&[53, 1, DISCOVER]]));
    assert_eq!(heard(&frames), Some((OFFER, nic.addresses[0])));
    let wanted = [&[50, 4][..], &nic.addresses[0].octets()].concat();
    broadcast(&frames, &nic, &message(1, nic.mac, Ipv4Addr::UNSPECIFIED, &[&[53, 1, REQUEST], &wanted]));
    assert_eq!(heard(&frames), Some((ACKNOWLEDGE, nic.addresses[0])));
}

#[test]
fn no_machine_hears_anothers_questions_or_gives_answers() {
    let lab = Lab::new();
    let nics = [nic("vpc-1", [10, 0, 0, 5]), nic("vpc-1", [10, 0, 0, 6])];
    let (victim, _attached) = lab.machine(&nics[0]);
    let (liar, _attached) = lab.machine(&nics[1]);
    let (ear, mouth) = (liar.frames(), liar.frames());
    let frames = victim.frames();
    broadcast(&frames, &nics[0], &message(1, nics[0].mac, Ipv4Addr::UNSPECIFIED, &[&[53, 1, DISCOVER]]));
    let lie = message(2, nics[0].mac, Ipv4Addr::new(10, 0, 0, 66), &[&[53, 1, ACKNOWLEDGE]]);
    for (ethernet, to) in [(nics[0].mac, nics[0].addresses[0]), ([0xff; 6], Ipv4Addr::BROADCAST)] {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(nics[1].mac, ethernet)
            .ipv4(nics[1].addresses[0].octets(), to.octets(), 64)
            .udp(67, 68)
            .write(&mut frame, &lie)
            .unwrap();
        rustix::net::send(&mouth, &frame, SendFlags::empty()).unwrap();
    }
    assert_eq!(heard(&frames), Some((OFFER, nics[0].addresses[0])));
    // What else it hears is not of a DHCP server; another datagram of the liar's shows that it has had its time.
    let socket = victim.udp();
    rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 9)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    liar.udp().send_to(b"honest", (victim.address, 9)).unwrap();
    assert_eq!(socket.recv(&mut [0; 16]).unwrap(), 6);
    assert!(!hears(&frames, &nics[1]), "the liar's answer");
    assert!(!hears(&ear, &nics[0]), "the victim's question");
}

/// Whether anything has come between DHCP's ports from a NIC.
fn hears(frames: &OwnedFd, from: &Nic) -> bool {
    sockopt::set_socket_timeout(frames, Timeout::Recv, Some(SILENCE)).unwrap();
    let mut frame = vec![0; 10_000];
    while let Ok((length, _)) = rustix::net::recv(frames, &mut frame[..], RecvFlags::empty()) {
        let Ok(packet) = SlicedPacket::from_ethernet(&frame[..length]) else { continue };
        if let Some(TransportSlice::Udp(udp)) = packet.transport
            && [(67, 68), (68, 67)].contains(&(udp.source_port(), udp.destination_port()))
            && frame[6..12] == from.mac
        {
            return true;
        }
    }
    false
}
