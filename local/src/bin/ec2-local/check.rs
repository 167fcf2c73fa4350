//! `ec2-local check`: boots a machine, and says what it has for this user on this host; and clears what was killed has left.
//!
//! What this isn't: the endpoint. The machine is on no network, and its instance is in no account.

use crate::output::complain;
use ec2_local::{
    endpoint::{SpareDisk, StateDirectory, abandoned_accounts, describe_ssh},
    machine::{
        Description, Event, Hypervisor, Specification, clear_remains,
        sandbox::{Sandbox, describe_block_devices, describe_tables},
    },
    network::Nic,
};
use ec2_state_directory::shown;
use std::{fmt::Write as _, path::Path};

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
    let disk = SpareDisk::make(&state).map_err(|e| e.to_string())?;
    let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
    let specification = specification(&disk.path());
    // As the machine finds them.
    let tables = describe_tables(specification.machine.memory_mib, specification.machine.vcpus).join("\n") + "\n";
    // Held, since a machine without its network ends no sooner.
    let sandbox = Sandbox::with_plug(|_, frames| Box::new(frames)).program(["/bin/sh", "-c", FACTS]);
    let machine = sandbox.start(specification, sender).map_err(|e| e.to_string())?;
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
                    let volumes = describe_block_devices() + "\n";
                    Ok(report(&console) + &volumes + &tables + &describe_ssh() + "\n" + &left)
                } else {
                    Err(format!("run a shell in a machine, which said: {}", shown(console.trim())))
                };
            }
            Event::Failed(why) => outcome = Err(format!("boot a machine: {why}")),
            other => outcome = Err(format!("boot a machine: it ended by itself ({other:?})")),
        }
    }
    if let Err(error) = disk.remove() {
        complain(&format!("ec2-local: failed to {error}"));
    }
    outcome
}

fn has_told(console: &str) -> bool {
    console.lines().any(|line| line.trim() == "told")
}

fn report(console: &str) -> String {
    let user = rustix::process::geteuid().as_raw();
    let mut report = format!("a machine boots here for user {user}\n");
    for line in console.lines().map(str::trim).take_while(|line| *line != "told").map(shown) {
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
    for error in SpareDisk::clear_left(state) {
        complain(&format!("ec2-local: failed to {error}"));
    }
    let cgroups = clear_remains();
    if cgroups > 0 {
        let _ = writeln!(said, "cleared: empty cgroups of machines whose endpoint was killed: {cgroups}");
    }
    for directory in abandoned_accounts(state) {
        let directory = shown(&directory.to_string_lossy());
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
        ipv6: Vec::new(),
        subnet6: None,
    };
    let machine = Description {
        instance: "i-check".into(),
        hostname: "check".into(),
        login_user: "root".into(),
        nics: vec![nic],
        dhcp: None,
        memory_mib: 512,
        vcpus: 2,
        disk_gib: Some(8),
        volumes: Vec::new(),
        boot_id: "00000000-0000-4000-8000-000000000000".into(),
    };
    Specification { machine, disk: disk.into(), image: None, layers: Vec::new() }
}
