//! A machine without a sandbox: a temporary root, a metadata service, and the agent on a thread.

use ec2_local::guest::{agent, root::Root};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// The login user of every machine here.
pub const USER: &str = "admin";

/// What the metadata service serves, by path below `/latest/`.
type Tree = BTreeMap<String, Vec<u8>>;

/// A machine.
pub struct Machine {
    directory: tempfile::TempDir,
    pub address: SocketAddr,
    metadata: SocketAddr,
    running: Option<(tokio::sync::oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Machine {
    /// Boots a machine without user data, and waits until its key has arrived.
    pub fn boot() -> Self {
        let machine = Self::boot_with(None);
        machine.wait_for("key", Self::authorized);
        machine
    }

    /// Boots a machine.
    pub fn boot_with(user_data: Option<&[u8]>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let path = directory.path();
        fs::create_dir_all(path.join("etc/ssh")).unwrap();
        fs::create_dir_all(path.join("etc/skel")).unwrap();
        fs::create_dir_all(path.join("bin")).unwrap();
        fs::create_dir_all(path.join("tmp")).unwrap();
        fs::set_permissions(path.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        fs::write(path.join("bin/bash"), "").unwrap();
        fs::write(path.join("etc/skel/.profile"), "").unwrap();
        let me = rustix::process::geteuid();
        let mut accounts = "root:x:0:0:root:/root:/bin/bash\n".to_owned();
        if !me.is_root() {
            // Nobody else can be logged in.
            let (uid, gid) = (me.as_raw(), rustix::process::getegid().as_raw());
            accounts.push_str(&format!("{USER}:x:{uid}:{gid}::/home/{USER}:/bin/bash\n"));
        }
        fs::write(path.join("etc/passwd"), accounts).unwrap();
        fs::write(path.join("etc/group"), "root:x:0:\nadm:x:4:\nsudo:x:27:\n").unwrap();
        fs::write(path.join("etc/shadow"), "root:*:::::::\n").unwrap();
        let keygen = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "test-key", "-f"])
            .arg(path.join("etc/ssh/client"))
            .status()
            .unwrap();
        assert!(keygen.success());
        let public = fs::read(path.join("etc/ssh/client.pub")).unwrap();
        let mut tree = Tree::from([
            ("meta-data/instance-id".to_owned(), b"i-0123456789abcdef0".to_vec()),
            ("meta-data/public-keys/".to_owned(), b"0=test-key".to_vec()),
            ("meta-data/public-keys/0/openssh-key".to_owned(), public),
            ("meta-data/placement/region".to_owned(), b"us-east-1".to_vec()),
            ("meta-data/placement/availability-zone".to_owned(), b"us-east-1a".to_vec()),
        ]);
        if let Some(user_data) = user_data {
            tree.insert("user-data".to_owned(), user_data.to_vec());
        }
        let metadata = serve_metadata(Arc::new(tree));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut machine = Self { directory, address, metadata, running: None };
        machine.start(true);
        machine
    }

    fn start(&mut self, first_boot: bool) {
        let console = fs::OpenOptions::new().append(true).create(true).open(self.path("console")).unwrap();
        let mut config = agent::Config::new("ip-127-0-0-1", USER, console.into());
        config.root = Root::new(self.directory.path());
        config.first_boot = first_boot;
        config.metadata = self.metadata;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        self.address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    ended = agent::run_on(config, listener) => ended.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        self.running = Some((stop, thread));
    }

    /// Starts the agent anew, on another port.
    pub fn reboot(&mut self) {
        self.stop();
        self.start(false);
    }

    fn stop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            let _ = stop.send(());
            let joined = thread.join();
            assert!(std::thread::panicking() || joined.is_ok(), "the agent failed");
        }
    }

    /// A path of the machine.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(path)
    }

    pub fn read(&self, path: impl AsRef<Path>) -> String {
        let path = self.path(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub fn console(&self) -> String {
        self.read("console")
    }

    fn authorized(&self) -> bool {
        // Root's is the last to be written.
        self.path("root/.ssh/authorized_keys").exists()
    }

    pub fn wait_for(&self, what: &str, ready: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !ready(self) {
            assert!(start.elapsed() < Duration::from_secs(60), "no {what} after a minute");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// OpenSSH's options for this machine, as `sftp` and `scp` know them too.
    pub fn options(&self) -> Vec<String> {
        let mut options = vec!["-F".to_owned(), "none".to_owned()];
        for option in [
            format!("IdentityFile={}", self.path("etc/ssh/client").display()),
            format!("Port={}", self.address.port()),
            "IdentitiesOnly=yes".to_owned(),
            "BatchMode=yes".to_owned(),
            "StrictHostKeyChecking=no".to_owned(),
            "UserKnownHostsFile=/dev/null".to_owned(),
            "LogLevel=ERROR".to_owned(),
        ] {
            options.extend(["-o".to_owned(), option]);
        }
        options
    }

    /// An `ssh` command line for the login user, up to the host.
    pub fn ssh(&self, options: &[&str]) -> Command {
        let mut command = Command::new("ssh");
        command.env_remove("SSH_AUTH_SOCK").args(self.options()).args(options).arg(format!("{USER}@127.0.0.1"));
        command
    }

    /// Runs a command without input.
    pub fn exec(&self, line: &str) -> Output {
        self.ssh(&[]).arg(line).stdin(Stdio::null()).output().unwrap()
    }

    /// The standard output of a command that succeeds.
    pub fn stdout(&self, line: &str) -> String {
        let output = self.exec(line);
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn counts(&self) -> serde_json::Value {
        serde_json::from_str(&self.read("run/ec2-local/ssh-counters.json")).unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether the agent can become the login user: it is root, and not of a namespace in which everybody is.
pub fn has_others() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap();
    let mapped: u64 = map.lines().map(|line| line.split_whitespace().nth(2).unwrap().parse::<u64>().unwrap()).sum();
    rustix::process::geteuid().is_root() && mapped > 1
}

fn serve_metadata(tree: Arc<Tree>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let tree = tree.clone();
            std::thread::spawn(move || answer(stream.unwrap(), &tree));
        }
    });
    address
}

fn answer(mut stream: TcpStream, tree: &Tree) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut head = Vec::new();
        while let Ok(1..) = reader.read_until(b'\n', &mut head) {
            if head.ends_with(b"\r\n\r\n") {
                break;
            }
        }
        if head.is_empty() {
            return;
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let mut words = head.split_whitespace();
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let found = match method {
            "put" => Some(b"the-token".to_vec()),
            _ => {
                assert!(head.contains("x-aws-ec2-metadata-token: the-token"), "{head}");
                tree.get(path.strip_prefix("/latest/").unwrap()).cloned()
            }
        };
        let status = if found.is_some() { "200 OK" } else { "404 Not Found" };
        let body = found.unwrap_or_default();
        let length = body.len();
        let mut response = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n").into_bytes();
        response.extend(body);
        if stream.write_all(&response).is_err() {
            return;
        }
    }
}

/// Reads a child's stream on a thread.
pub fn reading(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all
    })
}
