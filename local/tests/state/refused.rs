//! State directories, and what leads to them, that aren't the user's alone.

use crate::place::{Place, Serving, all_below, refusal, set_mode};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    process::Command,
};

#[test]
fn a_directory_with_something_in_it_is_not_taken_for_ours() {
    for found in ["run/results/day-1", "images/trees/x/oak", "notes", "log", ".config"] {
        let place = Place::new();
        place.write(found);
        set_mode(&place.state(), 0o700);
        let before = all_below(&place.state());
        let said = refusal(place.command().env("EC2_LOCAL_STATE_DIR", ".").arg("serve").current_dir(place.state()));
        let entry = found.split('/').next().unwrap();
        for part in [
            &format!("`{entry}` in it isn't the local EC2's"),
            "set EC2_LOCAL_STATE_DIR to a new or an empty directory",
        ] {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(all_below(&place.state()), before);
        for command in [&["env"][..], &["image", "list"], &["check"]] {
            let said = refusal(place.command().args(command));
            assert!(said.contains("isn't the local EC2's"), "{said}");
        }
        assert_eq!(all_below(&place.state()), before);
    }
}

#[test]
fn a_directory_of_an_earlier_version_is_ours_if_all_in_it_is() {
    let place = Place::used();
    let mark = place.state().join(".ec2-local");
    for entry in ["run", "images"] {
        place.make(entry);
    }
    place.serve(&[]).end();
    for (entry, refused) in [("images/trees/x", false), ("run/results", false), ("notes", true)] {
        fs::remove_file(&mark).unwrap();
        let entry = place.make(entry);
        if refused {
            assert!(place.refusal().contains("`notes` in it isn't"));
        } else {
            place.serve(&[]).end();
            assert!(mark.symlink_metadata().unwrap().is_symlink());
        }
        assert!(entry.is_dir());
    }
    fs::remove_dir(place.state().join("notes")).unwrap();
    // A secret that isn't of our form proves nothing.
    for secret in ["{\"access_key\":\"me\",\"secret_key\":\"mine\"}", "hello", ""] {
        let _ = fs::remove_file(&mark);
        fs::write(place.state().join("secret"), secret).unwrap();
        set_mode(&place.state().join("secret"), 0o600);
        assert!(place.refusal().contains("in it isn't the local EC2's"), "{secret}");
        assert_eq!(fs::read_to_string(place.state().join("secret")).unwrap(), secret);
    }
}

#[test]
fn what_others_can_write_to_leads_to_no_state_directory() {
    let place = Place::new();
    let shared = place.path().join("shared");
    let below = |mode: u32| {
        let _ = fs::remove_dir_all(&shared);
        fs::create_dir(&shared).unwrap();
        set_mode(&shared, mode);
        let mut command = place.command();
        command.env("EC2_LOCAL_STATE_DIR", shared.join("a/state")).arg("serve");
        command
    };
    for mode in [0o777, 0o757, 0o733, 0o2777] {
        let said = refusal(&mut below(mode));
        let shared = shared.display();
        for part in [format!("{shared} has the mode {mode:04o}, so everybody"), format!("chmod o-w {shared}")] {
            assert!(said.contains(&part), "{said}");
        }
        assert_eq!(fs::read_dir(place.path().join("shared")).unwrap().count(), 0);
    }
    for mode in [0o1777, 0o755, 0o711] {
        Serving::run(&mut below(mode)).end();
    }
    // The directory itself.
    let state = place.make("");
    for (mode, said) in [(0o777, "chmod"), (0o750, "chmod 0700"), (0o701, "chmod 0700")] {
        set_mode(&state, mode);
        assert!(place.refusal().contains(said));
        assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
    }
}

#[test]
fn links_of_ones_own_are_followed_on_the_way_and_nowhere_below() {
    let place = Place::new();
    fs::create_dir_all(place.path().join("real/deep")).unwrap();
    symlink("real", place.path().join("relative")).unwrap();
    symlink(place.path().join("relative/deep"), place.path().join("absolute")).unwrap();
    let mut command = place.command();
    command.env("EC2_LOCAL_STATE_DIR", place.path().join("absolute/../deep/./state")).arg("serve");
    Serving::run(&mut command).end();
    assert!(place.path().join("real/deep/state/secret").is_file());
    symlink("round", place.path().join("round")).unwrap();
    let said = refusal(place.command().env("EC2_LOCAL_STATE_DIR", place.path().join("round/state")).arg("serve"));
    assert!(said.contains("follow the symbolic link"), "{said}");
    // Checked at its target, too.
    set_mode(&place.path().join("real"), 0o777);
    let said = refusal(place.command().env("EC2_LOCAL_STATE_DIR", place.path().join("absolute/other")).arg("serve"));
    assert!(said.contains("real has the mode 0777"), "{said}");
}

#[test]
fn a_planted_link_leads_nowhere() {
    let build = ec2_local::endpoint::BUILD;
    let run = format!("run/{build}");
    let own = |file: &str| format!("{run}/{file}");
    // Where it refuses, and where it starts and leaves the link alone.
    for (planted, to, refused) in [
        ("run".to_owned(), "inner", true),
        (run.clone(), "inner", true),
        (own("endpoint"), "inner/file", true),
        (own("journal"), "inner/file", true),
        (own("way-in"), "inner/file", true),
        (own("machines"), "inner", true),
        ("secret".to_owned(), "inner/file", true),
        ("run/other".to_owned(), "inner", false),
        ("run/.ended-1.0".to_owned(), "inner", false),
        (own("machines/i-0123456789abcdef0"), "inner", false),
        ("images".to_owned(), "inner", false),
        ("images/trees".to_owned(), "inner", false),
        ("images/x.json".to_owned(), "inner/file", false),
        ("images/trees/x".to_owned(), "inner", false),
        ("images/trees/0123456789abcdef".to_owned(), "inner", false),
        ("images/trees/.0123456789abcdef".to_owned(), "inner", false),
    ] {
        let place = Place::used();
        let outside = place.outside();
        fs::write(outside.join("inner/log"), "").unwrap();
        let at = place.state().join(&planted);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        if planted.starts_with(&run) && planted != run {
            place.mark(&run, "an endpoint's directory");
        }
        let _ = fs::remove_file(&at);
        symlink(outside.join(to), &at).unwrap();
        let before = all_below(&outside);
        if refused {
            let said = place.refusal();
            assert!(said.contains(at.to_str().unwrap()), "{planted}: {said}");
            assert!(said.contains("symbolic link") || said.contains("isn't a socket"), "{planted}: {said}");
        } else {
            let said = place.serve(&[]).end();
            assert!(planted.ends_with(".json") || said.contains(at.to_str().unwrap()), "{planted}: {said}");
        }
        assert_eq!(all_below(&outside), before, "{planted}");
        // What lies in an endpoint's directory is put aside with it.
        let link = at.file_name().unwrap();
        assert!(all_below(&place.state()).keys().any(|path| path.ends_with(link) && path.is_symlink()), "{planted}");
    }
}

#[test]
fn a_planted_name_of_another_file_is_not_written_through() {
    let run = format!("run/{}", ec2_local::endpoint::BUILD);
    for planted in ["secret.new".to_owned(), format!("{run}/journal.new"), format!("{run}/endpoint")] {
        let place = Place::used();
        let outside = place.outside();
        place.make(&run);
        place.mark(&run, "an endpoint's directory");
        fs::remove_file(place.state().join("secret")).unwrap();
        fs::hard_link(outside.join("inner/file"), place.state().join(&planted)).unwrap();
        // Its owner may have it locked for purposes of its own.
        let file = fs::File::open(outside.join("inner/file")).unwrap();
        let _lock = (planted == "secret.new").then(|| file.lock().unwrap());
        let before = all_below(&outside);
        place.serve(&[]).end();
        assert_eq!(all_below(&outside), before, "{planted}");
        let left: Vec<_> = all_below(&place.state()).into_keys().collect();
        assert_eq!(left, [".ec2-local", "secret"].map(|name| place.state().join(name)), "{planted}");
        assert_eq!(fs::metadata(place.state().join("secret")).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

/// As a client that starts an endpoint on demand does.
#[test]
fn a_log_is_appended_to_where_it_is_or_not_at_all() {
    for kind in ["link", "other name", "pipe"] {
        let place = Place::used();
        let file = place.outside().join("inner/file");
        let log = place.state().join("log");
        match kind {
            "link" => symlink(&file, &log).unwrap(),
            "other name" => fs::hard_link(&file, &log).unwrap(),
            _ => assert!(Command::new("mkfifo").arg(&log).status().unwrap().success()),
        }
        let mut command = Command::new(std::env::current_exe().unwrap());
        let said = refusal(command.env(ENSURE, place.state()));
        assert!(said.contains(log.to_str().unwrap()), "{kind}: {said}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "somebody's", "{kind}");
    }
}

/// Names the state directory to a client of ours.
pub const ENSURE: &str = "TEST_ENSURES_ENDPOINT";

extern "C" fn ensure_if_told() {
    ec2_local::roles::run_named();
    let Some(state) = std::env::var_os(ENSURE) else { return };
    // SAFETY: nothing else runs before `main`.
    unsafe { std::env::set_var("EC2_LOCAL_STATE_DIR", state) };
    let code = match ec2_local::endpoint::ensure(&ec2_local::endpoint::Settings::default()) {
        Ok(_) => 0,
        Err(error) => {
            println!("failed to {error}");
            1
        }
    };
    std::process::exit(code)
}

#[used]
#[unsafe(link_section = ".init_array")]
static ENSURE_IF_TOLD: extern "C" fn() = ensure_if_told;

#[test]
fn a_pipe_in_the_place_of_a_file_hangs_nobody() {
    let place = Place::used();
    for file in ["secret", "images/x.json"] {
        let at = place.state().join(file);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        let kept = fs::read(&at).ok();
        let _ = fs::remove_file(&at);
        assert!(Command::new("mkfifo").arg(&at).status().unwrap().success());
        if file == "secret" {
            assert!(place.refusal().contains("is a pipe, where a file of ours is expected"));
        } else {
            place.serve(&[]).end();
        }
        fs::remove_file(&at).unwrap();
        if let Some(kept) = kept {
            fs::write(&at, kept).unwrap();
            fs::set_permissions(&at, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}
