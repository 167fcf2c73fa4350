//! What the local EC2 costs, beside what the same costs elsewhere, measured in the same run.
//!
//! `cargo bench -p ec2-local`, or a part of it: `cargo bench -p ec2-local -- switch`
//!
//! - `switch`: bytes from the host to a sandbox, and back, by the way in and the switch at EC2's MTU, beside plain loopback.
//! - `describes`: describes of 1,000 instances, beside moto's server. `ratio moto/ours` at the end is the least of them.
//! - `scale`: what an instance costs among 500, and among 5,000.
//! - `images`: what an image of 1 MB of changes takes over a small base, and over a large one.
//! - `volumes`: what a machine writes to a volume, beside the same written to a file on the host. `ratio volume/file` is of the times.
//! - `machines`: how soon an endpoint answers, how soon a machine does, and what 50 idle ones take.
//!
//! With `--test`, and under `cargo test`, it does a little of everything, to see that it works: its figures mean nothing.

mod bytes;
mod client;
mod describes;
mod images;
mod local;
mod machines;
mod moto;
mod scale;
mod sshd;
mod switch;
mod volumes;

use std::{
    env,
    error::Error,
    process::{Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

type Result<T = (), E = Box<dyn Error>> = std::result::Result<T, E>;

/// A name, and what measures it.
type Part = (&'static str, fn(Scope) -> Result);

/// What can be measured by itself, in an endpoint of its own.
const PARTS: &[Part] = &[
    ("switch", switch::run),
    ("describes", describes::run),
    ("scale", scale::run),
    ("images", images::run),
    ("volumes", volumes::run),
    ("machines", machines::run),
];

/// How much is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Enough for figures.
    Full,
    /// Enough to see that it works.
    Smoke,
}

impl Scope {
    /// So much of it, or so little.
    fn pick<T>(self, full: T, smoke: T) -> T {
        match self {
            Self::Full => full,
            Self::Smoke => smoke,
        }
    }
}

fn main() -> ExitCode {
    // First of all: the endpoint and its machines are this program, too.
    ec2_local::roles::run_named();
    let arguments: Vec<String> = env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    // Cargo says `--bench` to a bench that it runs as such.
    let scope = if has("--bench") && !has("--test") { Scope::Full } else { Scope::Smoke };
    let words: Vec<&str> = arguments.iter().map(String::as_str).filter(|word| !word.starts_with('-')).collect();
    let result = match *words {
        ["serve-bytes", address] => bytes::serve(address),
        ["within", part] => within(part, scope),
        ["start-endpoint"] => machines::start_endpoint(),
        _ => all(&words, scope),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Every part that is named, or all where none is.
fn all(words: &[&str], scope: Scope) -> Result {
    if let Some(unknown) = words.iter().find(|word| PARTS.iter().all(|(name, _)| name != *word)) {
        let parts: Vec<_> = PARTS.iter().map(|(name, _)| *name).collect();
        return Err(format!("there is no part `{unknown}`; the parts are {}", parts.join(", ")).into());
    }
    if scope == Scope::Smoke {
        println!("a little of everything, to see that it works: the figures mean nothing");
    }
    for (part, _) in PARTS.iter().filter(|(name, _)| words.is_empty() || words.contains(name)) {
        println!("--- {part}");
        in_a_place_of_its_own(&["within", part, scope.pick("--bench", "--test")])?;
    }
    Ok(())
}

fn within(part: &str, scope: Scope) -> Result {
    let (_, run) = PARTS.iter().find(|(name, _)| *name == part).ok_or("no such part")?;
    run(scope)
}

/// Runs this program again with a state directory of its own, and returns when the endpoint that it started is gone.
fn in_a_place_of_its_own(arguments: &[&str]) -> Result {
    let place = tempfile::tempdir()?;
    let state = place.path().join("local");
    let status = Command::new(env::current_exe()?).args(arguments).env("EC2_LOCAL_STATE_DIR", &state).status()?;
    let patience = Instant::now() + Duration::from_secs(60);
    while state.join("run").exists() && Instant::now() < patience {
        thread::sleep(Duration::from_millis(5));
    }
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", arguments.join(" ")).into()) }
}

/// The one in the middle.
fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> T {
    values.sort_by(|one, other| one.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal));
    values[values.len() / 2]
}
