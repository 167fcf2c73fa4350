//! What others have written, as it can be shown.

use std::{ffi::OsStr, path::Path};

/// Text of somebody else's as it can be shown on a terminal: what would steer that, as control characters do, or turn around or
/// hide what stands beside it, as those of bidirectional text and of no width do, is replaced by U+FFFD. So are the ends of lines.
pub fn shown(text: &str) -> String {
    text.chars().map(|c| if is_visible(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

/// A name of a file, likewise.
pub(crate) fn shown_name(name: &OsStr) -> String {
    shown(&name.to_string_lossy())
}

/// A path, likewise.
pub(crate) fn shown_path(path: &Path) -> String {
    shown_name(path.as_os_str())
}

/// Rust's own table says it, since debug output escapes all else; behind a letter, a combining mark is shown.
fn is_visible(c: char) -> bool {
    matches!(c, '\'' | '"' | '\\') || String::from_iter(['a', c]).escape_debug().count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_or_hides_is_replaced_and_nothing_else() {
        let seen = "it's \"Käse\" \\ a\u{301} 漢字 עברית 🙂";
        assert_eq!(shown(seen), seen);
        for c in "\0\t\n\r\x07\x1b\x7f\u{85}\u{9b}\u{ad}\u{61c}\u{180e}\u{200b}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\
                  \u{2060}\u{2066}\u{2069}\u{feff}\u{fff9}\u{e0001}\u{e0041}\u{e000}"
            .chars()
        {
            assert_eq!(shown(&format!("a{c}b")), "a\u{fffd}b", "{c:?}");
        }
    }
}
