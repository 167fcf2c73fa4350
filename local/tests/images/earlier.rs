//! Images of earlier versions, and files that only look like one.

use crate::{place::Place, serving::Serving};
use std::fs;

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
    let serving = Serving::start(&place);
    assert_eq!(serving.images(), ["host", "blank"]);
    place.import(&archive, &["--replace"]);
    assert_eq!(serving.images(), ["host", "blank", "tiny"]);
    serving.end();
}
