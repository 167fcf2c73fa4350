//! Names that a machine asks for, of its VPC and of the world.

use crate::{
    lab::{Lab, nic},
    machine::Machine,
    world::{HOST, WORLD, on_a_host_of_its_own},
};
use ec2_local::network::{Attached, Outside};
use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket},
    path::Path,
    thread,
    time::{Duration, Instant},
};

const NAMES: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const PATIENCE: Duration = Duration::from_secs(20);
// RFC 1035, 4.1.1.
const SERVER_FAILURE: u8 = 2;
const NAME_ERROR: u8 = 3;
const TRUNCATED: u8 = 2;

fn start(resolvers: &Path) -> (Lab, Machine, Attached) {
    let mut outside = Outside::default();
    outside.resolvers = resolvers.to_owned();
    let lab = Lab::with_outside(outside);
    let (machine, attached) = lab.machine(&nic("vpc-1", [10, 0, 0, 5]));
    (lab, machine, attached)
}

fn question(name: &str) -> Vec<u8> {
    let mut message = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

/// The answer of a resolver: this address, or only that there is more to say than fits.
fn resolve(question: &[u8], address: Option<Ipv4Addr>) -> Vec<u8> {
    let mut answer = question.to_vec();
    answer[2] |= 0x80;
    match address {
        Some(address) => {
            answer[7] = 1;
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            answer.extend(address.octets());
        }
        None => answer[2] |= TRUNCATED,
    }
    answer
}

fn ask(machine: &Machine, name: &str) -> Vec<u8> {
    let socket = machine.udp();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect((NAMES, 53)).unwrap();
    socket.send(&question(name)).unwrap();
    let mut answer = vec![0; 2000];
    let length = socket.recv(&mut answer).unwrap();
    answer.truncate(length);
    assert_eq!(answer[..2], [0, 7]);
    answer
}

fn ask_over_tcp(machine: &Machine, names: &[&str]) -> Vec<Vec<u8>> {
    let mut stream = machine.connect(SocketAddrV4::new(NAMES, 53)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    names
        .iter()
        .map(|name| {
            let message = question(name);
            stream.write_all(&(message.len() as u16).to_be_bytes()).unwrap();
            stream.write_all(&message).unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut answer = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut answer).unwrap();
            answer
        })
        .collect()
}

/// A resolver of the world's: over UDP it tells `answer`, over TCP the one of `over_tcp`.
fn serve(datagrams: UdpSocket, listener: TcpListener, answer: Option<Ipv4Addr>, over_tcp: Ipv4Addr) {
    rustix::net::bind(&datagrams, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 53)).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 2000];
        while let Ok((length, from)) = datagrams.recv_from(&mut buffer) {
            // Somebody who guesses wrongly comes first.
            let mut guess = resolve(&buffer[..length], Some(Ipv4Addr::new(6, 6, 6, 6)));
            guess[0] ^= 1;
            datagrams.send_to(&guess, from).unwrap();
            datagrams.send_to(&resolve(&buffer[..length], answer), from).unwrap();
        }
    });
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut question = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut question).unwrap();
            let answer = resolve(&question, Some(over_tcp));
            stream.write_all(&[&(answer.len() as u16).to_be_bytes(), &answer[..]].concat()).unwrap();
        }
    });
}

#[test]
fn names_of_the_world_are_asked_for_and_what_is_too_long_comes_over_tcp() {
    on_a_host_of_its_own("names::names_of_the_world_are_asked_for_and_what_is_too_long_comes_over_tcp", |world| {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("resolv.conf");
        let (_lab, machine, _attached) = start(&file);
        assert_eq!(ask(&machine, "example.com")[3] & 15, NAME_ERROR, "nobody is there to be asked");

        // The resolver comes while the switch runs; the first one of the two is dumb.
        fs::write(&file, format!("nameserver 198.51.100.10\nnameserver {WORLD}\n")).unwrap();
        serve(world.udp(), world.listen(53), None, Ipv4Addr::new(5, 6, 7, 8));
        let answer = ask(&machine, "example.com");
        assert_eq!((answer[2] & TRUNCATED, answer[3] & 15), (TRUNCATED, 0));
        let answers = ask_over_tcp(&machine, &["example.com", "ip-10-0-0-5.ec2.internal", "example.org"]);
        assert!(answers[0].ends_with(&[5, 6, 7, 8]) && answers[2].ends_with(&[5, 6, 7, 8]), "{answers:?}");
        assert!(answers[1].ends_with(&[10, 0, 0, 5]), "{answers:?}");
    });
}

#[test]
fn a_name_that_comes_to_mean_the_host_leads_nowhere() {
    on_a_host_of_its_own("names::a_name_that_comes_to_mean_the_host_leads_nowhere", |world| {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("resolv.conf");
        fs::write(&file, format!("nameserver {WORLD}\n")).unwrap();
        let (_lab, machine, _attached) = start(&file);
        let _own = TcpListener::bind((HOST[0], 80)).unwrap();
        serve(world.udp(), world.listen(53), Some(HOST[0]), HOST[0]);
        let answer = ask(&machine, "rebound.example.com");
        let address: [u8; 4] = *answer.last_chunk().unwrap();
        assert_eq!(Ipv4Addr::from(address), HOST[0]);
        let refused = machine.connect(SocketAddrV4::new(address.into(), 80)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::HostUnreachable);
    });
}

/// A message that isn't a plain question, and the code that it gets.
struct Other {
    what: &'static str,
    /// The header after the id.
    header: [u8; 10],
    /// Type and class.
    kind: [u8; 4],
    rest: Vec<u8>,
    code: u8,
}

fn other_messages() -> Vec<Other> {
    const PLAIN: [u8; 10] = [1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    const ADDRESS: [u8; 4] = [0, 1, 0, 1];
    let with = |at: usize, byte: u8| {
        let mut header = PLAIN;
        header[at] = byte;
        header
    };
    let other = |what, header, kind, code| Other { what, header, kind, rest: Vec::new(), code };
    // A record of a zone's beginning, another question, and a signature of a whole message.
    let start = [&[0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0][..], &[0; 20]].concat();
    let question = vec![1, b'a', 0, 0, 1, 0, 1];
    let signature = vec![0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 0];
    vec![
        other("a transfer", PLAIN, [0, 252, 0, 1], 5),
        other("a transfer of what is new, cut", PLAIN, [0, 251, 0, 1], 5),
        Other { rest: start.clone(), ..other("a transfer of what is new", with(7, 1), [0, 251, 0, 1], 1) },
        other("a key", PLAIN, [0, 249, 0, 1], 5),
        other("an update", with(0, 0x28), [0, 6, 0, 1], 4),
        other("a notice", with(0, 0x20), [0, 6, 0, 1], 4),
        other("a server's state", with(0, 0x10), ADDRESS, 4),
        other("a stateful operation", with(0, 0x30), ADDRESS, 4),
        other("chaos", PLAIN, [0, 16, 0, 3], 5),
        other("any class", PLAIN, [0, 1, 0, 255], 5),
        other("no recursion", with(0, 0), ADDRESS, 5),
        Other { rest: question, ..other("two questions", with(3, 2), ADDRESS, 1) },
        Other { rest: start, ..other("an answer in a question", with(5, 1), ADDRESS, 1) },
        Other { rest: signature, ..other("a signature", with(9, 1), ADDRESS, 1) },
        other("all there is", PLAIN, [0, 255, 0, 1], 0),
    ]
}

#[test]
fn nothing_but_plain_questions_comes_to_the_hosts_resolvers() {
    on_a_host_of_its_own("names::nothing_but_plain_questions_comes_to_the_hosts_resolvers", |world| {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("resolv.conf");
        fs::write(&file, format!("nameserver {WORLD}\n")).unwrap();
        let (_lab, machine, _attached) = start(&file);
        let resolver = world.udp();
        resolver.set_read_timeout(Some(PATIENCE)).unwrap();
        rustix::net::bind(&resolver, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 53)).unwrap();
        let _over_tcp = world.listen(53);
        let socket = machine.udp();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect((NAMES, 53)).unwrap();
        let mut stream = machine.connect(SocketAddrV4::new(NAMES, 53)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        for Other { what, header, kind, rest, code } in other_messages() {
            let mut message = question("example.com");
            message[2..12].copy_from_slice(&header);
            message.truncate(message.len() - 4);
            message.extend(kind);
            message.extend(rest);
            socket.send(&message).unwrap();
            let mut answer = [0; 500];
            socket.recv(&mut answer).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(answer[3] & 15, code, "{what}");
            stream.write_all(&[&(message.len() as u16).to_be_bytes(), &message[..]].concat()).unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut answer = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer[3] & 15, code, "{what}, over TCP");
        }
        for name in ["1.168.192.in-addr.arpa", "10.in-addr.arpa", "8.e.f.ip6.arpa", "_dns.resolver.arpa", "nas.lan"] {
            assert_eq!(ask(&machine, name)[3] & 15, NAME_ERROR, "{name}");
        }

        // A subnet and a cookie are the machine's, and no business of others; what the resolver says of itself is its own.
        let mut message = question("example.com");
        message[11] = 1;
        let plain = [&message[2..], &[0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0]].concat();
        let options = [0, 8, 0, 7, 0, 1, 24, 0, 10, 0, 0, 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
        message.extend([0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, options.len() as u8]);
        message.extend(options);
        socket.send(&message).unwrap();
        let mut buffer = [0; 500];
        let (length, from) = resolver.recv_from(&mut buffer).unwrap();
        assert_eq!(buffer[2..length], plain, "the first thing that it was asked");
        let mut answer = buffer[..length].to_vec();
        answer[2] |= 0x80;
        *answer.last_mut().unwrap() = 8;
        answer.extend([0, 3, 0, 4]);
        answer.extend(b"host");
        resolver.send_to(&answer, from).unwrap();
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..2], message[..2]);
        assert!(!buffer[..length].windows(4).any(|word| word == b"host"));

        // What doesn't fit what the machine has room for.
        socket.send(&question("example.com")).unwrap();
        let (length, from) = resolver.recv_from(&mut buffer).unwrap();
        let mut answer = buffer[..length].to_vec();
        answer[2] |= 0x80;
        answer[7] = 1;
        answer.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 2, 0]);
        answer.extend([0; 512]);
        resolver.send_to(&answer, from).unwrap();
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!((buffer[2] & TRUNCATED, length), (TRUNCATED, question("example.com").len()));
    });
}

#[test]
fn a_silent_resolver_is_given_up_and_near_names_are_never_asked_for() {
    on_a_host_of_its_own("names::a_silent_resolver_is_given_up_and_near_names_are_never_asked_for", |world| {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("resolv.conf");
        fs::write(&file, format!("nameserver {WORLD}\nsearch example.com\n")).unwrap();
        let (_lab, machine, _attached) = start(&file);
        let resolver = world.udp();
        rustix::net::bind(&resolver, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 53)).unwrap();
        for name in ["printer", "printer.local", "metadata.google.internal", "254.169.254.169.in-addr.arpa"] {
            assert_eq!(ask(&machine, name)[3] & 15, NAME_ERROR, "{name}");
        }
        let since = Instant::now();
        assert_eq!(ask(&machine, "example.com")[3] & 15, SERVER_FAILURE);
        assert!(since.elapsed() < PATIENCE / 2, "{:?}", since.elapsed());
        let mut buffer = [0; 500];
        let length = resolver.recv(&mut buffer).unwrap();
        assert_eq!(buffer[2..length], question("example.com")[2..], "the first thing that it was asked");
    });
}
