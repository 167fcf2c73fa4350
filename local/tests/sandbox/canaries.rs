//! Files of the host's that no machine may see.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Part of each file's name, and its content.
pub const NAME: &str = "ec2-local-canary";
/// Tells the tests that run as another user where root has planted them.
pub const VARIABLE: &str = "EC2_LOCAL_TEST_CANARIES";

/// Where they are planted: wherever hosts keep what is nobody's business.
const PLACES: [&str; 17] = [
    "/etc",
    "/etc/profile.d",
    "/etc/ssh",
    "/etc/ssl",
    "/etc/ssl/private",
    "/root",
    "/home",
    "/var",
    "/var/lib",
    "/var/log",
    "/var/tmp",
    "/opt",
    "/run",
    "/srv",
    "/mnt",
    "/tmp",
    "/boot",
];

/// Canaries, which are gone when this is dropped.
pub struct Canaries {
    planted: Vec<PathBuf>,
    found: Vec<PathBuf>,
}

impl Canaries {
    /// Those that somebody else has planted, or new ones; none where only root may plant them.
    pub fn found_or_planted() -> Option<Self> {
        if let Some(found) = env::var_os(VARIABLE) {
            return Some(Self { planted: Vec::new(), found: env::split_paths(&found).collect() });
        }
        if rustix::process::geteuid().is_root() {
            return Some(Self::plant());
        }
        let skipped = "only root can plant canaries where the host keeps its secrets";
        assert!(env::var_os("EC2_HARNESS_NO_SKIP").is_none(), "{skipped}");
        eprintln!("skipped: {skipped}");
        None
    }

    /// Plants them; only root can.
    pub fn plant() -> Self {
        let mut canaries = Self { planted: Vec::new(), found: Vec::new() };
        for (place, mode) in PLACES.iter().flat_map(|place| [(place, 0o600), (place, 0o644)]) {
            // A place that this host lacks holds no secrets.
            if Path::new(place).is_dir() {
                let path = Path::new(place).join(format!("{NAME}-{}-{mode:o}.sh", std::process::id()));
                canaries.planted.push(path.clone());
                fs::write(&path, format!("# {NAME}\n")).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
        canaries
    }

    /// Where they are.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.planted.iter().chain(&self.found).map(PathBuf::as_path)
    }

    /// For [`VARIABLE`].
    pub fn variable(&self) -> std::ffi::OsString {
        env::join_paths(self.paths()).unwrap()
    }
}

impl Drop for Canaries {
    fn drop(&mut self) {
        for path in &self.planted {
            let _ = fs::remove_file(path);
        }
    }
}
