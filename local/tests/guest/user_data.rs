//! The first boot: login user, user data, console, status.

use crate::fixture::{Machine, USER, has_others};
use std::{fs, os::unix::fs::MetadataExt};

/// Boots with user data, and waits for the end of the boot.
fn boot(user_data: &str) -> Machine {
    let machine = Machine::boot_with(Some(user_data.as_bytes()));
    finished(&machine);
    machine
}

fn finished(machine: &Machine) {
    machine.wait_for("end of the boot", |machine| own(machine).is_some_and(|own| own.contains("\nrunning=no\n")));
}

fn own(machine: &Machine) -> Option<String> {
    fs::read_to_string(machine.path("run/ec2-local/cloud-init-status")).ok()
}

/// Status, longer status, exit code.
fn result(machine: &Machine) -> (String, String, String) {
    let own = own(machine).unwrap();
    let value = |key: &str| {
        let line = own.lines().find(|line| line.starts_with(&format!("{key}="))).unwrap();
        line.split_once('=').unwrap().1.to_owned()
    };
    (value("status"), value("extended_status"), value("code"))
}

fn is(machine: &Machine, status: &str, extended: &str, code: u8) {
    let expected = (status.to_owned(), extended.to_owned(), code.to_string());
    assert_eq!(result(machine), expected, "{}\n{}", own(machine).unwrap(), machine.console());
}

#[test]
fn without_user_data_there_is_a_user_and_a_status() {
    let machine = Machine::boot_with(None);
    finished(&machine);
    is(&machine, "done", "done", 0);
    let console = machine.console();
    let key = |kind: &str| machine.read(format!("etc/ssh/ssh_host_{kind}_key.pub"));
    let keys = key("ecdsa") + &key("ed25519");
    let shown = format!("-----BEGIN SSH HOST KEY KEYS-----\n{keys}-----END SSH HOST KEY KEYS-----\n");
    assert!(console.contains(&shown), "{console}");
    assert!(console.contains(" (ED25519)\n"), "{console}");
    let last = console.lines().last().unwrap();
    assert!(last.starts_with("Cloud-init v. ") && last.contains(" (ec2-local) finished at "), "{last}");
    for path in ["run/cloud-init/status.json", "var/lib/cloud/data/status.json", "run/cloud-init/result.json"] {
        let parsed: serde_json::Value = serde_json::from_str(&machine.read(path)).unwrap();
        assert_eq!(parsed["v1"]["datasource"], "DataSourceEc2Local", "{path}");
    }
    let data: serde_json::Value = serde_json::from_str(&machine.read("run/cloud-init/instance-data.json")).unwrap();
    assert_eq!(data["v1"]["availability_zone"], "us-east-1a");
    assert_eq!(machine.read("var/lib/cloud/data/instance-id"), "i-0123456789abcdef0\n");
    assert!(machine.path("var/lib/cloud/instance/boot-finished").exists());
    let home = machine.path(format!("home/{USER}"));
    assert!(home.join(".profile").exists(), "the skeleton");
    if has_others() {
        assert_eq!((home.metadata().unwrap().uid(), home.join(".profile").metadata().unwrap().uid()), (1000, 1000));
        assert!(machine.read("etc/group").contains("sudo:x:27:admin\n"));
        assert!(machine.read("etc/shadow").contains("admin:!:"));
    }
    assert_eq!(home.join(".ssh/authorized_keys").metadata().unwrap().mode() & 0o7777, 0o600);
    assert_eq!(machine.read("etc/ec2-local/sudoers"), "admin\n");
}

#[test]
fn a_script_runs_once() {
    let mut machine = boot("#!/bin/sh\necho from the script: $(pwd); echo to stderr >&2; (sleep 0.2; echo late) &\n");
    is(&machine, "done", "done", 0);
    let order = ["from the script: /\nto stderr\n", "-----BEGIN SSH HOST KEY KEYS", " finished at "];
    let places =
        order.map(|text| machine.console().find(text).unwrap_or_else(|| panic!("{text}: {}", machine.console())));
    assert!(places.is_sorted(), "{}", machine.console());
    machine.wait_for("late output", |machine| machine.console().contains("late\n"));
    assert!(machine.read("var/log/cloud-init-output.log").contains("from the script"));
    fs::remove_file(machine.path("run/ec2-local/cloud-init-status")).unwrap();
    machine.reboot();
    finished(&machine);
    assert_eq!(machine.console().matches("from the script").count(), 1);
    assert_eq!(machine.console().matches("BEGIN SSH HOST KEY KEYS").count(), 1);
    assert_eq!(machine.console().matches(" finished at ").count(), 2);
}

#[test]
fn a_script_that_fails_is_an_error() {
    let machine = boot("#!/bin/sh\nexit 3\n");
    is(&machine, "error", "error - done", 1);
    assert!(machine.console().contains("part-001: it ended with exit status: 3"), "{}", machine.console());
    let result: serde_json::Value = serde_json::from_str(&machine.read("run/cloud-init/result.json")).unwrap();
    assert_eq!(result["v1"]["errors"].as_array().unwrap().len(), 1);
    // The machine can be logged in to all the same.
    assert_eq!(machine.stdout("echo in"), "in\n");
    let killed = boot("#!/bin/sh\nkill -9 $$\n");
    is(&killed, "error", "error - done", 1);
    let missing = boot("#!/no/such/shell\n");
    is(&missing, "error", "error - done", 1);
}

#[test]
fn a_cloud_config_is_applied() {
    let machine = boot(
        "#cloud-config
hostname: web-1
groups:
  - deploy: [admin]
  - empty
users:
  - default
  - name: eve
    gecos: Eve L.
    groups: adm, staff
    shell: /bin/sh
    ssh_authorized_keys: [ssh-ed25519 AAAA eve]
    sudo: ALL=(ALL) NOPASSWD:ALL
ssh_authorized_keys:
  - ssh-ed25519 BBBB more
write_files:
  - path: /opt/plain
    content: |
      two
      lines
  - {path: /opt/mode, content: x, permissions: '0600'}
  - {path: /opt/octal, content: x, permissions: 0755}
  - {path: /opt/b64, content: aGk=, encoding: b64, owner: root:root}
  - {path: /opt/gz, content: H4sIAAAAAAAAA8vIBACsKpPYAgAAAA==, encoding: gz+b64}
  - {path: /opt/plain, content: more, append: true}
  - {path: /opt/late, content: x, owner: 'eve:deploy', defer: yes}
bootcmd:
  - echo boot $INSTANCE_ID
runcmd:
  - echo one && echo two
  - [echo, 'a  b', \"it's\"]
final_message: the end after $UPTIME
",
    );
    is(&machine, "done", "done", 0);
    assert_eq!(machine.read("etc/hostname"), "web-1\n");
    assert_eq!(machine.read("opt/plain"), "two\nlines\nmore");
    assert_eq!((machine.read("opt/b64"), machine.read("opt/gz")), ("hi".to_owned(), "hi".to_owned()));
    let mode = |path: &str| machine.path(path).metadata().unwrap().mode() & 0o7777;
    assert_eq!((mode("opt/plain"), mode("opt/mode"), mode("opt/octal")), (0o644, 0o600, 0o755));
    let groups = machine.read("etc/group");
    assert!(groups.contains("deploy:x:1000:admin\n") && groups.contains("empty:x:1001:\n"), "{groups}");
    assert!(groups.contains("adm:x:4:admin,eve\n") || !has_others(), "{groups}");
    let accounts = machine.read("etc/passwd");
    assert!(accounts.contains(":Eve L.:/home/eve:/bin/sh\n"), "{accounts}");
    assert_eq!(machine.read("home/eve/.ssh/authorized_keys"), "ssh-ed25519 AAAA eve\n");
    assert!(machine.read(format!("home/{USER}/.ssh/authorized_keys")).ends_with("ssh-ed25519 BBBB more\n"));
    assert_eq!(machine.read("etc/ec2-local/sudoers"), "admin\neve\n");
    if has_others() {
        let late = machine.path("opt/late").metadata().unwrap();
        assert_eq!((late.uid(), late.gid()), (1001, 1000), "{accounts}{groups}");
    }
    let console = machine.console();
    let order = ["boot i-0123456789abcdef0\n", "one\ntwo\na  b it's\n", "BEGIN SSH HOST KEY KEYS", "the end after "];
    let places = order.map(|text| console.find(text).unwrap_or_else(|| panic!("{text}: {console}")));
    assert!(places.is_sorted(), "{console}");
}

#[test]
fn commands_for_each_boot_run_at_each_boot() {
    let mut machine = boot("#cloud-config\nbootcmd: [echo each boot]\nruncmd: [echo first boot]\n");
    fs::remove_file(machine.path("run/ec2-local/cloud-init-status")).unwrap();
    machine.reboot();
    finished(&machine);
    let console = machine.console();
    assert_eq!((console.matches("each boot").count(), console.matches("first boot").count()), (2, 1), "{console}");
}

#[test]
fn what_is_not_applied_is_named() {
    let machine = boot(
        "#cloud-config\npackages: [nginx]\nusers: [default, {name: eve, ssh_import_id: gh:eve}]\n\
         write_files: [{path: /a, source: {uri: x}}]\n",
    );
    is(&machine, "done", "degraded done", 2);
    for name in ["`packages`", "`ssh_import_id` of user eve", "`source` of write_files /a"] {
        assert!(machine.console().contains(&format!("not applied by ec2-local: {name}\n")), "{}", machine.console());
    }
    is(&boot("#include\nhttp://example.com/\n"), "done", "degraded done", 2);
    is(&boot("no known beginning"), "done", "degraded done", 2);
}

#[test]
fn what_is_broken_is_an_error_and_the_rest_is_applied() {
    let machine = boot(
        "#cloud-config\nruncmd: echo\nusers: [default, {name: 'a:b'}, {gecos: x}]\nwrite_files:\n\
         - {path: /a, owner: nobody-here}\n- {path: /b, content: '!', encoding: b64}\n- {path: /good, content: x}\n",
    );
    is(&machine, "error", "error - done", 1);
    assert_eq!(machine.read("good"), "x");
    let result: serde_json::Value = serde_json::from_str(&machine.read("run/cloud-init/result.json")).unwrap();
    assert_eq!(result["v1"]["errors"].as_array().unwrap().len(), 5, "{result}");
    assert_eq!(machine.stdout("echo in"), "in\n");
}

/// What cloud-init warns of, and goes on.
#[test]
fn what_cloud_init_warns_of_degrades() {
    for broken in
        ["#cloud-config\na: [b\n", "#cloud-config\n- a\n", "#cloud-config\n# nothing\n", "\u{feff}#cloud-config\n{}\n"]
    {
        is(&boot(broken), "done", "degraded done", 2);
    }
    let machine = boot(
        "#Cloud-Config\r\nwrite_files:\r\n- {path: relative, content: a, encoding: rot13}\r\n- {content: b}\r\n\
         - {path: /mode, content: c, permissions: rwx}\r\nruncmd:\r\n- sleep 0.5\r\n",
    );
    is(&machine, "done", "degraded done", 2);
    assert_eq!((machine.read("relative"), machine.read("mode")), ("a".to_owned(), "c".to_owned()));
    assert_eq!(machine.path("mode").metadata().unwrap().mode() & 0o7777, 0o644);
    for path in ["run/cloud-init/status.json", "var/lib/cloud/data/status.json"] {
        let status: serde_json::Value = serde_json::from_str(&machine.read(path)).unwrap();
        let warnings = status["v1"]["init"]["recoverable_errors"]["WARNING"].as_array().unwrap();
        assert_eq!(warnings.len(), 3, "{status}");
        assert_eq!(status["v1"]["init"]["errors"].as_array().unwrap().len(), 0);
    }
    let result: serde_json::Value = serde_json::from_str(&machine.read("run/cloud-init/result.json")).unwrap();
    assert_eq!(result["v1"]["errors"].as_array().unwrap().len(), 0, "{result}");
}

#[test]
fn a_boot_that_goes_on_says_already_what_went_wrong() {
    let machine = Machine::boot_with(Some(b"#cloud-config\nntp: {}\nruncmd: [sleep 1]\n"));
    machine.wait_for("warning", |machine| own(machine).is_some_and(|own| own.contains("ntp")));
    assert!(own(&machine).unwrap().contains("\nrunning=yes\n"), "{:?}", own(&machine));
    is(&machine, "running", "degraded running", 2);
    finished(&machine);
    let machine = Machine::boot_with(Some(b"#cloud-config\nbootcmd: ['false']\nruncmd: [sleep 1]\n"));
    machine.wait_for("error", |machine| own(machine).is_some_and(|own| own.contains("bootcmd")));
    assert!(own(&machine).unwrap().contains("\nrunning=yes\n"), "{:?}", own(&machine));
    is(&machine, "error", "error - running", 1);
    finished(&machine);
}

#[test]
fn directories_that_files_need_belong_to_the_files_owner() {
    let machine = boot(
        "#cloud-config\nusers: [default, eve]\nwrite_files:\n\
         - {path: /srv/app/conf/a, content: x, owner: 'eve:adm', defer: true}\n\
         - {path: /srv/app/more/b, content: x, owner: eve, permissions: '4755', defer: true}\n- {path: /srv/c/d, content: x}\n",
    );
    is(&machine, "done", "done", 0);
    if !has_others() {
        return eprintln!("skipped: only root can give files to others");
    }
    let owner = |path: &str| {
        let found = machine.path(path).metadata().unwrap();
        (found.uid(), found.gid())
    };
    // What the first needs is there for the second; without a group it stays root's.
    for (path, expected) in [
        ("srv", (0, 0)),
        ("srv/app", (1001, 4)),
        ("srv/app/conf", (1001, 4)),
        ("srv/app/conf/a", (1001, 4)),
        ("srv/app/more", (1001, 0)),
        ("srv/app/more/b", (1001, 0)),
        ("srv/c", (0, 0)),
    ] {
        assert_eq!(owner(path), expected, "{path}");
    }
    assert_eq!(machine.path("srv/app/more/b").metadata().unwrap().mode() & 0o7777, 0o4755);
}

#[test]
fn parts_are_applied_in_their_order() {
    let machine = boot(
        "Content-Type: multipart/mixed; boundary=\"X\"\nMIME-Version: 1.0\n\n--X\nContent-Type: text/x-shellscript\n\n\
         #!/bin/sh\necho first\n\n--X\nContent-Type: text/cloud-config\n\n#cloud-config\nhostname: a\nruncmd: [echo third]\n\n\
         --X\nContent-Type: text/x-shellscript\n\n#!/bin/sh\necho second\n\n--X\nContent-Type: text/cloud-config\n\n\
         #cloud-config\nhostname: b\n\n--X--\n",
    );
    is(&machine, "done", "done", 0);
    assert!(machine.console().contains("first\nsecond\nthird\n"), "{}", machine.console());
    assert_eq!(machine.read("etc/hostname"), "b\n");
}

#[test]
fn a_list_of_users_may_leave_the_login_user_out() {
    let machine = boot("#cloud-config\nusers: [{name: eve}]\n");
    is(&machine, "done", "done", 0);
    if has_others() {
        assert!(!machine.read("etc/passwd").contains("admin"));
        assert_eq!(machine.exec("true").status.code(), Some(255));
    }
    let renamed = boot("#cloud-config\nuser: bob\n");
    assert!(renamed.read("etc/passwd").contains("\nbob:x:"));
    assert!(renamed.read("home/bob/.ssh/authorized_keys").contains("test-key"));
}
