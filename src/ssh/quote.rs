//! Quoting of words for shells.

/// Quotes a word, so that a POSIX shell takes it literally; plain words stay as they are.
///
/// Quotes within the word become `'"'"'`, which fish and csh understand too. What they don't take literally between
/// single quotes is told by [`needs_posix_shell`].
pub(crate) fn quote(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+:,./-".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r#"'"'"'"#))
}

/// Quotes words and joins them by spaces to one line.
pub(crate) fn quote_all<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// Whether a quoted word holds what fish (`\`) or csh (`!`, newline) treat specially even between single quotes.
pub(super) fn needs_posix_shell(quoted: &str) -> bool {
    quoted.contains(['\\', '!', '\n'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    fn echoed_by(shell: &str, word: &str) -> String {
        let output = Command::new(shell).arg("-c").arg(format!("printf %s {}", quote(word))).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn plain_words_stay_readable() {
        assert_eq!(quote_all(["tar", "-C", "/a b", "it's", ""]), r#"tar -C '/a b' 'it'"'"'s' ''"#);
    }

    #[test]
    fn an_assignment_is_an_argument() {
        assert_eq!(quote("A=b"), "'A=b'");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn a_shell_takes_it_literally(word in "[^\0]{0,40}") {
            prop_assert_eq!(echoed_by("sh", &word), word);
        }

        #[test]
        fn shell_syntax_too(word in r#"[ '"$`\\!*?~#&|;<>(){}\[\]=\n\t\r-]{0,24}"#) {
            prop_assert_eq!(&echoed_by("sh", &word), &word);
            prop_assert_eq!(&echoed_by("bash", &word), &word);
        }
    }
}
