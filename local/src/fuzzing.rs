//! What the fuzzers feed, and the tests that feed again what they have found.
//!
//! One function for each reader of bytes that somebody else has written: requests, frames, questions to the name server,
//! messages to the DHCP server, user data, state directories; and one that holds what machines send to each other against a
//! model. It takes anything, and panics only where a promise of the reader is broken. In no build but a fuzzer's
//! (`cfg(fuzzing)`) and the tests'.

pub use crate::{
    account::fuzzing::account,
    archive::fuzzing::archive,
    endpoint::fuzzing::state,
    guest::cloud_init::fuzzing::user_data,
    network::fuzzing::{dhcp, dns, filter, frames},
    wire::fuzzing::wire,
};

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    /// Whatever has once broken a reader, and some inputs of each shape to begin with, never breaks it again.
    #[test]
    fn what_was_found_stays_mended() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
        for (name, feed) in [
            ("account", super::account as fn(&[u8])),
            ("dhcp", super::dhcp),
            ("archive", super::archive),
            ("dns", super::dns),
            ("filter", super::filter),
            ("frames", super::frames),
            ("state", super::state),
            ("user_data", super::user_data),
            ("wire", super::wire),
        ] {
            let files: Vec<_> = fs::read_dir(corpus.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(!files.is_empty(), "there is nothing to begin with for {name}");
            for file in files {
                println!("{}", file.display());
                feed(&fs::read(file).unwrap());
            }
        }
    }
}
