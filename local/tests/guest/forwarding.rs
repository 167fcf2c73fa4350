//! Ports, sockets and agents that OpenSSH's client has forwarded.

use crate::fixture::{Machine, USER, has_others};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
};

/// A connection that is told, while it is open, what to forward.
struct Client<'a> {
    machine: &'a Machine,
    control: PathBuf,
    process: Child,
}

impl<'a> Client<'a> {
    fn connect(machine: &'a Machine) -> Self {
        let control = machine.path("control");
        let master = format!("ControlPath={}", control.display());
        let process = machine.ssh(&["-M", "-N", "-o", &master]).stdin(Stdio::null()).spawn().unwrap();
        let client = Self { machine, control, process };
        machine.wait_for("connection", |_| client.tell(&["check"]).status.success());
        client
    }

    /// Says something to it.
    fn tell(&self, words: &[&str]) -> Output {
        let control = format!("ControlPath={}", self.control.display());
        let options = [&["-o", &control, "-O"], words].concat();
        self.machine.ssh(&options).output().unwrap()
    }

    /// Has something forwarded; what it says to that.
    fn forward(&self, words: &[&str]) -> String {
        let output = self.tell(&[&["forward"], words].concat());
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn cancel(&self, words: &[&str]) {
        let output = self.tell(&[&["cancel"], words].concat());
        assert!(output.status.success(), "{words:?}: {output:?}");
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Answers each connection once it has heard all: what it heard, twice.
fn answer_twice() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut heard = Vec::new();
            if stream.read_to_end(&mut heard).is_ok() {
                let _ = stream.write_all(&heard.repeat(2));
            }
        }
    });
    address.to_string()
}

/// Says something to a port, and that this is all; what comes back then.
fn ask_port(port: &str) -> String {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream.write_all(b"ask").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The same of a socket.
fn ask_socket(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(b"ask").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn is_refused(port: &str) -> bool {
    TcpStream::connect(format!("127.0.0.1:{port}")).is_err()
}

fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

#[test]
fn ports_of_the_machine_lead_to_the_client() {
    let machine = Machine::boot();
    let client = Client::connect(&machine);
    let target = answer_twice();
    // The machine chooses.
    let words = ["-R", &format!("0:{target}")];
    let port = client.forward(&words);
    assert_eq!(ask_port(&port), "askask");
    let second = client.forward(&["-R", &format!("localhost:0:{target}")]);
    assert_eq!((ask_port(&second), ask_port(&port)), ("askask".to_owned(), "askask".to_owned()));
    client.cancel(&words);
    // The client doesn't wait for an answer.
    machine.wait_for("end of the forward", |_| is_refused(&port));
    assert!(!is_refused(&second));
    for address in ["", "localhost:", "127.0.0.1:", "*:", ":"] {
        let port = free_port();
        let words = ["-R", &format!("{address}{port}:{target}")];
        client.forward(&words);
        assert_eq!(ask_port(&port), "askask", "{address}");
        client.cancel(&words);
        client.forward(&words);
        assert_eq!(ask_port(&port), "askask", "{address}");
        assert!(!client.tell(&["forward", "-R", &format!("{address}{port}:127.0.0.1:9")]).status.success());
        client.cancel(&words);
        machine.wait_for("end of the forward", |_| is_refused(&port));
    }
    // Whatever address is named, the port is the loopback's.
    let port = free_port();
    client.forward(&["-R", &format!("0.0.0.0:{port}:{target}")]);
    let other = TcpListener::bind(format!("127.0.0.2:{port}"));
    assert!(other.is_ok() && ask_port(&port) == "askask");
    if has_others() {
        assert!(!client.tell(&["forward", "-R", &format!("79:{target}")]).status.success());
    }
    drop(client);
    machine.wait_for("end of the connection", |_| is_refused(&port) && is_refused(&second));
}

#[test]
fn sockets_of_the_machine_lead_to_the_client() {
    let machine = Machine::boot();
    let client = Client::connect(&machine);
    let home = machine.path(format!("home/{USER}"));
    let socket = home.join("socket");
    let words = ["-R", &format!("{}:{}", socket.display(), answer_twice())];
    client.forward(&words);
    assert_eq!((ask_socket(&socket), ask_socket(&socket)), ("askask".to_owned(), "askask".to_owned()));
    let found = fs::metadata(&socket).unwrap();
    assert_eq!((found.mode() & 0o777, found.uid()), (0o600, fs::metadata(&home).unwrap().uid()));
    client.cancel(&words);
    machine.wait_for("end of the forward", |_| UnixStream::connect(&socket).is_err());
    // As sshd's, it stays, and is in the way (StreamLocalBindUnlink).
    assert!(!client.tell(&[&["forward"], &words[..]].concat()).status.success());
    fs::remove_file(&socket).unwrap();
    client.forward(&words);
    assert_eq!(ask_socket(&socket), "askask");
    if has_others() {
        let roots = machine.path("root/socket");
        assert!(!client.tell(&["forward", "-R", &format!("{}:127.0.0.1:9", roots.display())]).status.success());
        assert!(!roots.exists());
    }
}

#[test]
fn ports_and_sockets_of_the_client_lead_to_sockets_of_the_machine_as_the_user() {
    let machine = Machine::boot();
    let client = Client::connect(&machine);
    let path = machine.path("open");
    let listener = UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    let serving = thread::spawn(move || {
        (0..2)
            .map(|_| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut heard = Vec::new();
                stream.read_to_end(&mut heard).unwrap();
                stream.write_all(&heard.repeat(2)).unwrap();
                rustix::net::sockopt::socket_peercred(&stream).unwrap().uid.as_raw()
            })
            .collect::<Vec<_>>()
    });
    let port = free_port();
    client.forward(&["-L", &format!("{port}:{}", path.display())]);
    assert_eq!(ask_port(&port), "askask");
    let near = machine.path("near");
    client.forward(&["-L", &format!("{}:{}", near.display(), path.display())]);
    assert_eq!(ask_socket(&near), "askask");
    let user = fs::metadata(machine.path(format!("home/{USER}"))).unwrap().uid();
    assert_eq!(serving.join().unwrap(), [user, user]);
    let closed = machine.path("closed");
    let _listener = UnixListener::bind(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o600)).unwrap();
    for path in [&closed, &machine.path("missing")] {
        if path == &closed && !has_others() {
            continue;
        }
        let port = free_port();
        client.forward(&["-L", &format!("{port}:{}", path.display())]);
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        assert!(!matches!(stream.read(&mut [0]), Ok(1..)), "{}", path.display());
    }
}

/// The client's own agent, with a key; ended with the value.
struct Agent(Child, PathBuf);

impl Agent {
    fn start(machine: &Machine) -> Self {
        let path = machine.path("clients-agent");
        let mut process =
            Command::new("ssh-agent").arg("-D").arg("-a").arg(&path).stdout(Stdio::piped()).spawn().unwrap();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
        let add =
            Command::new("ssh-add").arg("-q").arg(machine.path("etc/ssh/client")).env("SSH_AUTH_SOCK", &path).status();
        assert!(add.unwrap().success());
        Self(process, path)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_clients_agent_is_the_users_alone_and_gone_with_the_connection() {
    let machine = Machine::boot();
    let agent = Agent::start(&machine);
    let home = machine.path(format!("home/{USER}"));
    let line =
        "echo $SSH_AUTH_SOCK; stat -c '%a %u' $SSH_AUTH_SOCK $(dirname $SSH_AUTH_SOCK); ssh-add -l; ssh-add -l; read x";
    let mut client = machine.ssh(&["-A"]);
    client.env("SSH_AUTH_SOCK", &agent.1).arg(line).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut client = client.spawn().unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines().map(Result::unwrap);
    let socket = PathBuf::from(lines.next().unwrap());
    assert!(socket.starts_with(machine.path("tmp")), "{}", socket.display());
    let user = fs::metadata(&home).unwrap().uid();
    assert_eq!(lines.next(), Some(format!("600 {user}")));
    assert_eq!(lines.next(), Some(format!("700 {user}")));
    for _ in 0..2 {
        assert!(lines.next().unwrap().ends_with(" test-key (ED25519)"));
    }
    // What its owner has put into the place of its directory is nobody's business.
    let directory = socket.parent().unwrap();
    let (aside, planted) = (directory.with_extension("aside"), machine.path("planted"));
    fs::create_dir(&planted).unwrap();
    fs::write(planted.join(socket.file_name().unwrap()), "").unwrap();
    fs::rename(directory, &aside).unwrap();
    std::os::unix::fs::symlink(&planted, directory).unwrap();
    drop(client.stdin.take());
    client.wait().unwrap();
    machine.wait_for("end of the agent", |_| fs::read_dir(&aside).is_ok_and(|mut entries| entries.next().is_none()));
    assert!(planted.join(socket.file_name().unwrap()).exists());
    // The next one leaves nothing.
    let mut client = machine.ssh(&["-A"]);
    let output = client.env("SSH_AUTH_SOCK", &agent.1).arg("dirname $SSH_AUTH_SOCK").output().unwrap();
    let directory = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
    assert!(directory.starts_with(machine.path("tmp")), "{}", directory.display());
    machine.wait_for("end of the agent", |_| !directory.exists());
    assert_eq!(
        machine.stdout("echo ${SSH_AUTH_SOCK-none}"),
        "none
"
    );
}

#[test]
fn a_key_that_may_not_has_nothing_forwarded() {
    let machine = Machine::boot();
    let agent = Agent::start(&machine);
    let keys = machine.path(format!("home/{USER}/.ssh/authorized_keys"));
    fs::write(&keys, format!("restrict {}", fs::read_to_string(&keys).unwrap())).unwrap();
    let mut client = machine.ssh(&["-A"]);
    let output = client.env("SSH_AUTH_SOCK", &agent.1).arg("echo ${SSH_AUTH_SOCK-none}").output().unwrap();
    assert_eq!(output.stdout, b"none\n");
    for forward in ["0:127.0.0.1:9".to_owned(), format!("{}/x:127.0.0.1:9", machine.path("tmp").display())] {
        let output = machine.ssh(&["-o", "ExitOnForwardFailure=yes", "-R", &forward]).arg("true").output().unwrap();
        assert!(!output.status.success(), "{forward}");
    }
    assert_eq!(fs::read_dir(machine.path("tmp")).unwrap().count(), 0);
}
