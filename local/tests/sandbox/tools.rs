//! What other people's tools find in a machine.

use crate::fixture::{Disk, FIRST_BOOT, Running, specification};
use ec2_local::machine::Event;

/// Says what fails, and what is said on standard error: `quiet` expects nothing there, `works` only that it ends well.
const TRY: &str = r#"
has() { command -v "$1" >/dev/null; }
quiet() { ! has "$1" || { "$@" >/tmp/out 2>/tmp/err || echo "failed ($?): $*"; sed "s|^|$* said: |" /tmp/err; }; }
works() { ! has "$1" || "$@" >/tmp/out 2>&1 || { echo "failed ($?): $*"; cat /tmp/out; }; }
says() { expected=$1; shift; ! has "$1" || { "$@" >/tmp/out 2>&1; grep -qe "$expected" /tmp/out || { echo "$* said:"; cat /tmp/out; }; }; }
"#;

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
