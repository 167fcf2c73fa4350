//! What a machine sees of its host, and what its root can do to it: nothing.

use crate::{
    canaries::{self, Canaries},
    fixture::{Disk, FIRST_BOOT, Running},
};
use std::{
    ffi::CString,
    fs,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::MetadataExt,
            net::{SocketAddr, UnixListener},
        },
    },
    path::Path,
    process::Command,
};

#[test]
fn sees_nothing_of_the_host() {
    let canary = tempfile::Builder::new().prefix("canary-").tempdir().unwrap();
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let paths = [canary.path(), disk.directory(), Path::new(env!("CARGO_MANIFEST_DIR"))];
    for path in paths {
        let answer = machine.run(&format!("ls -d '{}' 2>&1", path.display()));
        assert!(answer.contains("No such file") || answer.contains("Permission denied"), "{answer}");
    }
    let own: Vec<String> =
        fs::read_dir("/etc").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let inside = machine.run("ls /etc; ls /var/log /var/lib /root /home /opt /srv");
    assert!(own.iter().any(|name| name == "fstab"));
    for secret in ["sudoers", "passwd-", "shadow-", "machine-info", "hosts.allow", "npmrc", "pip.conf"] {
        assert!(!inside.lines().any(|name| name == secret), "{secret}");
    }
    machine.end();
    disk.remove();
}

#[test]
fn finds_no_canary() {
    let Some(canaries) = Canaries::found_or_planted() else { return };
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    for path in canaries.paths() {
        let answer = machine.run(&format!("ls -d '{}'", path.display()));
        assert!(answer.contains("No such file"), "{answer}");
    }
    // Under any other name, or in another place; so spelt that the search doesn't find itself.
    let name = canaries::NAME.replace("canary", "[c]anary");
    let script = format!(
        "exec 2>/dev/null; rm -f answer*; find / -path /proc -prune -o -name '*{name}*' -print
         for place in /*; do
             case $place in /usr | /proc | /sys) ;; *) [ -L $place ] || grep -rl --devices=skip '{name}' $place ;; esac
         done
         grep -l '{name}' /proc/[0-9]*/mountinfo /proc/[0-9]*/cmdline /proc/[0-9]*/environ /proc/[0-9]*/maps
         ls /proc/[0-9]*/root/ /proc/[0-9]*/cwd/ | grep '{name}'; echo searched"
    );
    assert_eq!(machine.run(&script), "searched\nexit 0\n");
    machine.end();
    disk.remove();
}

/// What root tries inside, each as a line for the shell; where one succeeded, the host would be as it was.
fn attempts() -> Vec<String> {
    let mut attempts: Vec<String> = [
        // Devices.
        "mknod /root/disk b 254 0",
        "mknod /root/memory c 1 1",
        "mount -t devtmpfs none /mnt",
        "ls /dev/kmsg /dev/mem /dev/net/tun /dev/kvm /dev/vsock",
        // The host's kernel.
        "umount /proc/sysrq-trigger; echo h >/proc/sysrq-trigger",
        "umount /proc/kcore; head -c 1 /proc/kcore",
        "modprobe dummy",
        "date -s now",
        "mount -t debugfs none /mnt",
        "mount -t tracefs none /mnt",
        "mount -o remount,rw /sys; echo 1 >/sys/power/pm_trace",
        "mount -o remount,rw /sys; echo mem >/sys/power/state",
        "mount -o remount,rw /sys; for file in /sys/kernel/mm/transparent_hugepage/enabled; do cat $file >$file; done",
        "swapon /etc/passwd",
        "chrt -f 1 true",
        "renice -n -5 -p $$",
        "ls /dev/fuse /dev/loop0 /dev/loop-control /dev/disk",
        // Its own cgroup, by which it is bounded, and the program that the kernel runs when one is left.
        "mount -t cgroup -o memory none /mnt && echo 1073741824000 >/mnt/memory.limit_in_bytes",
        "mount -t cgroup -o pids none /mnt && echo max >/mnt/pids.max",
        "mount -t cgroup -o devices none /mnt && echo a >/mnt/devices.allow",
        "mount -t cgroup -o freezer none /mnt && echo /bin/true >/mnt/release_agent",
        "mount -t cgroup2 none /mnt && echo /bin/true >/mnt/release_agent",
        // The same in a namespace below, or from above.
        "unshare -Urpf --mount-proc sh -c 'echo h >/proc/sysrq-trigger'",
        "unshare -Urpf --mount-proc head -c 1 /proc/kcore",
        "unshare -Urpf --mount-proc sh -c 'echo 1 >/proc/sys/kernel/sysrq'",
        "unshare -Urn sh -c 'mount -t sysfs none /mnt && echo mem >/mnt/power/state'",
        "umount -l /sys; mount -t sysfs none /mnt && echo mem >/mnt/power/state",
        "unshare -Ur mknod /root/disk b 254 0",
        "nsenter -t 1 -m true",
        "nsenter -t 1 -U true",
        "unshare -Urm sh -c 'mount -t tmpfs none /mnt && cd /mnt && mkdir old && pivot_root . old && test -e old/proc/sysrq-trigger'",
        "for process in /proc/[0-9]*; do ls $process/root/; done | grep -x lost+found",
        // The terminal of the user who started the endpoint.
        "perl -e 'open T, q(+<), q(/dev/tty) or exit 1; $x = qq(x); ioctl T, 0x5412, $x or exit 1'",
        "perl -e 'open T, q(+<), q(/dev/console) or exit 1; $x = qq(x); ioctl T, 0x5412, $x or exit 1'",
        // This executable, which is the host's, in its process 1.
        "cat /proc/1/environ",
        "cat /proc/1/maps",
        "readlink /proc/1/fd/0",
        "ls /proc/1/root/",
        "cat /proc/1/exe >/dev/null",
        "perl -e 'open M, q(+<), q(/proc/1/mem) or exit 1'",
        // Its limits.
        "bash -c 'ulimit -Hu 1000000'",
        "bash -c 'ulimit -Hd unlimited'",
    ]
    .map(str::to_owned)
    .to_vec();
    // What is there already, so that a success would do no harm.
    for setting in ["kernel/core_pattern", "kernel/panic", "kernel/sysrq", "vm/overcommit_memory", "fs/file-max"] {
        // Not every kernel has all of them.
        if let Ok(value) = fs::read_to_string(Path::new("/proc/sys").join(setting)) {
            let value = value.trim();
            attempts.push(format!("mount -o remount,rw,bind /proc/sys; echo '{value}' >/proc/sys/{setting}"));
        }
    }
    // Elsewhere the machine's root is the user who started it, and may do what that user may.
    if rustix::process::geteuid().is_root() {
        attempts.push("echo 0 >/proc/1/oom_score_adj".to_owned());
    }
    attempts.push(format!("kill -0 {}", std::process::id()));
    attempts.push(format!("cat /proc/{}/environ", std::process::id()));
    let [trace, module, log, bpf, perf, ring, kexec, key, clock, handle] = match cfg!(target_arch = "x86_64") {
        true => [101, 175, 103, 321, 298, 425, 246, 250, 227, 304],
        false => [117, 105, 116, 280, 241, 425, 104, 219, 112, 265],
    };
    for call in [
        format!("{trace}, 16, 1, 0, 0"),
        format!("{module}, $space, 0, $space"),
        format!("{log}, 3, $space, 65536"),
        format!("{bpf}, 0, $space, 72"),
        format!("{perf}, $space, 0, -1, -1, 0"),
        format!("{ring}, 8, $space"),
        format!("{kexec}, 0, 0, 0, 0"),
        // The session keyring's number.
        format!("{key}, 0, -3, 1"),
        format!("{clock}, 0, $space"),
        // A file by its number, here the root directory of most file systems, wherever that is mounted.
        format!("{handle}, fileno(R), $handle, 0"),
    ] {
        attempts.push(format!(
            "perl -e '$space = \"\\0\" x 65536; $handle = pack(q(IIII), 8, 1, 2, 0); open R, q(<), q(/); \
             exit(syscall({call}) < 0)'"
        ));
    }
    attempts.push(format!("perl -e 'exit !socket(S, {}, 1, 0)'", libc::AF_VSOCK));
    attempts
}

#[test]
pub fn its_root_does_nothing_to_the_host() {
    // A Unix socket without a path is found by all that share a network namespace.
    let name = format!("ec2-local-test-{}", std::process::id());
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let connect = format!("use Socket; socket(S, 1, 1, 0); exit !connect(S, pack(\"Sxa*\", 1, \"{name}\"))");
    let mut attempts = attempts();
    attempts.push(format!("perl -e '{connect}'"));
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let script: String = attempts
        .iter()
        .enumerate()
        .map(|(number, attempt)| format!("({attempt}) </dev/null >/dev/null && echo succeeded {number}\n"))
        .collect();
    let answer = machine.run(&format!("{script}echo tried; exit 0"));
    assert!(answer.contains("tried"), "{answer}");
    let succeeded = answer.lines().filter_map(|line| line.strip_prefix("succeeded ")?.parse::<usize>().ok());
    let succeeded: Vec<&String> = succeeded.map(|number| &attempts[number]).collect();
    assert!(succeeded.is_empty(), "{succeeded:#?}\n{answer}");
    // So that what was refused was not refused for being misspelt.
    let works = machine.run("perl -e 'exit !(syscall(39) > 0 && socket(S, 1, 1, 0))'; mknod /root/pipe p; kill -0 1; bash -c 'ulimit -Su 100'");
    assert!(works.ends_with("exit 0\n"), "{works}");
    machine.end();
    disk.remove();
}

#[test]
fn its_root_is_root_and_nobody_elses() {
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let alone = machine.run("awk '{ ids += $3 } END { print ids }' /proc/self/uid_map") == "1\nexit 0\n";
    for place in ["/var/tmp", "/usr/local/bin"] {
        let answer = machine.run(&format!(
            "cp /usr/bin/id {place}/whoami; chmod 4755 {place}/whoami; setpriv --reuid 1000 --clear-groups {place}/whoami -u"
        ));
        // A program that is set-uid root is, no matter who starts it; without other users there is nobody to start it.
        assert_eq!(answer == "0\nexit 0\n", !alone, "{answer}");
    }
    let owner = machine.run("stat -c %U /usr/bin/env /etc/passwd");
    let root = rustix::process::geteuid().is_root();
    // Only root can lend the host's files to the machine's root.
    let expected = if root { "root\nroot\nexit 0\n" } else { "nobody\nroot\nexit 0\n" };
    assert_eq!(owner, expected);
    if root {
        let on_host = fs::metadata(machine.file("etc/passwd")).unwrap().uid();
        assert!(on_host >= 0x7740_0000, "{on_host}");
    }
    let answer = machine.run("mount -t tmpfs none /mnt && touch /mnt/file; ip link set lo down 2>/dev/null; ls /mnt");
    assert!(answer.contains("file"), "{answer}");
    machine.end();
    disk.remove();
}

#[test]
pub fn finds_no_key_of_the_hosts() {
    let keyctl = if cfg!(target_arch = "x86_64") { 250 } else { 219 };
    // keyctl(2): the user's keyring, KEYCTL_GET_KEYRING_ID, KEYCTL_INVALIDATE.
    let (user, get, invalidate) = (-4, 0, 21);
    let secret = format!("ec2-local-test-{}", std::process::id());
    let name = CString::new(secret.clone()).unwrap();
    // SAFETY: the pointers are to strings that live through the call.
    let key =
        unsafe { libc::syscall(libc::SYS_add_key, c"user".as_ptr(), name.as_ptr(), name.as_ptr(), secret.len(), user) };
    // SAFETY: no pointers are passed.
    let ring = unsafe { libc::syscall(libc::SYS_keyctl, get, user, 1) };
    if key < 0 || ring < 0 {
        return eprintln!("skipped: this host keeps no keys: {}", std::io::Error::last_os_error());
    }
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    // KEYCTL_LINK to the session's keyring, and KEYCTL_READ.
    let answer = machine.run(&format!(
        "perl -e '$space = qq(\\0) x 64; syscall({keyctl}, 8, {ring}, -3); syscall({keyctl}, 11, {key}, $space, 64); print $space'"
    ));
    assert!(answer.ends_with("exit 0\n") && !answer.contains(&secret), "{answer:?}");
    machine.end();
    disk.remove();
    // SAFETY: no pointers are passed.
    unsafe { libc::syscall(libc::SYS_keyctl, invalidate, key) };
}

#[test]
fn the_hosts_root_is_nobody_in_any_machine() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can put root into a user namespace");
    }
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "life::boots_as_a_machine_of_its_own"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the host's root is a user of this user namespace"), "{said}");
}
