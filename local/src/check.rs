//! `ec2-local check`: boots a machine, and says what it has for this user on this host; and clears what was killed has left.
//!
//! What this isn't: the endpoint. The machine is on no network, and its instance is in no account.

use ec2_local::{
    endpoint::{StateDirectory, abandoned_accounts},
    machine::{
        Event, Hypervisor, Specification,
        sandbox::{Sandbox, clear_remains, describe_tables, end_user, remove_disk},
    },
    network::Nic,
};
use std::{
    fmt::Write as _,
    fs::{self, File},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// Tells the facts: in words of the shell alone, since there may be nothing else, and what else is tried where it is there.
const FACTS: &str = "users=0; while read -r inside outside count; do users=$((users + count)); done </proc/self/uid_map
    echo \"users: $users\"
    if [ -O /bin/sh ]; then owner=root; else owner=nobody; fi
    echo \"the host's files belong to: $owner\"
    if (: >/usr/ec2-local-check); then layer=writable; else layer=read-only; fi 2>/dev/null
    echo \"the host's directories are: $layer\"
    if (: >>/usr/bin/env); then changed=yes; else changed=no; fi 2>/dev/null
    echo \"the host's files can be changed in place: $changed\"
    if command -v useradd >/dev/null; then
        if useradd --system check >/dev/null 2>&1; then added=yes; else added=no; fi
        echo \"users can be added: $added\"
    fi
    if command -v dpkg-deb >/dev/null; then
        mkdir -p /tmp/check/DEBIAN /tmp/check/usr/share/ec2-local-check
        echo check >/tmp/check/usr/share/ec2-local-check/file
        printf '%s\\n' 'Package: ec2-local-check' 'Version: 1' 'Architecture: all' 'Maintainer: nobody <nobody@example.com>' \
            'Description: nothing' >/tmp/check/DEBIAN/control
        package() { \"$@\" >/tmp/said 2>&1 </dev/null && echo yes || { echo no; tail -n 3 /tmp/said >&2; }; }
        dpkg-deb --root-owner-group --build /tmp/check /tmp/check.deb >/dev/null 2>&1
        echo \"packages can be installed with dpkg: $(package dpkg -i /tmp/check.deb)\"
        dpkg -r ec2-local-check >/dev/null 2>&1
        echo \"packages can be installed with apt-get: $(package apt-get install --yes /tmp/check.deb)\"
    fi
    echo told; while :; do read -r line || exec sleep 1000; done";

/// Boots it; its facts, a line each, and its notes.
pub fn run() -> Result<String, String> {
    let state = StateDirectory::of_user().map_err(|e| e.to_string())?;
    let left = clear_left(&state);
    let disk = Disk::make(state.path())?;
    let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
    let machine = specification(&disk.path);
    // As the machine finds them.
    let tables = describe_tables(machine.memory_mib, machine.vcpus).join("\n") + "\n";
    // Held, since a machine without its network ends no sooner.
    let sandbox = Sandbox::with_plug(|_, frames| Box::new(frames)).program(["/bin/sh", "-c", FACTS]);
    let machine = sandbox.start(machine, sender).map_err(|e| e.to_string())?;
    let mut console = Vec::new();
    let mut outcome = Err("boot a machine: nothing was heard of it".to_owned());
    while let Some((_, event)) = events.blocking_recv() {
        match event {
            Event::Console(text) => {
                console.extend(text);
                let console = String::from_utf8_lossy(&console);
                // One whose shell doesn't stay is started again and again.
                if has_told(&console) || console.contains("init: the agent ended") {
                    machine.kill();
                }
            }
            Event::Started => {}
            Event::PoweredOff => {
                let console = String::from_utf8_lossy(&console);
                outcome = if has_told(&console) {
                    Ok(report(&console) + &tables + &left)
                } else {
                    Err(format!("run a shell in a machine, which said: {}", console.trim()))
                };
            }
            Event::Failed(why) => outcome = Err(format!("boot a machine: {why}")),
            other => outcome = Err(format!("boot a machine: it ended by itself ({other:?})")),
        }
    }
    outcome
}

fn has_told(console: &str) -> bool {
    console.lines().any(|line| line.trim() == "told")
}

fn report(console: &str) -> String {
    let user = rustix::process::geteuid().as_raw();
    let mut report = format!("a machine boots here for user {user}\n");
    for line in console.lines().map(str::trim).take_while(|line| *line != "told") {
        let _ = match line.strip_prefix("init: ") {
            Some(note) => writeln!(report, "note: {note}"),
            None => writeln!(report, "{line}"),
        };
    }
    report
}

/// Clears what checks and endpoints that were killed have left, but for accounts, which are for the next endpoint; says
/// what there was, a line each.
fn clear_left(state: &StateDirectory) -> String {
    let mut said = String::new();
    let entries = fs::read_dir(state.path()).into_iter().flatten().filter_map(Result::ok);
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(DISK)) {
        let path = entry.path();
        // One in use is locked.
        let Some(lock) = File::open(&path).ok().filter(|lock| lock.try_lock().is_ok()) else { continue };
        if let Err(error) = end_user(&path) {
            eprintln!("ec2-local: failed to end the machine of {}: {error}", path.display());
        }
        drop(Disk { path, _lock: lock });
    }
    let cgroups = clear_remains();
    if cgroups > 0 {
        let _ = writeln!(said, "cleared: empty cgroups of machines whose endpoint was killed: {cgroups}");
    }
    for directory in abandoned_accounts(state) {
        let directory = directory.display();
        let _ = writeln!(
            said,
            "left: the account of an endpoint that was killed, for the next one to take over: {directory}"
        );
    }
    said
}

fn specification(disk: &Path) -> Specification {
    let address = [172, 31, 0, 5].into();
    let nic = Nic {
        id: "eni-check".into(),
        vpc: "vpc-check".into(),
        mac: [0x02, 0, 0, 0, 0, 5],
        addresses: vec![address],
        subnet: ([172, 31, 0, 0].into(), 20),
    };
    Specification {
        instance: "i-check".into(),
        disk: disk.into(),
        image: None,
        hostname: "check".into(),
        login_user: "root".into(),
        nics: vec![nic],
        memory_mib: 512,
        vcpus: 2,
        disk_gib: Some(8),
        boot_id: "00000000-0000-4000-8000-000000000000".into(),
    }
}

/// What the names of disks begin with.
const DISK: &str = "check-";

/// The machine's disk, which goes when this is dropped.
struct Disk {
    path: PathBuf,
    // As long as this is locked, it is in use.
    _lock: File,
}

impl Disk {
    fn make(directory: &Path) -> Result<Self, String> {
        let path = directory.join(format!("{DISK}{}", std::process::id()));
        let made = fs::DirBuilder::new().mode(0o700).create(&path).and_then(|()| File::open(&path));
        let locked = made.and_then(|lock| lock.try_lock().map(|()| lock).map_err(Into::into));
        locked.map(|lock| Self { path: path.clone(), _lock: lock }).map_err(|e| format!("make {}: {e}", path.display()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = remove_disk(&self.path) {
            // Where no machine can be made, nobody but ourselves has written to it.
            if fs::remove_dir_all(&self.path).is_err() {
                eprintln!("ec2-local: failed to remove {}: {error}", self.path.display());
            }
        }
    }
}
