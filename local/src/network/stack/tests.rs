use super::*;
use crate::network::{
    Direction, Nic, Peer, Rule, Traffic,
    batch::HEADER,
    filter::{Far, Filter},
    port::Port,
    receive_budget::SharedBudget,
    router,
};
use etherparse::{IpNumber, Ipv4Header, Ipv4HeaderSlice, PacketBuilder, TcpHeaderSlice};
use proptest::prelude::*;
use rustix::event::epoll;
use std::{
    io::{Read, Write},
    os::unix::net::{UnixDatagram, UnixStream},
    sync::Arc,
};

use tokio::sync::oneshot;

const MACHINE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 5), 22);
const SERVICE: SocketAddrV4 = SocketAddrV4::new(router::METADATA, 80);

/// A stack whose machine is this test.
struct Cable {
    stack: Stack,
    link: Link,
    machine: UnixDatagram,
    epoll: Arc<std::os::fd::OwnedFd>,
    now: Instant,
}

/// A NIC whose groups let everything through.
fn open_link(port: Port) -> Link {
    let anyone = Peer::Network(Ipv4Addr::UNSPECIFIED, 0);
    let rule = |direction| Rule { direction, traffic: Traffic::All, peer: anyone.clone() };
    let mut filter = Filter::default();
    filter.set(Vec::new(), vec![rule(Direction::Ingress), rule(Direction::Egress)]);
    let nic = Nic {
        id: "eni-1".to_owned(),
        vpc: "vpc-1".to_owned(),
        mac: [2; 6],
        addresses: vec![*MACHINE.ip()],
        subnet: (Ipv4Addr::new(10, 0, 0, 0), 24),
        ipv6: Vec::new(),
        subnet6: None,
    };
    Link { id: 1, nic, port, filter }
}

impl Cable {
    fn new() -> Self {
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).unwrap());
        let (device, machine) = UnixDatagram::pair().unwrap();
        machine.set_nonblocking(true).unwrap();
        let port = Port::new(Watched::new(&epoll, device.into(), 1).unwrap(), &SharedBudget::default());
        let now = Instant::from_millis(1);
        Self { stack: Stack::new([2; 6], now).unwrap(), link: open_link(port), machine, epoll, now }
    }

    fn open(&mut self, id: u64) -> oneshot::Receiver<Result<(), io::ErrorKind>> {
        let (done, outcome) = oneshot::channel();
        self.stack.open(id, MACHINE, Outcome(done), &mut self.link, self.now);
        outcome
    }

    fn serve(&mut self, id: u64) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        self.serve_at(id, 5000, ours);
        theirs
    }

    fn serve_at(&mut self, id: u64, port: u16, stream: UnixStream) {
        let host = Watched::new(&self.epoll, stream.into(), id).unwrap();
        self.stack.serve(id, (from(port).into(), SERVICE.into()), host);
    }

    /// Lets time pass; what ended, and when to come again.
    fn drive(&mut self, millis: u64) -> (Vec<u64>, Option<Instant>) {
        self.now += Duration::from_millis(millis);
        let mut ended = Vec::new();
        let again = self.stack.drive(&mut self.link, self.now, &mut ended);
        (ended, again)
    }

    /// The packets that the machine has got.
    fn packets(&self) -> Vec<Vec<u8>> {
        let mut buffer = [0; 70_000];
        let frames = std::iter::from_fn(|| self.machine.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec()));
        frames.map(|frame| frame[HEADER + ETHERNET..].to_vec()).collect()
    }

    fn say(&mut self, packet: &[u8]) {
        self.stack.receive(packet, &mut self.link, self.now);
    }
}

/// Where the machine's connections come from.
fn from(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(*MACHINE.ip(), port)
}

fn syn(port: u16) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4(MACHINE.ip().octets(), SERVICE.ip().octets(), 64).tcp(port, 80, 7, 1000).syn();
    builder.write(&mut packet, &[]).unwrap();
    packet
}

#[test]
fn an_opening_that_the_filter_does_not_admit_isnt_sent_at_all() {
    let mut cable = Cable::new();
    let (traffic, peer) = (Traffic::All, Peer::Network(Ipv4Addr::UNSPECIFIED, 0));
    cable.link.filter.set(Vec::new(), vec![Rule { direction: Direction::Ingress, traffic, peer }]);
    // As many as are tracked.
    for number in 0..65_536u32 {
        let (from, mut packet) = (Ipv4Addr::from_bits(0x0a02_0000 + number), Vec::new());
        PacketBuilder::ipv4(from.octets(), MACHINE.ip().octets(), 64).udp(9, 9).write(&mut packet, b"?").unwrap();
        assert!(cable.link.filter.admits(Direction::Ingress, &packet, Far::ELSEWHERE, cable.now));
    }
    let _outcome = cable.open(1);
    for _ in 0..50 {
        cable.drive(2);
    }
    assert_eq!(cable.packets(), [] as [Vec<u8>; 0]);
}

#[test]
fn an_unanswered_opening_asks_often_at_first_with_the_same_frame_then_gives_up() {
    let mut cable = Cable::new();
    let mut outcome = cable.open(1);
    let first = cable.packets();
    assert_eq!(first.len(), 1);
    let mut asked = 0;
    for _ in 0..50 {
        cable.drive(2);
        for packet in cable.packets() {
            assert_eq!(packet, first[0]);
            asked += 1;
        }
    }
    assert!((8..=50).contains(&asked), "{asked} times in 100 ms");
    assert!(outcome.try_recv().is_err());
    let (_, again) = cable.drive(9_000);
    assert!(again.is_some());
    assert!(outcome.try_recv().is_err());
    cable.drive(1_000);
    assert_eq!(cable.drive(1).0, [1], "after its reset");
    assert_eq!(outcome.try_recv().unwrap(), Err(io::ErrorKind::TimedOut));
    assert_eq!(cable.drive(0), (vec![], None), "nothing is left to do");
}

#[test]
fn a_firewall_that_objects_refuses() {
    let mut cable = Cable::new();
    let mut outcome = cable.open(1);
    let packets = cable.packets();
    let Some((SocketAddr::V4(from), SocketAddr::V4(to))) = router::opening(&packets[0]) else { panic!("no opening") };
    assert_eq!(to, MACHINE);
    cable.stack.refuse(SocketAddrV4::new(*from.ip(), from.port() ^ 1), to);
    cable.drive(0);
    assert!(outcome.try_recv().is_err());
    cable.stack.refuse(from, to);
    assert_eq!(cable.drive(0).0, [1]);
    assert_eq!(outcome.try_recv().unwrap(), Err(io::ErrorKind::ConnectionRefused));
}

#[test]
fn an_abandoned_opening_is_forgotten() {
    let mut cable = Cable::new();
    let mut outcome = cable.open(1);
    cable.stack.abandon(1);
    assert_eq!(cable.drive(0), (vec![1], None));
    assert!(outcome.try_recv().is_err());
}

#[test]
fn sources_differ_and_come_from_the_documented_range() {
    let mut cable = Cable::new();
    let mut sources = std::collections::BTreeSet::new();
    for id in 1..=100 {
        drop(cable.open(id));
        let Some((SocketAddr::V4(source), _)) = router::opening(&cable.packets()[0]) else { panic!("no opening") };
        sources.insert(source);
    }
    assert_eq!(sources.len(), 100);
    assert!(sources.iter().all(|source| source.ip().octets()[..3] == [203, 0, 113] && source.port() >= 32768));
    let mut source = Source { next: 0 };
    let ports = u32::from(SOURCE_PORTS.end - SOURCE_PORTS.start);
    let last = (0..254 * ports).map(|_| source.next()).last().unwrap();
    assert_eq!(last, SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 254), 60999));
    assert_eq!(source.next(), SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 1), 32768));
}

#[test]
fn a_service_is_reached_once_by_each_connection_and_a_silent_half_is_given_up() {
    let mut cable = Cable::new();
    assert!(cable.stack.admits((from(5000).into(), SERVICE.into())));
    let mut service = cable.serve(1);
    cable.say(&syn(5000));
    cable.drive(0);
    assert!(!cable.stack.admits((from(5000).into(), SERVICE.into())), "it is asked again for what it has");
    assert!(cable.stack.admits((from(5001).into(), SERVICE.into())));
    let packets = cable.packets();
    let ip = Ipv4HeaderSlice::from_slice(&packets[0]).unwrap();
    let tcp = TcpHeaderSlice::from_slice(&packets[0][20..]).unwrap();
    assert_eq!((ip.source_addr(), tcp.syn(), tcp.ack()), (router::METADATA, true, true));
    // The machine never completes the handshake.
    let ended: Vec<u64> = (0..100).flat_map(|_| cable.drive(1000).0).collect();
    assert_eq!(ended, [1]);
    assert_eq!(service.read(&mut [0]).unwrap(), 0);
    assert_eq!(cable.drive(0).1, None);
}

#[test]
fn a_service_that_is_stuck_is_let_go_with_its_machine() {
    let mut cable = Cable::new();
    let (mut ours, mut service) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    // The service reads nothing, having an answer of its own to write that nobody takes.
    while ours.write(&[0; 4096]).is_ok() {}
    cable.serve_at(1, 5000, ours);
    cable.say(&syn(5000));
    cable.drive(0);
    let number = TcpHeaderSlice::from_slice(&cable.packets()[0][20..]).unwrap().sequence_number() + 1;
    let ip = || PacketBuilder::ipv4(MACHINE.ip().octets(), SERVICE.ip().octets(), 64);
    let (mut question, mut reset) = (Vec::new(), Vec::new());
    ip().tcp(5000, 80, 8, 1000).ack(number).write(&mut question, b"question").unwrap();
    ip().tcp(5000, 80, 16, 1000).ack(number).rst().write(&mut reset, &[]).unwrap();
    cable.say(&question);
    assert!(cable.drive(0).0.is_empty());
    cable.say(&reset);
    assert_eq!(cable.drive(0), (vec![1], None));
    service.read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn a_listener_that_got_nothing_is_gone() {
    let mut cable = Cable::new();
    let _service = cable.serve(1);
    assert_eq!(cable.drive(0), (vec![1], None));
}

proptest! {
    /// A machine may send anything; nothing of it must bring the switch down, and in the end nothing is left.
    #[test]
    fn no_conversation_breaks_it(
        segments in prop::collection::vec(
            (any::<u8>(), any::<bool>(), -3i64..4, -3i64..4, any::<u16>(), prop::collection::vec(any::<u8>(), 0..60)),
            0..40,
        ),
    ) {
        let mut cable = Cable::new();
        let _outcome = cable.open(1);
        let Some((SocketAddr::V4(outside), _)) = router::opening(&cable.packets()[0]) else { panic!("no opening") };
        let _service = cable.serve(2);
        cable.say(&syn(5000));
        let (mut sequence, mut acknowledged) = (8i64, 0i64);
        for (flags, to_service, ahead, behind, window, payload) in segments {
            cable.drive(1);
            for packet in cable.packets() {
                let tcp = TcpHeaderSlice::from_slice(&packet[20..]).unwrap();
                acknowledged = i64::from(tcp.sequence_number()) + 1;
                sequence = i64::from(tcp.acknowledgment_number());
            }
            let (from, to) = if to_service {
                (SocketAddrV4::new(*MACHINE.ip(), 5000), SERVICE)
            } else {
                (MACHINE, outside)
            };
            let mut tcp = etherparse::TcpHeader::new(from.port(), to.port(), (sequence + ahead) as u32, window);
            tcp.acknowledgment_number = (acknowledged + behind) as u32;
            (tcp.fin, tcp.syn, tcp.rst, tcp.ack) = (flags & 3 == 3, flags & 12 == 12, flags & 112 == 112, flags & 128 == 0);
            // Half of the time what looks like the payload's beginning is taken for options.
            let options = payload.len().min(40) / 4 * 4;
            if flags & 1 == 0 {
                let _ = tcp.set_options_raw(&payload[..options]);
            }
            let mut packet = Vec::new();
            let length = u16::try_from(tcp.header_len() + payload.len()).unwrap();
            Ipv4Header::new(length, 64, IpNumber::TCP, from.ip().octets(), to.ip().octets())
                .unwrap()
                .write(&mut packet)
                .unwrap();
            tcp.write(&mut packet).unwrap();
            packet.extend(&payload);
            if flags == 77 {
                packet.truncate(packet.len() / 2);
            }
            cable.say(&packet);
        }
        cable.stack.abandon(1);
        drop(_service);
        cable.stack.notice(2, Readiness { readable: true, writable: true, hung_up: true }, cable.now);
        let mut again = Some(cable.now);
        for _ in 0..2000 {
            again = cable.drive(1000).1;
            cable.packets();
            if again.is_none() {
                break;
            }
        }
        prop_assert_eq!(again, None);
        prop_assert!(cable.stack.flows.is_empty());
    }
}
