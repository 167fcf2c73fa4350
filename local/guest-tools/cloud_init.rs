//! `cloud-init status` and `cloud-id`, from what the machine's agent has written down; `cloud-init clean`, which removes it.

use std::{
    collections::HashMap, ffi::OsString, fs, io, io::Write, path::Path, process::ExitCode, thread, time::Duration,
};

/// Lines of `key=value`; the values are as they are printed, with `\n` for a line's end and `\\` for a backslash.
const STATUS: &str = "/run/ec2-local/cloud-init-status";
/// What the machine was set up as.
const CLOUD: &str = "/var/lib/cloud";
const LOGS: [&str; 2] = ["/var/log/cloud-init.log", "/var/log/cloud-init-output.log"];
/// The name of the cloud.
const CLOUD_ID: &str = "/run/cloud-init/cloud-id";
/// How often `--wait` looks, and prints a dot at every fiftieth time.
const PACE: Duration = Duration::from_millis(5);

enum Format {
    Short,
    Long,
    Json,
    Yaml,
}

/// Runs `cloud-init`.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let arguments: Vec<String> = arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let mut words = arguments.iter().map(String::as_str);
    match words.next() {
        Some("--version" | "-v") => {
            println!("/usr/bin/cloud-init {} (ec2-local)", version());
            ExitCode::SUCCESS
        }
        Some("status") => status(words),
        Some("clean") => clean(words),
        Some(other) => fail(&format!("ec2-local's own has no `{other}`; it has `status`, `clean` and `--version`")),
        None => fail("it has `status`, `clean` and `--version`"),
    }
}

/// Runs `cloud-id`.
pub fn cloud_id(arguments: &[OsString]) -> ExitCode {
    if !arguments.is_empty() {
        eprintln!("cloud-id: ec2-local's own has no arguments");
        return ExitCode::FAILURE;
    }
    match fs::read_to_string(CLOUD_ID) {
        Ok(id) => {
            println!("{}", id.trim());
            ExitCode::SUCCESS
        }
        Err(_) => {
            println!("not run");
            ExitCode::from(2)
        }
    }
}

fn status<'a>(words: impl Iterator<Item = &'a str>) -> ExitCode {
    let (mut wait, mut format) = (false, Format::Short);
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        let named = word.strip_prefix("--format=").or_else(|| (word == "--format").then(|| words.next()).flatten());
        match (word, named) {
            ("--help" | "-h", _) => {
                println!("usage: cloud-init status [--help] [--format {{tabular,json,yaml}}] [--long] [--wait]");
                return ExitCode::SUCCESS;
            }
            ("--wait" | "-w", _) => wait = true,
            ("--long" | "-l", _) => format = Format::Long,
            (_, Some("json")) => format = Format::Json,
            (_, Some("yaml")) => format = Format::Yaml,
            (_, Some("tabular")) => {}
            (other, _) => return fail(&format!("ec2-local's own `status` has no `{other}`")),
        }
    }
    let mut found = read();
    let mut looked = 0u32;
    while wait && value(&found, "running") != "no" {
        looked += 1;
        if looked.is_multiple_of(50) {
            print!(".");
            let _ = std::io::stdout().flush();
        }
        thread::sleep(PACE);
        found = read();
    }
    if looked >= 50 {
        println!();
    }
    print(&found, &format);
    ExitCode::from(value(&found, "code").parse().unwrap_or(0))
}

/// Removes what the machine was set up as, so that it is set up again at its next boot.
/// <https://docs.cloud-init.io/en/latest/reference/cli.html#clean>
fn clean<'a>(words: impl Iterator<Item = &'a str>) -> ExitCode {
    let (mut logs, mut machine_id, mut seed) = (false, false, false);
    for word in words {
        match word {
            "--help" | "-h" => {
                println!("usage: cloud-init clean [--help] [--logs] [--machine-id] [--seed]");
                return ExitCode::SUCCESS;
            }
            "--logs" | "-l" => logs = true,
            "--machine-id" => machine_id = true,
            "--seed" | "-s" => seed = true,
            other => return fail(&format!("ec2-local's own `clean` has no `{other}`")),
        }
    }
    let cleaned = || -> io::Result<()> {
        for entry in fs::read_dir(CLOUD).into_iter().flatten() {
            let entry = entry?;
            if seed || entry.file_name() != "seed" {
                remove(&entry.path())?;
            }
        }
        for log in LOGS.iter().filter(|_| logs) {
            remove(Path::new(log))?;
        }
        if machine_id { fs::write("/etc/machine-id", "uninitialized\n") } else { Ok(()) }
    };
    match cleaned() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("failed to clean: {error}")),
    }
}

/// Removes a file, a link, or a directory with all that is in it.
fn remove(path: &Path) -> io::Result<()> {
    let is_directory = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?.is_dir(),
    };
    let removed = if is_directory { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn read() -> HashMap<String, String> {
    let text = fs::read_to_string(STATUS).unwrap_or_default();
    text.lines().filter_map(|line| line.split_once('=')).map(|(key, value)| (key.to_owned(), lines_of(value))).collect()
}

/// What was put on one line.
fn lines_of(value: &str) -> String {
    let mut text = String::new();
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.extend(characters.next().map(|next| if next == 'n' { '\n' } else { next })),
            other => text.push(other),
        }
    }
    text
}

fn value<'a>(found: &'a HashMap<String, String>, key: &str) -> &'a str {
    found.get(key).map_or("", String::as_str)
}

fn print(found: &HashMap<String, String>, format: &Format) {
    if found.is_empty() {
        match format {
            Format::Json => println!(r#"{{"status": "not started"}}"#),
            _ => println!("status: not started"),
        }
        return;
    }
    match format {
        Format::Short => println!("status: {}", value(found, "status")),
        Format::Long => println!("{}", value(found, "long")),
        Format::Json => println!("{}", value(found, "json")),
        // JSON is YAML, too.
        Format::Yaml => println!("---\n{}\n...", value(found, "json")),
    }
}

fn version() -> &'static str {
    option_env!("EC2_LOCAL_VERSION").unwrap_or("0")
}

/// Not 2, which stands for a boot that is degraded.
fn fail(why: &str) -> ExitCode {
    eprintln!("cloud-init: error: {why}");
    ExitCode::FAILURE
}
