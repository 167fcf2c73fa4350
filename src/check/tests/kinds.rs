//! Each kind: what passes, what fails, what can't be answered.

use super::*;
use std::{
    net::{TcpListener, UdpSocket},
    os::unix::fs::{PermissionsExt, symlink},
    process::Child,
    time::{Duration, Instant},
};

#[test]
fn files() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("config"), "Port 22\nUsePAM yes\n").unwrap();
    std::fs::set_permissions(at("config"), PermissionsExt::from_mode(0o640)).unwrap();
    std::fs::write(at("empty"), "").unwrap();
    symlink("config", at("link")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    symlink("loop", at("loop")).unwrap();
    std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let me = own_name();
    passes((
        file(at("config")).exists().is_file().mode(0o640).owner(me.as_str()).size(19),
        file(at("config")).contains("UsePAM yes").contains("Port").does_not_contain("PermitRoot"),
        file(at("config")).content("Port 22\nUsePAM yes").content(matches("^UsePAM (yes|no)$")),
        file(at("link")).is_symlink().links_to("config").is_file().mode(0o640),
        file(at("empty")).sha256(digest.to_uppercase()).content("").size(..kib(1)),
        file(at("")).is_directory(),
        file(at("config/below")).is_missing(),
        (file(at("nope")).is_missing(), file(at("dangling")).is_symlink(), file(at("socket")).kind(FileKind::Socket)),
        file("/dev/null").kind(FileKind::CharacterDevice),
        file("/proc/self/status").contains("Name:"),
    ));
    fails([
        (file(at("config")).is_missing().into(), "found     a regular file, 0640"),
        (file(at("config")).mode(0o600).into(), "expected  mode 0600\nfound     mode 0640"),
        (file(at("config")).owner("nosuch").into(), "expected  owner is \"nosuch\""),
        (file(at("config")).size(20..).into(), "expected  size at least 20 bytes\nfound     19 bytes"),
        (file(at("config")).contains("UsePAM no").into(), "nearest is line 2:\n          UsePAM yes"),
        (file(at("config")).does_not_contain("Port").into(), "found     it in line 1:\n          Port 22"),
        (file(at("config")).content("Port 22\nUsePAM no\n").into(), "          -UsePAM no\n          +UsePAM yes"),
        (file(at("config")).sha256(digest).into(), "found     sha256 "),
        (file(at("config")).is_symlink().links_to("x").into(), "found     a regular file"),
        (file(at("")).contains("x").into(), "found     it is not a regular file"),
        (file(at("dangling")).exists().into(), "found     a symbolic link to nowhere, which leads nowhere"),
        (file(at("dangling")).is_missing().into(), "found     a symbolic link to nowhere, which leads nowhere"),
        (file(at("loop")).into(), "found     a symbolic link to loop, which leads nowhere"),
        (file(at("nope")).into(), "expected  exists\nfound     nothing is there"),
        (file(at("nope")).mode(0o644).contains("x").into(), "expected  mode 0644\nexpected  content contains"),
        (file(at("nope")).does_not_contain("x").into(), "found     nothing is there"),
        (file("").into(), "found     nothing is there"),
    ]);
    unanswerable([
        (file("/a\0b").into(), "a name with a NUL character can't be asked for"),
        (file(at("config")).content(matches("(")).into(), "`(` is not a regular expression"),
    ]);
}

fn own_name() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn files_that_are_too_long_are_not_judged_by_half() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("long").to_str().unwrap().to_owned();
    let limit = 4 << 20;
    std::fs::write(&path, "x".repeat(limit)).unwrap();
    passes(file(&path).contains("xx").does_not_contain("y"));
    std::fs::write(&path, "x".repeat(limit + 1)).unwrap();
    unanswerable([(file(&path).contains("x").into(), "longer than the 4 MiB")]);
    passes(file(&path).size(limit as u64 + 1));
}

#[test]
fn ports() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().port();
    let six = TcpListener::bind("[::1]:0");
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let bound = datagrams.local_addr().unwrap().port();
    // A port that is bound without listening is free in the eyes of the check, and taken in those of everybody else.
    let free = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
    rustix::net::bind(&free, &"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap()).unwrap();
    let free = {
        let name: std::net::SocketAddr = rustix::net::getsockname(&free).unwrap().try_into().unwrap();
        (name.port(), free).0
    };
    passes((
        port(taken).is_listening().on("127.0.0.1"),
        port(udp(bound)).is_listening().on("127.0.0.1"),
        (port(bound).udp(), udp(bound).is_listening(), tcp(taken).is_listening()),
        port(free).is_free(),
    ));
    if let Ok(six) = six {
        passes(port(six.local_addr().unwrap().port()).on("::1"));
    }
    let me = std::fs::read_to_string("/proc/self/comm").unwrap();
    fails([
        (port(taken).is_free().into(), &format!("found     127.0.0.1:{taken} by {} (process", me.trim())),
        (port(taken).on("0.0.0.0").into(), &format!("expected  listens on 0.0.0.0\nfound     127.0.0.1:{taken} by")),
        // Which these are is told on a host where a few do.
        (port(free).is_listening().into(), "found     nothing listens there\nlistening "),
        (port(udp(bound)).is_free().into(), &format!("expected  nothing listens\nfound     127.0.0.1:{bound} by")),
    ]);
    unanswerable([(port(taken).on("localhost").into(), "`localhost` is not an IP address")]);
}

#[test]
fn users_and_groups() {
    passes((
        user("root").exists().uid(0).gid(0).home("/root").shell(starts_with("/")).in_group("root"),
        user("root").not_in_group("nosuch").uid(..),
        user("nosuch").is_missing(),
        (group("root").gid(0), group("nosuch").is_missing()),
        // Not the user whose number is 0.
        (user("0").is_missing(), group("0").is_missing()),
    ));
    fails([
        (user("root").is_missing().into(), "found     root:x:0:0:"),
        (user("root").uid(1).shell("/x").into(), "expected  uid 1\nfound     uid 0\nexpected  shell is \"/x\""),
        (user("root").in_group("nosuch").into(), "expected  in group nosuch\nfound     in groups root"),
        (user("nosuch").uid(1).into(), "found     no such user"),
        (user("-h").into(), "found     no such user"),
        (user("").into(), "found     no such user"),
        (group("nosuch").gid(1).into(), "found     no such group"),
        (group("root").gid(1..).into(), "expected  gid at least 1\nfound     gid 0"),
    ]);
}

#[test]
fn mounts() {
    passes((
        mount("/proc").exists().fs_type("proc").source("proc").option("rw").without_option("loud"),
        mount("/proc/").exists(),
        mount("/nosuch").is_missing(),
    ));
    fails([
        (mount("/proc").is_missing().into(), "of type proc ("),
        (mount("/proc").fs_type("ext4").option("loud").into(), "found     \"proc\"\nexpected  with option loud"),
        (mount("/nosuch").fs_type("ext4").into(), "found     nothing is mounted there"),
    ]);
    let spaced = "tmpfs /a\\040b\\134c tmpfs rw 0 0\ntmpfs /a\\040b\\134c ext4 ro 0 0\n";
    given(&[("mounts", spaced)], mount("/a b\\c").fs_type("ext4").option("ro")).unwrap();
}

/// A process of this test, with a name of its own.
struct Sleeper(Child);

impl Sleeper {
    fn start(directory: &std::path::Path, name: &str) -> Self {
        let program = directory.join(name);
        if !program.exists() {
            // A link: not every kernel lets us execute what is still written to.
            symlink("/bin/sleep", &program).unwrap();
        }
        Self(Command::new(program).arg("600").spawn().unwrap())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn processes() {
    let directory = tempfile::tempdir().unwrap();
    let name = format!("ec2h-{}-of-a-long-name", std::process::id());
    let one = Sleeper::start(directory.path(), &name);
    let two = Sleeper::start(directory.path(), &name);
    passes((process(&*name).is_running().count(2), process("nosuch").is_not_running().count(0)));
    fails([
        (process(&*name).is_not_running().into(), &format!("found     process {}: ", one.0.id())),
        (process(&*name).count(..=1).into(), "expected  count at most 1\nfound     count 2:"),
        (process("nosuch").into(), "found     no such process"),
        // The probe itself is not what was asked for, nor is what only mentions the name.
        (process(&name[..9]).into(), "found     no such process"),
    ]);
    unanswerable([(process("").into(), "a process has a name")]);
    drop(two);
    passes(process(&*name).count(1));
}

#[test]
fn packages() {
    if std::path::Path::new("/var/lib/dpkg/status").exists() {
        let version = Command::new("dpkg-query").args(["-W", "-f=${Version}", "dpkg"]).output().unwrap().stdout;
        let version = String::from_utf8(version).unwrap();
        passes((package("dpkg").is_installed().version(version), package("nosuch").is_missing()));
        fails([
            (package("dpkg").version("0").into(), "expected  version is \"0\""),
            (package("dpkg").is_missing().into(), "found     installed, version "),
            (package("nosuch").version("1").into(), "found     not installed"),
        ]);
    }
    unanswerable([(package("d*").into(), "can't be the name of a package"), (package("-W").into(), "can't be")]);
}

#[test]
fn commands() {
    passes((
        command("uname -s").succeeds().stdout("Linux").stderr(""),
        command("echo oops >&2; exit 3").exits(3).stdout("").stderr(contains("oops")),
        (command("false").fails(), command("exit 7").exits(1..=7), command("kill -9 $$").exits(137)),
        command("printf 'a\\0b'").stdout("a\0b"),
        // It finds nothing on stdin, least of all the rest of the script.
        command("cat").stdout(""),
        command("cat <&0; read -r line").fails(),
        command("exec 0<&-; echo $((6 * 7))").stdout("42"),
    ));
    fails([
        (command("false").into(), "expected  exit status 0\nfound     exit status 1\nstdout    (empty)"),
        (command("true").fails().into(), "expected  exit status at least 1\nfound     exit status 0"),
        (command("nosuch-tool").into(), "found     exit status 127 (no such command)"),
        (command("kill -9 $$").into(), "found     exit status 137 (ended by signal 9)"),
        (command("echo a; echo b").stdout("c").into(), "stdout    a\n          b"),
    ]);
    // What the probe changes for itself, commands don't see.
    let mut shell = Command::new("sh");
    shell.arg("-s").env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8");
    check_in(&mut shell, command("echo $PATH $LC_ALL").stdout("/usr/bin:/bin C.UTF-8")).unwrap();
    shell.env_remove("LC_ALL");
    check_in(&mut shell, command("echo ${LC_ALL-unset}").stdout("unset")).unwrap();
}

#[test]
fn a_command_that_hangs_costs_no_other_verdict() {
    let mark = format!("6{}", std::process::id());
    let line = format!("trap '' TERM; echo begun; sleep {mark} & sleep {mark}");
    let started = Instant::now();
    fails([
        (
            command(line).timeout(Duration::from_millis(900)).into(),
            "found     it was still running after 1s, and was ended",
        ),
        (command("exit 1").into(), "found     exit status 1"),
    ]);
    assert!(started.elapsed() < Duration::from_secs(500));
    // All that it started is gone.
    let left = std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == format!("sleep\0{mark}\0").as_bytes())
    });
    assert!(!left);
}

#[test]
fn a_daemon_that_keeps_its_streams_does_not_hold_up_the_probe() {
    let started = Instant::now();
    // Longer than the assertion below allows; the digits are this process's own mark.
    let seconds = format!("3600.{}", std::process::id());
    let daemon = format!("sleep\0{seconds}\0");
    passes(
        command(format!("sleep {seconds} & echo $! started"))
            .timeout(Duration::from_secs(200))
            .stdout(ends_with("started")),
    );
    let took = started.elapsed();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        if std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == daemon.as_bytes()) {
            let number: i32 = entry.file_name().to_str().unwrap().parse().unwrap();
            rustix::process::kill_process(
                rustix::process::Pid::from_raw(number).unwrap(),
                rustix::process::Signal::KILL,
            )
            .unwrap();
        }
    }
    assert!(took < Duration::from_secs(150), "{took:?}");
}

#[test]
fn endless_output_is_bounded_and_does_not_stop_its_writer() {
    passes(command("head -c 1048576 /dev/zero").stdout(not(contains("x"))));
    unanswerable([(
        command("head -c 3000000 /dev/zero; exit 0").stdout(contains("x")).into(),
        "longer than the 1 MiB",
    )]);
    passes(command("head -c 9000000 /dev/zero && head -c 9000000 /dev/zero >&2").succeeds());
    fails([(command("yes").timeout(Duration::from_secs(1)).into(), "still running after 1s")]);
}

#[test]
fn reaching() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let open = listener.local_addr().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    passes((reach(open.ip(), tcp(open.port())).is_open(), reach("127.0.0.1", closed.port()).is_unreachable()));
    fails([
        (reach(closed.ip(), closed.port()).into(), "expected  takes a connection\nfound     "),
        (reach("127.0.0.1", open.port()).is_unreachable().into(), "found     it takes a connection"),
    ]);
    unanswerable([
        (reach("127.0.0.1", udp(53)).into(), "UDP has no connections"),
        (reach("$(reboot)", tcp(1)).into(), "neither an address nor the name of a host"),
        (reach("-oProxy", tcp(1)).into(), "neither an address nor the name of a host"),
    ]);
}
