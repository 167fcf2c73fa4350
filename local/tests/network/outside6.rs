//! Machines that reach the outside by IPv6, and what they must not reach of it.

use crate::{
    lab::{Lab, OPEN, eventually, nic, rule},
    machine::Machine,
    world::{FAR6, HOST6, NEVER6, PRIVATE6, WORLD6, on_a_host_of_its_own},
};
use ec2_local::network::{Attached, Direction, Nic, Outside, Peer, Route, Traffic, Via};
use etherparse::PacketBuilder;
use rustix::net::{RecvFlags, SendFlags, sockopt, sockopt::Timeout};
use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Ipv6Addr, Shutdown, SocketAddrV6, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsRawFd, OwnedFd},
    thread,
    time::Duration,
};

/// How long nothing must come until it is taken for dropped.
const SILENCE: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(10);
const NETWORK: Ipv6Addr = at(0);
const ANYONE: Peer = Peer::Network6(Ipv6Addr::UNSPECIFIED, 0);
const ROUTER: [u8; 6] = [0x0a, 0xec, 0x20, 0, 0, 1];

// Why a packet isn't delivered (RFC 4443, 3.1).
const NO_ROUTE: u8 = 0;
const PROHIBITED: u8 = 1;

const fn at(host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x3fff, 1, 2, 0x300, 0, 0, 0, host)
}

fn to(address: Ipv6Addr, port: u16) -> SocketAddrV6 {
    SocketAddrV6::new(address, port, 0, 0)
}

/// A switch with an outside, and a machine on it, whose subnet has a route to everywhere.
struct Scene {
    lab: Lab,
    nic: Nic,
    machine: Machine,
    _attached: Attached,
}

impl Scene {
    fn new(outside: Outside, via: Via) -> Self {
        let lab = Lab::with_outside(outside);
        lab.set_rules("sg-6", vec![rule(Direction::Egress, Traffic::All, ANYONE)]);
        let mut nic = nic("vpc-1", [10, 0, 0, 5]);
        nic.ipv6 = vec![at(5)];
        nic.subnet6 = Some((NETWORK, 64));
        let (machine, _attached) = lab.machine_of(&[OPEN, "sg-6"], &nic);
        let scene = Self { lab, nic, machine, _attached };
        scene.lead(via);
        scene
    }

    /// Lets everything of IPv6 go there.
    fn lead(&self, via: Via) {
        self.lab.set_attributes(&self.nic, |attributes| {
            attributes.groups = vec![OPEN.to_owned(), "sg-6".to_owned()];
            // A public address is IPv4's affair.
            attributes.reaches_internet = false;
            attributes.ipv6 = self.nic.ipv6.clone();
            attributes.subnet6 = self.nic.subnet6;
            attributes.routes = vec![Route::everywhere6(via)];
        });
    }

    /// Connects, and says what was said to it.
    fn greeting(&self, address: Ipv6Addr) -> Result<String, ErrorKind> {
        let mut stream = self.machine.connect_within(PATIENCE, to(address, 80)).map_err(|error| error.kind())?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).map_err(|error| error.kind())?;
        Ok(said)
    }

    /// Sends a packet of its own making, and says with which code the router complains of it.
    fn complaint_about(&self, frames: &OwnedFd, packet: &[u8]) -> Option<u8> {
        let frame = [&ROUTER[..], &self.nic.mac, &[0x86, 0xdd], packet].concat();
        rustix::net::send(frames, &frame, SendFlags::empty()).unwrap();
        sockopt::set_socket_timeout(frames, Timeout::Recv, Some(PATIENCE)).unwrap();
        let mut frame = vec![0; 10_000];
        loop {
            let (length, _) = rustix::net::recv(frames, &mut frame[..], RecvFlags::empty()).ok()?;
            let found = &frame[..length];
            let is_of_router = found.len() >= 102 && found[6..12] == ROUTER && found[12..14] == [0x86, 0xdd];
            // An ICMPv6 error, and the destination of what it quotes.
            if is_of_router && found[20] == 58 && found[54] == 1 && found[86..102] == packet[24..40] {
                return Some(found[55]);
            }
        }
    }
}

/// Says a word to anyone who comes.
fn greet(listener: TcpListener, word: &'static str) {
    thread::spawn(move || {
        for stream in listener.incoming() {
            stream.unwrap().write_all(word.as_bytes()).unwrap();
        }
    });
}

#[test]
fn tcp_reaches_the_world_by_gateways_of_both_kinds() {
    on_a_host_of_its_own("outside6::tcp_reaches_the_world_by_gateways_of_both_kinds", |world| {
        let scene = Scene::new(Outside::default(), Via::Nothing);
        let listener = world.listen6(80);
        assert_eq!(scene.greeting(FAR6), Err(ErrorKind::NetworkUnreachable));
        for via in [Via::Internet, Via::EgressOnly] {
            scene.lead(via);
            let mut near = scene.machine.connect(to(FAR6, 80)).unwrap();
            let (mut far, from) = listener.accept().unwrap();
            assert_eq!(from.ip(), HOST6[0], "the host's address stands for the machine's");
            let sent: Vec<u8> = (0..4 << 20).map(|number: u32| (number / 7) as u8).collect();
            let send = |mut stream: TcpStream| {
                let sent = sent.clone();
                thread::spawn(move || {
                    stream.write_all(&sent).unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                })
            };
            let writers = [send(near.try_clone().unwrap()), send(far.try_clone().unwrap())];
            for stream in [&mut near, &mut far] {
                let mut got = Vec::new();
                stream.read_to_end(&mut got).unwrap();
                assert!(got == sent);
            }
            for writer in writers {
                writer.join().unwrap();
            }
        }
        assert_eq!(scene.machine.connect(to(WORLD6, 81)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let nobody = Ipv6Addr::from_bits(WORLD6.to_bits() + 1);
        assert_eq!(scene.machine.connect(to(nobody, 80)).unwrap_err().kind(), ErrorKind::HostUnreachable);
    });
}

/// How large packets may be on the way to where a socket is connected (ipv6(7)).
fn path_mtu(socket: &UdpSocket) -> libc::c_int {
    let mut found = 0;
    let mut length = size_of_val(&found) as libc::socklen_t;
    // SAFETY: both are as long as the call says, and live as long as it takes.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU,
            (&raw mut found).cast(),
            &raw mut length,
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    found
}

#[test]
fn udp_of_any_size_reaches_the_world() {
    on_a_host_of_its_own("outside6::udp_of_any_size_reaches_the_world", |world| {
        let scene = Scene::new(Outside::default(), Via::EgressOnly);
        let (near, far) = (scene.machine.udp6(), world.udp6());
        rustix::net::bind(&far, &to(Ipv6Addr::UNSPECIFIED, 123)).unwrap();
        near.set_read_timeout(Some(PATIENCE)).unwrap();
        far.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = vec![0; 65_536];
        // The first one that is too large for a gateway is lost, and its machine told how large packets may be.
        let first = scene.machine.udp6();
        first.connect((WORLD6, 125)).unwrap();
        first.send(&[3; 3000]).unwrap();
        eventually("the machine knows how large they may be", || path_mtu(&first) == 1500);
        for length in [1, 1200, 1452, 6000, 30_000] {
            near.send_to(&vec![3; length], (WORLD6, 123)).unwrap();
            let (got, from) = far.recv_from(&mut buffer).unwrap();
            assert_eq!((got, from.ip()), (length, IpAddr::from(HOST6[0])));
            assert!(buffer[..length].iter().all(|byte| *byte == 3));
            far.send_to(&vec![4; length], from).unwrap();
            let (got, from) = near.recv_from(&mut buffer).unwrap();
            assert_eq!((got, from), (length, (WORLD6, 123).into()));
            assert!(buffer[..length].iter().all(|byte| *byte == 4));
        }
        near.connect((WORLD6, 124)).unwrap();
        near.send(b"nobody").unwrap();
        assert_eq!(near.recv(&mut buffer).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn nothing_of_the_hosts_is_reached() {
    on_a_host_of_its_own("outside6::nothing_of_the_hosts_is_reached", |world| {
        let scene = Scene::new(Outside::default(), Via::Internet);
        greet(world.listen6(80), "world");
        let own = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 80)).unwrap();
        // So that what isn't reached isn't for lack of somebody who answers.
        for address in HOST6 {
            TcpStream::connect((address, 80)).unwrap();
            own.accept().unwrap();
        }
        for address in [PRIVATE6].into_iter().chain(NEVER6) {
            let mut said = String::new();
            TcpStream::connect((address, 80)).unwrap().read_to_string(&mut said).unwrap();
            assert_eq!(said, "world", "{address}");
        }
        own.set_nonblocking(true).unwrap();
        let [never @ .., of_a_vpc] = NEVER6;
        for address in HOST6.into_iter().chain([PRIVATE6]).chain(never) {
            assert_eq!(scene.greeting(address), Err(ErrorKind::PermissionDenied), "{address}");
        }
        assert_eq!(scene.greeting(of_a_vpc), Err(ErrorKind::NetworkUnreachable));
        // Its own kernel would not send these, but its root can.
        let frames = scene.machine.frames();
        let opening = |to: Ipv6Addr| {
            let mut packet = Vec::new();
            let builder = PacketBuilder::ipv6(at(5).octets(), to.octets(), 64).tcp(50_000, 80, 1, 1000).syn();
            builder.write(&mut packet, &[]).unwrap();
            packet
        };
        for address in [
            "::ffff:127.0.0.1",
            "::ffff:198.51.100.2",
            "::ffff:198.51.100.9",
            "::127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b:1::1",
            "fec0::1",
            "fd00:ec2::23",
            "100::1",
        ] {
            let address: Ipv6Addr = address.parse().unwrap();
            let told = scene.complaint_about(&frames, &opening(address));
            assert_eq!(told, Some(PROHIBITED), "{address}");
        }
        for address in ["::1", "::", "fe80::1", "ff02::1", "ff0e::1"] {
            let packet = opening(address.parse().unwrap());
            let frame = [&ROUTER[..], &scene.nic.mac, &[0x86, 0xdd], &packet].concat();
            rustix::net::send(&frames, &frame, SendFlags::empty()).unwrap();
        }
        // An echo isn't carried, as by IPv4.
        let mut echo = Vec::new();
        PacketBuilder::ipv6(at(5).octets(), WORLD6.octets(), 64)
            .icmpv6_echo_request(1, 2)
            .write(&mut echo, b"echo")
            .unwrap();
        assert_eq!(scene.complaint_about(&frames, &echo), Some(NO_ROUTE));
        assert_eq!(own.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "somebody has come through");
        assert_eq!(scene.greeting(WORLD6).unwrap(), "world");
    });
}

#[test]
fn unique_local_networks_are_reached_when_they_are_named() {
    on_a_host_of_its_own("outside6::unique_local_networks_are_reached_when_they_are_named", |world| {
        greet(world.listen6(80), "private");
        let mut outside = Outside::default();
        // The host's own address is of a network that is named, and stays its own; so does what clouds have for their hosts.
        outside.private_networks = ["fd99::/16", "fd88::/16", "fd20::/16"].map(|text| text.parse().unwrap()).to_vec();
        let scene = Scene::new(outside, Via::Internet);
        let _own = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 80)).unwrap();
        assert_eq!(scene.greeting(PRIVATE6).unwrap(), "private");
        for address in [HOST6[1], NEVER6[0]] {
            assert_eq!(scene.greeting(address), Err(ErrorKind::PermissionDenied), "{address}");
        }
    });
}

/// Who has both families falls back to IPv4 at once.
#[test]
fn a_host_without_ipv6_says_so_at_once() {
    on_a_host_of_its_own("outside6::a_host_without_ipv6_says_so_at_once", |world| {
        let scene = Scene::new(Outside::default(), Via::Internet);
        greet(world.listen6(80), "world");
        assert_eq!(scene.greeting(FAR6).unwrap(), "world");
        std::fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1").unwrap();
        for address in [WORLD6, FAR6] {
            assert_eq!(scene.greeting(address), Err(ErrorKind::NetworkUnreachable), "{address}");
        }
        let frames = scene.machine.frames();
        let mut datagram = Vec::new();
        PacketBuilder::ipv6(at(5).octets(), FAR6.octets(), 64).udp(7, 123).write(&mut datagram, b"time").unwrap();
        assert_eq!(scene.complaint_about(&frames, &datagram), Some(NO_ROUTE));
    });
}

#[test]
fn groups_say_what_gets_out_and_let_its_answers_in() {
    on_a_host_of_its_own("outside6::groups_say_what_gets_out_and_let_its_answers_in", |world| {
        let scene = Scene::new(Outside::default(), Via::EgressOnly);
        let egress = |port| rule(Direction::Egress, Traffic::Tcp(port..=port), Peer::Network6(WORLD6, 128));
        scene.lab.set_rules("sg-6", vec![egress(80)]);
        // What is told later holds later.
        scene.lead(Via::EgressOnly);
        greet(world.listen6(80), "world");
        let kind = |address, port| {
            scene.machine.connect_within(SILENCE, to(address, port)).map_err(|error| error.kind()).map(drop)
        };
        assert_eq!(kind(WORLD6, 81), Err(ErrorKind::TimedOut), "dropped, as on EC2");
        assert_eq!(kind(FAR6, 80), Err(ErrorKind::TimedOut));
        assert_eq!(scene.greeting(WORLD6).unwrap(), "world");
    });
}

/// An egress-only gateway lets answers in, and nobody who wasn't asked: also of machines of other VPCs.
#[test]
fn nobody_comes_in_by_an_egress_only_gateway() {
    let lab = Lab::new();
    let groups = [OPEN, "sg-6"];
    let both = [Direction::Ingress, Direction::Egress].map(|direction| rule(direction, Traffic::All, ANYONE));
    lab.set_rules("sg-6", both.to_vec());
    let ends = [("vpc-1", 0x300, Via::EgressOnly), ("vpc-2", 0x400, Via::Internet)];
    let [(inner, _inner), (outer, _outer)] = ends.map(|(vpc, subnet, via)| {
        let network = Ipv6Addr::new(0x3fff, 1, 2, subnet, 0, 0, 0, 0);
        let mut nic = nic(vpc, [10, 0, 0, 5]);
        nic.ipv6 = vec![Ipv6Addr::from_bits(network.to_bits() + 5)];
        nic.subnet6 = Some((network, 64));
        let plugged = lab.machine_of(&groups, &nic);
        lab.set_attributes(&nic, |attributes| {
            attributes.groups = groups.map(ToOwned::to_owned).to_vec();
            attributes.ipv6 = nic.ipv6.clone();
            attributes.subnet6 = nic.subnet6;
            attributes.routes = vec![Route::everywhere6(via)];
        });
        plugged
    });
    let [inside, outside] = [0x300, 0x400].map(|subnet| Ipv6Addr::new(0x3fff, 1, 2, subnet, 0, 0, 0, 5));
    greet(inner.listen6(80), "inside");
    greet(outer.listen6(80), "outside");
    let (near, far) = (inner.udp6(), outer.udp6());
    for socket in [&near, &far] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        rustix::net::bind(socket, &to(Ipv6Addr::UNSPECIFIED, 9)).unwrap();
    }
    far.send_to(b"unasked", (inside, 9)).unwrap();
    let refused = outer.connect_within(PATIENCE, to(inside, 80)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NetworkUnreachable);
    let mut said = String::new();
    inner.connect_within(PATIENCE, to(outside, 80)).unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "outside");
    near.send_to(b"question", (outside, 9)).unwrap();
    let mut buffer = [0; 16];
    let (_, from) = far.recv_from(&mut buffer).unwrap();
    far.send_to(b"answer", from).unwrap();
    let (length, _) = near.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"answer");
}
