//! What a machine has printed, as a terminal of ours may show it: a machine's bytes don't move our cursor, and don't fill our screen.

/// How much of a text is shown, of its end.
const LINES: usize = 200;
const BYTES: usize = 32 << 10;

/// The text without what steers a terminal, and no more of it than its last lines.
pub(crate) fn shown(text: &str) -> String {
    let plain = plain(text);
    let mut start = plain.len().saturating_sub(BYTES);
    while !plain.is_char_boundary(start) {
        start += 1;
    }
    // The newline at its very end ends a line, and begins none.
    let body = plain.strip_suffix('\n').unwrap_or(&plain);
    if let Some((newline, _)) = body.rmatch_indices('\n').nth(LINES - 1) {
        start = start.max(newline + 1);
    }
    match plain[..start].matches('\n').count() {
        _ if start == 0 => plain,
        0 => format!("[…]{}", &plain[start..]),
        1 => format!("[… 1 line before this]\n{}", &plain[start..]),
        lines => format!("[… {lines} lines before this]\n{}", &plain[start..]),
    }
}

/// A line that is written over shows as what it was last; sequences that begin with ESC (ECMA-48), other control characters, and those
/// that turn the direction of writing don't show.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut line = 0;
    let mut is_returned = false;
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        match char {
            '\n' => {
                plain.push('\n');
                line = plain.len();
                is_returned = false;
            }
            '\r' => is_returned = true,
            '\u{1b}' => rest = behind_sequence(rest),
            '\t' => plain.push('\t'),
            _ if char.is_control() || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {}
            _ => {
                if std::mem::take(&mut is_returned) {
                    plain.truncate(line);
                }
                plain.push(char);
            }
        }
    }
    plain
}

/// What comes after a sequence that an ESC has begun: a control sequence up to its final character, a string up to its terminator, or
/// one character. One that doesn't end on its line is none.
fn behind_sequence(rest: std::str::Chars<'_>) -> std::str::Chars<'_> {
    let mut behind = rest.clone();
    let has_ended = match behind.next() {
        Some('[') => behind.by_ref().take_while(|char| *char != '\n').any(|char| ('@'..='~').contains(&char)),
        Some(']' | 'P' | 'X' | '^' | '_') => {
            let mut before = ' ';
            behind.by_ref().take_while(|char| *char != '\n').any(|char| {
                let is_last = char == '\u{7}' || (before == '\u{1b}' && char == '\\');
                before = char;
                is_last
            })
        }
        other => other.is_some_and(|char| char != '\n'),
    };
    if has_ended { behind } else { rest }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_steers_a_terminal_does_not_show() {
        for (text, expected) in [
            ("plain\ttext\n", "plain\ttext\n"),
            ("\u{1b}[1;31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}a\u{1b}]8;;x\u{1b}\\b", "ab"),
            ("\u{1b}c\u{1b}(Bx\u{8}y\u{9b}z", "Bxyz"),
            ("10%\r50%\r100%\ndone\r\n", "100%\ndone\n"),
            ("safe\u{202e}evil", "safeevil"),
            ("open \u{1b}[1;\nnext\n", "open [1;\nnext\n"),
            ("cut \u{1b}]0;title\nthe error\n", "cut ]0;title\nthe error\n"),
            ("\u{1b}\nend", "\nend"),
        ] {
            assert_eq!(shown(text), expected, "{text:?}");
        }
    }

    #[test]
    fn only_the_end_shows_of_what_is_long() {
        let many: String = (0..1000).map(|n| format!("{n}\n")).collect();
        let text = shown(&many);
        assert!(text.starts_with("[… 800 lines before this]\n800\n") && text.ends_with("999\n"), "{text}");
        let wide = "ü".repeat(BYTES);
        assert!(shown(&wide).starts_with("[…]ü") && shown(&wide).len() <= BYTES + 8);
        let exactly: String = (0..LINES).map(|n| format!("{n}\n")).collect();
        assert_eq!(shown(&exactly), exactly);
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "\\PC*|[\\x00-\\x1f\\x1b\\[\\]a-z\\n]*") {
            let shown = shown(&text);
            prop_assert!(shown.chars().all(|char| char == '\n' || char == '\t' || !char.is_control()));
        }
    }
}
