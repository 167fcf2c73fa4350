//! Which tags a user can want: EC2's rules, and ours.

use std::collections::BTreeMap;

/// A tag's key has 128 characters at most, its value 256, and a resource 50 tags.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html>
const KEY_MAX: usize = 128;
const VALUE_MAX: usize = 256;
const TAGS_MAX: usize = 50;

/// What our own keys begin with.
const OURS: &str = "ec2-harness:";
/// How many tags are ours at most, with the name and an attempt's.
const OF_OURS: usize = 12;

/// Checks the tags that a user wants: those that are configured, and a launch's own.
///
/// # Errors
///
/// What EC2 would refuse, and with it every launch; or a key of ours.
pub(crate) fn check_tags(configured: &BTreeMap<String, String>, own: &[(String, String)]) -> Result<(), String> {
    let all: BTreeMap<_, _> = configured.iter().chain(own.iter().map(|(key, value)| (key, value))).collect();
    for (key, value) in &all {
        let lower = key.to_lowercase();
        let reason = if key.is_empty() {
            "a tag needs a key"
        } else if key.chars().count() > KEY_MAX {
            "a tag's key has 128 characters at most"
        } else if lower.starts_with("aws:") {
            "keys that begin with `aws:` are AWS's own"
        } else if lower.starts_with(OURS) {
            "keys that begin with `ec2-harness:` are ours: teardown goes by them"
        } else if value.chars().count() > VALUE_MAX {
            "a tag's value has 256 characters at most"
        } else {
            continue;
        };
        return Err(format!("the tag `{key}`: {reason}"));
    }
    match all.len() {
        many if many > TAGS_MAX - OF_OURS => {
            Err(format!("{many} tags beside our {OF_OURS}, and a resource has {TAGS_MAX} at most"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pairs: &[(&str, &str)]) -> Result<(), String> {
        let own: Vec<_> = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        check_tags(&BTreeMap::new(), &own)
    }

    #[test]
    fn what_ec2_takes_and_is_not_ours_is_taken() {
        let (key, value) = ("k".repeat(KEY_MAX), "v".repeat(VALUE_MAX));
        assert_eq!(check(&[("team", ""), (&key, &value), ("größe", "ä/b c@d"), ("harness", "ec2-harness:")]), Ok(()));
    }

    #[test]
    fn all_else_is_refused_with_its_reason() {
        let (key, value) = ("k".repeat(KEY_MAX + 1), "v".repeat(VALUE_MAX + 1));
        for (key, value, reason) in [
            ("", "x", "needs a key"),
            (&*key, "x", "128 characters"),
            ("AWS:x", "x", "AWS's own"),
            ("ec2-harness:run", "x", "are ours"),
            ("Ec2-Harness:run", "x", "are ours"),
            ("k", &*value, "256 characters"),
        ] {
            let error = check(&[("fine", "x"), (key, value)]).unwrap_err();
            assert!(error.contains(reason) && error.starts_with(&format!("the tag `{key}`")), "{error}");
        }
        let many: BTreeMap<_, _> = (0..38).map(|n| (n.to_string(), String::new())).collect();
        assert_eq!(check_tags(&many, &[]), Ok(()));
        // The same key again is no further tag.
        assert_eq!(check_tags(&many, &[("1".to_owned(), "x".to_owned())]), Ok(()));
        assert!(check_tags(&many, &[("x".to_owned(), "x".to_owned())]).unwrap_err().contains("50 at most"));
    }
}
