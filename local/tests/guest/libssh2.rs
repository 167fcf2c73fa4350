//! The SSH server, by libssh2, which can be asked for what OpenSSH's client keeps to itself.

use crate::fixture::{Machine, USER};
use ssh2::{OpenFlags, OpenType, PtyModeOpcode, PtyModes, RenameFlags, Session};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::Path,
};

fn connect(machine: &Machine) -> Session {
    let mut session = Session::new().unwrap();
    session.set_tcp_stream(TcpStream::connect(machine.address).unwrap());
    session.set_timeout(60_000);
    session.handshake().unwrap();
    session.userauth_pubkey_file(USER, None, &machine.path("etc/ssh/client"), None).unwrap();
    session
}

fn finish(channel: &mut ssh2::Channel) -> String {
    let mut output = String::new();
    channel.read_to_string(&mut output).unwrap();
    channel.wait_close().unwrap();
    output
}

#[test]
fn a_process_killed_by_a_signal_says_so() {
    let machine = Machine::boot();
    let session = connect(&machine);
    for (name, expected) in [("KILL", "KILL"), ("TERM", "TERM"), ("USR1", "USR1"), ("BUS", "SIG@openssh.com")] {
        let mut channel = session.channel_session().unwrap();
        channel.exec(&format!("kill -{name} $$")).unwrap();
        finish(&mut channel);
        assert_eq!(channel.exit_signal().unwrap().exit_signal.as_deref(), Some(expected));
    }
}

#[test]
fn a_terminal_has_the_size_and_modes_that_were_asked_for() {
    let machine = Machine::boot();
    let session = connect(&machine);
    let mut channel = session.channel_session().unwrap();
    let mut modes = PtyModes::new();
    modes.set_boolean(PtyModeOpcode::ECHO, false);
    modes.set_character(PtyModeOpcode::VINTR, Some('\x07'));
    channel.request_pty("vt220", Some(modes), Some((123, 45, 0, 0))).unwrap();
    channel.exec("stty size; stty -a; echo $TERM; tty; echo $SSH_TTY; read x; stty size; echo to-stderr >&2").unwrap();
    let mut output = String::new();
    let mut buffer = [0; 4096];
    while output.matches("/dev/pts/").count() < 2 {
        let length = channel.read(&mut buffer).unwrap();
        assert!(length > 0, "{output}");
        output.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
    }
    channel.request_pty_size(80, 24, None, None).unwrap();
    channel.write_all(b"\n").unwrap();
    output.push_str(&finish(&mut channel));
    assert!(output.starts_with("45 123\r\n"), "{output}");
    assert!(output.contains(" -echo ") && output.contains("intr = ^G;"), "{output}");
    assert!(output.contains("\nvt220\r\n"), "{output}");
    assert!(output.ends_with("24 80\r\nto-stderr\r\n"), "{output}");
    assert_eq!(channel.exit_status().unwrap(), 0);
}

#[test]
fn ten_sessions_share_a_connection_and_an_eleventh_is_refused() {
    let machine = Machine::boot();
    let session = connect(&machine);
    let mut channels: Vec<_> = (0..10)
        .map(|n| {
            let mut channel = session.channel_session().unwrap();
            channel.exec(&format!("head -c 300000 /dev/zero; read line; echo $line {n}")).unwrap();
            channel
        })
        .collect();
    assert!(session.channel_session().is_err());
    for (n, channel) in channels.iter_mut().enumerate().rev() {
        let mut zeros = vec![0; 300_000];
        channel.read_exact(&mut zeros).unwrap();
        channel.write_all(b"line\n").unwrap();
        assert_eq!(finish(channel), format!("line {n}\n"));
    }
    drop(channels);
    let mut channel = session.channel_session().unwrap();
    channel.exec("echo free again").unwrap();
    assert_eq!(finish(&mut channel), "free again\n");
    assert_eq!(machine.counts()["execs"], 11);
    assert_eq!(machine.counts()["connections"], 1);
}

#[test]
fn a_stalled_channel_stalls_no_other() {
    let machine = Machine::boot();
    let session = connect(&machine);
    // One that is sent more than it reads, and one that sends more than is read.
    let mut deaf = session.channel_session().unwrap();
    deaf.exec("echo $$; exec sleep 1000").unwrap();
    let mut process = String::new();
    BufReader::new(&mut deaf).read_line(&mut process).unwrap();
    let mut loud = session.channel_session().unwrap();
    loud.exec("cat /dev/zero").unwrap();
    deaf.write_all(&vec![0; 5_000_000]).unwrap();
    let mut other = session.channel_session().unwrap();
    other.exec("echo heard").unwrap();
    assert_eq!(finish(&mut other), "heard\n");
    // Anyone who has no terminal isn't told that nobody listens any more.
    let mut end = session.channel_session().unwrap();
    end.exec(&format!("kill {}", process.trim_end())).unwrap();
    finish(&mut end);
    deaf.close().unwrap();
    loud.close().unwrap();
}

#[test]
fn sftp_has_what_the_protocol_has() {
    let machine = Machine::boot();
    let home = machine.path(format!("home/{USER}"));
    let sftp = connect(&machine).sftp().unwrap();
    assert_eq!(sftp.realpath(Path::new(".")).unwrap(), home);
    assert_eq!(sftp.realpath(Path::new("d/../new")).unwrap_err().code(), ssh2::ErrorCode::SFTP(2));
    assert_eq!(sftp.realpath(Path::new("new")).unwrap(), home.join("new"));
    let flags = OpenFlags::CREATE | OpenFlags::WRITE | OpenFlags::EXCLUSIVE;
    let mut file = sftp.open_mode(Path::new("a"), flags, 0o640, OpenType::File).unwrap();
    file.write_all(b"content").unwrap();
    file.fsync().unwrap();
    let stat = ssh2::FileStat { size: Some(4), uid: None, gid: None, perm: None, atime: Some(1000), mtime: Some(2000) };
    drop(file);
    assert!(sftp.open_mode(Path::new("a"), flags, 0o640, OpenType::File).is_err());
    sftp.setstat(Path::new("a"), stat).unwrap();
    let stat = sftp.stat(Path::new("a")).unwrap();
    assert_eq!((stat.size, stat.perm.map(|mode| mode & 0o7777)), (Some(4), Some(0o640)));
    assert_eq!((stat.atime, stat.mtime), (Some(1000), Some(2000)));
    assert_eq!(fs::read(home.join("a")).unwrap(), b"cont");
    let mut appended = sftp.open_mode(Path::new("a"), OpenFlags::WRITE | OpenFlags::APPEND, 0, OpenType::File).unwrap();
    appended.write_all(b"+").unwrap();
    drop(appended);
    assert_eq!(fs::read(home.join("a")).unwrap(), b"cont+");
    sftp.create(Path::new("b")).unwrap();
    assert!(sftp.rename(Path::new("a"), Path::new("b"), Some(RenameFlags::empty())).is_err(), "b is there");
    sftp.rename(Path::new("a"), Path::new("c"), None).unwrap();
    sftp.symlink(Path::new("c"), Path::new("link")).unwrap();
    assert_eq!(sftp.readlink(Path::new("link")).unwrap(), Path::new("c"));
    assert!(sftp.lstat(Path::new("link")).unwrap().file_type().is_symlink());
    assert!(sftp.stat(Path::new("link")).unwrap().is_file());
    sftp.mkdir(Path::new("d"), 0o750).unwrap();
    assert_eq!(home.join("d").metadata().unwrap().permissions().mode() & 0o7777, 0o750);
    for n in 0..250 {
        fs::write(home.join(format!("d/{n}")), "").unwrap();
    }
    assert_eq!(sftp.readdir(Path::new("d")).unwrap().len(), 250);
    assert!(sftp.rmdir(Path::new("d")).is_err(), "it is not empty");
    sftp.unlink(Path::new("link")).unwrap();
    assert_eq!(sftp.stat(Path::new("link")).unwrap_err().code(), ssh2::ErrorCode::SFTP(2));
}

#[test]
fn a_client_may_be_listened_for_at_a_hundred_ports() {
    let machine = Machine::boot();
    let session = connect(&machine);
    let mut listeners: Vec<_> = (0..100).map(|_| session.channel_forward_listen(0, None, None).unwrap().0).collect();
    assert!(session.channel_forward_listen(0, None, None).is_err());
    // One that is given up makes room.
    drop(listeners.pop());
    session.channel_forward_listen(0, None, None).unwrap();
}
