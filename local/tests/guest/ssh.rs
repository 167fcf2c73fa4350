//! The SSH server, by OpenSSH's client.

use crate::fixture::{Machine, USER, has_others, reading};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
};

#[test]
fn a_command_runs_as_the_login_user() {
    let machine = Machine::boot();
    assert_eq!(
        machine.stdout("echo $USER $LOGNAME $SHELL; pwd; umask; ulimit -Sn; echo $0"),
        format!("{USER} {USER} /bin/bash\n{}\n0022\n1024\nbash\n", machine.path(format!("home/{USER}")).display())
    );
    if has_others() {
        assert_eq!(machine.stdout("id -u; id -g; id -G"), "1000\n1000\n1000 4 27\n");
    }
    let connection = machine.stdout("echo $SSH_CONNECTION");
    let connection: Vec<_> = connection.split_whitespace().collect();
    assert_eq!((connection[0], connection[2]), ("127.0.0.1", "127.0.0.1"));
    assert_eq!(connection[3], machine.address.port().to_string());
    assert!(machine.stdout("echo $PATH").contains("/usr/sbin"));
}

#[test]
fn a_process_has_a_session_of_its_own_and_inherits_nothing() {
    let machine = Machine::boot();
    let fields = machine.stdout("exec cut -d' ' -f1,5,6,7 /proc/self/stat");
    let fields: Vec<_> = fields.split_whitespace().collect();
    assert_eq!((fields[0], fields[0], "0"), (fields[1], fields[2], fields[3]), "pid, group, session; no terminal");
    assert_eq!(machine.stdout("exec ls /proc/self/fd | wc -l"), "4\n", "three streams, and the directory");
    let signals = machine.stdout("grep -E '^Sig(Blk|Ign)' /proc/self/status");
    assert!(signals.lines().all(|line| line.ends_with("\t0000000000000000")), "{signals}");
}

#[test]
fn exit_codes_arrive() {
    let machine = Machine::boot();
    for code in [0, 1, 2, 42, 126, 127, 128, 200, 254, 255] {
        assert_eq!(machine.exec(&format!("exit {code}")).status.code(), Some(code));
    }
    assert_eq!(machine.exec("no-such-command").status.code(), Some(127));
    assert_eq!(machine.exec("").status.code(), Some(0), "no command and no input: the login shell ends at once");
}

#[test]
fn streams_are_apart_and_binary() {
    let machine = Machine::boot();
    let output = machine.exec("printf 'a\\0\\377\\r\\n'; printf 'b\\0\\376' >&2");
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"a\0\xff\r\n"[..], &b"b\0\xfe"[..]));
}

#[test]
fn large_output_on_both_streams_at_once() {
    let machine = Machine::boot();
    let output =
        machine.exec("head -c 9000000 /dev/zero | tr '\\0' a & head -c 9000000 /dev/zero | tr '\\0' b >&2; wait");
    assert!(output.status.success());
    assert!(output.stdout.len() == 9_000_000 && output.stdout.iter().all(|&byte| byte == b'a'));
    assert!(output.stderr.len() == 9_000_000 && output.stderr.iter().all(|&byte| byte == b'b'));
}

#[test]
fn input_arrives_whole_and_its_end_too() {
    let machine = Machine::boot();
    let input: Vec<u8> = (0..6_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    assert!(with_input(&machine, "cat", &input) == input);
    // A process that reads only after it has written more than any window holds.
    let counted = with_input(&machine, "head -c 9000000 /dev/zero; wc -c", &input);
    assert_eq!(String::from_utf8_lossy(&counted[9_000_000..]), "6000000\n");
    // One that never reads doesn't keep anybody waiting.
    assert_eq!(with_input(&machine, "echo done", &input), b"done\n");
}

fn with_input(machine: &Machine, line: &str, input: &[u8]) -> Vec<u8> {
    let mut client = machine.ssh(&[]).arg(line).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let output = reading(client.stdout.take().unwrap());
    // The client may end before it has read all.
    let _ = client.stdin.take().unwrap().write_all(input);
    assert!(client.wait().unwrap().success());
    output.join().unwrap()
}

#[test]
fn keys_are_exchanged_anew_amid_the_data() {
    let machine = Machine::boot();
    let input = vec![b'x'; 5_000_000];
    let mut client = machine
        .ssh(&["-o", "RekeyLimit=500K"])
        .arg("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = reading(client.stdout.take().unwrap());
    client.stdin.take().unwrap().write_all(&input).unwrap();
    assert!(client.wait().unwrap().success());
    assert!(output.join().unwrap() == input);
}

#[test]
fn the_environment_is_the_clients_and_the_machines() {
    let machine = Machine::boot();
    fs::write(machine.path("etc/environment"), "FROM_FILE=\"a b\"\n").unwrap();
    let output = machine
        .ssh(&["-o", "SetEnv=ANY_NAME=c=d LANG=C.UTF-8"])
        .arg("echo $FROM_FILE $ANY_NAME $LANG; echo ${SSH_TTY-none}")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "a b c=d C.UTF-8\nnone\n");
}

#[test]
fn a_forced_command_is_not_the_clients_to_change() {
    let machine = Machine::boot();
    let keys = machine.path(format!("home/{USER}/.ssh/authorized_keys"));
    let listed = fs::read_to_string(&keys).unwrap();
    let line = r#"environment="OWN=key",command="echo $LANG $LC_X $NO_COLOR $OWN; echo $SSH_ORIGINAL_COMMAND; id -u""#;
    fs::write(&keys, format!("{line} {listed}")).unwrap();
    let planted = machine.path("planted");
    fs::write(&planted, "echo planted; exit\n").unwrap();
    let set = format!(
        "SetEnv=LANG=C LC_X=1 NO_COLOR=2 OWN=client SSH_ORIGINAL_COMMAND=lie BASH_ENV={0} ENV={0} LD_PRELOAD={0} PATH=/none",
        planted.display()
    );
    let output = machine.ssh(&["-o", &set]).arg("the truth").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.starts_with("C 1 2 key\nthe truth\n"), "{output:?}");
}

#[test]
fn a_shell_is_a_login_shell() {
    let machine = Machine::boot();
    fs::write(machine.path(format!("home/{USER}/.bash_profile")), "echo profile\n").unwrap();
    assert_eq!(with_input(&machine, "", b"echo $0; exit 3 | exit 0\n"), b"profile\n-bash\n");
}

#[test]
fn a_terminal_hangs_up_when_the_connection_is_gone() {
    let machine = Machine::boot();
    let note = machine.path(format!("home/{USER}/note"));
    let line = "trap 'echo hup > note; exit' HUP; tty; while :; do sleep 0.05; done";
    let mut client = machine.ssh(&["-tt"]).arg(line).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut tty = String::new();
    BufReader::new(client.stdout.take().unwrap()).read_line(&mut tty).unwrap();
    assert!(tty.starts_with("/dev/pts/"), "{tty}");
    client.kill().unwrap();
    client.wait().unwrap();
    machine.wait_for("note of the hangup", |_| fs::read_to_string(&note).is_ok_and(|text| text == "hup\n"));
}

#[test]
fn without_a_terminal_a_lost_connection_closes_the_streams() {
    let machine = Machine::boot();
    let note = machine.path(format!("home/{USER}/note"));
    let line = "echo ready; cat; echo over > note";
    let mut client = machine.ssh(&[]).arg(line).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(client.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    client.kill().unwrap();
    client.wait().unwrap();
    machine.wait_for("note of the end", |_| fs::read_to_string(&note).is_ok_and(|text| text == "over\n"));
}

#[test]
fn only_listed_keys_log_in() {
    let machine = Machine::boot();
    let other = machine.path("etc/ssh/other");
    assert!(
        Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&other)
            .status()
            .unwrap()
            .success()
    );
    let identity = format!("IdentityFile={}", other.display());
    let mut command = Command::new("ssh");
    command.args(["-F", "none", "-o", &identity, "-o", &format!("Port={}", machine.address.port())]);
    command.args(["-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]);
    command.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", &format!("{USER}@127.0.0.1"), "true"]);
    let output = command.env_remove("SSH_AUTH_SOCK").output().unwrap();
    assert_eq!(output.status.code(), Some(255));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        format!("{USER}@127.0.0.1: Permission denied (publickey).\r\n")
    );
    // A listed one doesn't either if others could have listed it.
    let home = machine.path(format!("home/{USER}"));
    fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    assert_eq!(machine.exec("true").status.code(), Some(255));
}

#[test]
fn a_list_of_keys_that_never_ends_is_in_nobodys_way() {
    let machine = Machine::boot();
    let keys = machine.path(format!("home/{USER}/.ssh/authorized_keys"));
    let aside = keys.with_extension("aside");
    fs::rename(&keys, &aside).unwrap();
    let is_refused = || !machine.exec("true").status.success();
    let fifo = Command::new("mkfifo").args(["-m", "600"]).arg(&keys).status().unwrap();
    assert!(fifo.success() && is_refused());
    fs::remove_file(&keys).unwrap();
    // Nothing but holes, and then some.
    fs::copy(&aside, &keys).unwrap();
    fs::OpenOptions::new().write(true).open(&keys).unwrap().set_len(2 << 20).unwrap();
    assert!(is_refused());
    fs::rename(&aside, &keys).unwrap();
    assert_eq!(machine.stdout("echo in"), "in\n");
}

#[test]
fn every_kind_of_key_logs_in() {
    let machine = Machine::boot();
    let file = machine.path(format!("home/{USER}/.ssh/authorized_keys"));
    for kind in ["rsa", "ecdsa"] {
        let key = machine.path(format!("etc/ssh/{kind}"));
        let made = Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", "", "-f"]).arg(&key).status().unwrap();
        assert!(made.success());
        fs::write(&file, machine.read(format!("etc/ssh/{kind}.pub"))).unwrap();
        let identity = format!("IdentityFile={}", key.display());
        // The first value of an option counts, but every identity is tried.
        let output = machine.ssh(&["-o", &identity]).arg("echo in").output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "in\n", "{kind}: {output:?}");
    }
}

#[test]
fn the_largest_key_of_rsa_logs_in() {
    // One of 8,192 bits takes half a minute to make.
    const KEY: &str = include_str!("rsa8192");
    let machine = Machine::boot();
    let key = machine.path("etc/ssh/rsa8192");
    fs::write(&key, KEY).unwrap();
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let public = Command::new("ssh-keygen").arg("-y").arg("-f").arg(&key).output().unwrap();
    fs::write(machine.path(format!("home/{USER}/.ssh/authorized_keys")), public.stdout).unwrap();
    for signature in ["rsa-sha2-256", "rsa-sha2-512"] {
        let options = [format!("IdentityFile={}", key.display()), format!("PubkeyAcceptedAlgorithms={signature}")];
        let output = machine.ssh(&["-o", &options[0], "-o", &options[1]]).arg("echo in").output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "in\n", "{signature}: {output:?}");
    }
    let options = [format!("IdentityFile={}", key.display()), "PubkeyAcceptedAlgorithms=ssh-rsa".to_owned()];
    assert!(!machine.ssh(&["-o", &options[0], "-o", &options[1]]).arg("true").output().unwrap().status.success());
}

#[test]
fn root_is_told_whom_to_log_in_as() {
    if !has_others() {
        eprintln!("nobody but root can log in root: that the line is written is checked below");
    }
    let machine = Machine::boot();
    let line = machine.read("root/.ssh/authorized_keys");
    assert!(
        line.starts_with("no-port-forwarding,no-agent-forwarding,no-X11-forwarding,command=\"echo 'Please"),
        "{line}"
    );
    assert!(line.contains("ssh-ed25519 "), "{line}");
    if has_others() {
        let mut command = Command::new("ssh");
        command.args(machine.options()).args(["root@127.0.0.1", "id"]).stdout(Stdio::piped());
        let mut client = command.env_remove("SSH_AUTH_SOCK").spawn().unwrap();
        let mut told = String::new();
        BufReader::new(client.stdout.take().unwrap()).read_line(&mut told).unwrap();
        client.kill().unwrap();
        client.wait().unwrap();
        assert_eq!(told, "Please login as the user \"admin\" rather than the user \"root\".\n");
    }
}

#[test]
fn many_clients_at_once_and_each_is_counted() {
    let machine = Machine::boot();
    let clients: Vec<_> = (0..20)
        .map(|n| machine.ssh(&[]).arg(format!("echo {n}; sleep 0.1")).stdout(Stdio::piped()).spawn().unwrap())
        .collect();
    for (n, client) in clients.into_iter().enumerate() {
        let output = client.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{n}\n"));
    }
    let counts = machine.counts();
    for name in ["connections", "logins", "channels", "execs"] {
        assert_eq!(counts[name], 20, "{name}: {counts}");
    }
    assert_eq!(counts["shells"], 0);
}

#[test]
fn silent_clients_are_in_nobodys_way() {
    let machine = Machine::boot();
    let silent: Vec<_> = (0..50).map(|_| TcpStream::connect(machine.address).unwrap()).collect();
    let mut rude = TcpStream::connect(machine.address).unwrap();
    rude.write_all(b"SSH-2.0-rude\r\n\0\0\0\x0c nonsense that is no packet").unwrap();
    drop(rude);
    assert_eq!(machine.stdout("echo served"), "served\n");
    drop(silent);
}

#[test]
fn connections_are_forwarded() {
    let machine = Machine::boot();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all.reverse();
        stream.write_all(&all).unwrap();
    });
    let mut client = machine.ssh(&["-W", &target]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    client.stdin.take().unwrap().write_all(b"abc").unwrap();
    let output = client.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"cba");
    served.join().unwrap();
    // Nobody listens there any more.
    let refused = machine.ssh(&["-W", &target]).stdin(Stdio::null()).output().unwrap();
    assert!(!refused.status.success());
    assert_eq!(machine.counts()["execs"], 0);
}
