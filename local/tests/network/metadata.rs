//! The metadata service, as machines see it.

use crate::lab::{Lab, eventually, nic};
use crate::machine::Machine;
use ec2_local::network::{Attached, Metadata, Nic};
use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpStream},
    thread,
    time::Duration,
};

const SERVICE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(169, 254, 169, 254), 80);

struct Answer {
    status: u16,
    head: String,
    body: String,
}

struct Guest {
    lab: Lab,
    nic: Nic,
    machine: Machine,
    _attached: Attached,
}

fn tree(instance: &str) -> Vec<(String, String)> {
    [
        ("meta-data/instance-id", instance),
        ("meta-data/ami-id", "ami-1"),
        ("meta-data/local-hostname", "ip-10-0-0-5.eu-west-1.compute.internal"),
        ("meta-data/placement/region", "eu-west-1"),
        ("meta-data/placement/availability-zone", "eu-west-1a"),
        ("meta-data/public-keys/0/openssh-key", "ssh-ed25519 AAAA my key\n"),
        ("meta-data/network/interfaces/macs/0a:00:00:00:01:01/device-number", "0"),
        ("dynamic/instance-identity/document", "{\"region\":\"eu-west-1\"}"),
    ]
    .map(|(path, content)| (path.to_owned(), content.to_owned()))
    .to_vec()
}

fn guest(change: impl FnOnce(&mut Metadata)) -> Guest {
    let lab = Lab::new();
    let nic = nic("vpc-1", [10, 0, 0, 5]);
    let mut metadata = Metadata { enabled: true, tree: tree("i-1"), ..Metadata::default() };
    change(&mut metadata);
    lab.account.set(&nic, metadata);
    let (machine, attached) = lab.machine(&nic);
    Guest { lab, nic, machine, _attached: attached }
}

impl Guest {
    fn ask(&self, request: &str) -> Answer {
        ask(&self.machine, request)
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: 169.254.169.254\r\nConnection: close\r\n\r\n"))
    }

    fn get_with(&self, path: &str, token: &str) -> Answer {
        let token = format!("X-aws-ec2-metadata-token: {token}");
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: 169.254.169.254\r\n{token}\r\nConnection: close\r\n\r\n"))
    }

    fn put(&self, headers: &str) -> Answer {
        self.ask(&format!("PUT /latest/api/token HTTP/1.1\r\nHost: x\r\n{headers}Connection: close\r\n\r\n"))
    }

    fn token(&self, seconds: u32) -> String {
        let answer = self.put(&format!("X-aws-ec2-metadata-token-ttl-seconds: {seconds}\r\n"));
        assert_eq!(answer.status, 200);
        answer.body
    }
}

fn ask(machine: &Machine, request: &str) -> Answer {
    let mut stream = machine.connect(SERVICE).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    parse(&answer)
}

fn parse(answer: &str) -> Answer {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

#[test]
fn version_1_serves_values_and_listings() {
    let guest = guest(|_| ());
    let listing = |path: &str| guest.get(path).body.lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(guest.get("/latest/meta-data/instance-id").body, "i-1");
    assert_eq!(guest.get("/2021-03-23/meta-data/instance-id").body, "i-1");
    assert_eq!(guest.get("/latest/dynamic/instance-identity/document").body, "{\"region\":\"eu-west-1\"}");
    let versions = listing("/");
    assert!(versions.contains(&"latest".to_owned()) && versions.contains(&"2021-03-23".to_owned()), "{versions:?}");
    assert_eq!(listing("/latest/"), ["dynamic", "meta-data"]);
    let names = ["ami-id", "instance-id", "local-hostname", "network/", "placement/", "public-keys/"];
    assert_eq!(listing("/latest/meta-data/"), names);
    assert_eq!(listing("/latest/meta-data"), names);
    assert_eq!(listing("/latest/meta-data/public-keys/"), ["0=my key"]);
    assert_eq!(listing("/latest/meta-data/public-keys/0/"), ["openssh-key"]);
    assert_eq!(guest.get("/latest/meta-data/public-keys/0/openssh-key").body, "ssh-ed25519 AAAA my key\n");
    for missing in
        ["/latest/meta-data/none", "/latest/meta-data/ami-id/x", "/2001-01-01/meta-data/", "/latest/user-data"]
    {
        assert_eq!(guest.get(missing).status, 404, "{missing}");
    }
}

#[test]
fn every_name_that_is_listed_answers() {
    let guest = guest(|metadata| metadata.user_data = Some(b"#!/bin/sh\n".to_vec()));
    let mut seen = BTreeSet::new();
    let mut left = vec!["/".to_owned()];
    while let Some(path) = left.pop() {
        let answer = guest.get(&path);
        assert_eq!(answer.status, 200, "{path}");
        let is_directory = path.ends_with('/') || path.matches('/').count() <= 2;
        if is_directory && !path.ends_with("user-data") {
            for name in answer.body.lines() {
                let name = if path.ends_with("public-keys/") { "0/" } else { name };
                let next = format!("{}/{name}", path.trim_end_matches('/'));
                // All versions are the same: two of them are enough.
                let other = path == "/" && name != "latest" && name != "2021-03-23";
                if !other && seen.insert(next.clone()) {
                    left.push(next);
                }
            }
        }
    }
    assert!(seen.iter().any(|path| path.ends_with("macs/0a:00:00:00:01:01/device-number")), "{seen:?}");
    assert!(seen.contains("/latest/user-data"), "{seen:?}");
}

#[test]
fn user_data_is_served_byte_by_byte() {
    let guest = guest(|metadata| metadata.user_data = Some(b"\x1f\x8bdata\r\n".to_vec()));
    let mut stream = guest.machine.connect(SERVICE).unwrap();
    stream.write_all(b"GET /latest/user-data HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.ends_with(b"\r\n\r\n\x1f\x8bdata\r\n"), "{:?}", String::from_utf8_lossy(&answer));
    assert_eq!(guest.get("/latest/").body, "dynamic\nmeta-data\nuser-data");
}

#[test]
fn version_2_wants_a_token() {
    let guest = guest(|metadata| metadata.token_required = true);
    assert_eq!(guest.get("/latest/meta-data/instance-id").status, 401);
    let answer = guest.put("X-aws-ec2-metadata-token-ttl-seconds: 21600\r\n");
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("x-aws-ec2-metadata-token-ttl-seconds: 21600"), "{}", answer.head);
    let token = answer.body;
    assert_eq!(guest.get_with("/latest/meta-data/instance-id", &token).body, "i-1");
    assert_eq!(guest.get_with("/latest/meta-data/none", &token).status, 404);
    for wrong in ["", "x", &token[1..], &token.replace(&token[20..24], "AAAA"), &format!("{token}x")] {
        assert_eq!(guest.get_with("/latest/meta-data/instance-id", wrong).status, 401, "{wrong}");
    }
    let brief = guest.token(1);
    eventually("it expires", || guest.get_with("/latest/meta-data/instance-id", &brief).status == 401);
    assert_eq!(guest.get_with("/latest/meta-data/instance-id", &token).status, 200);
}

#[test]
fn a_token_that_is_wrong_is_refused_where_none_is_required() {
    let guest = guest(|_| ());
    assert_eq!(guest.get_with("/latest/meta-data/instance-id", "x").status, 401);
    assert_eq!(guest.get_with("/latest/meta-data/instance-id", &guest.token(60)).status, 200);
}

#[test]
fn a_token_is_the_instances_own() {
    let guest = guest(|metadata| metadata.token_required = true);
    let second = nic("vpc-1", [10, 0, 0, 6]);
    let other = nic("vpc-1", [10, 0, 0, 7]);
    let metadata =
        |instance| Metadata { enabled: true, token_required: true, tree: tree(instance), ..Metadata::default() };
    guest.lab.account.set(&second, metadata("i-1"));
    guest.lab.account.set(&other, metadata("i-2"));
    let token = guest.token(60);
    let request = format!("GET /latest/meta-data/instance-id HTTP/1.0\r\nX-aws-ec2-metadata-token: {token}\r\n\r\n");
    let (machine, _attached) = guest.lab.machine(&second);
    assert_eq!(ask(&machine, &request).status, 200, "another NIC of the same instance");
    let (machine, _attached) = guest.lab.machine(&other);
    assert_eq!(ask(&machine, &request).status, 401, "another instance");
}

#[test]
fn requests_for_a_token_are_checked() {
    let guest = guest(|_| ());
    let ttl = "X-aws-ec2-metadata-token-ttl-seconds";
    for wrong in ["0", "21601", "-1", "+5", "1.5", "", "x", "99999999999999999999"] {
        assert_eq!(guest.put(&format!("{ttl}: {wrong}\r\n")).status, 400, "{wrong:?}");
    }
    assert_eq!(guest.put("").status, 400);
    assert_eq!(guest.put(&format!("{ttl}: 60\r\nX-Forwarded-For: 10.0.0.1\r\n")).status, 403);
    let close = "Host: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(guest.ask(&format!("POST /latest/api/token HTTP/1.1\r\n{ttl}: 60\r\n{close}")).status, 405);
    assert_eq!(guest.ask(&format!("GET /latest/api/token HTTP/1.1\r\n{close}")).status, 405);
    assert_eq!(guest.ask(&format!("PUT /latest/meta-data/ HTTP/1.1\r\n{ttl}: 60\r\n{close}")).status, 405);
    assert_eq!(guest.ask(&format!("DELETE /latest/meta-data/ HTTP/1.1\r\n{close}")).status, 405);
    let head = guest.ask(&format!("HEAD /latest/meta-data/ HTTP/1.1\r\n{close}"));
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[test]
fn a_service_that_is_disabled_forbids() {
    let guest = guest(|metadata| metadata.enabled = false);
    assert_eq!(guest.get("/latest/meta-data/").status, 403);
    assert_eq!(guest.put("X-aws-ec2-metadata-token-ttl-seconds: 60\r\n").status, 403);
    // It follows what the account says now.
    guest.lab.account.set(&guest.nic, Metadata { enabled: true, ..Metadata::default() });
    assert_eq!(guest.get("/latest/").status, 200);
}

#[test]
fn a_connection_carries_many_requests_also_in_pieces() {
    let guest = guest(|_| ());
    let mut stream = guest.machine.connect(SERVICE).unwrap();
    for _ in 0..3 {
        for byte in b"GET /latest/meta-data/ami-id HTTP/1.1\r\nHost: x\r\n\r\n".chunks(7) {
            stream.write_all(byte).unwrap();
            thread::sleep(Duration::from_millis(2));
        }
        let mut answer = Vec::new();
        while !answer.ends_with(b"ami-1") {
            let mut buffer = [0; 1024];
            let read = stream.read(&mut buffer).unwrap();
            assert_ne!(read, 0);
            answer.extend(&buffer[..read]);
        }
        assert_eq!(parse(&String::from_utf8(answer).unwrap()).status, 200);
    }
    // Two at once, and the end of what is asked before the answers.
    let two = "GET /latest/meta-data/ami-id HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2);
    stream.write_all(two.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.matches("ami-1").count(), 2, "{answers}");
}

#[test]
fn nonsense_is_answered_or_ended_and_the_service_lives_on() {
    let guest = guest(|_| ());
    for nonsense in [b"\0\0\0\0\r\n\r\n".to_vec(), vec![b'a'; 200_000], b"GET /\xff\xfe HTTP/9.9\r\n\r\n".to_vec()] {
        let mut stream = guest.machine.connect(SERVICE).unwrap();
        let _ = stream.write_all(&nonsense);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{:?}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(guest.get("/latest/meta-data/ami-id").status, 200);
}

#[test]
fn a_machine_that_hoards_connections_harms_nobody_but_itself() {
    let guest = guest(|_| ());
    let hoard: Vec<TcpStream> = (0..200).map_while(|_| guest.machine.connect(SERVICE).ok()).collect();
    assert!(hoard.len() < 200, "the number of connections is bounded");
    let other = nic("vpc-1", [10, 0, 0, 6]);
    guest.lab.account.set(&other, Metadata { enabled: true, ..Metadata::default() });
    let (machine, _attached) = guest.lab.machine(&other);
    assert_eq!(ask(&machine, "GET /latest/ HTTP/1.0\r\n\r\n").status, 200);
    drop(hoard);
    eventually("there is room again", || guest.machine.connect(SERVICE).is_ok());
}
