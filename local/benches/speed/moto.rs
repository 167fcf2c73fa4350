//! moto's server, the usual stand-in for EC2 in tests: <https://pypi.org/project/moto/>.

use crate::{Result, client::Server};
use std::{
    env,
    ffi::OsString,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What pip is asked for: moto, and what its server and its EC2 need.
const PACKAGES: [&str; 3] = ["moto[ec2]", "flask", "flask-cors"];

/// How long it may take until it listens.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server, until this is dropped.
pub struct Moto {
    process: Child,
    pub server: Server,
}

impl Moto {
    /// Starts the one that Python has, or else that which is installed for this bench at its first run.
    pub fn start() -> Result<Self> {
        let python = Python::with_moto()?;
        let version = python.run("import moto; print(moto.__version__)")?;
        println!("moto {} (PyPI)", version.trim());
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let process = python
            .command("from moto.server import main; main()")
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let address = format!("127.0.0.1:{port}");
        let moto = Self { process, server: Server { address, key: ("AKIAMOTO".into(), "secret".into()) } };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(&moto.server.address).is_err() {
            if Instant::now() > deadline {
                return Err("moto's server doesn't listen".into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(moto)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Python, and where it looks for packages.
struct Python {
    path: Option<OsString>,
}

impl Python {
    fn with_moto() -> Result<Self> {
        // Cargo's own place for what benches keep.
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
        let ours = Self { path: Some(search_path(&place)?) };
        for python in [Self { path: env::var_os("PYTHONPATH") }, ours] {
            if python.run("import moto.server, flask_cors, moto.ec2").is_ok() {
                return Ok(python);
            }
        }
        let python = Self { path: Some(search_path(&place)?) };
        python.install(&place)?;
        Ok(python)
    }

    fn install(&self, place: &Path) -> Result {
        let hint = format!("python3 -m pip install --target {} {}", place.display(), PACKAGES.join(" "));
        println!("moto is not installed; it is now, by: {hint}");
        let pip = Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade", "--target"])
            .arg(place)
            .args(PACKAGES)
            .output()?;
        match pip.status.success() {
            true => Ok(()),
            false => {
                Err(format!("moto can't be installed; do it by: {hint}\n{}", String::from_utf8_lossy(&pip.stderr))
                    .into())
            }
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("python3");
        command.args(["-c", program]);
        if let Some(path) = &self.path {
            command.env("PYTHONPATH", path);
        }
        command
    }

    fn run(&self, program: &str) -> Result<String> {
        let output = self.command(program).stdin(Stdio::null()).output()?;
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout)?),
            false => Err(String::from_utf8_lossy(&output.stderr).into()),
        }
    }
}

/// The search path of Python, with a place in front.
fn search_path(place: &Path) -> Result<OsString> {
    let others = env::var_os("PYTHONPATH").unwrap_or_default();
    let others: Vec<PathBuf> = env::split_paths(&others).filter(|path| !path.as_os_str().is_empty()).collect();
    Ok(env::join_paths([vec![place.to_owned()], others].concat())?)
}
