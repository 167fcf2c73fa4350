//! A disk that is full: nobody dies of it, and everybody says what couldn't be written, and where.

use crate::{endpoint::State, place::Place, refused::ENSURE};
use std::{path::Path, process::Command};

/// Runs a shell script with a small file system at the state directory, `$state`, of which `fill` leaves no byte, nor
/// of the log's last page. All goes with the
/// script's namespace.
fn within_small_disk(place: &Place, script: &str) -> String {
    let prelude = "set -eu; mount -t tmpfs -o mode=0700,size=400k none \"$state\"
        fill() { dd if=/dev/zero of=\"$state/run.filling\" bs=1k 2>/dev/null || :; dd if=/dev/zero bs=1 \\
            of=\"$state/run.filling\" oflag=append conv=notrunc 2>/dev/null || :
            tr '\\0' '\\n' </dev/zero | dd bs=1 of=\"$state/log\" oflag=append conv=notrunc 2>/dev/null || :; }
        until_said() { until grep -q \"$1\" \"$2\"; do sleep 0.02; done; }";
    std::fs::create_dir_all(place.state()).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "timeout", "60", "bash", "-c"]);
    command.arg(format!("{prelude}\n{script}")).env("state", place.state()).env("outside", place.path());
    command.env("program", State::program()).env("tests", std::env::current_exe().unwrap()).env("ensure", ENSURE);
    let output = command.env("EC2_LOCAL_STATE_DIR", place.state()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("panicked") && !said.contains("SIGABRT"), "{said}");
    said
}

fn may_mount() -> bool {
    let may = rustix::process::geteuid().is_root();
    if !may {
        eprintln!("skipped: only root may mount");
    }
    may
}

fn names(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn who_starts_one_is_told_what_could_not_be_written_and_where() {
    if !may_mount() {
        return;
    }
    let place = Place::new();
    // Its secret and its log are there, from before.
    let before = "env \"$ensure=$state\" \"$tests\"; kill $(sed -n 's/.* pid=\\([0-9]*\\).*/\\1/p' \"$state/log\")
        until_said ending \"$state/log\"; while [ -e \"$state/run\" ]; do sleep 0.02; done; mkdir \"$state/run\"; fill";
    let on_demand = within_small_disk(&place, &format!("{before}; env \"$ensure=$state\" \"$tests\" || :"));
    let served = within_small_disk(&place, &format!("{before}; \"$program\" serve || :"));
    for said in [&on_demand, &served] {
        assert!(said.contains("No space left on device"), "{said}");
        assert!(said.contains(&names(&place.state().join("run"))) && said.contains("make room there"), "{said}");
    }
    assert!(on_demand.contains("nor can that be written to the log"), "{on_demand}");
}

#[test]
fn one_whose_log_cannot_be_written_goes_on_and_ends_as_it_should() {
    if !may_mount() {
        return;
    }
    let place = Place::new();
    let said = within_small_disk(
        &place,
        "env \"$ensure=$state\" \"$tests\"; pid=$(sed -n 's/.* pid=\\([0-9]*\\).*/\\1/p' \"$state/log\"); fill
        \"$program\" env | grep ENDPOINT
        # Nor does one who can't print.
        if \"$program\" env >/dev/full; then exit 1; fi
        kill $pid; while kill -0 $pid 2>/dev/null; do sleep 0.02; done
        ! grep -q ending \"$state/log\"
        [ ! -e \"$state/run\" ]",
    );
    assert!(said.contains("failed to write to standard output: No space left on device"), "{said}");
}
