//! What AWS's pages say of verifying a document, done by `openssl`.

use super::*;
use base64::{Engine, prelude::BASE64_STANDARD};
use std::{fs, process::Command};

const DOCUMENT: &str = "{\n  \"accountId\" : \"000000000000\",\n  \"instanceId\" : \"i-0123456789abcdef0\"\n}";

fn openssl(directory: &Path, arguments: &[&str]) -> (bool, Vec<u8>) {
    let output = Command::new("openssl").args(arguments).current_dir(directory).output().unwrap();
    (output.status.success(), output.stdout)
}

fn is_there() -> bool {
    let there = Command::new("openssl").arg("version").output().is_ok_and(|output| output.status.success());
    assert!(there || std::env::var_os("EC2_HARNESS_NO_SKIP").is_none(), "openssl isn't installed");
    if !there {
        eprintln!("skipped: openssl isn't installed");
    }
    there
}

/// A state directory, the leaves of a document, and a directory in which everything lies that AWS's pages have one write.
fn proved() -> (tempfile::TempDir, StateDirectory, BTreeMap<String, String>) {
    let directory = tempfile::tempdir().unwrap();
    let state = StateDirectory::at(directory.path().join("state")).unwrap();
    let leaves: BTreeMap<_, _> = InstanceIdentity::new(&state).prove(DOCUMENT).into_iter().collect();
    let leaves: BTreeMap<_, _> =
        leaves.into_iter().map(|(path, text)| (path.rsplit('/').next().unwrap().to_owned(), text)).collect();
    fs::write(directory.path().join("document"), DOCUMENT).unwrap();
    fs::write(directory.path().join("certificate"), state.identity_certificate().unwrap()).unwrap();
    for form in ["pkcs7", "rsa2048"] {
        let text = format!("-----BEGIN PKCS7-----\n{}\n-----END PKCS7-----\n", leaves[form]);
        fs::write(directory.path().join(form), text).unwrap();
    }
    let signature = BASE64_STANDARD.decode(leaves["signature"].replace('\n', "")).unwrap();
    fs::write(directory.path().join("signature"), signature).unwrap();
    (directory, state, leaves)
}

#[test]
fn a_document_is_verified_as_aws_says() {
    let (directory, _, leaves) = proved();
    assert_eq!(leaves.keys().collect::<Vec<_>>(), ["pkcs7", "rsa2048", "signature"]);
    if !is_there() {
        return;
    }
    let at = directory.path();
    let verify = |tool: &str, form: &str| {
        let given = ["-in", form, "-inform", "PEM", "-content", "document", "-certfile", "certificate", "-noverify"];
        // Else the newer tool takes the document for a mail.
        let more: &[&str] = if tool == "cms" { &["-binary"] } else { &[] };
        openssl(at, &[&[tool, "-verify"], &given[..], more].concat())
    };
    let by_key = || {
        let (_, key) = openssl(at, &["x509", "-pubkey", "-noout", "-in", "certificate"]);
        fs::write(at.join("key"), key).unwrap();
        openssl(at, &["dgst", "-sha256", "-verify", "key", "-signature", "signature", "document"]).0
    };
    for (tool, form) in [("smime", "pkcs7"), ("smime", "rsa2048"), ("cms", "rsa2048")] {
        assert_eq!(verify(tool, form), (true, DOCUMENT.as_bytes().to_vec()), "{tool} {form}");
    }
    // The document is in it, for those who read it there.
    let alone = ["smime", "-verify", "-in", "rsa2048", "-inform", "PEM", "-certfile", "certificate", "-noverify"];
    assert_eq!(openssl(at, &alone), (true, DOCUMENT.as_bytes().to_vec()));
    assert!(by_key());
    // Its own key has signed the certificate.
    assert!(openssl(at, &["verify", "-check_ss_sig", "-CAfile", "certificate", "certificate"]).0);

    fs::write(at.join("document"), DOCUMENT.replace("0123", "3210")).unwrap();
    assert!(!verify("smime", "rsa2048").0 && !by_key());
}

#[test]
fn the_key_is_made_once_and_is_the_users_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (_directory, state, leaves) = proved();
    let file = state.path().join(FILE);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let again: BTreeMap<_, _> = InstanceIdentity::new(&state).prove(DOCUMENT).into_iter().collect();
    assert_eq!(again["dynamic/instance-identity/rsa2048"], leaves["rsa2048"]);
    assert_eq!(StateDirectory::at(state.path().to_owned()).unwrap(), state, "it is part of a state directory");
    let names = state.open().unwrap().names().unwrap();
    assert_eq!(names, [".ec2-local", FILE], "a temporary file was left");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(state.identity_certificate().unwrap_err().to_string().contains("chmod 0600"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, "nonsense").unwrap();
    assert!(state.identity_certificate().unwrap_err().to_string().contains("remove it"));
}
