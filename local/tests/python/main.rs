//! boto3, the AWS CLI, libcloud, pycloudlib, Ansible and OpenSSH, unmodified, against `ec2-local serve`; skipped, and said so, where they
//! are not installed.

#[path = "../endpoint/mod.rs"]
mod endpoint;

use ec2_local::account::Account;
use endpoint::{Server, State};
use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ec2-local");

/// For clients that take it for a failure when what they have just made isn't known yet.
const CALM: &[&str] = &["--conditions", "calm"];

fn is_there(program: &str, arguments: &[&str]) -> bool {
    let found = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

/// Runs a script against an endpoint of its own, as the documentation says: `eval "$(ec2-local env)"`.
fn run(script: &str, arguments: &[&str], options: &[&str]) {
    let state = State::new();
    let work = state.beside().join("work");
    fs::create_dir(&work).unwrap();
    fs::set_permissions(&work, fs::Permissions::from_mode(0o700)).unwrap();

    let serving = Server::start_with(&state, &[&["--port", "0"], options].concat());
    let asked = options.iter().position(|option| *option == "--conditions").map_or("typical", |at| options[at + 1]);
    // For each failure's message.
    let conditions = serving.opening.lines().nth(1).unwrap().to_owned();
    assert!(conditions.starts_with(&format!("conditions: {asked}, seed ")), "{conditions}");
    // A client that waits for what doesn't come is told apart from one that hangs.
    let shell = "set -e; program=$1; shift; eval \"$(\"$program\" env)\"; exec timeout 840 python3 \"$@\"";
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(script);
    let output = Command::new("sh")
        .args(["-c", shell, "sh", PROGRAM])
        .arg(script)
        .args(arguments)
        .env("EC2_LOCAL_STATE_DIR", state.path())
        .env("AWS_SESSION_TOKEN", "left over from an AWS session")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // Throttles are for the clients: this is the mode that AWS recommends.
        .env("AWS_RETRY_MODE", "standard")
        .current_dir(&work)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{conditions}\n{stdout}{stderr}");

    serving.end();
    state.assert_clean_but_for(&["images", "instance-identity", "run"]);
    assert!(state.runs().is_empty(), "{:?}", state.runs());
}

/// Whether all programs are there; where one isn't, it is said, or must not be.
fn are_there(programs: &[(&str, &[&str])]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|(program, arguments)| !is_there(program, arguments)).collect();
    assert!(missing.is_empty() || env::var_os("EC2_HARNESS_NO_SKIP").is_none(), "not installed: {missing:?}");
    if !missing.is_empty() {
        eprintln!("skipped: not installed: {missing:?}");
    }
    missing.is_empty()
}

#[test]
fn boto3_and_openssh_are_served() {
    if are_there(&[("python3", &["-c", "import boto3"]), ("ssh", &["-V"])]) {
        run("client.py", &[PROGRAM], &[]);
    }
}

#[test]
fn a_machine_is_somebody_by_its_role() {
    if are_there(&[("python3", &["-c", "import boto3"]), ("ssh", &["-V"]), ("openssl", &["version"])]) {
        run("profile.py", &[PROGRAM], &["--instance-profile", "web=server"]);
    }
}

#[test]
fn libcloud_is_served_by_either_signature() {
    if are_there(&[("python3", &["-c", "import libcloud"])]) {
        run("older_client.py", &[], &[]);
    }
}

#[test]
fn all_of_libclouds_driver_is_served() {
    if are_there(&[("python3", &["-c", "import libcloud"])]) {
        run("libcloud_driver.py", &[], CALM);
    }
}

/// It logs in at public addresses, where machines answer if root may have their port 22.
#[test]
fn pycloudlib_has_a_machine_from_its_launch_to_its_image() {
    if pycloudlib_is_there() {
        run("pycloudlib_machine.py", &[], CALM);
    }
}

#[test]
fn pycloudlib_has_a_vpc_of_both_families_and_a_machine_in_it() {
    if pycloudlib_is_there() {
        run("pycloudlib_vpc.py", &[], CALM);
    }
}

fn pycloudlib_is_there() -> bool {
    let import = "import sys; sys.path.insert(0, sys.argv[1]); import only_ec2, pycloudlib";
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python");
    are_there(&[("python3", &["-c", import, beside]), ("ssh", &["-V"]), ("sh", &["-c", "test $(id -u) = 0"])])
}

#[test]
fn ansible_finds_what_it_has_made_and_removed() {
    if are_there(&[("python3", &["-c", "import ansible, ansible_collections.amazon.aws"])]) {
        run("ansible_playbooks.py", &[], CALM);
    }
}

/// Every action by a client; it makes the default VPC, too.
fn every_action(client: &'static str) {
    let arguments: Vec<&str> = std::iter::once(client).chain(Account::actions()).collect();
    run("every_action.py", &arguments, &["--no-default-vpc"]);
}

#[test]
fn boto3_is_served_every_action() {
    if are_there(&[("python3", &["-c", "import boto3"])]) {
        every_action("boto3");
    }
}

#[test]
fn the_aws_cli_is_served_every_action() {
    if are_there(&[("python3", &["-c", "import awscli"])]) {
        every_action("cli");
    }
}

/// What Terraform's provider calls for each resource, in its order.
fn terraform(arguments: &[&str], conditions: &str) {
    if are_there(&[("python3", &["-c", "import boto3"])]) {
        let profiles = ["--instance-profile", "web=server", "--instance-profile", "db=server"];
        run("terraform/main.py", arguments, &[&["--conditions", conditions], &profiles[..]].concat());
    }
}

#[test]
fn terraforms_order_is_served() {
    terraform(&[], "typical");
}

#[test]
fn terraforms_order_is_served_where_all_is_known_at_once() {
    terraform(&[], "calm");
}

/// What its provider tries again changes nothing. Lost answers would: of what it has no client token for it makes another.
#[test]
fn terraforms_order_is_served_through_throttles() {
    terraform(&["--throttled-by", PROGRAM], "typical");
}
