//! What other people's tools find in a machine: those that list its disks, tell its time, and manage its users and packages.

use crate::fixture::{Disk, FIRST_BOOT, Running, SECOND_BOOT, specification};
use ec2_local::machine::Event;
use std::{fs, path::Path, time::Instant};

/// Says what fails, and what is said on standard error: `quiet` expects nothing there, `works` only that it ends well.
const TRY: &str = r#"
has() { command -v "$1" >/dev/null; }
quiet() { ! has "$1" || { "$@" >/tmp/out 2>/tmp/err || echo "failed ($?): $*"; sed "s|^|$* said: |" /tmp/err; }; }
works() { ! has "$1" || "$@" >/tmp/out 2>&1 || { echo "failed ($?): $*"; cat /tmp/out; }; }
says() { expected=$1; shift; ! has "$1" || { "$@" >/tmp/out 2>&1; grep -qe "$expected" /tmp/out || { echo "$* said:"; cat /tmp/out; }; }; }
"#;

fn is_alone(machine: &Running) -> bool {
    machine.run("awk '{ ids += $3 } END { print ids }' /proc/self/uid_map") == "1\nexit 0\n"
}

#[test]
fn list_the_machines_own_disks_without_complaint() {
    let disk = Disk::new();
    let mut with_volume = specification(&disk.path(), FIRST_BOOT);
    with_volume.machine.disk_gib = Some(1);
    let script = format!(
        "{TRY}
        quiet lsblk; quiet lsblk -f; quiet df; quiet df -h /; quiet findmnt; quiet findmnt /; quiet fdisk -l; quiet sfdisk -l
        quiet mount; quiet swapon --show; quiet losetup -a; quiet vmstat -d; quiet lslocks; quiet iostat
        df | awk '$6 ~ \"^/(proc|sys)\" {{ print \"df shows \" $6 }}'
        mount | grep -E '^/volume|^devtmpfs on /proc'
        for name in diskstats locks swaps cmdline mdstat; do ! test -e /proc/$name || test -f /proc/$name || echo $name; done
        ! test -e /proc/swaps || head -n 1 /proc/swaps | grep -q ^Filename || echo no head of swaps; tail -n +2 /proc/swaps
        cat /sys/block/*/loop/* /sys/devices/virtual/block/*/loop/backing_file 2>/dev/null
        echo looked; exec sleep 1000"
    );
    let mut machine = Running::start_program(with_volume, &["/bin/sh", "-c", &script]);
    assert_eq!(machine.next(), Some(Event::Started), "{}", machine.console);
    machine.until_console("looked");
    let console = machine.console.replace('\r', "");
    let said: Vec<_> = console.lines().filter(|line| !line.starts_with("init: ")).collect();
    assert_eq!(said, ["looked"]);
    machine.end();
    disk.remove();
}

#[test]
fn tell_the_time_since_the_machines_own_boot() {
    if !Path::new("/proc/self/timens_offsets").exists() {
        return eprintln!("skipped: this host's kernel has no time namespaces");
    }
    let disk = Disk::new();
    for boot_id in [FIRST_BOOT, SECOND_BOOT] {
        let since = Instant::now();
        let machine = Running::booted(&disk.path(), boot_id);
        let script = "cut -d ' ' -f 1 /proc/uptime; perl -MTime::HiRes=clock_gettime,CLOCK_MONOTONIC -e 'print clock_gettime(CLOCK_MONOTONIC)'
            echo; perl -e 'print time - $1 if `grep btime /proc/stat` =~ / (.*)/'; echo; ps -o etimes= -p 1
            perl -e 'select undef, undef, undef, 0.01; print qq(slept\\n)'; timeout 0.01 sleep 1000; echo $?
            who -b | grep -c boot; last | grep -c ^reboot";
        let answer = machine.run(script);
        let elapsed = since.elapsed().as_secs_f64();
        let said: Vec<&str> = answer.lines().map(str::trim).collect();
        for (what, told) in ["uptime", "monotonic", "btime", "ps"].into_iter().zip(&said) {
            let told: f64 = told.parse().expect(&answer);
            // The time of the boot is told in whole seconds.
            assert!((0.0..elapsed + 1.0).contains(&told), "{what} says {told} after {elapsed}: {answer}");
        }
        let boots = if boot_id == FIRST_BOOT { "1" } else { "2" };
        assert_eq!(said[4..], ["slept", "124", "1", boots, "exit 0"], "{answer}");
        assert!(!machine.console.contains("the host's: failed"), "{}", machine.console);
        machine.end();
    }
    disk.remove();
}

#[test]
fn manage_users() {
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let everywhere = "works useradd -m bo; works passwd -S bo; works passwd -S root; works chage -l bo; works chfn -f Bo bo
        works usermod -aG adm bo; works chsh -s /bin/sh bo; works usermod -p '*' bo; works groupadd ops; works groupdel ops
        echo bo:secret | quiet chpasswd; grep -q '^bo:[$]' /etc/shadow || echo no password
        for file in /etc/default /etc/sudoers.d /etc/init.d /etc/security /var/lib/apt/lists/partial; do
            test -d $file || echo no $file; done
        for file in /var/log/wtmp /var/log/lastlog; do test -f $file || echo no $file; done
        quiet last; quiet lastlog; quiet service --status-all";
    let among_many = "works runuser -u nobody id; works su - -c true; works su - bo -c id; says ^uid=1 su bo -c id
        works adduser --disabled-password --gecos '' al; says ^al: getent passwd al; works su - al -c id
        [ $(stat -c %u /usr/bin/chage) != 0 ] || works su - al -c 'chage -l al'
        works userdel -r bo; quiet sudo -n true
        ! getent group shadow >/dev/null || stat -c '%a %G' /etc/shadow /etc/gshadow | grep -v '^640 shadow$'; true";
    let alone = is_alone(&machine);
    let script = format!("{TRY}\n{everywhere}\n{}", if alone { "" } else { among_many });
    assert_eq!(machine.run(&script), "exit 0\n", "{}", machine.console);
    // What isn't the machine's own stays with the host.
    if let Ok(host) = fs::read_to_string("/etc/pam.d/common-session")
        && host.contains("pam_systemd.so")
    {
        assert_eq!(machine.run("grep -rh '^[^#]*pam_systemd' /etc/pam.d"), "exit 1\n");
    }
    machine.end();
    disk.remove();
}

#[test]
fn manage_packages() {
    if !Path::new("/usr/bin/apt-get").exists() {
        return eprintln!("skipped: this host has no apt-get");
    }
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let script = format!(
        "{TRY}
        works apt-get --version; works apt-cache policy; works dpkg -l; works dpkg --audit; works apt-mark showhold
        works apt-get check; says 'Unable to locate package' apt-get install -y no-such-package
        works apt-config dump; works debconf-show bash; says / update-alternatives --list awk
        ! /usr/bin/python3 -c 'import apt' 2>/dev/null || works /usr/bin/python3 -c 'import apt; assert len(apt.Cache())'"
    );
    assert_eq!(machine.run(&script), "exit 0\n", "{}", machine.console);
    machine.end();
    disk.remove();
}
