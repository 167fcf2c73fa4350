//! The SFTP subsystem, by OpenSSH's sftp and scp.

use crate::fixture::{Machine, USER, has_others};
use std::{
    ffi::OsStr,
    fs,
    io::Write,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt},
    },
    process::{Command, Output, Stdio},
};

fn sftp(machine: &Machine, batch: &str) -> Output {
    let mut command = Command::new("sftp");
    command.env_remove("SSH_AUTH_SOCK").args(machine.options()).args(["-q", "-b", "-"]);
    command.arg(format!("{USER}@127.0.0.1")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = command.spawn().unwrap();
    client.stdin.take().unwrap().write_all(batch.as_bytes()).unwrap();
    client.wait_with_output().unwrap()
}

fn scp(machine: &Machine, arguments: &[&str]) -> Output {
    let mut command = Command::new("scp");
    command.env_remove("SSH_AUTH_SOCK").args(machine.options()).args(arguments).output().unwrap()
}

#[test]
fn files_go_there_and_back_and_are_the_users() {
    let machine = Machine::boot();
    let home = machine.path(format!("home/{USER}"));
    let content: Vec<u8> = (0..3_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    fs::write(machine.path("there"), &content).unwrap();
    fs::set_permissions(machine.path("there"), fs::Permissions::from_mode(0o751)).unwrap();
    let output = sftp(
        &machine,
        &format!(
            "pwd\nput -p {there} a file\nmkdir d\nchmod 700 d\nrename file d/file\nln -s d/file link\nln d/file hard\n\
             get -p link {back}\nls -la\n",
            there = machine.path("there").display(),
            back = machine.path("back").display(),
        )
        .replace(" a file", " file"),
    );
    assert!(output.status.success(), "{output:?}");
    assert!(fs::read(machine.path("back")).unwrap() == content);
    let file = home.join("d/file").metadata().unwrap();
    assert_eq!((file.mode() & 0o7777, file.nlink()), (0o751, 2));
    assert_eq!(home.join("d").metadata().unwrap().mode() & 0o7777, 0o700);
    assert_eq!(fs::read_link(home.join("link")).unwrap().to_str(), Some("d/file"));
    assert_eq!(file.mtime(), machine.path("there").metadata().unwrap().mtime());
    if has_others() {
        assert_eq!((file.uid(), file.gid()), (1000, 1000));
        assert_eq!(home.join("link").symlink_metadata().unwrap().uid(), 1000);
    }
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(listing.contains(&format!("Remote working directory: {}", home.display())), "{listing}");
    assert!(listing.lines().any(|line| line.starts_with("drwx------") && line.ends_with(" d")), "{listing}");
    assert!(listing.lines().any(|line| line.starts_with('l') && line.ends_with(" link")), "{listing}");
    assert_eq!(machine.counts()["subsystems"], 1);
    assert_eq!(machine.counts()["execs"], 0);
}

#[test]
fn what_the_user_may_not_do_is_denied() {
    let machine = Machine::boot();
    if !has_others() {
        eprintln!("only root can become another user; what that user may not do is checked as root");
        return;
    }
    fs::write(machine.path("etc/secret"), "secret").unwrap();
    fs::set_permissions(machine.path("etc/secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let secret = machine.path("etc/secret");
    let get = sftp(&machine, &format!("get {} {}\n", secret.display(), machine.path("stolen").display()));
    assert!(String::from_utf8_lossy(&get.stderr).contains("Permission denied"), "{get:?}");
    assert!(!machine.path("stolen").exists());
    for batch in ["rm", "chmod 777", "chown 1000"] {
        let output = sftp(&machine, &format!("{batch} {}\n", secret.display()));
        assert!(!output.status.success(), "{batch}: {output:?}");
    }
    let put = sftp(&machine, &format!("put {} {}\n", machine.path("console").display(), secret.display()));
    assert!(!put.status.success(), "{put:?}");
    assert_eq!(machine.read("etc/secret"), "secret");
    // A group's right is a right: the user is in adm.
    std::os::unix::fs::chown(&secret, Some(0), Some(4)).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o640)).unwrap();
    let get = sftp(&machine, &format!("get {} {}\n", secret.display(), machine.path("read").display()));
    assert!(get.status.success(), "{get:?}");
}

#[test]
fn scp_copies_trees_both_ways() {
    let machine = Machine::boot();
    fs::create_dir_all(machine.path("tree/deep/er")).unwrap();
    fs::write(machine.path("tree/deep/er/file"), "content").unwrap();
    fs::write(machine.path("tree/empty"), "").unwrap();
    let remote = format!("{USER}@127.0.0.1:");
    // By SFTP, which is the default, and by the old protocol, which runs scp over there.
    for protocol in ["-s", "-O"] {
        let there = scp(
            &machine,
            &[protocol, "-rp", machine.path("tree").to_str().unwrap(), &format!("{remote}copy{protocol}")],
        );
        assert!(there.status.success(), "{there:?}");
        let back = machine.path(format!("back{protocol}"));
        let back = scp(&machine, &[protocol, "-rp", &format!("{remote}copy{protocol}"), back.to_str().unwrap()]);
        assert!(back.status.success(), "{back:?}");
        assert_eq!(machine.read(format!("back{protocol}/deep/er/file")), "content");
        assert_eq!(machine.read(format!("back{protocol}/empty")), "");
    }
}

#[test]
fn names_that_cant_be_told_hide_no_others() {
    let machine = Machine::boot();
    let directory = machine.path(format!("home/{USER}/many"));
    fs::create_dir(&directory).unwrap();
    // Names that are no UTF-8 are not told; of a thousand, some hundred follow each other.
    for number in 0..1000 {
        fs::write(directory.join(OsStr::from_bytes(format!("\u{ff}{number}").as_bytes().split_at(1).1)), "").unwrap();
    }
    for number in 0..3 {
        fs::write(directory.join(format!("plain-{number}")), "").unwrap();
    }
    let output = sftp(&machine, "ls -1 many\n");
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(listing.lines().filter(|line| line.contains("plain-")).count(), 3, "{output:?}");
}
