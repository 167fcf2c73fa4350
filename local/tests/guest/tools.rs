//! The guest's own commands, in namespaces that look like the machine to them.

use crate::fixture::{Machine, has_others};
use std::process::{Command, Output};

/// Runs a script in namespaces with the machine's accounts and state; `$T` is where the commands are.
fn within(machine: &Machine, script: &str) -> Output {
    let mut command = Command::new("unshare");
    // Who isn't root is the only user of the namespace, and its root.
    command.args(if has_others() { ["-mpf", "--mount-proc"] } else { ["-rmpf", "--mount-proc"] });
    let set_up = "mount -t tmpfs none /run && cp -r $R/run/* /run && mount --bind $R/etc/passwd /etc/passwd && \
                  mount --bind $R/etc/group /etc/group || exit 99; ";
    command.args(["sh", "-c", &format!("{set_up}{script}")]);
    command.env("R", machine.path("")).env("T", machine.path("tools"));
    command.output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn machine(user_data: &str) -> Machine {
    let machine = Machine::boot_with(Some(user_data.as_bytes()));
    machine.wait_for("end of the boot", |machine| machine.path("run/cloud-init/result.json").exists());
    std::fs::create_dir(machine.path("tools")).unwrap();
    for name in ["cloud-init", "cloud-id", "reboot", "poweroff", "halt", "shutdown"] {
        std::fs::copy(machine.path("usr/lib/ec2-local/ec2-local-guest"), machine.path(format!("tools/{name}")))
            .unwrap();
    }
    machine
}

#[test]
fn cloud_init_tells_its_status() {
    let done = machine("");
    let output = within(&done, "$T/cloud-init status --wait");
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("status: done\n", Some(0)), "{output:?}");
    let json = stdout(&within(&done, "$T/cloud-init status --format json"));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["status"], &json["extended_status"]), (&"done".into(), &"done".into()), "{json}");
    assert!(
        json["errors"].as_array().unwrap().is_empty() && json["recoverable_errors"].as_object().unwrap().is_empty()
    );
    assert_eq!(stdout(&within(&done, "$T/cloud-id")), "aws\n");
    assert!(stdout(&within(&done, "$T/cloud-init --version")).contains("(ec2-local)"));
    // Not a word further: what it would clean here is the host's.
    assert_eq!(within(&done, "$T/cloud-init clean --configs all").status.code(), Some(1));
    assert_eq!(within(&done, "$T/cloud-init query").status.code(), Some(1));
    let degraded = within(&machine("#cloud-config\npackages: [x]\n"), "$T/cloud-init status --long");
    assert_eq!(degraded.status.code(), Some(2));
    let text = stdout(&degraded);
    let end = "errors: []\nrecoverable_errors:\nWARNING:\n\t- not applied by ec2-local: `packages`\n";
    assert!(text.starts_with("status: done\nextended_status: degraded done\n") && text.ends_with(end), "{text}");
    let help = within(&done, "$T/cloud-init status --help");
    assert!(help.status.success() && stdout(&help).contains("--wait"), "{help:?}");
    let yaml = stdout(&within(&done, "$T/cloud-init status --format=yaml"));
    assert!(yaml.starts_with("---\n") && yaml.ends_with("\n...\n") && yaml.contains("\"modules-final\""), "{yaml}");
    let failed = within(&machine("#!/bin/sh\nfalse\n"), "$T/cloud-init status");
    assert_eq!((stdout(&failed).as_str(), failed.status.code()), ("status: error\n", Some(1)));
}

#[test]
fn waiting_ends_with_the_boot() {
    let machine = Machine::boot_with(Some(b"#!/bin/sh\nsleep 1\nexit 1\n"));
    let status = machine.path("run/ec2-local/cloud-init-status");
    machine.wait_for("status", |_| status.exists());
    let program = machine.path("usr/lib/ec2-local/ec2-local-guest");
    machine.wait_for("program", |_| program.exists());
    // Without a copy of /run, so that it sees what changes.
    let mut command = Command::new("unshare");
    command.args(if has_others() { ["-m", "sh", "-c"] } else { ["-rm", "sh", "-c"] });
    command.arg("mkdir -p /run/ec2-local; mount -t tmpfs none /run && mkdir /run/ec2-local && mount --bind $R/run/ec2-local /run/ec2-local && $P cloud-init status --wait");
    let output = command.env("R", machine.path("")).env("P", &program).output().unwrap();
    assert!(stdout(&output).ends_with(".\nstatus: error\n"), "{output:?}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn power_commands_tell_init() {
    let machine = machine("");
    let trapped = |command: &str| {
        let script = format!(
            "trap 'echo off; exit 0' TERM; trap 'echo again; exit 0' INT; {command}; echo $?; sleep 1; echo on"
        );
        stdout(&within(&machine, &script))
    };
    for command in ["$T/poweroff", "$T/shutdown now", "$T/shutdown -h +0", "$T/shutdown -P now message", "$T/halt -p"] {
        assert_eq!(trapped(command), "off\n", "{command}");
    }
    for command in ["$T/reboot", "$T/reboot -f", "$T/shutdown -r now"] {
        assert_eq!(trapped(command), "again\n", "{command}");
    }
    for command in ["$T/halt", "$T/reboot --firmware-setup", "$T/shutdown 23:00", "$T/shutdown -x"] {
        assert_eq!(trapped(command), "1\non\n", "{command}");
    }
    assert_eq!(trapped("$T/shutdown +5; $T/shutdown -c"), "0\non\n");
    if has_others() {
        assert_eq!(trapped("setpriv --reuid 1000 --clear-groups $T/poweroff"), "1\non\n");
    }
}

#[test]
fn sudo_runs_commands_as_others() {
    let machine = machine(
        "#cloud-config\nusers: [default, eve, {name: op, groups: wheel}]\nwrite_files: [{path: /opt/x, content: ''}]\n",
    );
    let sudo = machine.path("usr/bin/sudo").display().to_string();
    let run = |script: &str| within(&machine, &script.replace("@sudo", &sudo));
    let output = run("@sudo -n sh -c 'id -u; echo $SUDO_USER $SUDO_UID $HOME $USER'; @sudo sh -c 'exit 7'; echo $?");
    assert_eq!(stdout(&output), "0\nroot 0 /root root\n7\n", "{output:?}");
    assert_eq!(run("@sudo --no-such-option true").status.code(), Some(1));
    assert_eq!(run("@sudo no-such-command").status.code(), Some(1));
    if !has_others() {
        eprintln!("only root can be others; the rest is checked as root");
        return;
    }
    let mode = std::os::unix::fs::MetadataExt::mode(&machine.path("usr/bin/sudo").metadata().unwrap());
    assert_eq!(mode & 0o7777, 0o4755);
    let admin = |script: &str| {
        let output = run(&format!("setpriv --reuid 1000 --regid 1000 --groups 27,1000 {script}"));
        (stdout(&output), output.status.code())
    };
    assert_eq!(admin("@sudo -n id -u"), ("0\n".to_owned(), Some(0)));
    assert_eq!(admin("@sudo -nHE id -G"), ("0\n".to_owned(), Some(0)));
    assert_eq!(admin("@sudo -u eve id -un"), ("eve\n".to_owned(), Some(0)));
    assert_eq!(admin("@sudo -u '#1001' -g adm id -u"), ("1001\n".to_owned(), Some(0)));
    assert_eq!(admin("@sudo -g adm id -g"), ("4\n".to_owned(), Some(0)));
    let shown = "@sudo A=b sh -c 'echo $A $SUDO_USER $SUDO_UID $HOME $SUDO_COMMAND; echo ${SECRET-unset} $PATH'";
    let (text, _) = admin(&format!("env SECRET=s HOME=/h {shown}"));
    assert!(text.starts_with("b admin 1000 /root /usr/bin/sh -c "), "{text}");
    assert!(text.ends_with("unset /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"), "{text}");
    let (text, _) = admin("env SECRET=s HOME=/h @sudo -E sh -c 'echo $SECRET $HOME'");
    assert_eq!(text, "s /h\n");
    assert_eq!(admin("@sudo -s echo 'a  b' '$HOME;'"), ("a  b /root;\n".to_owned(), Some(0)));
    assert_eq!(admin("@sudo -i -u eve sh -c 'echo $HOME; echo $USER'"), ("/home/eve\neve\n".to_owned(), Some(0)));
    assert_eq!(admin("@sudo -v"), (String::new(), Some(0)));
    assert!(admin("@sudo -l").0.contains("NOPASSWD: ALL"));
    assert_eq!(admin("@sudo -- kill -9 $$").1, Some(0), "the options end, and the command has its own");
    // eve is in no list.
    let refused = run("setpriv --reuid 1001 --regid 1001 --clear-groups @sudo -n id");
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&refused.stderr), "sudo: a password is required\n");
    assert!(stdout(&run("setpriv --reuid 1002 --regid 1003 --init-groups @sudo id -u")).starts_with('0'), "wheel");
}
