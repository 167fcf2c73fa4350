//! Images of earlier versions, and files that only look like one.

use crate::place::{Place, images};
use std::{fs, os::unix::fs::symlink};

#[test]
fn an_image_of_an_earlier_version_is_to_be_imported_again() {
    let (place, archive) = Place::with_tiny();
    let file = place.state().join("images/tiny.json");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("\"format\": 2"), "{text}");
    fs::write(&file, text.replace("\"format\": 2", "\"format\": 1")).unwrap();
    assert!(
        place.says(&["image", "list"]).contains("an earlier version has imported it: import it again, with --replace")
    );
    let serving = place.serve();
    assert_eq!(images(&serving), [""; 0]);
    place.import(&archive, &["--replace"]);
    assert_eq!(images(&serving), ["tiny"]);
    serving.end();
}

/// As an earlier version has left it, which knew no marks.
fn of_earlier_version() -> (Place, String) {
    let (place, archive) = Place::with_tiny();
    fs::remove_file(place.tree().join(".ec2-local")).unwrap();
    (place, archive)
}

#[test]
fn the_files_of_an_image_of_an_earlier_version_go_with_it() {
    let (place, _) = of_earlier_version();
    let output = place.output_of(&["image", "remove", "tiny"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(place.kept(), (vec![], 0));

    let (place, archive) = of_earlier_version();
    let before = place.tree();
    place.import(&archive, &["--replace"]);
    assert_ne!(place.tree(), before);
}

#[test]
fn what_stays_of_an_image_is_said() {
    for replace in [false, true] {
        let (place, archive) = Place::with_tiny();
        fs::write(place.tree().join("notes"), "somebody's").unwrap();
        let command = match replace {
            true => vec!["image", "import", &archive, "--name", "tiny", "--replace"],
            false => vec!["image", "remove", "tiny"],
        };
        let output = place.output_of(&command);
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        let (_, at) = said.split_once("`notes` in ").unwrap_or_else(|| panic!("{said}"));
        let at = at.split_once(" isn't").unwrap().0;
        assert!(said.contains("leaving ") && fs::exists(format!("{at}/notes")).unwrap(), "{said}");
    }
}

#[test]
fn a_file_that_is_no_image_stays_and_keeps_nothing_else() {
    let (place, archive) = Place::with_tiny();
    let images = place.state().join("images");
    let foreign = images.join("notes.json");
    fs::write(&foreign, "{\"somebody\": \"me\"}").unwrap();
    symlink(&archive, images.join("link.json")).unwrap();
    fs::create_dir(images.join("directory.json")).unwrap();
    for command in [
        &["image", "remove", "notes"][..],
        &["image", "import", &archive, "--name", "notes", "--replace"],
        &["image", "remove", "link"],
        &["image", "import", &archive, "--name", "link", "--replace"],
        &["image", "remove", "directory"],
        &["image", "import", &archive, "--name", "directory", "--replace"],
    ] {
        let said = place.refuses(command);
        let name = command.iter().find(|name| ["notes", "link", "directory"].contains(name)).unwrap();
        assert!(said.contains(&format!("{name}.json is no image's record")), "{said}");
    }
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "{\"somebody\": \"me\"}");
    assert_eq!(place.kept().1, 1);
    let output = place.output_of(&["image", "remove", "tiny"]);
    let said = String::from_utf8(output.stderr).unwrap();
    for name in ["notes", "link", "directory"] {
        assert!(said.contains(&format!("{name}.json where it is: ")), "{said}");
    }
    assert_eq!(place.kept().1, 0, "{said}");
    assert!(foreign.exists() && images.join("link.json").is_symlink() && images.join("directory.json").is_dir());
    assert!(fs::exists(archive).unwrap());
}

#[test]
fn the_files_that_a_later_version_names_stay() {
    let (place, archive) = Place::with_tiny();
    let tree = place.tree();
    let later = place.state().join("images/later.json");
    let text = format!("{{\"format\": 9, \"layers\": [{:?}]}}", tree.file_name().unwrap());
    fs::write(&later, &text).unwrap();
    place.remove();
    assert!(tree.join("root/bin/sh").exists());
    assert!(place.refuses(&["image", "import", &archive, "--name", "later", "--replace"]).contains("later.json is no"));
    assert_eq!(fs::read_to_string(&later).unwrap(), text);
    fs::remove_file(later).unwrap();
    place.serve().end();
    assert_eq!(place.kept(), (vec![], 0));
}
