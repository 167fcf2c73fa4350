//! SIGINT, SIGTERM and SIGHUP: end what lives, then die of the signal. A second one ends the process at once.
//!
//! A thread, not a handler: what teardown needs isn't allowed in one.

use super::{
    journal::Entry,
    live::{self, Making},
    owned::end_all,
    sweep::find_made,
};
use crate::{
    connection::Connection,
    error::{Error, ErrorKind},
    resource::Kind,
    task::{OnDrop, Task},
};
use once_cell::sync::OnceCell;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
    low_level::emulate_default_handler,
};
use std::{
    collections::{BTreeMap, HashSet},
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// nextest kills ten seconds after its SIGTERM.
const PATIENCE: Duration = Duration::from_secs(8);

/// The pause between two looks at what still lives; it doubles.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Whether a signal is ending this process.
static ENDING: AtomicBool = AtomicBool::new(false);

/// Doesn't return while a signal is ending the process: tests fail by what it ends, and a process that exits because its
/// tests are through would do so before all is ended, and not by the signal.
pub(crate) fn give_way() {
    while ENDING.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(50));
    }
}

/// Fails while a signal is ending the process: what is made now would be ended at once.
pub(crate) fn check(tried: &str) -> Result<(), Error> {
    if !ENDING.load(Ordering::SeqCst) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Cancelled, tried).because("a signal is ending this process"))
}

/// Starts the thread; once per process, before the first create call. Signals that are ignored, as under nohup, stay so.
pub(crate) fn install() -> Result<(), Error> {
    static INSTALLED: OnceCell<()> = OnceCell::new();
    INSTALLED
        .get_or_try_init(|| {
            let mut signals = Signals::new(heeded(&fs::read_to_string("/proc/self/status")?))?;
            thread::Builder::new().name("ec2-harness-signals".into()).spawn(move || {
                for (count, signal) in signals.forever().enumerate() {
                    if count > 0 {
                        let _ = emulate_default_handler(signal);
                    }
                    ENDING.store(true, Ordering::SeqCst);
                    thread::spawn(move || {
                        end_everything();
                        let _ = emulate_default_handler(signal);
                        ENDING.store(false, Ordering::SeqCst);
                    });
                }
            })?;
            Ok(())
        })
        .map_err(|e: std::io::Error| Error::new(ErrorKind::Internal, "watch for signals").caused_by(e))
        .copied()
}

/// Those that this process doesn't ignore, by its `/proc/PID/status`.
fn heeded(status: &str) -> Vec<i32> {
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    let is_ignored = |signal: i32| ignored.unwrap_or_default() >> (signal - 1) & 1 == 1;
    [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal)).collect()
}

fn end_everything() {
    let (owned, making) = live::everything();
    if owned.is_empty() && making.is_empty() {
        return;
    }
    let kinds = owned.iter().map(|it| it.identity().kind).chain(making.iter().map(|it| it.entry.kind()));
    eprintln!("ec2-harness: ending {}; press again to leave them to the watchdog", count(kinds));
    let ended = Task::start("end everything", OnDrop::Finish, async move {
        match tokio::time::timeout(PATIENCE, end_all_that_lives()).await {
            Ok(result) => result,
            Err(_) => Err(Error::new(ErrorKind::TimedOut, "end everything")
                .because(format!("EC2 didn't accept it within {} s", PATIENCE.as_secs()))
                .advise("the watchdog ends what is left; `ec2-harness sweep` does it at once")),
        }
    })
    .wait();
    if let Err(error) = ended {
        eprintln!("ec2-harness: failed to {error}");
    }
}

/// How many there are of each kind: `2 instances, 1 placement group`.
fn count(kinds: impl Iterator<Item = &'static Kind>) -> String {
    let mut counts: BTreeMap<&str, (&Kind, usize)> = BTreeMap::new();
    kinds.for_each(|kind| counts.entry(kind.word).or_insert((kind, 0)).1 += 1);
    counts.into_values().map(|(kind, count)| kind.count(count)).collect::<Vec<_>>().join(", ")
}

/// Ends what lives, until nothing does: what is being made comes to live, and some of it only then can be seen.
async fn end_all_that_lives() -> Result<(), Error> {
    let mut pause = PAUSE_MIN;
    let mut ended_already = HashSet::new();
    loop {
        let (owned, mut making) = live::everything();
        making.retain(|it| !ended_already.contains(it.entry.token()));
        if owned.is_empty() && making.is_empty() {
            return Ok(());
        }
        let mut ended = end_all(owned).await;
        // Their answers may take longer than we have: EC2 finds them by what the calls bear.
        let by_tokens = end_made(&making).await;
        ended = ended.and(by_tokens.map(|tokens| ended_already.extend(tokens)));
        match ended {
            Err(error) if !error.is_transient() && error.kind() != ErrorKind::NotFound => return Err(error),
            _ => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Ends what these calls have made, as far as it is seen; says which these are, by their tokens.
async fn end_made(making: &[Making]) -> Result<Vec<String>, Error> {
    let mut by_connection: BTreeMap<usize, (&Arc<Connection>, Vec<&Entry>)> = BTreeMap::new();
    for Making { entry, connection } in making {
        let key = Arc::as_ptr(connection) as usize;
        by_connection.entry(key).or_insert_with(|| (connection, Vec::new())).1.push(entry);
    }
    let mut ended = Vec::new();
    for (connection, entries) in by_connection.into_values() {
        for found in find_made(connection, &entries).await? {
            ended.extend(found.token().map(str::to_owned));
            if !found.has_ended {
                let ending = vec![found.ending(true)];
                (found.kind.end)(connection, ending).await.map_err(|left| left.error)?;
            }
        }
    }
    Ok(ended)
}
