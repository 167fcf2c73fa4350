//! The command itself: its name, and the way into a machine.

use ec2_harness::prelude::*;
use std::{
    io::{Read, Write},
    process::{Command, Stdio},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ec2-harness");

#[test]
fn it_bears_its_own_name_and_not_its_packages() {
    let output = Command::new(PROGRAM).arg("--version").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("ec2-harness {}\n", env!("CARGO_PKG_VERSION")));
}

#[ec2_test]
fn connect_leads_to_a_machines_ssh_server(vm: Instance) -> Result {
    let mut command = Command::new(PROGRAM);
    let mut child = command.args(["connect", vm.id()]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    to.write_all(b"SSH-2.0-nobody\r\n")?;
    let mut hello = [0; 8];
    from.read_exact(&mut hello)?;
    assert_eq!(hello, *b"SSH-2.0-");
    drop((to, from));
    child.kill()?;
    child.wait()?;
    Ok(())
}

#[ec2_test]
fn connect_says_which_machine_it_does_not_find(_vm: Instance) -> Result {
    let output = Command::new(PROGRAM).args(["connect", "i-0123456789abcdef0"]).stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.starts_with("ec2-harness: failed to ") && said.contains("i-0123456789abcdef0"), "{said}");
    Ok(())
}
