//! Commands and scripts.

use ec2_harness::{prelude::*, ssh::ExitStatus};
use std::time::Duration;

#[ec2_test]
async fn sudo_is_for_the_whole_line(vm: Instance) -> Result {
    let output =
        vm.exec("id -u && id -un | cat && cd /root && echo mine >/etc/of-root && cat /etc/of-root").sudo().await?;
    assert_eq!(output.stdout, "0\nroot\nmine\n");
    // Where the host gives a machine a single user id, its login user is root, too.
    if vm.exec("id -u").await?.stdout.trim() != "0" {
        assert_eq!(vm.exec("id -un").await?.stdout.trim(), vm.user().unwrap());
        assert!(vm.exec("echo yours >/etc/of-root").await.is_err());
    }
    Ok(())
}

#[ec2_test]
async fn what_a_command_reads(vm: Instance) -> Result {
    assert_eq!(vm.exec("cat").await?.stdout, "");
    assert_eq!(vm.exec("cat").stdin("it's\n\"two\" lines").await?.stdout, "it's\n\"two\" lines");
    assert_eq!(vm.exec("cat; id -u").sudo().stdin("in\n").await?.stdout, "in\n0\n");
    let all: Vec<u8> = (0..3 << 20).map(|n: u32| (n % 251) as u8).collect();
    assert_eq!(vm.exec("cat").stdin(all.clone()).await?.stdout_bytes(), all);
    // Who doesn't read must not be waited for.
    vm.exec("true").stdin(all).await.map(drop)
}

#[ec2_test]
async fn its_environment(vm: Instance) -> Result {
    let value = "it's \"quoted\" $HOME `id` \\ \nnext\ttab é";
    for exec in [vm.exec("printf %s \"$GREETING\""), vm.exec("printf %s \"$GREETING\"").sudo()] {
        assert_eq!(exec.env("GREETING", value).env("OTHER", "").await?.stdout, value);
    }
    let error = vm.exec("true").env("1 2", "x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    Ok(())
}

#[ec2_test]
async fn how_it_ended(vm: Instance) -> Result {
    for code in [1, 2, 126, 127, 255] {
        let output = vm.exec(format!("exit {code}")).unchecked().await?;
        assert_eq!(output.status, ExitStatus::Exited(code));
    }
    for signal in ["TERM", "KILL"] {
        let output = vm.exec(format!("kill -{signal} $$")).unchecked().await?;
        assert_eq!(output.status, ExitStatus::Signaled(signal.into()));
        let error = vm.exec(format!("kill -{signal} $$")).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Command && error.to_string().contains(signal), "{error}");
    }
    let error = vm.exec("echo out; echo err >&2; exit 3").await.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Command);
    for expected in ["`echo out; echo err >&2; exit 3`", vm.id(), "3", "--- stdout ---\nout", "--- stderr ---\nerr"] {
        assert!(text.contains(expected), "{expected} is missing: {text}");
    }
    assert_eq!(vm.exec("no-such-command-at-all").unchecked().await?.status.code(), Some(127));
    Ok(())
}

#[ec2_test]
async fn much_on_both_streams_at_once(vm: Instance) -> Result {
    let output = vm.exec("yes out | head -c 3145728 & yes err | head -c 3145728 >&2; wait").await?;
    assert_eq!((output.stdout.len(), output.stderr.len()), (3 << 20, 3 << 20));
    assert!(output.stdout.starts_with("out\nout") && output.stderr.starts_with("err\nerr"));
    Ok(())
}

#[ec2_test]
async fn a_terminal(vm: Instance) -> Result {
    let output = vm.exec("test -t 0 && test -t 1 && stty size; echo err >&2").pty().await?;
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("24 80\r\nerr\r\n", ""));
    assert!(vm.exec("test -t 0 || test -t 1").await.is_err());
    Ok(())
}

#[ec2_test]
async fn a_time_of_its_own(vm: Instance) -> Result {
    let error = vm.exec("sleep 7654 & sleep 7654").timeout(Duration::from_millis(500)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    // All of its processes have ended.
    vm.assert(process("sleep").is_not_running()).within(60.secs()).await
}

#[ec2_test]
async fn one_that_is_dropped_ends(vm: Instance) -> Result {
    let task = vm.exec("sleep 8765 & sleep 8765").start();
    vm.assert(process("sleep").count(2..)).within(60.secs()).await?;
    drop(task);
    vm.assert(process("sleep").is_not_running()).within(60.secs()).await
}

#[ec2_test]
async fn many_at_once(vm: Instance) -> Result {
    let tasks: Vec<_> = (0..30).map(|n| vm.exec(format!("echo {n}")).start()).collect();
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await?.stdout.trim(), n.to_string());
    }
    Ok(())
}

#[ec2_test]
async fn scripts(vm: Instance) -> Result {
    let sh = "set -e\nif true; then\n  echo \"it's sh: $0\" >&2\nfi\ncat\necho \"$A\" done";
    let output = vm.run_script(sh).env("A", "all").await?;
    assert!(output.stderr.starts_with("it's sh: ") && output.stdout == "all done\n", "{output:?}");
    assert_eq!(vm.run_script("#!/usr/bin/awk -f\nBEGIN { print 6 * 7 }\n").await?.stdout, "42\n");
    assert_eq!(vm.run_script("#!/usr/bin/perl\nprint \"perl $<\\n\";").sudo().await?.stdout, "perl 0\n");
    let error = vm.run_script("echo began\nfalse\nexit 9").await.unwrap_err();
    let text = error.to_string();
    assert!(error.kind() == ErrorKind::Command && text.contains("exit status 9") && text.contains("began"), "{text}");
    assert!(text.contains("run the script `echo began…` on") && !text.contains("mktemp"), "{text}");
    // What it leaves running holds up nobody.
    assert_eq!(vm.run_script("sleep 600 &\necho on").await?.stdout, "on\n");
    assert_eq!(vm.run_script("echo $a$f$i").env("a", "1").env("f", "2").env("i", "3").await?.stdout, "123\n");
    // One argument, as the kernel has it, and blanks around.
    assert_eq!(vm.run_script("#! /bin/sh -e \nfalse; echo on").unchecked().await?.status.code(), Some(1));
    let long = format!("# {}\necho long\n", "x".repeat(300_000));
    assert_eq!(vm.run_script(long).await?.stdout, "long\n");
    assert_eq!(vm.exec("ls /tmp | grep -c '^tmp\\.' || true").await?.stdout, "0\n", "a script was left");
    vm.exec("mkdir /var/tmp/noexec && mount -t tmpfs -o noexec,mode=1777 none /var/tmp/noexec").sudo().await?;
    let perl = vm.run_script("#!/usr/bin/perl\nprint \"perl $<\\n\";").env("TMPDIR", "/var/tmp/noexec");
    assert_eq!(perl.clone().sudo().await?.stdout, "perl 0\n");
    assert!(perl.await?.stdout.starts_with("perl "));
    assert_eq!(vm.run_script("echo sh").env("TMPDIR", "/var/tmp/noexec").await?.stdout, "sh\n");
    Ok(())
}
