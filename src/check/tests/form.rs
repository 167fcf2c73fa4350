//! Checks as values: what they are made of, and their form in files.

use super::*;

#[test]
fn checks_come_in_every_shape() {
    let one = service("ssh").is_running();
    let many = vec![file("/a"), file("/b")];
    assert_eq!(Checks::from(&one).len(), 1);
    assert_eq!(Checks::from((&one, many.clone(), [port(1), port(2)], (user("a"), (group("b"),)))).len(), 7);
    assert_eq!(
        Checks::from(&many[..]).len() + Checks::from(&many).len() + Checks::from(vec![Checks::from(&one)]).len(),
        5
    );
    let twelve = (
        file("1"),
        file("2"),
        file("3"),
        file("4"),
        file("5"),
        file("6"),
        file("7"),
        file("8"),
        file("9"),
        file("10"),
        file("11"),
        file("12"),
    );
    assert_eq!(Checks::from(twelve).iter().map(ToString::to_string).next_back().unwrap(), "file 12");
    assert_eq!(file("/a"), file("/a"), "the line is no part of a check");
    assert_ne!(file("/a"), file("/a").exists());
    fn is_plain<T: Clone + Send + Sync + 'static>(_: &T) {}
    is_plain(&Checks::from(one));
}

#[test]
fn an_assert_of_nothing_is_no_pass() {
    let error = check(Vec::<Checks>::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("there are no checks to make"), "{error}");
}

const FILE: &str = r#"
[[check]]
file = "/etc/ssh/sshd_config"
mode = "0644"
owner = "root"
size = "1.."
contains = "UsePAM yes"
does_not_contain = ["PermitRootLogin yes", "PermitEmptyPasswords yes"]
content = { matches = "^Port" }

[[check]]
service = "ssh"
running = true
enabled = true

[[check]]
package = "openssh-server"
version = { starts_with = "1:9." }

[[check]]
port = 22
on = "0.0.0.0"

[[check]]
port = "53/udp"
listening = false

[[check]]
user = "admin"
uid = 1000
in_group = "sudo"

[[check]]
mount = "/data"
fs_type = "ext4"
from = "/dev/nvme1n1"
option = "noatime"

[[check]]
process = "sshd"
count = "1.."

[[check]]
command = "uname -r"
sudo = true
timeout = "5s"
exits = 0
stdout = [{ starts_with = "6." }, { not = { contains = "rc" } }]

[[check]]
reach = "10.0.0.5"
port = 5432
open = true

[[check]]
group = "sudo"
exists = false
"#;

#[test]
fn checks_are_read_from_a_file() {
    let expected = Checks::from((
        (
            file("/etc/ssh/sshd_config")
                .mode(0o644)
                .owner("root")
                .size(1..)
                .contains("UsePAM yes")
                .does_not_contain("PermitRootLogin yes")
                .does_not_contain("PermitEmptyPasswords yes")
                .content(matches("^Port")),
            service("ssh").is_running().is_enabled(),
            package("openssh-server").version(starts_with("1:9.")),
            port(22).on("0.0.0.0"),
            udp(53).is_free(),
            user("admin").uid(1000).in_group("sudo"),
        ),
        mount("/data").fs_type("ext4").source("/dev/nvme1n1").option("noatime"),
        process("sshd").count(1..),
        command("uname -r")
            .sudo()
            .timeout(5.secs())
            .succeeds()
            .stdout(Matcher::All(vec![starts_with("6."), not(contains("rc"))])),
        reach("10.0.0.5", 5432).is_open(),
        group("sudo").is_missing(),
    ));
    let read = Checks::from_toml(FILE).unwrap();
    assert_eq!(read, expected);
    // Written out, they read the same: as TOML, and as JSON.
    let mut table = toml::Table::new();
    table.insert("check".into(), toml::Value::try_from(&expected).unwrap());
    let written = toml::to_string(&table).unwrap();
    assert_eq!(Checks::from_toml(&written).unwrap(), expected, "{written}");
    assert!(!written.contains("source"), "{written}");
    let json = serde_json::to_string(&expected).unwrap();
    assert_eq!(serde_json::from_str::<Checks>(&json).unwrap(), expected, "{json}");
    assert!(!json.contains("null"), "{json}");
}

#[test]
fn mistakes_in_a_file_are_named() {
    for (text, said) in [
        ("[[check]]\nfile = \"/x\"\nmod = \"0644\"", "file \"/x\": unknown field `mod`, expected one of"),
        ("[[check]]\nfile = \"/x\"\nmode = 644", "write octal digits in quotes: \"0644\""),
        ("[[check]]\nfile = \"/x\"\nmode = \"0o99\"", "is not a mode"),
        ("[[check]]\nmode = \"0644\"", "a check needs one of the keys file, service, package, reach, port"),
        ("[[check]]\nport = 70000", "`70000` is not a port"),
        ("[[check]]\ncommand = \"x\"\nstdout = { matches = \"(\" }", "is not a regular expression"),
        ("[[check]]\ncommand = \"x\"\nstdout = { like = \"(\" }", "unknown way to match `like`"),
        ("[[check]]\ncommand = \"x\"\nstdout = []", "matches nothing"),
        ("[[check]]\ncommand = \"x\"\ntimeout = \"soon\"", "is not a duration such as `30s`"),
        ("[[chekc]]\nfile = \"/x\"", "unknown field `chekc`"),
    ] {
        let error = Checks::from_toml(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains(said), "{said:?} is not in {error}");
    }
}
