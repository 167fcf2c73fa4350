//! An endpoint of its own: shared by runs, gone after them, with all that was its.

use super::{
    run::{Run, lives},
    support::eventually,
    world::{World, kill_with_watchdog, processes_of_machines, send},
};
use rustix::process::Signal;
use std::{
    collections::BTreeSet,
    fs,
    os::unix::process::ExitStatusExt,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

#[test]
fn what_is_dropped_in_a_runtime_holds_nobody_up_and_ends_with_its_process() {
    let world = World::new();
    let mut run = world.start("drops_in_a_runtime");
    let instance = run.value("id");
    assert!(run.end().success());
    // Not half a minute later, by the watchdog.
    let left = world.sweep_with(&["--dry-run"]);
    assert!(!left.contains(&instance), "{left}");
    world.assert_is_empty();
}

#[test]
fn two_runs_share_one_endpoint_and_leave_nothing() {
    let world = World::new();
    let (mut one, mut other) = (world.start("waits"), world.start("waits"));
    let endpoint = one.value("endpoint");
    assert_eq!(other.value("endpoint"), endpoint);
    let machines = processes_of_machines(&endpoint);
    assert!(lives(&endpoint) && !machines.is_empty(), "this test sees no machines");
    // A terminal's Ctrl-C is for the test that runs there, not for the endpoint that it has started.
    one.signal_group(Signal::INT);
    other.signal_group(Signal::INT);
    for run in [one, other] {
        assert_eq!(run.end().signal(), Some(Signal::INT.as_raw()));
    }
    // Anyone who comes within the endpoint's time finds it again.
    let mut third = world.start("passes");
    assert_eq!(third.value("endpoint"), endpoint);
    assert!(third.end().success());
    world.assert_is_empty();
    // A process that is just ending shows neither its environment nor its command any more, but is still there.
    eventually("endpoint and machines have ended", || {
        !lives(&endpoint) && !machines.iter().any(|machine| lives(machine))
    });
}

/// EC2's word for every kind of the table.
fn words() -> BTreeSet<String> {
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/resource");
    let files = fs::read_dir(table).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|file| !file.ends_with("tests.rs"));
    let word = |file| {
        let text = fs::read_to_string(file).unwrap();
        Some(text.split_once("    word: \"")?.1.split_once('"')?.0.to_owned())
    };
    files.filter_map(word).collect()
}

#[test]
fn a_killed_run_leaves_nothing_of_any_kind() {
    let mut words = words();
    assert!(words.len() >= 12 && words.contains("instance"), "{words:?}");
    let world = World::new();
    let mut run = world.start("waits_with_every_kind");
    while !words.is_empty() {
        words.remove(&run.value("kind"));
    }
    kill_with_watchdog(run);
    world.sweep();
    world.assert_is_empty();
}

#[test]
fn a_killed_run_is_swept() {
    let world = World::new();
    let mut run = world.start("waits");
    let (instance, endpoint) = (run.value("id"), run.value("endpoint"));
    run.signal(Signal::KILL);
    run.end();
    assert!(lives(&endpoint), "it outlives who has started it");
    assert!(world.sweep().contains(&instance));
    world.assert_is_empty();
    assert!(world.sweep().contains("nothing is left"));
}

#[test]
fn what_a_killed_process_was_making_is_ended_though_it_is_seen_late() {
    let world = World::new();
    // While the answer is awaited, and nothing of the run is seen yet.
    for delay in [20, 50, 100, 150] {
        let mut run = Run::start("passes", |command| {
            // Up to three seconds late.
            command.env("EC2_HARNESS_LOCAL_CONDITIONS", "hostile").env("EC2_HARNESS_LOCAL_PACE", "0.05");
            world.enter(command);
        });
        let id = run.id.clone();
        let launches = || {
            let directory = fs::read_dir(world.harness().join("runs").join(&id)).into_iter().flatten();
            let journals = directory.map(|file| file.unwrap().path()).filter(|path| path.is_dir());
            journals
                .flat_map(|journal| fs::read_dir(journal).unwrap())
                .any(|entry| entry.unwrap().file_name().to_str().unwrap().starts_with("instance."))
        };
        while !launches() {
            assert!(run.is_running(), "it ended before it was seen to launch anything");
            thread::sleep(Duration::from_millis(2));
        }
        thread::sleep(Duration::from_millis(delay));
        run.signal(Signal::KILL);
        assert_eq!(run.end().signal(), Some(Signal::KILL.as_raw()));
    }
    // The endpoint stays for as long as anything lives there.
    world.assert_is_empty();
}

#[test]
fn a_signal_ends_what_is_being_launched_though_it_is_seen_late() {
    let world = World::new();
    for _ in 0..6 {
        let mut run = Run::start("launches", |command| {
            world.enter(command.env("EC2_HARNESS_LOCAL_CONDITIONS", "hostile"));
        });
        run.value("endpoint");
        run.signal(Signal::INT);
        assert_eq!(run.end().signal(), Some(Signal::INT.as_raw()));
    }
    world.assert_is_empty();
}

#[test]
fn a_run_whose_watchdog_was_killed_too_is_swept() {
    let world = World::new();
    let mut run = world.start("waits");
    let instance = run.value("id");
    kill_with_watchdog(run);
    assert!(world.sweep().contains(&instance));
    world.assert_is_empty();
}

#[test]
fn a_run_is_over_for_a_sweep_while_its_watchdog_looks_what_it_has_left() {
    let world = World::new();
    let mut run = world.start("waits");
    let (instance, directory) = (run.value("id"), world.harness().join("runs").join(&run.id));
    kill_with_watchdog(run);
    // As the watchdog has it then.
    let members = fs::File::open(directory.join("members")).unwrap();
    members.lock().unwrap();
    eventually("it is found", || world.sweep_with(&["--dry-run"]).contains(&instance));
    drop(members);
    assert!(world.sweep().contains(&instance));
    world.assert_is_empty();
}

#[test]
fn what_is_kept_is_swept_by_its_name_alone_and_its_key_with_it() {
    let world = World::new();
    let mut run = world.start("keeps");
    let instance = run.value("id");
    assert!(run.end().success());
    assert!(world.sweep().contains("nothing is left"));
    assert!(world.sweep_with(&["--instance", &instance]).contains(&instance));
    // It may be that the end isn't seen at once.
    eventually("its key goes with it", || world.sweep().contains("key"));
    world.assert_is_empty();
}

#[test]
fn a_sweep_takes_nothing_from_runs_that_begin_meanwhile() {
    let world = World::new();
    // So that there is an endpoint all the while.
    let mut witness = world.start("waits");
    let id = witness.value("id");
    let done = AtomicBool::new(false);
    let swept = thread::scope(|scope| {
        let sweeping = scope.spawn(|| {
            let mut swept = String::new();
            while !done.load(Ordering::Relaxed) {
                swept += &world.sweep();
            }
            swept
        });
        let runs = (0..12).map(|_| {
            let mut run = world.start("passes");
            let id = run.value("id");
            (id, run.end().success())
        });
        let runs: Vec<_> = runs.collect();
        done.store(true, Ordering::Relaxed);
        assert!(runs.iter().all(|(_, passed)| *passed), "{runs:?}");
        sweeping.join().unwrap()
    });
    assert!(!swept.contains(&id), "{swept}");
    witness.signal(Signal::INT);
    witness.end();
    world.assert_is_empty();
}

#[test]
fn a_killed_endpoint_takes_its_machines_with_it() {
    let world = World::new();
    let mut run = world.start("waits");
    let endpoint = run.value("endpoint");
    let machines = processes_of_machines(&endpoint);
    assert!(!machines.is_empty(), "this test sees no machines");
    send(&endpoint, Signal::KILL);
    assert!(!run.end().success());
    eventually("its machines have ended", || !machines.iter().any(|machine| lives(machine)));
    // The next one clears what it has left.
    let mut next = world.start("passes");
    assert_ne!(next.value("endpoint"), endpoint);
    assert!(next.end().success());
    world.assert_is_empty();
}

#[test]
fn a_second_signal_ends_the_process_at_once_and_leaves_the_rest_to_the_watchdog() {
    let world = World::new();
    let said = world.path().join("said");
    let mut run = Run::start("waits", |command| {
        world.enter(command);
        command.stderr(fs::File::create(&said).unwrap());
    });
    let endpoint = run.value("endpoint");
    let said = || fs::read_to_string(&said).unwrap();
    // Nothing can be ended while the endpoint is at a stop.
    send(&endpoint, Signal::STOP);
    run.signal(Signal::INT);
    eventually("it is told what a second one does", || said().contains("press again"));
    run.signal(Signal::INT);
    assert_eq!(run.end().signal(), Some(Signal::INT.as_raw()));
    assert!(!said().contains("failed to end"), "it was waited for: {}", said());
    send(&endpoint, Signal::CONT);
    world.assert_is_empty();
}
