//! Journals of which the host's end has left no account.

use crate::place::{Place, all_below};
use std::fs;

/// What a new account's endpoint has written when it is killed.
fn journal(place: &Place) -> Vec<u8> {
    place.serve(&[]).kill();
    let text = fs::read(place.run().join("journal")).unwrap();
    assert!(text.iter().filter(|byte| **byte == b'\n').count() >= 2);
    text
}

#[test]
fn what_ends_before_its_first_record_is_no_account() {
    let place = Place::new();
    let text = journal(&place);
    let header = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let first = header + text[header..].iter().position(|byte| *byte == b'\n').unwrap();
    let zeros = [&text[..header], &[0; 100]].concat();
    let torn = [0, 1, header / 2, header - 1, header, header + 5, header + 100, first].map(|length| &text[..length]);
    for (number, torn) in torn.into_iter().chain([&zeros[..], &[0; 100]]).enumerate() {
        for run in [place.run(), place.state().join("run/0.0.1-older")] {
            let path = run.strip_prefix(place.state()).unwrap().to_str().unwrap();
            place.make(path);
            if !run.join(".ec2-local").is_symlink() {
                place.mark(path, "an endpoint's directory");
            }
            fs::write(run.join("journal"), torn).unwrap();
            place.write(&format!("{path}/endpoint"));
            let said = place.serve(&[]).end();
            assert!(said.contains(run.join("journal").to_str().unwrap()), "{number}: {said}");
            assert!(said.contains("ends before its first record"), "{number}: {said}");
            let left: Vec<_> = all_below(&place.state()).into_keys().collect();
            assert_eq!(left, [".ec2-local", "secret"].map(|name| place.state().join(name)), "{number}");
        }
    }
}

#[test]
fn what_is_cut_after_its_first_record_is_taken_over() {
    let place = Place::new();
    let text = journal(&place);
    let last = text[..text.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap();
    let header = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let first = header + text[header..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for torn in [text[..first].to_vec(), text[..last.max(first)].to_vec(), [&text[..first], &[0; 100]].concat()] {
        fs::create_dir_all(place.run()).unwrap();
        fs::write(place.run().join("journal"), torn).unwrap();
        let serving = place.serve(&[]);
        assert!(serving.opening().contains("took over the account"), "{}", serving.opening());
        assert_eq!(serving.end(), "");
    }
}

/// Whatever it is, no process of ours has left it.
#[test]
fn what_is_no_journal_of_ours_stays_and_is_named() {
    for text in ["somebody's", "{\"format\":1", "[]\n", "\n", "{\"formation\":1,"] {
        let place = Place::used();
        let run = format!("run/{}", ec2_local::endpoint::BUILD);
        let journal = place.write(&format!("{run}/journal"));
        place.mark(&run, "an endpoint's directory");
        fs::write(&journal, text).unwrap();
        if text == "{\"format\":1" {
            // Torn.
            place.serve(&[]).end();
            assert!(!journal.exists());
        } else {
            assert!(place.refusal().contains("its first line is no header"), "{text}");
            assert_eq!(fs::read_to_string(journal).unwrap(), text);
        }
    }
}
