//! Getting in, or being told why not.

use super::sshd::{Sshd, generate_key, soon, user};
use crate::{
    ErrorKind,
    ssh::{HostKeyPolicy, KnownHost, Login, PrivateKey, Route, Session},
};
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    os::unix::net::UnixListener,
    time::{Duration, Instant},
};

#[tokio::test]
async fn a_wrong_key_is_named() {
    let Some(sshd) = Sshd::start() else { return };
    let path = sshd.directory.path().join("other");
    generate_key(&path, "ed25519", &[]);
    let key = PrivateKey::from_file(&path).unwrap();
    let fingerprint = key.fingerprint().unwrap().to_owned();
    let login = Login::new(user(), key, HostKeyPolicy::AcceptFirst(KnownHost::default())).machine("i-0abc");
    let error = Session::connect(sshd.route(), login, soon()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    let text = error.to_string();
    assert!(text.contains(&fingerprint) && text.contains("publickey") && text.contains("i-0abc"), "{text}");
}

#[tokio::test]
async fn a_server_that_takes_none_of_our_algorithms_is_told_from_one_that_is_away() {
    // Only where there is OpenSSH at all.
    let Some(_) = Sshd::start() else { return };
    let unknown = "sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com";
    let supported = std::process::Command::new("ssh").args(["-Q", "kex"]).output().unwrap().stdout;
    let supported = String::from_utf8(supported).unwrap();
    let known: Vec<_> = unknown.split(',').filter(|name| supported.lines().any(|line| line == *name)).collect();
    assert!(!known.is_empty(), "{supported}");
    let Some(sshd) = Sshd::with(&format!("KexAlgorithms {}", known.join(","))) else { return };
    let error = Session::connect(sshd.route(), sshd.login(), soon()).await.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{text}");
    assert!(
        text.contains("key exchange")
            && text.contains(known[0])
            && text.contains("we take ")
            && text.contains("curve25519-sha256"),
        "{text}"
    );
}

#[tokio::test]
async fn a_wrong_user_is_refused() {
    let Some(sshd) = Sshd::start() else { return };
    let login = Login::new("nobody-here", sshd.key(), HostKeyPolicy::AcceptFirst(KnownHost::default()));
    let error = Session::connect(sshd.route(), login, soon()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert!(error.to_string().contains("nobody-here"), "{error}");
}

#[tokio::test]
async fn keys_of_all_kinds_are_accepted() {
    let Some(sshd) = Sshd::start() else { return };
    let mut accepted = String::new();
    let kinds: [(&str, &str, &[&str]); 5] = [
        ("ed25519", "ed25519", &[]),
        ("ecdsa", "ecdsa", &[]),
        ("rsa-pem", "rsa", &["-b", "2048", "-m", "PEM"]),
        ("ecdsa-pem", "ecdsa", &["-m", "PEM"]),
        ("encrypted", "ed25519", &["-N", "secret", "-a", "2"]),
    ];
    for (name, kind, arguments) in kinds {
        let path = sshd.directory.path().join(name);
        generate_key(&path, kind, arguments);
        accepted += &fs::read_to_string(path.with_extension("pub")).unwrap();
    }
    fs::write(sshd.directory.path().join("authorized_keys"), accepted).unwrap();
    for (name, _, _) in kinds {
        let text = fs::read_to_string(sshd.directory.path().join(name)).unwrap();
        let mut key = PrivateKey::from_text(text.trim_end()).unwrap();
        assert!(!format!("{key:?}").contains("PRIVATE"));
        assert_eq!(key.fingerprint().is_some(), !name.ends_with("-pem"));
        if name == "encrypted" {
            key = key.passphrase("secret");
        }
        let login = Login::new(user(), key, HostKeyPolicy::AcceptFirst(KnownHost::default()));
        let session =
            Session::connect(sshd.route(), login, soon()).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(session.exec("echo in").await.unwrap().stdout, "in\n");
    }
    let key = PrivateKey::from_file(sshd.directory.path().join("encrypted")).unwrap().passphrase("wrong");
    let login = Login::new(user(), key, HostKeyPolicy::AcceptFirst(KnownHost::default()));
    let error = Session::connect(sshd.route(), login, soon()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
}

#[tokio::test]
async fn what_is_no_private_key_is_said_so() {
    for text in ["", "ssh-ed25519 AAAA", "-----BEGIN CERTIFICATE-----"] {
        assert_eq!(PrivateKey::from_text(text).unwrap_err().kind(), ErrorKind::Configuration);
    }
    let error = PrivateKey::from_file("/nonexistent/key").unwrap_err();
    assert!(error.to_string().contains("/nonexistent/key"));
}

#[tokio::test]
async fn expected_host_keys_are_asked_for() {
    let Some(sshd) = Sshd::with("HostKey @DIR@/host_rsa\nHostKey @DIR@/host_ecdsa") else { return };
    for kind in ["rsa", "ecdsa", "ed25519"] {
        let login = Login::new(user(), sshd.key(), HostKeyPolicy::Expect(vec![sshd.host_key(kind)]));
        let session = Session::connect(sshd.route(), login, soon()).await.unwrap();
        assert_eq!(session.host_key(), Some(sshd.host_key(kind)));
    }
    let Some(other) = Sshd::start() else { return };
    for expected in [vec![], vec![other.host_key("ed25519")]] {
        let login = Login::new(user(), sshd.key(), HostKeyPolicy::Expect(expected));
        let error = Session::connect(sshd.route(), login, soon()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::HostKey);
        assert!(error.to_string().contains(&sshd.host_key("ed25519").fingerprint()), "{error}");
    }
}

#[tokio::test]
async fn a_changed_host_key_is_refused() {
    let (Some(first), Some(second)) = (Sshd::start(), Sshd::start()) else { return };
    fs::copy(first.directory.path().join("authorized_keys"), second.directory.path().join("authorized_keys")).unwrap();
    let known = KnownHost::default();
    let login = Login::new(user(), first.key(), HostKeyPolicy::AcceptFirst(known.clone()));
    Session::connect(first.route(), login.clone(), soon()).await.unwrap();
    assert_eq!(known.get(), Some(first.host_key("ed25519")));
    let error = Session::connect(second.route(), login.clone(), soon()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HostKey);
    let text = error.to_string();
    assert!(text.contains(&first.host_key("ed25519").fingerprint()), "{text}");
    assert!(text.contains(&second.host_key("ed25519").fingerprint()), "{text}");
    known.forget();
    Session::connect(second.route(), login, soon()).await.unwrap();
    assert_eq!(known.get(), Some(second.host_key("ed25519")));
}

#[tokio::test]
async fn failures_to_connect_have_kinds() {
    let Some(sshd) = Sshd::start() else { return };
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let route = Route::Tcp { host: "127.0.0.1".into(), port: unused };
    let error = Session::connect(route, sshd.login(), soon()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "{error}");

    // Accepts, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let route = Route::Tcp { host: "127.0.0.1".into(), port: silent.local_addr().unwrap().port() };
    let deadline = Instant::now() + Duration::from_millis(300);
    let error = Session::connect(route.clone(), sshd.login(), deadline).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");

    // Hangs up at once.
    let acceptor = std::thread::spawn(move || drop(silent.accept()));
    let error = Session::connect(route, sshd.login(), soon()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    drop(acceptor);

    let error = Session::connect(Route::Command(vec![]), sshd.login(), soon()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
}

#[tokio::test]
async fn a_command_is_a_route_and_ends_with_it() {
    let Some(sshd) = Sshd::start() else { return };
    let mark = format!("relay{}", sshd.port);
    let script = format!(
        "import os,select,socket,sys # {mark}\ns=socket.create_connection(('127.0.0.1',{}))\nwhile 1:\n \
         for f in select.select([0,s],[],[])[0]:\n  d=os.read(f if f==0 else s.fileno(),65536)\n  \
         if not d: sys.exit()\n  s.sendall(d) if f==0 else os.write(1,d)\n",
        sshd.port
    );
    let script_path = sshd.directory.path().join(format!("{mark}.py"));
    fs::write(&script_path, script).unwrap();
    let words = vec!["python3".to_owned(), script_path.display().to_string()];
    let session = Session::connect(Route::Command(words), sshd.login(), soon()).await.unwrap();
    assert_eq!(session.exec("head -c 1000000 /dev/zero").await.unwrap().stdout.len(), 1_000_000);
    assert_eq!(super::sshd::count_processes(&mark), 1);
    drop(session);
    super::sshd::until("the command ends", || super::sshd::count_processes(&mark) == 0).await;

    let words = ["sh", "-c", "echo no way >&2; exit 1"].map(str::to_owned).to_vec();
    let error = Session::connect(Route::Command(words), sshd.login(), soon()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(error.to_string().contains("no way"), "{error}");
    let words = vec!["/no/such/program".to_owned()];
    let error = Session::connect(Route::Command(words), sshd.login(), soon()).await.unwrap_err();
    assert!(error.to_string().contains("/no/such/program"), "{error}");
}

#[tokio::test]
async fn a_unix_socket_is_a_route() {
    let Some(sshd) = Sshd::start() else { return };
    let path = sshd.directory.path().join("way-in");
    let listener = UnixListener::bind(&path).unwrap();
    let port = sshd.port;
    std::thread::spawn(move || {
        for stream in listener.incoming().take(2) {
            let mut stream = stream.unwrap();
            let mut hello = String::new();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut hello).unwrap();
            if hello != "connect i-1 22\n" {
                stream.write_all(b"error no such machine\n").unwrap();
                continue;
            }
            let server = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.write_all(b"ok\n").unwrap();
            let (mut from, mut to) = (server.try_clone().unwrap(), stream.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            let (mut from, mut to) = (stream, server);
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        }
    });
    let route = |hello: &str| Route::Unix { path: path.clone(), hello: hello.into() };
    let session = Session::connect(route("connect i-1 22"), sshd.login(), soon()).await.unwrap();
    assert_eq!(session.exec("echo in").await.unwrap().stdout, "in\n");
    let error = Session::connect(route("connect i-2 22"), sshd.login(), soon()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(error.to_string().contains("no such machine") && !error.to_string().contains("i-2"), "{error}");
}
