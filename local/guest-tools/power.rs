//! `reboot`, `poweroff`, `halt`, `shutdown`.
//!
//! Init powers the machine off on SIGTERM and reboots it on SIGINT.

use crate::system::{self, SIGINT, SIGTERM};
use std::{ffi::OsString, fs, process::ExitCode, thread, time::Duration};

/// Holds the process id of a shutdown that waits.
const PENDING: &str = "/run/ec2-local/shutdown.pid";

/// What is asked for.
enum Request {
    Now(i32),
    After(Duration, i32),
    Cancel,
}

/// Runs one of the commands.
pub fn main(name: &str, arguments: &[OsString]) -> ExitCode {
    let arguments: Vec<String> = arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let request = match name {
        "shutdown" => shutdown(&arguments),
        "halt" => halt(&arguments),
        _ => simple(&arguments, if name == "reboot" { SIGINT } else { SIGTERM }),
    };
    match request.and_then(carry_out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{name}: {why}");
            ExitCode::FAILURE
        }
    }
}

fn simple(arguments: &[String], signal: i32) -> Result<Request, String> {
    for argument in arguments {
        match argument.as_str() {
            // Nothing here waits for services, nor is anybody else logged in to be told.
            "-f" | "--force" | "-ff" | "-n" | "--no-sync" | "--no-wall" | "-d" | "--no-wtmp" | "-i" => {}
            "-p" | "--poweroff" if signal == SIGTERM => {}
            other => return Err(unknown(other)),
        }
    }
    Ok(Request::Now(signal))
}

/// AWS: "the halt command does not initiate a shutdown"; the instance goes on running with its processors halted.
fn halt(arguments: &[String]) -> Result<Request, String> {
    if arguments.iter().any(|argument| argument == "-p" || argument == "--poweroff") {
        return simple(arguments, SIGTERM);
    }
    Err("a sandbox can't be halted and stay on, as an instance would; use poweroff".to_owned())
}

fn shutdown(arguments: &[String]) -> Result<Request, String> {
    let mut signal = SIGTERM;
    let mut when = None;
    for argument in arguments {
        match argument.as_str() {
            "-r" | "--reboot" => signal = SIGINT,
            "-h" | "-P" | "--poweroff" => signal = SIGTERM,
            "-c" => return Ok(Request::Cancel),
            "--no-wall" | "-f" | "-F" | "-t" => {}
            other if other.starts_with('-') => return Err(unknown(other)),
            time if when.is_none() => when = Some(time.to_owned()),
            // What follows is the message for those who are logged in.
            _ => {}
        }
    }
    // systemd's default is a minute.
    match when.as_deref().unwrap_or("+1") {
        "now" | "+0" | "0" => Ok(Request::Now(signal)),
        time => {
            let minutes: u64 = time.trim_start_matches('+').parse().map_err(|_| unknown(time))?;
            Ok(Request::After(Duration::from_secs(minutes.saturating_mul(60)), signal))
        }
    }
}

fn unknown(argument: &str) -> String {
    format!("ec2-local's own has no `{argument}`")
}

fn carry_out(request: Request) -> Result<(), String> {
    if system::effective_uid() != 0 {
        return Err("must be superuser".to_owned());
    }
    cancel();
    match request {
        Request::Cancel => Ok(()),
        Request::Now(signal) => system::signal(1, signal).map_err(|error| format!("failed to tell init: {error}")),
        Request::After(delay, signal) => {
            let minutes = delay.as_secs() / 60;
            if system::into_background().map_err(|error| error.to_string())? {
                let _ = fs::create_dir_all("/run/ec2-local");
                let _ = fs::write(PENDING, std::process::id().to_string());
                system::close_streams();
                thread::sleep(delay);
                let _ = fs::remove_file(PENDING);
                let _ = system::signal(1, signal);
            } else {
                eprintln!("Shutdown scheduled in {minutes} minutes, use 'shutdown -c' to cancel.");
            }
            Ok(())
        }
    }
}

/// Ends a shutdown that waits.
fn cancel() {
    if let Some(pid) = fs::read_to_string(PENDING).ok().and_then(|text| text.trim().parse().ok()) {
        let _ = fs::remove_file(PENDING);
        let _ = system::signal(pid, SIGTERM);
    }
}
