//! The SSH server, by OpenSSH's client.

use crate::fixture::{Machine, USER, is_root, reading};
use std::{
    io::Write,
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
    time::Instant,
};

#[test]
fn a_command_runs_as_the_login_user() {
    let machine = Machine::boot();
    assert_eq!(
        machine.stdout("echo $USER $LOGNAME $SHELL; pwd"),
        format!("{USER} {USER} /bin/bash\n{}\n", machine.path(format!("home/{USER}")).display())
    );
    if is_root() {
        assert_eq!(machine.stdout("id -u; id -g; id -G"), "1000\n1000\n1000 4 27\n");
    }
    let connection = machine.stdout("echo $SSH_CONNECTION");
    let connection: Vec<_> = connection.split_whitespace().collect();
    assert_eq!((connection[0], connection[2]), ("127.0.0.1", "127.0.0.1"));
    assert_eq!(connection[3], machine.address.port().to_string());
}
