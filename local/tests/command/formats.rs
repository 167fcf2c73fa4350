//! `ec2-local env`, as each of its readers takes it.

use crate::asked::{PROGRAM, Place};
use std::collections::BTreeMap;

const NAMES: [&str; 7] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_ENDPOINT_URL_EC2",
    "AWS_ENDPOINT_URL_STS",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
];

/// What a script prints that a command with an endpoint of its own runs, whose environment has been spoilt.
fn told(script: &str) -> String {
    let place = Place::new();
    let spoilt = "for name in ACCESS_KEY_ID SECRET_ACCESS_KEY ENDPOINT_URL_EC2 REGION PROFILE SESSION_TOKEN USE_FIPS_ENDPOINT; do
        export AWS_$name=spoilt; done; ec2_local=$1;";
    let output = place.run(&["--seed", "5"], &["sh", "-c", &format!("{spoilt}{script}"), "sh", PROGRAM], "");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn variables(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter_map(|line| line.split_once('='));
    lines.filter(|(name, _)| name.starts_with("AWS_")).map(|(name, value)| (name.into(), value.into())).collect()
}

fn check(found: &BTreeMap<String, String>) {
    for name in NAMES {
        assert!(found.get(name).is_some_and(|value| value != "spoilt"), "{name}: {found:?}");
    }
    assert!(!found.values().any(|value| value == "spoilt"), "{found:?}");
}

#[test]
fn a_shell_evaluates_it() {
    for option in ["", "--format sh"] {
        check(&variables(&told(&format!("eval \"$($ec2_local env {option})\"; env"))));
    }
}

#[test]
fn env_takes_it() {
    check(&variables(&told("env $($ec2_local env --format env) env")));
}

#[test]
fn a_file_of_variables_has_nothing_else() {
    let text = told("$ec2_local env --format dotenv");
    assert_eq!(text.lines().count(), NAMES.len());
    check(&variables(&text));
}

#[test]
fn json_is_an_object_of_texts() {
    let object: BTreeMap<String, String> = serde_json::from_str(&told("$ec2_local env --format json")).unwrap();
    assert!(object.keys().eq(NAMES.iter()), "{object:?}");
    check(&object);
}

#[test]
fn other_shells_have_words_of_their_own() {
    let fish = told("$ec2_local env --format fish");
    let powershell = told("$ec2_local env --format powershell");
    for name in NAMES {
        assert!(fish.contains(&format!("set --global --export {name} ")), "{fish}");
        assert!(powershell.contains(&format!("$Env:{name} = '")), "{powershell}");
    }
    assert!(fish.contains("set --erase AWS_PROFILE\n") && powershell.contains("Remove-Item Env:AWS_PROFILE"));
}

#[test]
fn without_an_endpoint_it_says_how_to_have_one() {
    let place = Place::new();
    let output = place.command(PROGRAM).args(["env", "--format", "json"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.stdout.is_empty() && output.status.code() == Some(1), "{said}");
    assert!(said.contains("none is running; start one with `ec2-local serve`, or for one command"), "{said}");
}
