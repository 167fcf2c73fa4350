//! How a command with an endpoint of its own ends: with all that it had, whoever is ended first.

use crate::{
    asked::{Place, Running, are_gone, pid},
    endpoint::eventually,
};
use rustix::process::{Signal, kill_process, test_kill_process};
use std::{fs, os::unix::process::ExitStatusExt, path::Path};

#[test]
fn machines_endpoint_and_state_end_with_the_command() {
    let place = Place::new();
    let mut running = Running::start(&place);
    running.launch();
    let processes = running.processes();
    assert!(processes.len() > 2, "an endpoint, and a machine: {processes:?}");
    drop(running.run.stdin.take());
    let status = running.run.wait().unwrap();
    assert_eq!(status.code(), Some(9));
    // It was waited for.
    assert!(are_gone(&processes) && !Path::new(running.state()).exists());
    place.assert_empty();
}

#[test]
fn they_end_when_run_is_killed() {
    let place = Place::new();
    let mut running = Running::start(&place);
    running.launch();
    let processes = running.processes();
    running.run.kill().unwrap();
    running.run.wait().unwrap();
    eventually("all of the endpoint's is gone", || are_gone(&processes) && !Path::new(running.state()).exists());
    place.assert_empty();
    test_kill_process(running.command).expect("the command is nobody's to end");
}

#[test]
fn they_end_when_their_endpoint_is_killed_and_the_status_is_the_commands() {
    let place = Place::new();
    let mut running = Running::start(&place);
    running.launch();
    let processes = running.processes();
    kill_process(running.endpoint(), Signal::KILL).unwrap();
    eventually("its machines end with it", || are_gone(&processes));
    drop(running.run.stdin.take());
    assert_eq!(running.run.wait().unwrap().code(), Some(9));
    place.assert_empty();
}

#[test]
fn what_is_left_of_both_goes_with_the_next() {
    let place = Place::new();
    let mut running = Running::start(&place);
    running.launch();
    let processes = running.processes();
    let endpoint = running.endpoint();
    // At a stop it sees nothing.
    kill_process(endpoint, Signal::STOP).unwrap();
    running.run.kill().unwrap();
    running.run.wait().unwrap();
    kill_process(endpoint, Signal::KILL).unwrap();
    eventually("all of the endpoint's is gone", || are_gone(&processes));
    assert!(Path::new(running.state()).exists());
    // One that somebody has is left alone.
    let other = Running::start(&place);
    assert!(!Path::new(running.state()).exists());
    assert!(place.run(&[], &["true"], "").status.success());
    assert!(Path::new(other.state()).exists());
}

#[test]
fn signals_are_passed_on() {
    for (signal, name) in [(Signal::INT, "INT"), (Signal::TERM, "TERM"), (Signal::HUP, "HUP")] {
        let place = Place::new();
        let trap = format!("trap 'exit 30' {name}");
        let mut running = Running::with(&place, &trap, "while :; do sleep 0.05; done");
        kill_process(pid(running.run.id()), signal).unwrap();
        assert_eq!(running.run.wait().unwrap().code(), Some(30), "{name}");
        place.assert_empty();

        // As shells tell it, and the process itself isn't ended by it.
        let mut running = Running::with(&place, "", "exec sleep 1000");
        kill_process(pid(running.run.id()), signal).unwrap();
        let status = running.run.wait().unwrap();
        assert_eq!((status.code(), status.signal()), (Some(128 + signal.as_raw()), None), "{name}");
        place.assert_empty();
    }
}

#[test]
fn what_the_command_leaves_in_the_background_keeps_nothing() {
    let place = Place::new();
    let left = place.path("left");
    let script = format!("sleep 1000 & echo $! >{left}");
    let output = place.run(&[], &["sh", "-c", &format!("({script}) >/dev/null 2>&1 </dev/null")], "");
    assert!(output.status.success(), "{output:?}");
    place.assert_empty();
    let left = pid(fs::read_to_string(&left).unwrap().trim_end().parse().unwrap());
    kill_process(left, Signal::KILL).expect("it is nobody's to end");
}
