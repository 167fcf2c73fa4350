//! `ec2-local check`, of which many may run at once.

use crate::place::{Place, all_below};
use std::process::Stdio;

#[test]
fn many_checks_at_once_disturb_nobody() {
    let place = Place::used();
    place.make("check-1");
    place.mark("check-1", "a machine's disk");
    place.write("check-1/files/root/etc/passwd");
    let start = || {
        let mut command = place.command();
        command.arg("check").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let checks: Vec<_> = (0..10).map(|_| start()).collect();
    for check in checks {
        let output = check.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.starts_with("a machine boots here"), "{said}");
    }
    let left: Vec<_> = all_below(&place.state()).into_keys().collect();
    assert_eq!(left, [".ec2-local", "secret"].map(|name| place.state().join(name)));
}
