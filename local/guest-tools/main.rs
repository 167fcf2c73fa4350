//! The guest's own commands, in one program that goes by many names.
//!
//! A sandbox has no service manager and, on most hosts, neither sudo nor cloud-init. What is here stands in for as much of
//! them as a test needs, and says so where it doesn't. It is compiled by the build script of `ec2-local`, with the
//! standard library alone, so that it runs on whatever the machine's file system holds.

mod cloud_init;
mod power;
mod sudo;
mod sudoers;
mod system;
mod users;

use std::{ffi::OsString, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let named = |arguments: &[OsString]| {
        let name = arguments.first().map(Path::new).and_then(Path::file_name);
        name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let mut name = named(&arguments);
    if !arguments.is_empty() {
        arguments.remove(0);
    }
    if name == "ec2-local-guest" {
        name = named(&arguments);
        if !arguments.is_empty() {
            arguments.remove(0);
        }
    }
    match name.as_str() {
        "sudo" => sudo::main(arguments),
        "reboot" | "poweroff" | "halt" | "shutdown" => power::main(&name, &arguments),
        "cloud-init" => cloud_init::main(&arguments),
        "cloud-id" => cloud_init::cloud_id(&arguments),
        _ => {
            eprintln!("ec2-local-guest: call it as sudo, reboot, poweroff, halt, shutdown, cloud-init or cloud-id");
            ExitCode::from(2)
        }
    }
}
