//! A machine by hand: namespaces by `unshare`, an overlay over /usr, `sshd` inside, OpenSSH's client.

use std::{
    fs,
    net::TcpListener,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Why it can't be done here.
pub fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("by hand it needs root: sshd and the overlay want it".into());
    }
    ["/usr/bin/unshare", "/usr/sbin/sshd", "/usr/bin/ssh", "/usr/bin/ssh-keygen"]
        .iter()
        .find(|program| !Path::new(program).exists())
        .map(|program| format!("{program} is not installed"))
}

/// OpenSSH's client, with all that would cost time or ask questions turned off.
pub fn ssh(key: &Path) -> Command {
    let mut ssh = Command::new("ssh");
    ssh.arg("-i").arg(key).args([
        "-F",
        "none",
        "-o",
        "BatchMode=yes",
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        "LogLevel=ERROR",
    ]);
    ssh
}

/// From `unshare` to the first exec.
pub fn first_ssh() -> Duration {
    let place = tempfile::tempdir().expect("a directory");
    let at = place.path().to_str().expect("its name");
    for directory in ["upper", "work", "root"] {
        fs::create_dir(place.path().join(directory)).expect("a directory");
    }
    // What a golden image would have: the keys. They are no part of the measure.
    for name in ["host", "login"] {
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &format!("{at}/{name}")]).status();
        assert!(made.expect("ssh-keygen").success());
    }
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let script = format!(
        "mount -t tmpfs tmpfs /root && mount -t overlay -o lowerdir=/usr,upperdir={at}/upper,workdir={at}/work overlay {at}/root && mount --bind {at}/root /usr && \
         mkdir -p /run/sshd && hostname by-hand && exec /usr/sbin/sshd -D -f /dev/null -h {at}/host \
         -o AuthorizedKeysFile={at}/login.pub -o StrictModes=no -o UsePAM=no -o PidFile=none -o PermitRootLogin=yes \
         -o ListenAddress=127.0.0.1:{port}"
    );
    let since = Instant::now();
    let mut machine = Command::new("unshare")
        .args(["--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("unshare");
    loop {
        let status = ssh(&place.path().join("login"))
            .args(["-p", &port.to_string(), "root@127.0.0.1", "true"])
            .stderr(Stdio::null())
            .status()
            .expect("ssh");
        if status.success() {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let took = since.elapsed();
    machine.kill().expect("an end");
    machine.wait().expect("an end");
    took
}
