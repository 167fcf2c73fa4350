//! What somebody may have meant who misspelt a name.

/// The name that is nearest to what was written, if any is near: a third of it may be wrong.
pub(crate) fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written: Vec<char> = written.to_lowercase().chars().take(LONGEST).collect();
    let near = names.into_iter().map(|name| (distance(&written, name), name));
    let (distance, name) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= written.len() / 3).then_some(name)
}

/// ` did you mean X?`, where there is one; with a semicolon before it.
pub(crate) fn hint<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    nearest(written, names).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

/// No name is as long.
const LONGEST: usize = 100;

/// How many characters must be put in, taken out or changed, by Levenshtein; case doesn't count.
fn distance(written: &[char], name: &str) -> usize {
    let mut row: Vec<usize> = (0..=written.len()).collect();
    for (at, known) in name.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, character) in written.iter().enumerate() {
            let changed = diagonal + usize::from(*character != known);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[written.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_meant() {
        let names = ["RunInstances", "StopInstances", "DescribeVpcs"];
        for (written, meant) in [
            ("RunInstance", Some("RunInstances")),
            ("runinstances", Some("RunInstances")),
            ("StpoInstances", Some("StopInstances")),
            ("DescribeVPC", Some("DescribeVpcs")),
            ("Fly", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, names), meant, "{written}");
        }
        assert_eq!(nearest("x", []), None);
        assert_eq!(nearest(&"é".repeat(100_000), names), None);
    }
}
