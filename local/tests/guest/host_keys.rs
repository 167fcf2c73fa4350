//! The host's keys, and which algorithms clients can have.

use crate::fixture::{Machine, USER};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    process::{Command, Stdio},
};

/// The machine's keys by kind, as they are to a client that asks for one.
fn scan(machine: &Machine, kinds: &str) -> BTreeMap<String, String> {
    let port = machine.address.port().to_string();
    let output = Command::new("ssh-keyscan").args(["-t", kinds, "-p", &port, "127.0.0.1"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let words = |line: &str| line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>();
    text.lines().map(words).map(|words| (words[0].clone(), words[1].clone())).collect()
}

/// The keys that stand last on the console, by kind.
fn shown(machine: &Machine) -> BTreeMap<String, String> {
    let console = machine.console();
    let (_, block) = console.rsplit_once("-----BEGIN SSH HOST KEY KEYS-----\n").unwrap_or_default();
    let (block, _) = block.split_once("-----END SSH HOST KEY KEYS-----").unwrap_or_default();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    block.lines().map(words).map(|words| (words[0].clone(), words[1].clone())).collect()
}

#[test]
fn they_are_kept_over_a_reboot_only() {
    let mut machine = Machine::boot();
    machine.wait_for("keys on the console", |machine| !shown(machine).is_empty());
    let usual = scan(&machine, "ed25519,ecdsa");
    assert_eq!(usual.keys().collect::<Vec<_>>(), ["ecdsa-sha2-nistp256", "ssh-ed25519"]);
    assert_eq!(shown(&machine), usual);
    let rsa = machine.path("etc/ssh/ssh_host_rsa_key");
    assert!(!rsa.exists(), "it takes long, and nobody has asked for it");
    // Who asks for the last one can look it up on the console.
    let last = scan(&machine, "rsa");
    assert_eq!(last.keys().collect::<Vec<_>>(), ["ssh-rsa"]);
    let all: BTreeMap<_, _> = usual.into_iter().chain(last).collect();
    assert_eq!(shown(&machine), all);
    assert_eq!(machine.console().matches("-----END SSH HOST KEY KEYS-----").count(), 2);
    for (kind, key) in [("ecdsa", "ecdsa-sha2-nistp256"), ("ed25519", "ssh-ed25519"), ("rsa", "ssh-rsa")] {
        let path = machine.path(format!("etc/ssh/ssh_host_{kind}_key"));
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(&path).unwrap()) & 0o777, 0o600);
        let public = Command::new("ssh-keygen").arg("-y").arg("-f").arg(&path).output().unwrap();
        assert!(String::from_utf8(public.stdout).unwrap().contains(&all[key]), "{kind}");
        let public = machine.read(format!("etc/ssh/ssh_host_{kind}_key.pub"));
        assert!(public.contains(&all[key]) && public.ends_with(" root@ip-127-0-0-1\n"), "{kind}");
        let told = Command::new("ssh-keygen").arg("-l").arg("-f").arg(&path).output().unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        assert!(machine.console().contains(&format!("ec2: {told}")), "{told} {}", machine.console());
    }
    machine.reboot();
    assert_eq!(machine.stdout("echo again"), "again\n");
    assert_eq!(scan(&machine, "ed25519,ecdsa,rsa"), all);
    let others = scan(&Machine::boot(), "ed25519,ecdsa,rsa");
    assert!(others.len() == 3 && others.iter().all(|(kind, key)| all[kind] != *key));
}

#[test]
fn one_that_cannot_be_kept_keeps_nobody_out() {
    let mut machine = Machine::boot();
    // Of an earlier version, which had but one.
    let ecdsa = machine.path("etc/ssh/ssh_host_ecdsa_key");
    fs::remove_file(&ecdsa).unwrap();
    for kind in ["ecdsa", "rsa"] {
        // Nothing takes the place of a directory with something in it.
        fs::create_dir_all(machine.path(format!("etc/ssh/ssh_host_{kind}_key/x"))).unwrap();
    }
    machine.reboot();
    for _ in 0..2 {
        assert_eq!(scan(&machine, "ed25519,ecdsa,rsa").into_keys().collect::<Vec<_>>(), ["ssh-ed25519"]);
    }
    let console = machine.console();
    for kind in ["ecdsa", "rsa"] {
        let warning = format!("failed to have the host key /etc/ssh/ssh_host_{kind}_key: ");
        assert_eq!(console.matches(&warning).count(), 1, "{console}");
    }
}

#[test]
fn one_that_cannot_be_written_is_the_same_for_all_clients() {
    let machine = Machine::boot();
    fs::rename(machine.path("etc/ssh"), machine.path("etc/aside")).unwrap();
    // A link that leads nowhere: nothing is there, and nothing can be put there.
    std::os::unix::fs::symlink("/nowhere/ssh", machine.path("etc/ssh")).unwrap();
    let first = scan(&machine, "rsa");
    assert_eq!(first.keys().collect::<Vec<_>>(), ["ssh-rsa"]);
    assert_eq!(scan(&machine, "rsa"), first);
    let told = machine.console().matches("failed to keep the host key /etc/ssh/ssh_host_rsa_key: ").count();
    assert_eq!(told, 1, "{}", machine.console());
}

#[test]
fn a_client_that_keeps_to_fips_connects() {
    let machine = Machine::boot();
    for (exchange, key, cipher) in [
        ("ecdh-sha2-nistp256", "ecdsa-sha2-nistp256", "aes256-gcm@openssh.com"),
        ("ecdh-sha2-nistp384", "rsa-sha2-256", "aes128-gcm@openssh.com"),
        ("ecdh-sha2-nistp521", "rsa-sha2-512", "aes256-ctr"),
        ("diffie-hellman-group14-sha256", "rsa-sha2-256", "aes128-ctr"),
    ] {
        let options = [
            format!("KexAlgorithms={exchange}"),
            format!("HostKeyAlgorithms={key}"),
            format!("Ciphers={cipher}"),
            "MACs=hmac-sha2-256".to_owned(),
        ];
        let options: Vec<_> = options.iter().flat_map(|option| ["-o", option]).collect();
        let output = machine.ssh(&options).arg("echo in").stdin(Stdio::null()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "in\n", "{exchange}, {key}, {cipher}: {output:?}");
    }
}

#[test]
fn signatures_over_sha1_are_not_offered() {
    let machine = Machine::boot();
    let mut client = Command::new("ssh");
    client.args(["-o", "LogLevel=INFO", "-o", "HostKeyAlgorithms=ssh-rsa"]).args(machine.options());
    let output = client.args([&format!("{USER}@127.0.0.1"), "true"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("no matching host key type found"), "{output:?}");
}

#[test]
fn it_says_that_it_has_what_openssh_has_before_anybody_speaks() {
    let machine = Machine::boot();
    let mut stream = TcpStream::connect(machine.address).unwrap();
    let mut version = String::new();
    BufReader::new(&stream).read_line(&mut version).unwrap();
    assert_eq!(version, format!("SSH-2.0-OpenSSH_9.2 ec2-local-{}\r\n", env!("CARGO_PKG_VERSION")));
    // Who waits for the server's algorithms before they name theirs gets them, all keys among them.
    stream.write_all(b"SSH-2.0-patient\r\n").unwrap();
    let mut packet = [0; 2048];
    let length = std::io::Read::read(&mut stream, &mut packet).unwrap();
    let said = String::from_utf8_lossy(&packet[..length]).into_owned();
    assert!(said.contains("ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256"), "{said}");
    // What OpenSSH's client switches on by that name breaks nothing.
    let output =
        machine.ssh(&["-v", "-o", "RekeyLimit=100K"]).arg("head -c 1000000 /dev/zero | wc -c").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1000000\n", "{output:?}");
}
