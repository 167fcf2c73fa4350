//! boto3, unmodified, against the stub; skipped, and said so, where it is not installed.

use crate::fixture::{ACCOUNT, Endpoint, KEY, SECRET};
use std::process::{Command, Stdio};

#[test]
fn boto3_is_served() {
    let installed = Command::new("python3").args(["-c", "import boto3"]).stderr(Stdio::null()).status();
    if !installed.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("EC2_HARNESS_NO_SKIP").is_none(), "python3 with boto3 is not installed");
        eprintln!("skipped: python3 with boto3 is not installed");
        return;
    }
    let endpoint = Endpoint::start();
    let output = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wire/stub.py"))
        .env("ENDPOINT", format!("http://{}", endpoint.address))
        .env("ACCOUNT", ACCOUNT)
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env_remove("AWS_SESSION_TOKEN")
        .output()
        .unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{stdout}{stderr}");
}
