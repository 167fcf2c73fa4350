//! A real endpoint, and what other users of its host can do to it. They may connect to its port and to port 22 of its machines'
//! public addresses, which root's endpoints listen at.

#[path = "../endpoint/mod.rs"]
mod endpoint;
#[path = "../wire/hoard.rs"]
mod hoard;
#[allow(dead_code, reason = "shared with the tests of the sandbox")]
#[path = "../sandbox/system.rs"]
mod system;

use endpoint::{Endpoint, PATIENCE, Server, State, open};
use hoard::{Hoard, NOTHING, STRANGER, Saying};
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream},
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ec2-local");

/// An endpoint in calm conditions; it ends with the value.
struct Serving(Endpoint);

impl Serving {
    /// Started with this mask of file modes (umask(2)).
    fn with_mask(mask: u32) -> Self {
        let state = State::new();
        let mut command = masked(state.command(), mask);
        let server = Server::run(&state, command.args(["serve", "--conditions", "calm"]));
        Self(Endpoint::of(state, server))
    }

    fn start() -> Self {
        Self::with_mask(0o022)
    }

    fn command(&self, arguments: &[&str], mask: u32) -> Command {
        let mut command = masked(self.0.state.command(), mask);
        command.args(arguments);
        command
    }

    /// Launches a machine that lets SSH in; its id.
    fn launch(&self, image: &str) -> String {
        self.0.let_in_ssh();
        self.0.launch(image, 1, "").remove(0)
    }

    fn public_address(&self, instance: &str) -> SocketAddr {
        self.0.until_state(instance, "running");
        SocketAddr::new(self.0.describe(instance).element("ipAddress").parse().unwrap(), 22)
    }

    /// What its server says first, by the way in; nothing where it isn't there yet.
    fn greeting_by_way_in(&self, instance: &str) -> String {
        let mut connect = self.command(&["connect", instance], 0o022);
        let mut connect = connect.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(connect.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let _ = connect.kill();
        connect.wait().unwrap();
        line
    }
}

/// Runs a program with a mask of file modes.
fn masked(mut command: Command, mask: u32) -> Command {
    let set_mask = move || {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
        Ok(())
    };
    // SAFETY: between fork and exec it makes one system call.
    unsafe { command.pre_exec(set_mask) };
    command
}

/// What the SSH server at an address says first; nothing where it hangs up.
fn greeting(address: SocketAddr) -> String {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut line = String::new();
    let _ = BufReader::new(stream).read_line(&mut line);
    line
}

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: only root listens at port 22, and can be somebody else");
    }
    is_root
}

/// An endpoint, a machine of it that answers at port 22, and its public address there; none where that can't be had.
fn a_machine() -> Option<(Serving, String, SocketAddr)> {
    if !is_root() {
        return None;
    }
    let serving = Serving::start();
    let instance = serving.launch("host");
    let address = serving.public_address(&instance);
    assert!(greeting(address).starts_with("SSH-2.0-"));
    Some((serving, instance, address))
}

/// As `greeting` waits for a machine that boots. pycloudlib's paramiko takes a reset for the end, and tries no more.
#[test]
fn those_who_come_while_a_machine_is_off_for_a_reboot_wait_for_it() {
    let Some((serving, instance, address)) = a_machine() else { return };
    for _ in 0..5 {
        let mut last = TcpStream::connect(address).unwrap();
        last.set_read_timeout(Some(PATIENCE)).unwrap();
        serving.0.ok(&format!("Action=RebootInstances&InstanceId.1={instance}"));
        // Its connections end with its power.
        let ended = std::io::copy(&mut last, &mut std::io::sink());
        assert!(!ended.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock), "it didn't reboot");
        // One that it has still accepted ends with it, too.
        let refused = (0..20).filter(|_| !greeting(address).starts_with("SSH-2.0-")).count();
        assert!(refused <= 3, "{refused} of 20");
    }
}

#[test]
fn others_keep_nobody_from_a_machine() {
    let Some((serving, instance, address)) = a_machine() else { return };
    for saying in [NOTHING, Saying(b"SSH-2.0-x\r\n", b"x")] {
        let hoard = Hoard::of(Some(STRANGER), address, saying);
        for _ in 0..10 {
            assert!(greeting(address).starts_with("SSH-2.0-"), "at port 22");
            assert!(serving.greeting_by_way_in(&instance).starts_with("SSH-2.0-"), "by the way in");
        }
        drop(hoard);
    }
}

#[test]
fn others_have_few_connections_to_a_machine_and_have_them_back() {
    let Some((_serving, _, address)) = a_machine() else { return };
    let connections = |user: u32| {
        thread::spawn(move || {
            hoard::become_user(user);
            (0..12).map(|_| TcpStream::connect(address).unwrap()).collect::<Vec<_>>()
        })
        .join()
        .unwrap()
    };
    // A place that was given back may be known a moment later.
    let count_greeted = |streams: &mut Vec<TcpStream>| {
        streams.retain_mut(|stream| {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.read_exact(&mut [0; 4]).is_ok()
        });
        streams.len()
    };
    let mut held: Vec<Vec<TcpStream>> = (0..5).map(|user| connections(STRANGER + user)).collect();
    let greeted: Vec<usize> = held.iter_mut().map(count_greeted).collect();
    assert_eq!(greeted, [8, 8, 8, 8, 0]);
    held.remove(0);
    let deadline = Instant::now() + PATIENCE;
    while count_greeted(&mut connections(STRANGER)) < 8 {
        assert!(Instant::now() < deadline, "the places are never given back");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_machine_that_boots_is_waited_for_by_few_of_others() {
    let Some((serving, instance, address)) = a_machine() else { return };
    let files = || fs::read_dir(format!("/proc/{}/fd", serving.0.pid())).unwrap().count();
    let before = files();
    // What connects to a machine whose SSH server isn't there waits for it.
    serving.0.ok(&format!("Action=RebootInstances&InstanceId.1={instance}"));
    let hoard = Hoard::of(Some(STRANGER), address, NOTHING);
    let beside = files();
    assert!(beside < before + 100, "{beside} files instead of {before}");
    drop(hoard);
}

/// Runs a test on a host of its own, as far as its network is concerned: what it starts is there, too.
fn on_a_host_of_its_own(test: impl FnOnce() + Send + 'static) {
    let host = move || {
        // SAFETY: no pointers are passed, and only this thread moves.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "{}", std::io::Error::last_os_error());
        assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
        test();
    };
    thread::spawn(host).join().unwrap();
}

/// A server of the host's, as its sshd is: at port 22 of all its addresses.
fn sshd(lets_others: bool) -> TcpListener {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    sockopt::set_socket_reuseaddr(&socket, true).unwrap();
    sockopt::set_socket_reuseport(&socket, lets_others).unwrap();
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 22)).unwrap();
    listen(&socket, 16).unwrap();
    socket.into()
}

#[test]
fn where_the_hosts_sshd_answers_for_machines_it_is_said() {
    if !is_root() {
        return;
    }
    on_a_host_of_its_own(|| {
        let hosts = sshd(false);
        let serving = Serving::start();
        assert!(serving.0.opening.contains("ec2-local ssh-config"), "{}", serving.0.opening);
        let instance = serving.launch("host");
        let address = serving.public_address(&instance);
        let console = serving.0.until_console(&instance, "ec2-local ssh-config");
        assert!(console.contains(&format!("at {address} another server of this host answers")), "{console}");
        let _near = TcpStream::connect(address).unwrap();
        hosts.accept().unwrap();
        while !serving.greeting_by_way_in(&instance).starts_with("SSH-2.0-") {}
        let check = serving.command(&["check"], 0o022).output().unwrap();
        let report = String::from_utf8_lossy(&check.stdout).into_owned();
        assert!(report.contains("note: at port 22 of machines' public addresses another server"), "{report}");
    });
}

#[test]
fn an_ordinary_users_endpoint_says_so_too() {
    if !is_root() {
        return;
    }
    on_a_host_of_its_own(|| {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (program, state) = (place.path().join("ec2-local"), place.path().join("state"));
        fs::copy(PROGRAM, &program).unwrap();
        fs::DirBuilder::new().mode(0o700).create(&state).unwrap();
        chown(&state, Some(STRANGER), Some(STRANGER)).unwrap();
        for is_there in [false, true] {
            let hosts = is_there.then(|| sshd(false));
            let mut serve = Command::new(&program);
            serve.arg("serve").env("EC2_LOCAL_STATE_DIR", &state).uid(STRANGER).gid(STRANGER).current_dir("/");
            let (mut serve, said) = open(serve.stdin(Stdio::null())).unwrap();
            rustix::process::kill_process(rustix::process::Pid::from_child(&serve), rustix::process::Signal::INT)
                .unwrap();
            serve.wait().unwrap();
            assert_eq!(said.contains("another server of this host answers"), hosts.is_some(), "{said}");
        }
    });
}

#[test]
fn where_the_hosts_sshd_lets_others_listen_the_machine_answers() {
    if !is_root() {
        return;
    }
    on_a_host_of_its_own(|| {
        let _hosts = sshd(true);
        let serving = Serving::start();
        assert!(!serving.0.opening.contains("ssh-config"), "{}", serving.0.opening);
        let instance = serving.launch("host");
        assert!(greeting(serving.public_address(&instance)).starts_with("SSH-2.0-"));
    });
}

/// What of a directory is open to others, but for what is the machines'.
fn open_to_others(directory: &Path, found: &mut Vec<(PathBuf, u32)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let Ok(about) = path.symlink_metadata() else { continue };
        if about.mode() & 0o077 != 0 && !about.is_symlink() {
            found.push((path.clone(), about.mode() & 0o7777));
        }
        let is_the_machines = ["files", "root"].iter().any(|name| path.ends_with(name));
        if about.is_dir() && !is_the_machines {
            open_to_others(&path, found);
        }
    }
}

#[test]
fn what_it_keeps_is_its_users_whatever_the_mask() {
    for mask in [0, 0o777] {
        let mut serving = Serving::with_mask(mask);
        serving.0.stays = &["images"];
        let archive = serving.0.state.beside().join("tiny.tar");
        system::System::tiny().write(&archive);
        let import = ["image", "import", archive.to_str().unwrap(), "--name", "tiny"];
        let output = serving.command(&import, mask).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        for image in ["host", "tiny"] {
            let instance = serving.launch(image);
            let deadline = Instant::now() + PATIENCE;
            while !serving.greeting_by_way_in(&instance).starts_with("SSH-2.0-") {
                assert!(Instant::now() < deadline, "{image} never comes up with the mask {mask:o}");
            }
        }
        let mut found = Vec::new();
        open_to_others(&serving.0.state.path(), &mut found);
        found.retain(|(path, _)| !["files", "root"].iter().any(|name| path.ends_with(name)));
        assert!(found.is_empty(), "{found:?}");
    }
}
