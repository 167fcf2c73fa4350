//! The way out of a whole machine: what its root reaches by it of the world, and of its host, which is nothing.

use crate::{
    fixture::{Disk, FIRST_BOOT, JOBS, Running, specification},
    world::{CLOUDS, FAR, FAR6, HOST, HOST6, NEVER6, PRIVATE, PRIVATE6, WORLD, WORLD6, on_a_host_of_its_own},
};
use ec2_local::{
    machine::sandbox::Sandbox,
    network::{
        Attributes, Change, Direction, Metadata, MetadataSource, Outside, Peer, Route, Rule, Switch, Traffic, Via,
    },
};
use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket},
    sync::Arc,
    thread,
};

struct Account;

impl MetadataSource for Account {
    fn metadata(&self, _nic: &str) -> Option<Metadata> {
        let tree = vec![("meta-data/instance-id".to_owned(), "i-0123456789abcdef0".to_owned())];
        Some(Metadata { enabled: true, tree, ..Metadata::default() })
    }
}

/// A resolver of the host's, to which `10-1-2-3.example.com` means 10.1.2.3.
fn resolve() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).unwrap();
    thread::spawn(move || {
        let mut message = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut message) {
            let label = &message[13..13 + usize::from(message[12])];
            let address: Vec<u8> =
                String::from_utf8_lossy(label).split('-').filter_map(|number| number.parse().ok()).collect();
            let is_asked_for = message[..length].ends_with(&[0, 0, 1, 0, 1]);
            let mut answer = message[..length].to_vec();
            answer[2] |= 0x80;
            // Nothing that comes after the question, such as what EDNS adds.
            answer[10..12].fill(0);
            if is_asked_for && address.len() == 4 {
                answer[7] = 1;
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                answer.extend(address);
            }
            socket.send_to(&answer, from).unwrap();
        }
    });
}

#[test]
fn reaches_the_world_and_nothing_of_its_host() {
    on_a_host_of_its_own("outside::reaches_the_world_and_nothing_of_its_host", |world| {
        let everywhere = world.listen(80);
        thread::spawn(move || {
            for stream in everywhere.incoming() {
                // Who is gone has heard enough.
                let _ = stream.unwrap().write_all(b"world\n");
            }
        });
        let own = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80)).unwrap();
        let datagrams = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 123)).unwrap();
        // So that what isn't reached isn't for lack of somebody who answers.
        for address in HOST.into_iter().chain([Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 9, 9, 9)]) {
            TcpStream::connect((address, 80)).unwrap();
            own.accept().unwrap();
        }
        for address in [WORLD, FAR, PRIVATE].into_iter().chain(CLOUDS) {
            let mut said = String::new();
            TcpStream::connect((address, 80)).unwrap().read_to_string(&mut said).unwrap();
            assert_eq!(said, "world\n", "{address}");
        }
        own.set_nonblocking(true).unwrap();
        datagrams.set_nonblocking(true).unwrap();
        resolve();

        let directory = tempfile::tempdir().unwrap();
        let mut outside = Outside::default();
        outside.resolvers = directory.path().join("resolv.conf");
        fs::write(&outside.resolvers, "nameserver 127.0.0.1\n").unwrap();
        let switch = Switch::with_outside(Arc::new(Account), outside).unwrap();
        let rule = Rule { direction: Direction::Egress, traffic: Traffic::All, peer: Peer::Network([0; 4].into(), 0) };
        switch.heed(Change::SecurityGroup { id: "sg-1".to_owned(), rules: Some(vec![rule]) });
        let attributes = Attributes {
            groups: vec!["sg-1".to_owned()],
            source_dest_check: true,
            reaches_internet: true,
            routes: vec![Route::everywhere(Via::Internet)],
            ..Attributes::default()
        };
        switch.heed(Change::NetworkInterface { id: "eni-1".to_owned(), attributes: Some(attributes) });
        let disk = Disk::new();
        let hypervisor = Sandbox::new(switch).program(["/bin/sh", "-c", JOBS]);
        let machine = Running::until_ready_on(&hypervisor, specification(&disk.path(), FIRST_BOOT));

        let forbidden: Vec<Ipv4Addr> = HOST
            .into_iter()
            .chain(CLOUDS.into_iter().skip(1))
            .chain([PRIVATE, Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 9, 9, 9), Ipv4Addr::UNSPECIFIED])
            .chain([Ipv4Addr::new(198, 51, 100, 255), Ipv4Addr::new(224, 0, 0, 1), Ipv4Addr::BROADCAST])
            .collect();
        let name = |address: &Ipv4Addr| format!("{}.example.com", address.to_string().replace('.', "-"));
        let mut targets: Vec<String> = forbidden.iter().map(ToString::to_string).collect();
        targets.extend(forbidden.iter().map(name));
        let allowed = [WORLD.to_string(), FAR.to_string(), name(&WORLD)];
        targets.extend(allowed.clone());
        // A route to loopback addresses by way of the router, which no machine has unless its root says so.
        let script = format!(
            "exec 2>&1; ip route add 127.9.9.9/32 via 172.31.0.1; echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet
             perl -MIO::Socket::INET -e 'for my $to (@ARGV) {{
                 my $datagram = IO::Socket::INET->new(Proto => q(udp), PeerAddr => $to, PeerPort => 123, Broadcast => 1);
                 $datagram->send(q(word)) if $datagram;
                 my $stream = IO::Socket::INET->new(PeerAddr => $to, PeerPort => 80, Timeout => 5) or next;
                 print qq($to ), scalar(<$stream>);
             }}' {}
             perl -MIO::Socket::INET -e '
                 my $stream = IO::Socket::INET->new(PeerAddr => q(169.254.169.254), PeerPort => 80) or die;
                 print $stream qq(GET /latest/meta-data/instance-id HTTP/1.0\\r\\n\\r\\n); print for grep /^i-|world/, <$stream>'",
            targets.join(" ")
        );
        let answer = machine.run(&script);
        let reached: String = allowed.iter().map(|to| format!("{to} world\n")).collect();
        assert!(answer.ends_with(&format!("{reached}i-0123456789abcdef0exit 0\n")), "{answer}");
        assert_eq!(answer.matches("world").count(), allowed.len(), "{answer}");
        assert_eq!(own.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "{answer}");
        assert_eq!(datagrams.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::WouldBlock, "{answer}");
        machine.end();
        disk.remove();
    });
}

#[test]
fn reaches_the_world_by_ipv6_and_nothing_of_its_host() {
    on_a_host_of_its_own("outside::reaches_the_world_by_ipv6_and_nothing_of_its_host", |world| {
        let everywhere = world.listen6(80);
        thread::spawn(move || {
            for stream in everywhere.incoming() {
                let _ = stream.unwrap().write_all(b"world\n");
            }
        });
        let own = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 80)).unwrap();
        let datagrams = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 123)).unwrap();
        own.set_nonblocking(true).unwrap();
        datagrams.set_nonblocking(true).unwrap();

        let switch = Switch::with_outside(Arc::new(Account), Outside::default()).unwrap();
        let peer = Peer::Network6(Ipv6Addr::UNSPECIFIED, 0);
        let rule = Rule { direction: Direction::Egress, traffic: Traffic::All, peer };
        switch.heed(Change::SecurityGroup { id: "sg-1".to_owned(), rules: Some(vec![rule]) });
        let disk = Disk::new();
        let mut specification = specification(&disk.path(), FIRST_BOOT);
        let nic = &mut specification.machine.nics[0];
        nic.ipv6 = vec!["3fff:1::5".parse().unwrap()];
        nic.subnet6 = Some(("3fff:1::".parse().unwrap(), 64));
        let attributes = Attributes {
            groups: vec!["sg-1".to_owned()],
            source_dest_check: true,
            ipv6: nic.ipv6.clone(),
            subnet6: nic.subnet6,
            routes: vec![Route::everywhere6(Via::EgressOnly)],
            ..Attributes::default()
        };
        switch.heed(Change::NetworkInterface { id: nic.id.clone(), attributes: Some(attributes) });
        let hypervisor = Sandbox::new(switch).program(["/bin/sh", "-c", JOBS]);
        let machine = Running::until_ready_on(&hypervisor, specification);

        let mapped = HOST.map(|address| address.to_ipv6_mapped());
        let forbidden = HOST6.into_iter().chain([PRIVATE6]).chain(NEVER6).chain(mapped);
        let targets: Vec<String> = forbidden.chain([WORLD6, FAR6]).map(|address| address.to_string()).collect();
        let script = format!(
            "for to in {}; do bash -c \"echo word >/dev/udp/$to/123\"
             said=$(timeout 5 bash -c \"exec 3<>/dev/tcp/$to/80 && head -n 1 <&3\"); echo \"$to [$said]\"; done 2>/dev/null",
            targets.join(" ")
        );
        let answer = machine.run(&script);
        assert!(answer.ends_with(&format!("{WORLD6} [world]\n{FAR6} [world]\nexit 0\n")), "{answer}");
        assert_eq!(answer.matches("[world]").count(), 2, "{answer}");
        assert_eq!(own.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "{answer}");
        assert_eq!(datagrams.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::WouldBlock, "{answer}");
        machine.end();
        disk.remove();
    });
}
