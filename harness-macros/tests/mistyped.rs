//! What only the types show to be wrong is said once, and at the type.
//!
//! trybuild can't look at these: it builds binaries, and of a binary the compiler drops every `#[test]` unseen. So the
//! cases are tests of a package of their own, which cargo only checks.

use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Line, token, message.
type Mistake = (usize, String, String);

#[test]
fn mistyped() {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistyped/parameters.rs");
    let source = fs::read_to_string(&case).unwrap();
    let expected = source.lines().enumerate().filter_map(|(n, line)| {
        let (_, comment) = line.split_once("//~ ")?;
        let (token, message) = comment.split_once(" | ")?;
        Some((n + 1, token.to_owned(), message.to_owned()))
    });
    let expected = expected.collect::<Vec<_>>();
    let found = check(&package(&source));
    let lines = |mistakes: &[Mistake]| mistakes.iter().map(|(line, ..)| *line).collect::<Vec<_>>();
    assert_eq!(lines(&expected), lines(&found), "{found:#?}");
    for ((_, token, message), (line, found_token, found_message)) in expected.iter().zip(&found) {
        assert_eq!(token, found_token, "in line {line}: {found_message}");
        assert!(found_message.contains(message), "in line {line}: {found_message}");
    }
}

/// Writes a package whose only target is a test.
fn package(source: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mistyped");
    let stub = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stub");
    let manifest = format!(
        "[package]\nname = \"mistyped\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
         ec2-harness-stub = {{ path = {stub:?} }}\n[lib]\npath = \"nothing.rs\"\n"
    );
    fs::create_dir_all(root.join("tests")).unwrap();
    fs::write(root.join("Cargo.toml"), manifest).unwrap();
    fs::write(root.join("nothing.rs"), "").unwrap();
    fs::write(root.join("tests/parameters.rs"), source).unwrap();
    // The same versions as everywhere, so that nothing is looked up.
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock"), root.join("Cargo.lock")).unwrap();
    root
}

/// The errors that the compiler finds, by line; each once.
fn check(package: &Path) -> Vec<Mistake> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["check", "--offline", "--test", "parameters", "--message-format", "json"])
        .arg("--target-dir")
        .arg(package.join("target"))
        .current_dir(package)
        .output()
        .unwrap();
    let messages = String::from_utf8(output.stdout).unwrap();
    let mut found = Vec::new();
    for message in messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let message = &message["message"];
        let spans = message["spans"].as_array().into_iter().flatten();
        for span in spans.filter(|span| message["level"] == "error" && span["is_primary"] == true) {
            let line = span["line_start"].as_u64().unwrap() as usize;
            let text = span["text"][0]["text"].as_str().unwrap().chars().collect::<Vec<_>>();
            let column = |name: &str| span[name].as_u64().unwrap() as usize - 1;
            let token = text[column("column_start")..column("column_end")].iter().collect();
            found.push((line, token, message["message"].as_str().unwrap().to_owned()));
        }
    }
    assert!(!found.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    found.sort();
    let once = found.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(once.len(), found.len(), "something is said twice: {found:#?}");
    found
}
