//! Key pairs.

use super::*;
use crate::wire::Value;
use russh::keys::ssh_key::{PrivateKey, PublicKey};

const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIILxJHyT7qNnuW4ZN/Hn8NCSyVuqxrjwqmuYXoyyyBk5 me@here";

fn named(name: &str) -> Structure {
    Structure::new().with("KeyName", name)
}

fn import(name: &str, key: &str) -> Structure {
    let mut input = named(name);
    input.set("PublicKeyMaterial", Value::Blob(key.as_bytes().to_vec()));
    input
}

#[test]
fn made_keys_are_real() {
    let mut world = World::new();
    let answer = world.ok("CreateKeyPair", named("k").with("KeyType", "ed25519"));
    let private = PrivateKey::from_openssh(answer.string("KeyMaterial").unwrap()).unwrap();
    let shown = world.ok("DescribeKeyPairs", Structure::new().with("IncludePublicKey", true));
    let shown = shown.structures("KeyPairs").next().unwrap();
    let public = PublicKey::from_openssh(shown.string("PublicKey").unwrap()).unwrap();
    assert_eq!(public.key_data(), private.public_key().key_data());
    assert_eq!((shown.string("KeyType"), shown.string("KeyName")), (Some("ed25519"), Some("k")));
    assert_eq!(shown.get("KeyFingerprint"), answer.get("KeyFingerprint"));
    assert_eq!(
        world.ok("DescribeKeyPairs", Structure::new()).structures("KeyPairs").next().unwrap().get("PublicKey"),
        None
    );
    let other = world.ok("CreateKeyPair", named("other").with("KeyType", "ed25519"));
    assert_ne!(other.string("KeyMaterial"), answer.string("KeyMaterial"));
}

#[test]
fn rsa_is_the_default_and_comes_as_pem() {
    let mut world = World::new();
    let answer = world.ok("CreateKeyPair", named("k"));
    let pem = answer.string("KeyMaterial").unwrap();
    assert!(pem.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"), "{pem}");
    let private = russh::keys::decode_secret_key(pem, None).unwrap();
    let shown = world.ok("DescribeKeyPairs", Structure::new().with("IncludePublicKey", true));
    let shown = shown.structures("KeyPairs").next().unwrap();
    assert_eq!(
        PublicKey::from_openssh(shown.string("PublicKey").unwrap()).unwrap().key_data(),
        private.public_key().key_data()
    );
    assert_eq!(shown.string("KeyFingerprint").unwrap().len(), 59, "SHA-1, in colons");
}

#[test]
fn import_describe_delete() {
    let mut world = World::new();
    let answer = world.ok("ImportKeyPair", import("k", ED25519));
    assert_eq!(answer.string("KeyFingerprint").unwrap().len(), 44, "SHA-256 in base64");
    assert_eq!(
        world.err("ImportKeyPair", import("k", ED25519)),
        "InvalidKeyPair.Duplicate: The keypair 'k' already exists."
    );
    for bad in ["", "ssh-rsa nonsense", "ssh-ed25519", "-----BEGIN PUBLIC KEY-----", "\u{0}"] {
        assert!(world.err("ImportKeyPair", import("bad", bad)).starts_with("InvalidKey.Format: "), "{bad}");
    }
    for bad in ["", " k", "new\nline", "é"] {
        assert!(world.err("ImportKeyPair", import(bad, ED25519)).starts_with("InvalidParameterValue: "), "{bad}");
    }
    assert_eq!(
        world.err("DescribeKeyPairs", Structure::new().with("KeyNames", vec!["x"])),
        "InvalidKeyPair.NotFound: The key pair 'x' does not exist"
    );
    let launch = world.launch().with("KeyName", "k");
    let id = instance_id(&world.ok("RunInstances", launch));
    world.ok("DeleteKeyPair", named("k"));
    world.ok("DeleteKeyPair", named("k"));
    assert_eq!(world.instance(&id).string("KeyName"), Some("k"), "an instance keeps its key");
    assert!(world.ok("DescribeKeyPairs", Structure::new()).list("KeyPairs").is_empty());
}

#[test]
fn fingerprints_of_imported_rsa_keys_are_those_of_ec2() {
    // Fingerprint by: ssh-keygen -ef key -m PEM | openssl rsa -RSAPublicKey_in -outform DER | openssl md5 -c
    let mut world = World::new();
    let answer = world.ok("ImportKeyPair", import("k", RSA));
    assert_eq!(answer.string("KeyFingerprint"), Some(RSA_MD5));
    let shown =
        world.ok("DescribeKeyPairs", Structure::new().with("KeyNames", vec!["k"]).with("IncludePublicKey", true));
    let public = shown.structures("KeyPairs").next().unwrap().string("PublicKey").unwrap().to_owned();
    assert_eq!(public, format!("{RSA} k"));
    assert_eq!(world.ok("DescribeKeyPairs", filters(&[("fingerprint", &[RSA_MD5])])).list("KeyPairs").len(), 1);
}

#[test]
fn an_rsa_key_may_come_as_base64_of_der() {
    // By: ssh-keygen -ef key -m PKCS8, without the armour.
    let mut world = World::new();
    let der = concat!(
        "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA2JCI4qnUe/qTnISaONiJ\n",
        "pWYkOH53hdy3rwYquKwgWHyOCD8wpUczl2p36HkR+QqnFBpOfMtBqIACyiEwZlEE\n",
        "4NULUB/SBIrJzrbFLsbPESIXhxhp6Nok7D5itEj1k24VCp7oEWLS+RB5lkBIZVU9\n",
        "uyKj7B4V+6cCchtDW6U3WvfhRRCtjCZnQM03DDEMyJPiW4q4aMSfI2PBHNFIqtTj\n",
        "cY/7WXhsBX1a+tAx8k0s1AwTkbMtDCQl/og4f3QV4BowZvJ+Z0y0yu3RTZZx2l2x\n",
        "NKdZb58xH9XKGlsmNs2REEUriaKBfvicZ+V4pPN3Uv0VatX8QPIYcGihK+VOHZNP\n",
        "JQIDAQAB\n",
    );
    let answer = world.ok("ImportKeyPair", import("k", der));
    assert_eq!(answer.string("KeyFingerprint"), Some(RSA_MD5));
    let shown = world.ok("DescribeKeyPairs", Structure::new().with("IncludePublicKey", true));
    assert_eq!(shown.structures("KeyPairs").next().unwrap().string("PublicKey"), Some(&*format!("{RSA} k")));
}

const RSA_MD5: &str = "25:01:7a:bf:bf:fb:56:7e:9b:10:d3:79:e0:57:ef:1a";
const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDYkIjiqdR7+pOchJo42ImlZiQ4fneF3LevBiq4rCBYfI4IPzClRzOXanfoeRH5CqcUGk58y0GogALKITBmUQTg1QtQH9IEisnOtsUuxs8RIheHGGno2iTsPmK0SPWTbhUKnugRYtL5EHmWQEhlVT27IqPsHhX7pwJyG0NbpTda9+FFEK2MJmdAzTcMMQzIk+JbirhoxJ8jY8Ec0Uiq1ONxj/tZeGwFfVr60DHyTSzUDBORsy0MJCX+iDh/dBXgGjBm8n5nTLTK7dFNlnHaXbE0p1lvnzEf1coaWyY2zZEQRSuJooF++Jxn5Xik83dS/RVq1fxA8hhwaKEr5U4dk08l";
