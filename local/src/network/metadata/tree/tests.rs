use super::*;
use proptest::prelude::*;

fn metadata(paths: &[(&str, &str)]) -> Metadata {
    let tree = paths.iter().map(|(path, content)| ((*path).to_owned(), (*content).to_owned())).collect();
    Metadata { enabled: true, tree, ..Metadata::default() }
}

fn text(metadata: &Metadata, path: &str) -> Option<String> {
    match find(metadata, path)? {
        Found::Text(text) => Some(text),
        Found::Data(_) => panic!("user data at {path}"),
    }
}

#[test]
fn keys_are_listed_by_number_and_name() {
    let keys = metadata(&[
        ("meta-data/public-keys/0/openssh-key", "ssh-rsa AAAA mine"),
        ("meta-data/public-keys/1/openssh-key", "ssh-rsa AAAA"),
        ("meta-data/public-keys/2/openssh-key", "ssh-rsa AAAA comment"),
        ("meta-data/public-keys/2/key-name", "told"),
    ]);
    assert_eq!(text(&keys, "/latest/meta-data/public-keys/").as_deref(), Some("0=mine\n1=key\n2=told"));
    assert_eq!(text(&keys, "/latest/meta-data/public-keys/2/").as_deref(), Some("openssh-key"));
    assert_eq!(text(&keys, "/latest/meta-data/public-keys/2/key-name"), None);
    assert_eq!(text(&keys, "/latest/meta-data/public-keys/0").as_deref(), Some("openssh-key"));
    assert_eq!(text(&keys, "/latest/meta-data/").as_deref(), Some("public-keys/"));
}

#[test]
fn slashes_too_many_make_no_difference() {
    let one = metadata(&[("meta-data/ami-id", "ami-1")]);
    for path in ["/latest/meta-data/ami-id", "/latest//meta-data/ami-id/", "//latest/meta-data//ami-id"] {
        assert_eq!(text(&one, path).as_deref(), Some("ami-1"), "{path}");
    }
    assert_eq!(text(&one, "/latest/meta-data/ami-id/x"), None);
    assert_eq!(text(&one, "/latest/meta-data/ami"), None);
    assert_eq!(text(&one, "/latest/../latest/meta-data/ami-id"), None);
}

#[test]
fn an_empty_tree_has_an_empty_listing() {
    assert_eq!(text(&Metadata::default(), "/latest/").as_deref(), Some(""));
    assert_eq!(find(&Metadata::default(), "/latest/meta-data/"), None);
}

proptest! {
    #[test]
    fn every_listed_name_is_there(paths in prop::collection::vec("meta-data(/[a-c]{1,2}){1,3}", 0..12)) {
        // A value has nothing below it.
        let is_value = |path: &&String| !paths.iter().any(|other| other.starts_with(&format!("{path}/")));
        let tree = paths.iter().filter(is_value).map(|path| (path.clone(), "value".to_owned())).collect();
        let metadata = Metadata { tree, ..Metadata::default() };
        let mut left = vec!["/latest/".to_owned()];
        let mut values = 0;
        while let Some(path) = left.pop() {
            let found = text(&metadata, &path);
            prop_assert!(found.is_some(), "{}", path);
            let found = found.unwrap();
            if found == "value" {
                values += 1;
            } else {
                left.extend(found.lines().map(|name| format!("{path}{name}{}", if path == "/latest/" { "/" } else { "" })));
            }
        }
        let distinct: std::collections::BTreeSet<_> = metadata.tree.iter().collect();
        prop_assert_eq!(values, distinct.len());
    }

    #[test]
    fn no_path_breaks_it(path in "\\PC{0,60}") {
        let _ = find(&metadata(&[("meta-data/a/b", "c")]), &path);
    }
}
