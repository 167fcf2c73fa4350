//! Running commands.

use super::sshd::{Sshd, count_processes, until};
use crate::{
    ErrorKind,
    ssh::{Command, ExitStatus, Pty, Transfer},
};
use futures_util::future::join_all;
use std::time::Duration;

#[tokio::test]
async fn a_command_tells_its_streams_and_status() {
    let Some(sshd) = Sshd::start() else { return };
    let session = sshd.session().await;
    let output = session.exec("echo out; echo err >&2; exit 3").await.unwrap();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
    assert_eq!(output.status, ExitStatus::Exited(3));
    assert!(!output.left_open);
    let output = session.exec("uname -s && cd / && pwd").await.unwrap();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("Linux\n/\n", ""));
    assert!(output.status.is_success());
}

/// As those of many users do.
#[tokio::test]
async fn start_files_that_print_are_no_part_of_the_output() {
    let Some(sshd) = Sshd::start() else { return };
    let (keys, here, there) = ("authorized_keys", "here", "there");
    let path = |name: &str| sshd.directory.path().join(name);
    let key = std::fs::read_to_string(path(keys)).unwrap();
    let noisy = r#"command="printf 'welcome\n\nno end of line'; exec sh -c \"$SSH_ORIGINAL_COMMAND\"" "#;
    std::fs::write(path(keys), format!("{noisy}{key}")).unwrap();
    let session = sshd.session().await;
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let output = session.exec(Command::new("cat").stdin(bytes.clone())).await.unwrap();
    assert!(output.stdout_bytes() == bytes && output.stderr.is_empty());
    std::fs::write(path(here), &bytes).unwrap();
    session.push(path(here), path(there).to_str().unwrap(), Transfer::new()).await.unwrap();
    session.pull(path(there).to_str().unwrap(), path("back"), Transfer::new()).await.unwrap();
    assert!(std::fs::read(path("back")).unwrap() == bytes);
    // One that never comes to the command has said why.
    std::fs::write(path(keys), format!("command=\"echo no shell for you; exit 1\" {key}")).unwrap();
    let output = sshd.session().await.exec("true").await.unwrap();
    assert_eq!((output.stdout.as_str(), output.status), ("no shell for you\n", ExitStatus::Exited(1)));
}

/// They get nothing of what is the command's, whether they look for a line, or for what is there.
#[tokio::test]
async fn start_files_that_read_get_nothing_of_the_input() {
    let Some(sshd) = Sshd::start() else { return };
    let path = |name: &str| sshd.directory.path().join(name);
    let key = std::fs::read_to_string(path("authorized_keys")).unwrap();
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    std::fs::write(path("here"), &bytes).unwrap();
    for (shell, start) in [
        ("sh", "read -r answer; echo $answer"),
        ("sh", "head -c 1"),
        ("sh", "timeout 0.2 cat"),
        ("sh", "sleep 1.5"),
        ("bash", "read -r -p continue? -n 1 answer"),
        ("busybox sh", "read -r answer"),
        ("fish", "read -r answer"),
        ("tcsh", "read -r answer"),
        ("zsh", "read -r answer"),
    ] {
        let program = shell.split(' ').next().unwrap_or(shell);
        if !std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|path| path.join(program).exists()) {
            assert!(std::env::var_os("EC2_HARNESS_NO_SKIP").is_none(), "{program} is not installed");
            eprintln!("skipped: {program} is not installed");
            continue;
        }
        let start =
            format!("command=\"export SHELL=/bin/{program}; {start}; exec {shell} -c \\\"$SSH_ORIGINAL_COMMAND\\\"\" ");
        std::fs::write(path("authorized_keys"), format!("{start}{key}")).unwrap();
        let session = sshd.session().await;
        let output = session.exec(Command::new("cat; echo \"it's\" over >&2").stdin(bytes.clone())).await.unwrap();
        assert!(output.stdout_bytes() == bytes, "{start}: {} bytes", output.stdout.len());
        assert!(output.stderr.ends_with("it's over\n"), "{start}: {}", output.stderr);
        let output = session.exec("read -r line || echo nothing").await.unwrap();
        assert_eq!(output.stdout, "nothing\n", "{start}");
        session.push(path("here"), path("there").to_str().unwrap(), Transfer::new()).await.unwrap();
        assert!(std::fs::read(path("there")).unwrap() == bytes, "{start}");
    }
}

/// They leave the command nothing, which it must not take for its input.
#[tokio::test]
async fn start_files_that_read_all_are_named() {
    let Some(sshd) = Sshd::start() else { return };
    let keys = sshd.directory.path().join("authorized_keys");
    let key = std::fs::read_to_string(&keys).unwrap();
    let greedy = "command=\"cat; exec sh -c \\\"$SSH_ORIGINAL_COMMAND\\\"\" ";
    std::fs::write(&keys, format!("{greedy}{key}")).unwrap();
    let session = sshd.session().await;
    let (all, soon) = tokio::join!(
        session.exec(Command::new("cat").stdin("mine")),
        session.exec(Command::new("cat").stdin("mine").timeout(Duration::from_secs(2))),
    );
    let (all, soon) = (all.unwrap_err(), soon.unwrap_err());
    assert_eq!((all.kind(), soon.kind()), (ErrorKind::Command, ErrorKind::TimedOut));
    assert!(all.to_string().contains("the start files of its login shell took what it was to read"), "{all}");
    assert!(soon.to_string().contains("2s until its login shell's start files were through"), "{soon}");
    assert_eq!(session.exec("echo \"it's me\"").await.unwrap().stdout, "it's me\n");
}

#[tokio::test]
async fn a_signal_is_no_success() {
    let Some(sshd) = Sshd::start() else { return };
    let session = sshd.session().await;
    for name in ["KILL", "TERM", "SEGV", "HUP"] {
        let output = session.exec(format!("echo before; kill -{name} $$")).await.unwrap();
        assert_eq!(output.status, ExitStatus::Signaled(name.into()));
        assert_eq!(output.stdout, "before\n");
    }
    assert_eq!(session.exec("exit 137").await.unwrap().status, ExitStatus::Exited(137));
    assert_eq!(session.exec("exec true").await.unwrap().status, ExitStatus::Exited(0));
    assert_eq!(session.exec("if; then").await.unwrap().status, ExitStatus::Exited(2));
    assert_eq!(session.exec("no-such-program").await.unwrap().status, ExitStatus::Exited(127));
}

#[tokio::test]
async fn both_streams_are_large_at_once() {
    let Some(sshd) = Sshd::start() else { return };
    let session = sshd.session().await;
    let output = session.exec("head -c 8388608 /dev/zero & head -c 8388608 /dev/zero >&2 & wait").await.unwrap();
    assert_eq!((output.stdout.len(), output.stderr.len()), (8 << 20, 8 << 20));
    assert!(output.stderr.bytes().all(|byte| byte == 0));
    // One after the other: anyone who reads only the first waits forever.
    let output = session.exec("head -c 4194304 /dev/zero >&2; head -c 4194304 /dev/zero").await.unwrap();
    assert_eq!((output.stdout.len(), output.stderr.len()), (4 << 20, 4 << 20));
}

#[tokio::test]
async fn stdin_and_output_flow_at_once() {
    let Some(sshd) = Sshd::start() else { return };
    let session = sshd.session().await;
    let input: Vec<u8> = (0..5_u32 << 20).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let output = session.exec(Command::new("tee /dev/stderr").stdin(input.clone())).await.unwrap();
    assert!(output.stdout_bytes() == input && output.stderr_bytes() == input);
    let sum = session.exec(Command::new("sha256sum").stdin(input.clone())).await.unwrap();
    use ssh_key::sha2::Digest as _;
    let expected: String = ssh_key::sha2::Sha256::digest(&input).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(sum.stdout, format!("{expected}  -\n"));
    // Who doesn't read all of it is no failure.
    let output = session.exec(Command::new("head -c 3").stdin(b"abcdef".repeat(1 << 20))).await.unwrap();
    assert_eq!((output.stdout.as_str(), output.status), ("abc", ExitStatus::Exited(0)));
    // Nor is who reads on after it has closed its output.
    let output = session.exec(Command::new("exec >&- 2>&-; cat >/dev/null; exit 7").stdin(input)).await.unwrap();
    assert_eq!(output.status, ExitStatus::Exited(7));
    assert_eq!(session.exec("cat").await.unwrap().stdout, "");
}

#[tokio::test]
async fn input_that_is_slow_in_coming_arrives_once() {
    let Some(sshd) = Sshd::start() else { return };
    let session = sshd.session().await;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    // Noise makes the connection look at its streams while there is nothing to write.
    let noisy = Command::new("while sleep 0.01; do echo noise >&2; done & cat; kill $!").stdin_chunks(receiver);
    let (output, ()) = tokio::join!(session.exec(noisy), async {
        for word in ["one ", "two ", "three"] {
            tokio::time::sleep(Duration::from_millis(200)).await;
            sender.send(word.into()).await.unwrap();
        }
        drop(sender);
    });
    assert_eq!(output.unwrap().stdout, "one two three");
}

#[tokio::test]
async fn binary_output_is_kept() {
    let Some(sshd) = Sshd::start() else { return };
    let session = sshd.session().await;
    let output = session.exec(r"printf '\000\377\200a\r\n'").await.unwrap();
    assert_eq!(output.stdout_bytes(), b"\0\xff\x80a\r\n");
    assert!(output.stdout.contains('\u{fffd}'));
}

#[tokio::test]
async fn lines_of_any_shape_arrive() {
    let Some(sshd) = Sshd::start() else { return };
    let session = sshd.session().await;
    let output = session.exec("cat <<'END'\nit's $HOME \\ ! `x`\nEND\n# done").await.unwrap();
    assert_eq!(output.stdout, "it's $HOME \\ ! `x`\n");
    for length in [20_000, 200_000] {
        let long = "x".repeat(length);
        let command = Command::new(format!("printf %s '{long}'; cat")).stdin("rest").env("A", "1");
        assert!(session.exec(command).await.unwrap().stdout == long.clone() + "rest", "{length}");
        let command = Command::new(format!("printf %s '{long}'; cat")).stdin("rest").prefix(["env"]);
        assert!(session.exec(command).await.unwrap().stdout == long + "rest", "{length} behind a prefix");
    }
    let command = Command::new("echo \"$A|$B\" && id -u").env("A", "it's \\ ! \n x").env("B", "").prefix(["env", "-i"]);
    let output = session.exec(command).await.unwrap();
    assert!(output.stdout.starts_with("it's \\ ! \n x|\n"), "{output:?}");
    assert_eq!(session.exec("").await.unwrap().status, ExitStatus::Exited(0));
    assert_eq!(session.exec("a\0b").await.unwrap_err().kind(), ErrorKind::Configuration);
}

#[tokio::test]
async fn a_terminal_has_a_size() {
    let Some(sshd) = Sshd::start() else { return };
    let session = sshd.session().await;
    let command = Command::new("stty size; echo oops >&2; exit 5").pty(Pty { columns: 132, rows: 43 });
    let output = session.exec(command).await.unwrap();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("43 132\r\noops\r\n", ""));
    assert_eq!(output.status, ExitStatus::Exited(5));
    assert_ne!(session.exec("tty").await.unwrap().status, ExitStatus::Exited(0));
}

#[tokio::test]
async fn a_background_process_delays_nobody_and_lives_on() {
    let Some(sshd) = Sshd::start() else { return };
    let session = sshd.session().await;
    let mark = format!("3{}.25", sshd.port);
    let output = session
        .exec(format!(
            "(sleep 1; echo late; touch {0}/late; exec sleep {mark}) & echo now",
            sshd.directory.path().display()
        ))
        .await
        .unwrap();
    assert_eq!((output.stdout.as_str(), output.status), ("now\n", ExitStatus::Exited(0)));
    assert!(output.left_open);
    until("the background process goes on", || sshd.directory.path().join("late").exists()).await;
    until("it sleeps", || count_processes(&format!("sleep {mark}")) == 1).await;
    let output = session.exec(format!("sleep {mark} & exit 4")).await.unwrap();
    assert_eq!((output.status, output.left_open), (ExitStatus::Exited(4), true));
    session.exec(format!("kill $(pgrep -f 'sleep [{}]{}')", &mark[..1], &mark[1..])).await.unwrap();
}

#[tokio::test]
async fn many_commands_share_few_connections() {
    let Some(sshd) = Sshd::start() else { return };
    let session = sshd.session().await;
    let outputs = join_all((0..50).map(|number| session.exec(format!("sleep 0.3; echo {number}")))).await;
    for (number, output) in outputs.into_iter().enumerate() {
        assert_eq!(output.unwrap().stdout, format!("{number}\n"));
    }
    assert!(sshd.connections().len() <= 16, "{:?}", sshd.connections());
}

#[tokio::test]
async fn a_server_that_allows_two_sessions_is_enough() {
    let Some(sshd) = Sshd::with("MaxSessions 2") else { return };
    let session = sshd.session().await;
    let outputs = join_all((0..12).map(|number| session.exec(format!("sleep 0.2; echo {number}")))).await;
    for (number, output) in outputs.into_iter().enumerate() {
        assert_eq!(output.unwrap().stdout, format!("{number}\n"));
    }
}

#[tokio::test]
async fn a_server_without_sessions_is_said_so() {
    let Some(sshd) = Sshd::with("MaxSessions 0") else { return };
    let session = sshd.session().await;
    let error = session.exec("true").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(error.to_string().contains("MaxSessions"), "{error}");
}

#[tokio::test]
async fn too_much_output_ends_the_command() {
    let Some(sshd) = Sshd::start() else { return };
    let session = sshd.session().await;
    let mark = format!("y{}", sshd.port);
    let error = session.exec(Command::new(format!("yes {mark}")).output_limit(1 << 20)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Command);
    assert!(error.to_string().contains("1048576 bytes to a stream, and "), "{}", &error.to_string()[..200]);
    until("the processes end", || count_processes(&format!("yes {mark}")) == 0).await;
}

#[tokio::test]
async fn the_end_of_the_connection_is_no_success() {
    let Some(sshd) = Sshd::start() else { return };
    let session = sshd.session().await;
    let command = session.exec("echo begun; sleep 60");
    let (result, ()) = tokio::join!(command, async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        sshd.kill_connections();
    });
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(error.to_string().contains("begun"), "{error}");
    // The next one connects anew.
    assert_eq!(session.exec("echo again").await.unwrap().stdout, "again\n");
}

#[tokio::test]
async fn an_idle_connection_that_breaks_is_replaced() {
    let Some(sshd) = Sshd::start() else { return };
    let session = sshd.session().await;
    session.exec("true").await.unwrap();
    sshd.kill_connections();
    until("the break is noticed", || !session.is_connected()).await;
    assert_eq!(session.exec("echo again").await.unwrap().stdout, "again\n");
    session.disconnect();
    until("all connections are closed", || sshd.connections().is_empty()).await;
    assert_eq!(session.exec("echo anew").await.unwrap().stdout, "anew\n");
    let port = sshd.port;
    drop(sshd);
    let error = session.exec("echo again").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(!super::sshd::port_is_open(port));
}
