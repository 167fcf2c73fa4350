//! Machines that reach the outside, and what they must not reach of it.

use crate::{
    lab::{Lab, OPEN, eventually, nic, raise_limit_of_files, rule},
    machine::Machine,
    world::{CLOUDS, FAR, HOST, PRIVATE, WORLD, on_a_host_of_its_own},
};
use ec2_local::network::{Attached, Direction, Nic, Outside, Peer, Route, Traffic, Via};
use etherparse::{Icmpv4Type, Ipv4HeaderSlice, PacketBuilder, icmpv4::DestUnreachableHeader};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream},
    thread,
    time::Duration,
};

/// How long nothing must come until it is taken for dropped.
const SILENCE: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(10);

/// A switch with an outside, and a machine on it.
fn start() -> (Lab, Nic, Machine, Attached) {
    let lab = Lab::with_outside(Outside::default());
    let nic = nic("vpc-1", [10, 0, 0, 5]);
    let (machine, attached) = lab.machine(&nic);
    (lab, nic, machine, attached)
}

/// Connects, and says what was said to it.
fn greeting(machine: &Machine, to: Ipv4Addr, port: u16) -> Result<String, ErrorKind> {
    let mut stream = machine.connect_within(PATIENCE, SocketAddrV4::new(to, port)).map_err(|error| error.kind())?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).map_err(|error| error.kind())?;
    Ok(said)
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
fn tcp_reaches_the_world_whole_and_both_ways() {
    on_a_host_of_its_own("outside::tcp_reaches_the_world_whole_and_both_ways", |world| {
        let (_lab, _, machine, _attached) = start();
        let listener = world.listen(80);
        let mut near = machine.connect(SocketAddrV4::new(FAR, 80)).unwrap();
        let (mut far, from) = listener.accept().unwrap();
        assert_eq!(from.ip(), HOST[0], "the host's address stands for the machine's");
        let sent: Vec<u8> = (0..8 << 20).map(|number: u32| (number / 7) as u8).collect();
        let send = |mut stream: TcpStream| {
            let sent = sent.clone();
            move || {
                stream.write_all(&sent).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
            }
        };
        let writers = [thread::spawn(send(near.try_clone().unwrap())), thread::spawn(send(far.try_clone().unwrap()))];
        // What nobody reads waits with its sender.
        thread::sleep(SILENCE);
        assert!(!writers[0].is_finished() && !writers[1].is_finished());
        for stream in [&mut near, &mut far] {
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            assert!(got == sent);
        }
        for writer in writers {
            writer.join().unwrap();
        }
    });
}

/// A NAT gateway needs no public address of the machine's, and brings it nobody who wasn't asked.
#[test]
fn a_machine_behind_a_nat_gateway_reaches_the_world() {
    on_a_host_of_its_own("outside::a_machine_behind_a_nat_gateway_reaches_the_world", |world| {
        let (lab, nic, machine, _attached) = start();
        let led = |via: Via| {
            lab.set_attributes(&nic, |attributes| {
                attributes.groups = vec![OPEN.to_owned()];
                attributes.reaches_internet = false;
                attributes.routes = vec![Route::everywhere(via)];
            });
        };
        greet(world.listen(80), "hello");
        for without in [Via::Internet, Via::Nothing] {
            led(without);
            greeting(&machine, WORLD, 80).unwrap_err();
        }
        led(Via::Nat(Ipv4Addr::new(127, 9, 9, 9)));
        assert_eq!(greeting(&machine, WORLD, 80).unwrap(), "hello");
    });
}

#[test]
fn what_the_world_says_of_a_connection_is_told() {
    on_a_host_of_its_own("outside::what_the_world_says_of_a_connection_is_told", |world| {
        let (_lab, _, machine, _attached) = start();
        let kind = |address, port| machine.connect(SocketAddrV4::new(address, port)).unwrap_err().kind();
        assert_eq!(kind(WORLD, 81), ErrorKind::ConnectionRefused);
        assert_eq!(kind(Ipv4Addr::new(198, 51, 100, 77), 80), ErrorKind::HostUnreachable, "nobody has that address");

        let listener = world.listen(80);
        let mut near = machine.connect(SocketAddrV4::new(WORLD, 80)).unwrap();
        let (far, _) = listener.accept().unwrap();
        rustix::net::sockopt::set_socket_linger(&far, Some(Duration::ZERO)).unwrap();
        drop(far);
        assert_eq!(near.read(&mut [0; 16]).unwrap_err().kind(), ErrorKind::ConnectionReset);

        let near = machine.connect(SocketAddrV4::new(WORLD, 80)).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        drop(near);
        assert_eq!(far.read(&mut [0; 16]).unwrap(), 0, "the machine has closed it");
    });
}

#[test]
fn udp_reaches_the_world() {
    on_a_host_of_its_own("outside::udp_reaches_the_world", |world| {
        let (_lab, _, machine, _attached) = start();
        let far = world.udp();
        rustix::net::bind(&far, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 123)).unwrap();
        let near = machine.udp();
        near.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = vec![0; 10_000];
        for length in [1, 1200, 1472] {
            near.send_to(&vec![3; length], (WORLD, 123)).unwrap();
            let (got, from) = far.recv_from(&mut buffer).unwrap();
            assert_eq!((got, from.ip()), (length, HOST[0].into()));
            far.send_to(&vec![4; length], from).unwrap();
            let (got, from) = near.recv_from(&mut buffer).unwrap();
            assert_eq!((got, from), (length, (WORLD, 123).into()));
        }
        near.connect((WORLD, 124)).unwrap();
        near.send(b"nobody").unwrap();
        assert_eq!(near.recv(&mut buffer).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn sockets_of_the_host_are_bounded() {
    on_a_host_of_its_own("outside::sockets_of_the_host_are_bounded", |world| {
        let (_lab, _, machine, _attached) = start();
        let sockets = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let (near, far, before) = (machine.udp(), world.udp(), sockets());
        for port in 1000..1400 {
            near.send_to(b"x", (WORLD, port)).unwrap();
        }
        // What came last still has its way back.
        rustix::net::bind(&far, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 123)).unwrap();
        near.set_read_timeout(Some(SILENCE)).unwrap();
        let mut answered = false;
        eventually("an answer among complaints", || {
            near.send_to(b"x", (WORLD, 123)).unwrap();
            far.set_read_timeout(Some(SILENCE)).unwrap();
            if let Ok((_, from)) = far.recv_from(&mut [0; 16]) {
                far.send_to(b"y", from).unwrap();
            }
            answered |= near.recv(&mut [0; 16]).is_ok();
            answered
        });
        // And one to ask the kernel whose addresses are the host's.
        assert!(sockets() <= before + 128 + 1, "{} sockets more", sockets() - before);
    });
}

#[test]
fn machines_leave_half_of_the_files_to_their_host() {
    on_a_host_of_its_own("outside::machines_leave_half_of_the_files_to_their_host", |_world| {
        const FILES: u64 = 400;
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let few = rustix::process::Rlimit { current: Some(FILES), ..files };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, few).unwrap();
        let lab = Lab::with_outside(Outside::default());
        let machines = [5, 6, 7].map(|number| lab.machine(&nic("vpc-1", [10, 0, 0, number])));
        let sockets = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let near = machines.each_ref().map(|(machine, _)| machine.udp());
        let before = sockets();
        for port in 1000..1100 {
            for near in &near {
                near.send_to(b"x", (WORLD, port)).unwrap();
            }
            // So that none is lost for another reason.
            thread::sleep(Duration::from_millis(1));
        }
        eventually("as many as may be", || sockets() >= before + FILES as usize / 2);
        thread::sleep(SILENCE);
        // And one to ask the kernel whose addresses are the host's.
        assert!(sockets() <= before + FILES as usize / 2 + 1, "{} sockets more", sockets() - before);
    });
}

#[test]
fn tcp_connections_are_bounded() {
    on_a_host_of_its_own("outside::tcp_connections_are_bounded", |world| {
        const MOST: usize = 1024;
        raise_limit_of_files();
        let (lab, _, machine, _attached) = start();
        let listener = world.listen(80);
        // As many as the world's queue holds would be open without it.
        let (sender, accepted) = std::sync::mpsc::channel();
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let _ = sender.send(stream);
            }
        });
        let to = SocketAddrV4::new(WORLD, 80);
        let mut near: Vec<TcpStream> = (0..MOST).map(|_| machine.connect_within(PATIENCE, to).unwrap()).collect();
        let mut far: Vec<TcpStream> = (0..MOST).map(|_| accepted.recv_timeout(PATIENCE).unwrap()).collect();
        assert_eq!(machine.connect_within(SILENCE, to).unwrap_err().kind(), ErrorKind::TimedOut, "one too many");
        assert!(accepted.recv_timeout(SILENCE).is_err(), "the world hears nothing of it");
        // Another machine has a bound of its own, and names and metadata are answered as before.
        let (other, _other) = lab.machine(&nic("vpc-1", [10, 0, 0, 6]));
        other.connect_within(PATIENCE, to).unwrap();
        drop(accepted.recv_timeout(PATIENCE).unwrap());
        machine.connect_within(PATIENCE, SocketAddrV4::new(Ipv4Addr::new(169, 254, 169, 254), 80)).unwrap();
        // Those that are there work, and where one ends there is room.
        near[MOST - 1].write_all(b"word").unwrap();
        let hears = |far: &mut TcpStream| {
            far.set_nonblocking(true).unwrap();
            far.read_exact(&mut [0; 4]).is_ok()
        };
        eventually("what the last one says arrives", || far.iter_mut().any(hears));
        drop(far);
        drop(near.split_off(MOST / 2));
        eventually("there is room again", || machine.connect_within(SILENCE, to).is_ok());
    });
}

#[test]
fn what_nobody_reads_outside_waits_in_its_machine() {
    on_a_host_of_its_own("outside::what_nobody_reads_outside_waits_in_its_machine", |world| {
        let (_lab, _, machine, _attached) = start();
        let listener = world.listen(80);
        let mut near = machine.connect(SocketAddrV4::new(WORLD, 80)).unwrap();
        let (_far, _) = listener.accept().unwrap();
        near.set_write_timeout(Some(SILENCE)).unwrap();
        while near.write(&[0; 64 << 10]).is_ok() {}
        // Of local and remote address, state, and queues of the host's sockets (proc_net_tcp): what is established to port 80.
        let sockets = std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
        let of_it = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let queues: Vec<_> = of_it.filter(|socket| socket[2].ends_with(":0050") && socket[3] == "01").collect();
        assert_eq!(queues.len(), 1, "{sockets}");
        let unsent = u64::from_str_radix(queues[0][4].split_once(':').unwrap().0, 16).unwrap();
        assert!((1..=256 << 10).contains(&unsent), "{unsent} bytes wait in the host's kernel");
    });
}

#[test]
fn only_who_has_a_gateway_and_an_address_of_the_internet_gets_out() {
    on_a_host_of_its_own("outside::only_who_has_a_gateway_and_an_address_of_the_internet_gets_out", |world| {
        let (lab, nic, machine, _attached) = start();
        greet(world.listen(80), "world");
        assert_eq!(greeting(&machine, WORLD, 80).unwrap(), "world");
        lab.set_attributes(&nic, |attributes| {
            (attributes.groups, attributes.reaches_internet) = (vec![OPEN.to_owned()], false);
        });
        let refused = || greeting(&machine, WORLD, 80) == Err(ErrorKind::NetworkUnreachable);
        eventually("the change holds", refused);
        let udp = machine.udp();
        udp.set_read_timeout(Some(PATIENCE)).unwrap();
        udp.connect((WORLD, 123)).unwrap();
        udp.send(b"time").unwrap();
        assert_eq!(udp.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::NetworkUnreachable);
    });
}

#[test]
fn groups_say_what_gets_out_and_let_its_answers_in() {
    on_a_host_of_its_own("outside::groups_say_what_gets_out_and_let_its_answers_in", |world| {
        let lab = Lab::with_outside(Outside::default());
        let egress = |port| rule(Direction::Egress, Traffic::Tcp(port..=port), Peer::Network(WORLD, 32));
        lab.set_rules("sg-1", vec![egress(80)]);
        let (machine, _attached) = lab.machine_of(&["sg-1"], &nic("vpc-1", [10, 0, 0, 5]));
        let (listener, other) = (world.listen(80), world.listen(81));
        greet(other, "other");
        let to = |address, port| machine.connect_within(SILENCE, SocketAddrV4::new(address, port));
        assert_eq!(to(WORLD, 81).unwrap_err().kind(), ErrorKind::TimedOut, "dropped, as on EC2");
        assert_eq!(to(FAR, 80).unwrap_err().kind(), ErrorKind::TimedOut);
        let mut near = to(WORLD, 80).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        near.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut says = |word: &[u8; 4]| {
            far.write_all(word).unwrap();
            near.read_exact(&mut [0; 4]).is_ok()
        };
        assert!(says(b"ping"));
        // The connection is tracked, so it goes on.
        lab.set_rules("sg-1", vec![egress(81)]);
        assert!(says(b"pong"));
        assert_eq!(to(WORLD, 80).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(greeting(&machine, WORLD, 81).unwrap(), "other");
    });
}

#[test]
fn nothing_of_the_hosts_is_reached() {
    on_a_host_of_its_own("outside::nothing_of_the_hosts_is_reached", |world| {
        let (lab, nic, machine, _attached) = start();
        let (other, _other) = lab.machine(&self::nic("vpc-2", [10, 1, 0, 5]));
        greet(world.listen(80), "world");
        let own = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80)).unwrap();
        own.set_nonblocking(true).unwrap();
        // The first one is the machine's own service's.
        for address in HOST.into_iter().chain(CLOUDS.into_iter().skip(1)) {
            assert_eq!(greeting(&machine, address, 80), Err(ErrorKind::HostUnreachable), "{address}");
        }
        // Its own kernel would not send these, but its root can.
        let frames = machine.frames();
        let router = [0x0a, 0xec, 0x20, 0, 0, 1];
        let own_address = nic.addresses[0].octets();
        let asks = |to: Ipv4Addr| {
            let mut frame = Vec::new();
            PacketBuilder::ethernet2(nic.mac, router)
                .ipv4(own_address, to.octets(), 64)
                .tcp(50_000, 80, 1, 1000)
                .syn()
                .write(&mut frame, &[])
                .unwrap();
            rustix::net::send(&frames, &frame, rustix::net::SendFlags::empty()).unwrap();
        };
        let broadcast = Ipv4Addr::new(198, 51, 100, 255);
        let told: Vec<Ipv4Addr> = [[127, 0, 0, 1], [127, 1, 2, 3], [0, 0, 0, 1], [169, 254, 169, 1], [240, 0, 0, 1]]
            .map(Ipv4Addr::from)
            .into_iter()
            .chain([broadcast])
            .chain(HOST)
            .collect();
        for to in told {
            asks(to);
            assert_eq!(complaint(&frames), Some((DestUnreachableHeader::FilterProhibited.code_u8(), to)), "{to}");
        }
        for to in [[0, 0, 0, 0], [255, 255, 255, 255], [224, 0, 0, 1]] {
            asks(to.into());
        }
        // Nor does it reach a machine of another VPC, whose private address is nobody's outside.
        let _listening = other.listen(80);
        assert_eq!(greeting(&machine, other.address, 80), Err(ErrorKind::HostUnreachable));
        assert_eq!(own.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "somebody has come through");
        assert_eq!(greeting(&machine, WORLD, 80).unwrap(), "world");
    });
}

/// The code of the next ICMP error among the frames, and where that went of which it complains.
fn complaint(frames: &std::os::fd::OwnedFd) -> Option<(u8, Ipv4Addr)> {
    rustix::net::sockopt::set_socket_timeout(frames, rustix::net::sockopt::Timeout::Recv, Some(PATIENCE)).unwrap();
    let mut frame = vec![0; 10_000];
    loop {
        let (length, _) = rustix::net::recv(frames, &mut frame[..], rustix::net::RecvFlags::empty()).ok()?;
        let Some(packet) = frame[..length].get(14..) else { continue };
        let Ok(header) = Ipv4HeaderSlice::from_slice(packet) else { continue };
        if header.protocol() != etherparse::IpNumber::ICMP {
            continue;
        }
        let icmp =
            etherparse::Icmpv4Slice::from_slice(&packet[header.slice().len()..header.total_len().into()]).unwrap();
        if let Icmpv4Type::DestinationUnreachable(why) = icmp.icmp_type() {
            return Some((why.code_u8(), Ipv4HeaderSlice::from_slice(icmp.payload()).unwrap().destination_addr()));
        }
    }
}

#[test]
fn private_networks_are_reached_when_they_are_named() {
    on_a_host_of_its_own("outside::private_networks_are_reached_when_they_are_named", |world| {
        greet(world.listen(80), "private");
        {
            let (_lab, _, machine, _attached) = start();
            assert_eq!(greeting(&machine, PRIVATE, 80), Err(ErrorKind::HostUnreachable));
        }
        let mut outside = Outside::default();
        // The host's own private address is of a network that is named, and stays its own.
        outside.private_networks = vec!["10.99.0.0/24".parse().unwrap(), "10.88.0.0/16".parse().unwrap()];
        let lab = Lab::with_outside(outside);
        let (machine, _attached) = lab.machine(&nic("vpc-1", [10, 0, 0, 5]));
        let _own = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80)).unwrap();
        assert_eq!(greeting(&machine, PRIVATE, 80).unwrap(), "private");
        assert_eq!(greeting(&machine, HOST[1], 80), Err(ErrorKind::HostUnreachable));
    });
}

#[test]
fn a_machine_that_lies_about_itself_gets_nobodys_answers() {
    on_a_host_of_its_own("outside::a_machine_that_lies_about_itself_gets_nobodys_answers", |world| {
        let lab = Lab::with_outside(Outside::default());
        let nics = [nic("vpc-1", [10, 0, 0, 5]), nic("vpc-1", [10, 0, 0, 6])];
        let (victim, _attached) = lab.machine(&nics[0]);
        let (liar, _attached) = lab.machine(&nics[1]);
        let (near, far) = (victim.udp(), world.udp());
        for socket in [&near, &far] {
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        rustix::net::bind(&near, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 5000)).unwrap();
        rustix::net::bind(&far, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 123)).unwrap();
        near.send_to(b"question", (WORLD, 123)).unwrap();
        let mut buffer = [0; 64];
        let (_, from) = far.recv_from(&mut buffer).unwrap();

        let frames = liar.frames();
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(nics[1].mac, [0x0a, 0xec, 0x20, 0, 0, 1])
            .ipv4(nics[0].addresses[0].octets(), WORLD.octets(), 64)
            .udp(5000, 123)
            .write(&mut frame, b"lie")
            .unwrap();
        rustix::net::send(&frames, &frame, rustix::net::SendFlags::empty()).unwrap();
        // An honest one, so that the lie has had its time.
        liar.udp().send_to(b"honest", (WORLD, 123)).unwrap();
        let (length, other) = far.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from == other), (&b"honest"[..], false));
        far.send_to(b"answer", from).unwrap();
        assert_eq!(near.recv(&mut buffer).unwrap(), 6);
    });
}
