//! Running what user data brings, as root, with its output on the console.

use crate::guest::{child, console::Console, ssh::SEARCH_PATH};
use std::{io, os::fd::OwnedFd, path::Path, process::ExitStatus, process::Stdio};
use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver};

/// Runs an executable file to its end; what it leaves in the background may go on, and print.
pub async fn run(script: &Path, environment: &[(&str, &str)], console: &Console) -> Result<(), String> {
    let status = start(script, environment, console).await.map_err(|error| format!("it can't be run: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("it ended with {status}")) }
}

async fn start(script: &Path, environment: &[(&str, &str)], console: &Console) -> io::Result<ExitStatus> {
    let (reader, writer) = io::pipe()?;
    let mut output = Receiver::from_owned_fd(OwnedFd::from(reader))?;
    let mut command = std::process::Command::new(script);
    command.env_clear().env("PATH", SEARCH_PATH).env("LANG", "C.UTF-8").envs(environment.iter().copied());
    command.current_dir("/").stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    // SAFETY: the closure runs between fork and exec, and makes plain system calls only.
    unsafe {
        std::os::unix::process::CommandExt::pre_exec(&mut command, || {
            child::default_limits();
            child::default_signals();
            libc::umask(0o022);
            Ok(())
        });
    }
    let mut process = tokio::process::Command::from(command).spawn()?;
    let mut buffer = vec![0; 8 << 10];
    let status = loop {
        tokio::select! {
            // First what was printed, so that nothing of it comes after the end.
            biased;
            read = output.read(&mut buffer) => match read {
                Ok(length @ 1..) => console.output(&buffer[..length]),
                _ => return process.wait().await,
            },
            status = process.wait() => break status?,
        }
    };
    while let Ok(length @ 1..) = output.try_read(&mut buffer) {
        console.output(&buffer[..length]);
    }
    let console = console.clone();
    tokio::spawn(async move {
        while let Ok(length @ 1..) = output.read(&mut buffer).await {
            console.output(&buffer[..length]);
        }
    });
    Ok(status)
}
