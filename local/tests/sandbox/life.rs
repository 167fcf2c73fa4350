//! How machines come up, what they keep, and how they end.

use crate::fixture::{Disk, FIRST_BOOT, PATIENCE, Running, SECOND_BOOT, mounts_of, specification};
use ec2_local::machine::{BlockDevice, Event, Machine};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

#[test]
fn boots_as_a_machine_of_its_own() {
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let (nic, _frames) = machine.plugged.recv_timeout(PATIENCE).unwrap();
    assert_eq!(nic.id, "eni-1");
    let script = "set -e; id -u; cat /proc/sys/kernel/random/boot_id; hostname; cat /etc/hostname; cat /proc/1/comm
        cat /sys/class/net/eth0/mtu /sys/class/net/eth0/address; cat /sys/class/net/lo/operstate
        grep -c . /proc/net/route; getent passwd root | cut -d: -f1,6; . /etc/os-release; echo $ID
        test -w /dev/null; test -c /dev/urandom; test -w /dev/shm; test -w /tmp; test -w /usr/local; ls -d /proc/[0-9]* | wc -l";
    let answer = machine.run(script);
    let lines: Vec<&str> = answer.lines().collect();
    let host = fs::read_to_string("/etc/os-release").unwrap();
    let host = host.lines().find_map(|line| line.strip_prefix("ID=")).unwrap();
    let name = "ip-172-31-0-5.ec2.internal";
    assert_eq!(lines[..5], ["0", FIRST_BOOT, name, name, "init"], "{answer}");
    assert_eq!(lines[5..8], ["9001", "02:00:00:00:00:05", "unknown"], "{answer}");
    // The heading, the subnet (twice: a route per address would be one), the default route, the metadata service.
    assert_eq!(lines[8], "4", "{answer}");
    assert_eq!(lines[9..10], ["root:/root"], "{answer}");
    assert_eq!(lines[10], host.trim_matches('"'), "{answer}");
    assert!(lines[11].parse::<u32>().unwrap() < 10, "{answer}");
    assert_eq!(lines[12], "exit 0", "{answer}");
    let console = machine.end();
    assert!(console.contains("init: powering off"), "{console}");
    disk.remove();
}

#[test]
fn says_why_its_agent_failed() {
    let disk = Disk::new();
    let mut machine = Running::start_program(specification(&disk.path(), FIRST_BOOT), &["/nonexistent"]);
    assert_eq!(machine.next(), Some(Event::Started), "{}", machine.console);
    machine.until_console("init: the agent failed to run /nonexistent: No such file");
    machine.until_console("init: the agent ended (exit status 1); starting it again");
    machine.end();
    disk.remove();
}

#[test]
fn keeps_its_disk_over_stop_and_start() {
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let script = "for file in /root/kept /etc/kept /home/kept /var/lib/kept /usr/local/bin/kept /usr/share/kept; do
        echo content >$file || exit; done; echo gone >/tmp/gone; echo gone >/run/gone; rm /usr/bin/true; cat /etc/machine-id";
    let first = machine.run(script);
    assert!(first.ends_with("exit 0\n"), "{first}");
    machine.end();

    let machine = Running::booted(&disk.path(), SECOND_BOOT);
    let script =
        "cat /etc/machine-id; cat /root/kept /etc/kept /home/kept /var/lib/kept /usr/local/bin/kept /usr/share/kept
        cat /proc/sys/kernel/random/boot_id; ls /tmp /run /usr/bin/true";
    let second = machine.run(script);
    let (machine_id, rest) = second.split_once('\n').unwrap();
    assert_eq!(Some(machine_id), first.lines().next());
    assert_eq!(rest.matches("content").count(), 6, "{second}");
    assert!(rest.contains(SECOND_BOOT) && !rest.contains("gone"), "{second}");
    assert!(rest.contains("/usr/bin/true': No such file"), "{second}");
    assert!(Path::new("/usr/bin/true").exists());
    machine.end();
    disk.remove();
}

#[test]
fn ends_as_its_root_asks() {
    let reboot = "perl -e 'syscall(169, 0xfee1dead, 672274793, 0x1234567)'";
    let halt = "perl -e 'syscall(169, 0xfee1dead, 672274793, 0x4321fedc)'";
    let disk = Disk::new();
    let mut ways = vec![("kill -TERM 1", Event::PoweredOff), ("kill -INT 1", Event::Rebooting)];
    if cfg!(target_arch = "x86_64") {
        ways.extend([(reboot, Event::Rebooting), (halt, Event::PoweredOff)]);
    }
    for (way, expected) in ways {
        let mut machine = Running::booted(&disk.path(), FIRST_BOOT);
        machine.send_job(way);
        assert_eq!(machine.next(), Some(expected), "{way}: {}", machine.console);
        assert_eq!(machine.next(), None);
    }
    disk.remove();
}

#[test]
fn ends_a_process_that_ignores_the_button() {
    let disk = Disk::new();
    let mut machine = Running::booted(&disk.path(), FIRST_BOOT);
    machine.run("(trap '' TERM HUP; echo stubborn >/dev/console; while :; do sleep 1; done) >/dev/null 2>&1 &");
    machine.until_console("stubborn");
    let console = machine.end();
    assert!(console.contains("stubborn") && console.contains("init: killing"), "{console}");
    disk.remove();
}

#[test]
fn is_gone_when_killed_or_dropped() {
    let disk = Disk::new();
    for drop_it in [false, true] {
        let mut machine = Running::booted(&disk.path(), FIRST_BOOT);
        if drop_it {
            struct Gone;
            impl Machine for Gone {
                fn power_off(&self) {}
                fn kill(&self) {}
                fn attach(&self, _: BlockDevice) {}
                fn detach(&self, _: &str, _: bool) {}
                fn resize(&self, _: &str, _: u64) {}
            }
            drop(std::mem::replace(&mut machine.machine, Box::new(Gone)));
        } else {
            machine.machine.kill();
        }
        assert_eq!(machine.next(), Some(Event::PoweredOff), "{}", machine.console);
        assert_eq!(mounts_of(&disk.path()), 0);
    }
    // Before it has come up.
    let mut machine = Running::start(specification(&disk.path(), FIRST_BOOT));
    machine.machine.kill();
    let end = machine.next();
    let end = if end == Some(Event::Started) { machine.next() } else { end };
    assert_eq!(end, Some(Event::PoweredOff), "{}", machine.console);
    disk.remove();
}

#[test]
fn starts_its_program_again() {
    let disk = Disk::new();
    let mut machine = Running::booted(&disk.path(), FIRST_BOOT);
    machine.console.clear();
    machine.send_job("kill -9 $PPID");
    machine.until_console("starting it again");
    machine.until_console("ready");
    machine.end();
    disk.remove();
}

#[test]
fn waits_until_its_program_can_be_started_again() {
    let disk = Disk::new();
    let mut machine = Running::booted(&disk.path(), FIRST_BOOT);
    machine.console.clear();
    // Init has a process too many until then.
    machine.send_job("(prlimit --pid 1 --nproc=1:; kill -9 $PPID; sleep 1; prlimit --pid 1 --nproc=512:) &");
    machine.until_console("failed to start the agent");
    machine.until_console("ready");
    machine.end();
    disk.remove();
}

#[test]
fn packages_are_known() {
    let (query, package) = if Path::new("/var/lib/dpkg/status").exists() {
        ("dpkg-query -W -f '${Status}' dpkg", "installed")
    } else if Path::new("/usr/bin/rpm").exists() {
        ("rpm -q rpm", "rpm-")
    } else {
        return eprintln!("skipped: this host has neither dpkg nor rpm");
    };
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let answer = machine.run(query);
    assert!(answer.contains(package) && answer.ends_with("exit 0\n"), "{answer}");
    machine.end();
    disk.remove();
}

#[test]
fn packages_can_be_installed() {
    if !rustix::process::geteuid().is_root() || !Path::new("/usr/bin/dpkg-deb").exists() {
        return eprintln!("skipped: packages can be installed where root runs a host that has dpkg");
    }
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    // A directory of the package's is one that is for the host's root alone on many hosts. The package replaces a file of the host's in place; by its hands, since dpkg shall have something to run.
    let script = "set -e; exec 2>&1; cd /root; mkdir -p tiny/DEBIAN tiny/usr/share/tiny; echo content >tiny/usr/share/tiny/file
        printf 'Package: tiny\\nVersion: 1\\nArchitecture: all\\nMaintainer: Nobody <nobody@example.com>\\n' >tiny/DEBIAN/control
        printf 'Description: nothing\\n' >>tiny/DEBIAN/control
        printf '#!/bin/sh\\nset -e\\nuseradd --system --home-dir /var/lib/tiny --create-home tiny\\nchmod 0700 /usr/bin/env\\n' \
            >tiny/DEBIAN/postinst
        mkdir -p tiny/usr/share/polkit-1/rules.d; echo rule >tiny/usr/share/polkit-1/rules.d/tiny.rules
        chmod 0755 tiny/DEBIAN/postinst; dpkg-deb --build tiny tiny.deb >/dev/null
        dpkg -i tiny.deb; dpkg-query -W -f '${Status}\\n' tiny; cat /usr/share/tiny/file; stat -c %U:%a /usr/bin/env /var/lib/tiny
        chmod 0755 /usr/bin/env; userdel tiny; dpkg -r tiny; test ! -e /usr/share/tiny/file
        apt-get install --yes ./tiny.deb; dpkg-query -W -f '${Status} again\\n' tiny";
    let answer = machine.run(script);
    for line in ["install ok installed\n", "content\n", "root:700\n", "tiny:7", "install ok installed again\nexit 0\n"]
    {
        assert!(answer.contains(line), "{line:?}: {answer}");
    }
    assert_eq!(fs::metadata("/usr/bin/env").unwrap().permissions().mode() & 0o777, 0o755);
    machine.end();
    disk.remove();
}

#[test]
fn many_at_once() {
    let disks: Vec<Disk> = (0..12).map(|_| Disk::new()).collect();
    let running: Vec<Running> =
        disks.iter().map(|disk| Running::start(specification(&disk.path(), FIRST_BOOT))).collect();
    for mut machine in running {
        assert_eq!(machine.next(), Some(Event::Started), "{}", machine.console);
        machine.end();
    }
    disks.into_iter().for_each(Disk::remove);
}

#[test]
fn what_fails_says_why() {
    let mut machine = Running::start(specification(Path::new("/nonexistent/disk"), FIRST_BOOT));
    let Some(Event::Failed(why)) = machine.next() else { panic!("{}", machine.console) };
    assert!(why.contains("/nonexistent/disk"), "{why}");
    assert_eq!(machine.next(), None);
}
