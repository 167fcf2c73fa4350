//! The records of a PAX header: `LENGTH KEY=VALUE`, each with a line feed at its end, where the length is all of its own.
//! <https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html>

/// The records that are about an entry.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Records(Vec<(Vec<u8>, Vec<u8>)>);

impl Records {
    /// Reads them; none where one of them can't be. A value may have line feeds.
    pub fn read(mut text: &[u8]) -> Option<Self> {
        let mut records = Vec::new();
        while !text.is_empty() {
            let digits = text.iter().position(|byte| *byte == b' ')?;
            let length: usize = std::str::from_utf8(&text[..digits]).ok()?.parse().ok()?;
            let (record, rest) = text.split_at_checked(length)?;
            let record = record.get(digits + 1..)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|byte| *byte == b'=')?;
            records.push((record[..equals].to_vec(), record[equals + 1..].to_vec()));
            text = rest;
        }
        Some(Self(records))
    }

    /// All of them, as they come.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))
    }

    /// The value of a key: the last one counts.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.0.iter().rev().find(|(found, _)| found == key.as_bytes()).map(|(_, value)| value.as_slice())
    }

    /// A value that is a number, if there is one; and whether it is.
    pub fn number(&self, key: &str) -> Option<Option<u64>> {
        self.get(key).map(|value| std::str::from_utf8(value).ok()?.parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_value_counts() {
        let records = Records::read(b"10 size=5\n11 size=12\n12 path=a\nb\n").unwrap();
        assert_eq!(records.number("size"), Some(Some(12)));
        assert_eq!(records.get("path"), Some(&b"a\nb"[..]));
        assert_eq!((records.number("path"), records.get("uid")), (Some(None), None));
    }

    #[test]
    fn what_is_no_record_is_told() {
        for text in
            ["x", "5", "5 a=b", "6 a=b\n ", "7 a=b\n", "5 ab\n", "0 a=b\n", "2 \n", "99 a=b\n", "-6 a=b\n", " 6 a=b\n"]
        {
            assert_eq!(Records::read(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            records in prop::collection::vec(("[a-zA-Z.]{1,9}", prop::collection::vec(any::<u8>(), 0..20)), 0..5),
        ) {
            let mut text = Vec::new();
            for (key, value) in &records {
                let rest = key.len() + value.len() + 3;
                let length = (rest + 1..).find(|length| rest + length.to_string().len() == *length).unwrap();
                text.extend(format!("{length} {key}=").bytes().chain(value.iter().copied()).chain([b'\n']));
            }
            let read = Records::read(&text).unwrap();
            let expected: Vec<_> = records.iter().map(|(key, value)| (key.as_bytes(), value.as_slice())).collect();
            prop_assert_eq!(read.iter().collect::<Vec<_>>(), expected);
        }

        #[test]
        fn no_text_breaks_it(text in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Records::read(&text);
        }
    }
}
