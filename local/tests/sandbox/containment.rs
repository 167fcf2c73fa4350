//! What a machine sees of its host, and who its users are.

use crate::fixture::{Disk, FIRST_BOOT, Running};
use std::{fs, path::Path};

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
    assert!(machine.run("mknod /root/disk b 254 0").contains("not permitted"));
    let answer = machine.run("echo 1 >/proc/sys/kernel/panic");
    assert!(!answer.contains("exit 0"), "{answer}");
    let answer = machine.run("ls /proc/1/fd /proc/1/root/ 2>&1; cat /proc/1/environ");
    assert!(answer.matches("denied").count() == 3, "{answer}");
    let answer = machine.run(&format!("kill -0 {}", std::process::id()));
    assert!(answer.contains("No such process"), "{answer}");
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
        // A program that is set-uid root is, whoever starts it; without other users there is nobody to start it.
        assert_eq!(answer == "0\nexit 0\n", !alone, "{answer}");
    }
    let owner = machine.run("stat -c %U /usr/bin/env /etc/passwd");
    let root = rustix::process::geteuid().is_root();
    // Only root can lend the host's files to the machine's root.
    let expected = if root { "root\nroot\nexit 0\n" } else { "nobody\nroot\nexit 0\n" };
    assert_eq!(owner, expected);
    if root {
        let on_host = std::os::unix::fs::MetadataExt::uid(&fs::metadata(machine.file("etc/passwd")).unwrap());
        assert!(on_host >= 0x7000_0000, "{on_host}");
    }
    let answer = machine.run("mount -t tmpfs none /mnt && touch /mnt/file; ip link set lo down 2>/dev/null; ls /mnt");
    assert!(answer.contains("file"), "{answer}");
    machine.end();
    disk.remove();
}
