//! An sshd of a test's own.

use crate::ssh::{HostKey, HostKeyPolicy, KnownHost, Login, PrivateKey, Route, Session};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub(super) struct Sshd {
    pub(super) directory: TempDir,
    pub(super) port: u16,
    daemon: Child,
}

/// Makes a key pair beside each other, as a user would.
pub(super) fn generate_key(path: &Path, kind: &str, arguments: &[&str]) {
    let output = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-C", "test", "-f"])
        .arg(path)
        .args(if arguments.contains(&"-N") { &[][..] } else { &["-N", ""][..] })
        .args(arguments)
        .output()
        .expect("ssh-keygen is needed for these tests: install openssh-client");
    assert!(output.status.success(), "{output:?}");
}

pub(super) fn user() -> String {
    String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap().trim().to_owned()
}

fn sshd_program() -> Option<PathBuf> {
    ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
}

impl Sshd {
    /// `None`, and said so, where there is no sshd: the project's first users need none.
    pub(super) fn start() -> Option<Self> {
        Self::with("")
    }

    /// Starts one with further lines of configuration.
    pub(super) fn with(configuration: &str) -> Option<Self> {
        let Some(program) = sshd_program() else {
            assert!(std::env::var_os("EC2_HARNESS_NO_SKIP").is_none(), "openssh-server is not installed");
            eprintln!("skipped: openssh-server is not installed");
            return None;
        };
        let directory = TempDir::new().unwrap();
        generate_key(&directory.path().join("client"), "ed25519", &[]);
        fs::copy(directory.path().join("client.pub"), directory.path().join("authorized_keys")).unwrap();
        generate_key(&directory.path().join("host_ed25519"), "ed25519", &[]);
        if configuration.contains("host_rsa") {
            generate_key(&directory.path().join("host_ecdsa"), "ecdsa", &[]);
            generate_key(&directory.path().join("host_rsa"), "rsa", &["-b", "2048"]);
        }
        // Root's sshd wants its directory; packages make it at boot only.
        if Path::new("/run/sshd").parent().is_some_and(|run| fs::metadata(run).is_ok()) {
            let _ = fs::create_dir("/run/sshd");
        }
        let mut last = String::new();
        for _ in 0..5 {
            match Self::try_start(&program, &directory, configuration) {
                Ok((daemon, port)) => return Some(Self { directory, port, daemon }),
                Err(error) => last = error,
            }
        }
        panic!("sshd did not start: {last}");
    }

    fn try_start(program: &Path, directory: &TempDir, configuration: &str) -> Result<(Child, u16), String> {
        let path = directory.path();
        // If somebody takes the port meanwhile, we try again.
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        // By SHLVL bash is told not to read the .bashrc of the user who runs the tests.
        let configuration = format!(
            "{}\nHostKey {1}/host_ed25519\nListenAddress 127.0.0.1:{port}\nAuthorizedKeysFile {1}/authorized_keys\nPidFile none\nStrictModes no\n\
             UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nUseDNS no\n\
             SetEnv SHLVL=1\n",
            configuration.replace("@DIR@", &path.display().to_string()),
            path.display(),
        );
        fs::write(path.join("sshd_config"), configuration).unwrap();
        let mut daemon = Command::new(program)
            .args(["-D", "-e", "-f"])
            .arg(path.join("sshd_config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(daemon.stderr.take().unwrap());
        let mut said = String::new();
        loop {
            if log.read_line(&mut said).unwrap_or(0) == 0 {
                daemon.wait().unwrap();
                return Err(said);
            }
            if said.contains("Server listening") {
                break;
            }
        }
        // A daemon whose log nobody reads would stop.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Ok((daemon, port))
    }

    pub(super) fn route(&self) -> Route {
        Route::Tcp { host: "127.0.0.1".into(), port: self.port }
    }

    pub(super) fn key(&self) -> PrivateKey {
        PrivateKey::from_file(self.directory.path().join("client")).unwrap()
    }

    pub(super) fn host_key(&self, kind: &str) -> HostKey {
        let line = fs::read_to_string(self.directory.path().join(format!("host_{kind}.pub"))).unwrap();
        HostKey::parse(&line).unwrap()
    }

    pub(super) fn login(&self) -> Login {
        Login::new(user(), self.key(), HostKeyPolicy::AcceptFirst(KnownHost::default()))
    }

    pub(super) async fn session(&self) -> Session {
        Session::connect(self.route(), self.login(), soon()).await.unwrap()
    }

    /// The processes of the daemon's connections.
    pub(super) fn connections(&self) -> Vec<u32> {
        children(self.daemon.id())
    }

    /// Ends the processes of all connections by force, so that nobody says goodbye.
    pub(super) fn kill_connections(&self) {
        let mut processes = self.connections();
        for process in processes.clone() {
            // Where sshd separates privileges, the connection is its child's.
            processes.extend(children(process).into_iter().filter(|child| command_line(*child).starts_with("sshd")));
        }
        for process in processes {
            kill(process);
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // The daemon first, so that no connection is new.
        let connections = self.connections();
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        connections.into_iter().for_each(kill);
    }
}

pub(super) fn kill(process: u32) {
    let process = rustix::process::Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
}

pub(super) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

pub(super) fn children(parent: u32) -> Vec<u32> {
    processes()
        .filter(|process| {
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            let after = stat.rsplit(") ").next().unwrap_or_default();
            after.split(' ').nth(1) == Some(&parent.to_string())
        })
        .collect()
}

pub(super) fn command_line(process: u32) -> String {
    let bytes = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// How many processes have a text in their command line.
pub(super) fn count_processes(text: &str) -> usize {
    processes().filter(|process| command_line(*process).contains(text)).count()
}

/// Waits until something holds; the time is a bound against hanging, not a measure.
pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < patience, "never came to hold: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(super) fn port_is_open(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}
