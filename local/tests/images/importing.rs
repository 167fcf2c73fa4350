//! What is imported, and what is refused.

use crate::{
    endpoint::PATIENCE,
    place::{PROGRAM, Place},
    system::System,
};
use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};
use tar::EntryType;

#[test]
fn an_image_is_imported_listed_and_removed() {
    let place = Place::new();
    let archive = place.archive("tiny.tar", System::tiny().entry(EntryType::Char, "./dev/null", ""));
    assert!(place.output_of(&["image", "list"]).stdout.starts_with(b"NAME"));
    let said = place.says(&["image", "import", &archive, "--name", "tiny/1 (mine)", "--login-user", "mia"]);
    assert!(said.contains("imported tiny/1 (mine): Tiny 1, ") && said.contains("log in as mia"), "{said}");
    assert!(said.contains("note: devices left out of dev/, since machines have their own: 1"), "{said}");
    // The same again from a pipe, compressed.
    let zip = format!("gzip -c {archive} | {PROGRAM} image import - --name tiny-2");
    let piped = Command::new("sh").args(["-c", &zip]).env("EC2_LOCAL_STATE_DIR", place.state()).output().unwrap();
    assert!(piped.status.success(), "{piped:?}");
    let list = place.says(&["image", "list"]);
    let rows: Vec<&str> = list.lines().collect();
    assert_eq!(rows.len(), 3, "{list}");
    assert!(rows[1].starts_with("tiny/1 (mine) ") && rows[2].starts_with("tiny-2 "), "{list}");
    assert!(rows[2].contains(" ami-0") && rows[2].contains(" Tiny 1 ") && rows[2].contains(" MiB "), "{list}");
    let root = PathBuf::from(rows[2].split_whitespace().last().unwrap());
    assert!(root.join("bin/sh").exists(), "{list}");

    assert!(place.refuses(&["image", "import", &archive, "--name", "tiny-2"]).contains("--replace"));
    assert!(root.exists());
    place.says(&["image", "import", &archive, "--name", "tiny-2", "--replace"]);
    assert!(!root.exists());
    assert_eq!(place.says(&["image", "remove", "tiny-2"]), "removed tiny-2\n");
    assert!(place.refuses(&["image", "remove", "tiny-2"]).contains("there is none of that name"));
    assert_eq!(place.kept(), (vec!["tiny+1 (mine).json".to_owned()], 1));
    place.says(&["image", "remove", "tiny/1 (mine)"]);
    assert_eq!(place.kept(), (vec![], 0));
}

#[test]
fn what_is_refused_is_named_and_leaves_nothing() {
    let place = Place::new();
    let archive = |name: &str, system: System| place.archive(name, system);
    for (archive, said) in [
        (archive("up", System::tiny().file("./a/../../x", b"x", 0o644)), "`./a/../../x`: its path contains `..`"),
        (archive("absolute", System::tiny().file("/etc/x", b"x", 0o644)), "`/etc/x`: its path is absolute"),
        (
            archive("through", System::tiny().link("./out", "/tmp").file("./out/x", b"x", 0o644)),
            "`./out/x`: its path leads through the symbolic link `out`",
        ),
        (archive("escape", System::tiny().link("./out", "../../etc/passwd")), "`./out`: it is a symbolic link to"),
        (archive("hard", System::tiny().entry(EntryType::Link, "./x", "/etc/passwd")), "`./x`: it is a hard link to"),
        (archive("device", System::tiny().entry(EntryType::Block, "./disk", "")), "`./disk`: it is a device"),
        (archive("empty", System::empty()), "it has no /bin/sh"),
        ("/nonexistent".to_owned(), "open /nonexistent: "),
        ("/etc/passwd".to_owned(), "damaged"),
    ] {
        let error = place.refuses(&["image", "import", &archive, "--name", "refused"]);
        assert!(error.starts_with("ec2-local: failed to ") && error.contains(said), "{error}");
        assert_eq!(place.kept(), (vec![], 0), "{archive}");
    }
    let tiny = archive("tiny", System::tiny());
    let error = place.refuses(&["image", "import", &tiny, "--name", "refused", "--max-size", "1M"]);
    assert!(error.contains("larger than 1048576 bytes"), "{error}");
    for name in ["host", "blank", "../x", "", "ab", "a+b"] {
        let error = place.refuses(&["image", "import", &tiny, "--name", name]);
        assert!(error.contains("can't be the name of an image"), "{error}");
    }
    let error = place.refuses(&["image", "import", &tiny, "--name", "tiny", "--login-user", "x:y"]);
    assert!(error.contains("`x:y` can't be the name of a user"), "{error}");
    assert_eq!(place.kept(), (vec![], 0));
}

#[test]
fn a_killed_import_leaves_no_image_and_the_next_cleans_up() {
    let place = Place::new();
    let archive = System::tiny().archive();
    let mut import = place.command(&["image", "import", "-", "--name", "tiny"]).stdin(Stdio::piped()).spawn().unwrap();
    // Not all of it: it waits for the rest.
    import.stdin.as_mut().unwrap().write_all(&archive[..archive.len() / 2]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while place.kept().1 == 0 {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(2));
    }
    // Who comes meanwhile doesn't disturb it.
    assert_eq!(place.says(&["image", "list"]).lines().count(), 1);
    let whole = place.archive("tiny.tar", System::tiny());
    place.says(&["image", "import", &whole, "--name", "other"]);
    assert_eq!(place.kept(), (vec!["other.json".to_owned()], 2));
    import.kill().unwrap();
    import.wait().unwrap();
    place.says(&["image", "import", &whole, "--name", "tiny"]);
    let (names, trees) = place.kept();
    assert_eq!((names.len(), trees), (2, 2));
}

/// Whether it steers a terminal, or hides what else is there.
fn does_something(c: char) -> bool {
    c.is_control() && c != '\n' || "\u{202e}\u{2066}\u{200b}\u{2028}\u{e0041}\u{feff}".contains(c)
}

#[test]
fn what_an_image_says_of_itself_does_nothing_to_a_terminal() {
    let place = Place::new();
    let release =
        "ID=tiny\nPRETTY_NAME=\"\x1b[2Jtiny\x07\u{9b}\0 \u{202e}\u{2066}\u{200b}\u{2028}\u{e0041}\u{feff} Käse\"\n";
    let archive = place.archive("tiny.tar", System::tiny().file("./etc/os-release", release.as_bytes(), 0o644));
    let said = place.says(&["image", "import", &archive, "--name", "tiny"]) + &place.says(&["image", "list"]);
    assert!(said.contains("imported tiny: \u{fffd}[2Jtiny") && said.contains(" Käse"), "{said:?}");
    assert!(!said.contains(does_something), "{said:?}");
    // Names of files, in what is refused and in what stays.
    let hidden = System::tiny().file("./a/../\u{202e}x\x07", b"x", 0o644);
    let said = place.refuses(&["image", "import", &place.archive("hidden.tar", hidden), "--name", "hidden"]);
    assert!(said.contains("its path contains `..`") && !said.contains(does_something), "{said:?}");
    fs::write(place.state().join("images/\u{202e}x\x07.json"), "\u{202e}\x07").unwrap();
    fs::create_dir(place.state().join("images/trees/\u{202e}x\x07")).unwrap();
    let said = [&["image", "list"][..], &["image", "remove", "tiny"]].map(|command| {
        let output = place.output_of(command);
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    });
    let said = said.concat();
    assert!(said.contains("\u{fffd}x\u{fffd}.json") && said.contains("trees/\u{fffd}x\u{fffd}"), "{said:?}");
    assert!(!said.contains(does_something), "{said:?}");
    place.import(&archive, &[]);
    // A client of EC2's must be able to read the answer, too: XML knows no such characters.
    let serving = place.serve();
    let shown = serving.call("Action=DescribeImages&Owner.1=self").body;
    assert!(shown.contains(" Käse") && !shown.contains(does_something), "{shown:?}");
    serving.end();
}

#[test]
fn of_two_imports_of_a_name_one_wins() {
    let place = Place::new();
    let archive = place.archive("tiny.tar", System::tiny());
    let imports: Vec<Child> = (0..4)
        .map(|_| {
            let mut import = place.command(&["image", "import", &archive, "--name", "tiny"]);
            import.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let outputs: Vec<Output> = imports.into_iter().map(|import| import.wait_with_output().unwrap()).collect();
    let (won, lost): (Vec<_>, Vec<_>) = outputs.iter().partition(|output| output.status.success());
    assert_eq!(won.len(), 1, "{outputs:?}");
    assert!(lost.iter().all(|output| String::from_utf8_lossy(&output.stderr).contains("there is one of that name")));
    assert_eq!(place.kept(), (vec!["tiny.json".to_owned()], 1));
}
