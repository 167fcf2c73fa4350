//! What stands at which path of the metadata service.

use super::super::Metadata;
use std::collections::BTreeMap;

/// The versions that AWS lists; all of them serve the same here.
const VERSIONS: &[&str] = &[
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2011-01-01",
    "2011-05-01",
    "2012-01-12",
    "2014-02-25",
    "2014-11-05",
    "2015-10-20",
    "2016-04-19",
    "2016-06-30",
    "2016-09-02",
    "2018-03-28",
    "2018-08-17",
    "2018-09-24",
    "2019-10-01",
    "2020-10-27",
    "2021-01-03",
    "2021-03-23",
    "2021-07-15",
    "2022-09-24",
    "2024-04-11",
    "latest",
];
const USER_DATA: &str = "user-data";
const KEYS: [&str; 2] = ["meta-data", "public-keys"];
const KEY: &str = "openssh-key";
/// How the tree says which key pair a key is of: it shows in the listing of keys, and is no path of its own.
const KEY_NAME: &str = "key-name";

/// What stands at a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A value, or the names below the path.
    Text(String),
    /// The user data.
    Data(Vec<u8>),
}

/// The names that a path consists of. Slashes at its end, or twice in a row, make no difference, as on EC2.
pub(super) fn parts(path: &str) -> impl Iterator<Item = &str> + Clone {
    path.split('/').filter(|part| !part.is_empty())
}

/// What stands at a path.
pub(super) fn find(metadata: &Metadata, path: &str) -> Option<Found> {
    let mut parts = parts(path);
    let Some(version) = parts.next() else { return Some(Found::Text(VERSIONS.join("\n"))) };
    if !VERSIONS.contains(&version) {
        return None;
    }
    let wanted: Vec<&str> = parts.collect();
    if wanted == [USER_DATA] {
        return metadata.user_data.clone().map(Found::Data);
    }

    let mut names = BTreeMap::new();
    for (path, content) in &metadata.tree {
        let stored: Vec<&str> = self::parts(path).collect();
        if let ["meta-data", "public-keys", _, KEY_NAME] = stored[..] {
            continue;
        }
        match stored.strip_prefix(wanted.as_slice()) {
            Some([]) => return Some(Found::Text(content.clone())),
            Some([name, below @ ..]) => {
                let label = match (wanted.as_slice(), below) {
                    // The one listing that says more than names: which key pair each key is of.
                    (keys, [KEY]) if *keys == KEYS => format!("{name}={}", key_name(metadata, name, content)),
                    // AWS puts no slash after the names at the top.
                    ([], _) | (_, []) => (*name).to_owned(),
                    _ => format!("{name}/"),
                };
                names.insert(*name, label);
            }
            None => {}
        }
    }
    if wanted.is_empty() && metadata.user_data.is_some() {
        names.insert(USER_DATA, USER_DATA.to_owned());
    }
    let listed = !names.is_empty() || wanted.is_empty();
    listed.then(|| Found::Text(names.into_values().collect::<Vec<_>>().join("\n")))
}

/// The name of a key's key pair: what the tree says, else the key's comment, which on AWS is the name as well.
fn key_name<'a>(metadata: &'a Metadata, number: &str, key: &'a str) -> &'a str {
    let told = metadata.tree.iter().find(|(path, _)| parts(path).eq(["meta-data", "public-keys", number, KEY_NAME]));
    let comment = || key.trim().splitn(3, char::is_whitespace).nth(2).map(str::trim);
    told.map(|(_, name)| name.trim()).or_else(comment).unwrap_or("key")
}

#[cfg(test)]
mod tests;
