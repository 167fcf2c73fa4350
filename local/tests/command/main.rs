//! `ec2-local run` and `ec2-local env`: the built binary, and commands of all kinds.

#[path = "../endpoint/mod.rs"]
mod endpoint;

mod asked;
mod ends;
mod formats;

use asked::{PROGRAM, Place};
use std::process::Stdio;

#[test]
fn the_command_has_its_environment_its_streams_and_its_status() {
    let place = Place::new();
    let script = "cat; env; umask >&2; ulimit -Sn >&2; exit 7";
    let output = place.run(&["--seed", "5"], &["sh", "-c", script], "typed in");
    assert_eq!(output.status.code(), Some(7));
    let said = String::from_utf8(output.stdout).unwrap();
    let state = format!("EC2_LOCAL_STATE_DIR={}/commands/", place.state());
    for part in [
        "typed in",
        "AWS_ENDPOINT_URL_EC2=http://127.0.0.1:",
        "AWS_EC2_METADATA_DISABLED=true",
        "AWS_REGION=us-east-1",
        &state,
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // Left over from a session of AWS's.
    assert!(!said.contains("AWS_PROFILE") && !said.contains("AWS_SESSION_TOKEN"), "{said}");
    let own = String::from_utf8(place.command("sh").args(["-c", "umask; ulimit -Sn"]).output().unwrap().stdout);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), own.unwrap(), "neither its mask nor its limits are changed");
    place.assert_empty();
}

#[test]
fn other_subcommands_reach_the_endpoint_of_the_command() {
    let place = Place::new();
    let script = format!("{PROGRAM} fault RunInstances capacity next 3 && {PROGRAM} conditions");
    let output = place.run(&["--conditions", "calm", "--seed", "5"], &["sh", "-c", &script], "");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && said.contains("conditions: calm, seed 5\nfault: RunInstances capacity next 3"),
        "{said}"
    );
}

#[test]
fn what_cannot_be_run_is_told_as_shells_tell_it() {
    let place = Place::new();
    let script = |name: &str, text: &str| place.script(name, text);
    let nobody = script("nobody's", "#!/nonexistent/interpreter\n");
    let bare = script("bare", "echo here\n");
    for (command, status, words) in [
        ("/nonexistent/command", 127, "it isn't there"),
        (nobody.as_str(), 127, "the interpreter that its first line names"),
        ("/etc/passwd", 126, "is it a file, and executable"),
    ] {
        let output = place.run(&[], &[command], "");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{said}");
        let begin = format!("ec2-local: failed to run `{command}`: ");
        assert!(said.starts_with(&begin) && said.contains(words) && said.lines().count() == 1, "{said}");
    }
    // Without a first line for it, a shell runs it, as they do for each other.
    assert_eq!(place.run(&[], &[&bare], "").stdout, b"here\n");
    let output = place.run(&["--state-directory", "/dev/null"], &["true"], "");
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    let output = place.command(PROGRAM).args(["run", "true"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    place.assert_empty();
}

#[test]
fn a_state_directory_that_is_named_stays_without_its_account() {
    let place = Place::new();
    let named = place.path("named");
    let output = place.run(&["--state-directory", &named], &["sh", "-c", "echo $EC2_LOCAL_STATE_DIR"], "");
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), named);
    assert!(std::path::Path::new(&named).join("secret").exists());
    assert!(!std::path::Path::new(&named).join("run").exists());
    // While somebody serves there, nobody else can.
    let within = format!("{PROGRAM} run --state-directory {named} -- true");
    let output = place.run(&["--state-directory", &named], &["sh", "-c", &within], "");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(said.contains("one of this build is running already"), "{said}");
}
