//! The devices that a machine has: as root its own, so that it hears of nobody else who opens them.

use crate::fixture::{Disk, FIRST_BOOT, PATIENCE, Running};
use std::{
    fs::{self, File},
    thread,
    time::{Duration, Instant},
};

/// Watches who opens the devices (inotify(7)); says how many times somebody did until the host had, and then until it did itself.
/// What covers the host's files in `/proc` is watched, too. By a pattern, as [`crate::fixture::JOBS`] has it.
const WATCH: &str = r#"perl -e '
    $watch = syscall($ARGV[0], 04000);
    open W, q(<&=), $watch or die;
    syscall($ARGV[1], $watch, $_, 0x20) < 0 and die for map { qq(/dev/$_) } qw(full null random tty urandom zero);
    -e $_ and syscall($ARGV[1], $watch, $_, 0x20) < 0 and die for map { qq(/proc/$_) } qw(cmdline keys locks swaps);
    sub heard { my $all = q(); while (sysread W, my $some, 65536) { $all .= $some } return length($all) / 16 }
    open F, q(>), q(/var/tmp/watching); close F;
    select undef, undef, undef, 0.01 until glob q(/var/tmp/opened*);
    print heard(), qq(\n);
    open N, q(<), qq(/dev/$_) for qw(full null random urandom zero);
    print heard(), qq(\n)'"#;

#[test]
fn hears_of_nobody_else_who_opens_its_devices() {
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let [start, add] = if cfg!(target_arch = "x86_64") { [294, 254] } else { [26, 27] };
    let answer = machine.send_job(&format!("{WATCH} {start} {add}"));
    let wait_for = |path: &std::path::Path| {
        let since = Instant::now();
        while !path.exists() {
            assert!(since.elapsed() < PATIENCE, "{path:?}: {:?}", fs::read_to_string(machine.file("var/tmp/part")));
            thread::sleep(Duration::from_millis(2));
        }
    };
    wait_for(&machine.file("var/tmp/watching"));
    for name in ["full", "null", "random", "tty", "urandom", "zero"] {
        // Who has no terminal can't open this one.
        let _ = File::open(format!("/dev/{name}"));
    }
    fs::write(machine.file("var/tmp/opened"), "").unwrap();
    wait_for(&answer);
    let answer = fs::read_to_string(answer).unwrap();
    let heard: Vec<u32> = answer.lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(heard.len(), 2, "{answer}");
    // An ordinary user can make no devices, so the machine has the host's, as the docs say.
    let has_own = rustix::process::geteuid().is_root();
    assert!(heard[1] >= 5 && (heard[0] == 0) == has_own, "{answer}");
    let devices = machine.run(
        "for name in full null random tty urandom zero; do stat -c '%t:%T %a' /dev/$name; done; echo x >/dev/null;
         head -c 4 /dev/urandom | wc -c; (echo x >/dev/full) 2>&1 || echo full; rm -f /dev/null 2>&1; test -c /dev/null",
    );
    let expected = "1:7 666\n1:3 666\n1:8 666\n5:0 666\n1:9 666\n1:5 666\n4\n";
    assert!(devices.starts_with(expected) && devices.contains("full\n") && devices.ends_with("exit 0\n"), "{devices}");
    machine.end();
    disk.remove();
}
