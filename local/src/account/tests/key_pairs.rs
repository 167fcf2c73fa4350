//! Key pairs.

use super::*;
use crate::wire::Value;
use russh::keys::ssh_key::{Mpint, PrivateKey, PublicKey, public};

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

/// A public key of RSA whose modulus has so many bits.
fn rsa_of(bits: usize) -> String {
    let mut modulus = vec![0xff; bits.div_ceil(8)];
    modulus[0] >>= modulus.len() * 8 - bits;
    let [exponent, modulus] = [&[1, 0, 1], &*modulus].map(Mpint::from_positive_bytes);
    let key = public::KeyData::from(public::RsaPublicKey::new(exponent, modulus).unwrap());
    PublicKey::from(key).to_openssh().unwrap()
}

#[test]
fn rsa_keys_of_other_sizes_than_the_documented_are_taken_as_ec2_does() {
    let mut world = World::new();
    for bits in [1024, 1025, 1536, 2047, 2048, 3072, 4095, 4096, 5000, 8192] {
        let answer = world.ok("ImportKeyPair", import(&bits.to_string(), &rsa_of(bits)));
        assert_eq!(answer.string("KeyFingerprint").unwrap().len(), 47, "MD5 in colons, {bits}");
    }
    for bits in [512, 1023, 8193, 16384] {
        assert_eq!(world.err("ImportKeyPair", import("bad", &rsa_of(bits))), NO_KEY, "{bits}");
    }
}

#[test]
fn keys_of_other_algorithms_are_refused() {
    let mut world = World::new();
    for other in [ECDSA, SECURITY_KEY, DSA] {
        assert!(PublicKey::from_openssh(other).is_ok(), "{other}");
        assert_eq!(world.err("ImportKeyPair", import("bad", other)), NO_KEY);
    }
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

const NO_KEY: &str = "InvalidKey.Format: Key is not in valid OpenSSH public key format";
const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHXmPulrDxZbDYrCzLINQCA6uMi/8jMApitYWhsQ3a98bw6VpRN6l/atO+TY6RVanewTGHYLyEZw2D5Ly8g7pZc=";
const SECURITY_KEY: &str = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIILxJHyT7qNnuW4ZN/Hn8NCSyVuqxrjwqmuYXoyyyBk5AAAABHNzaDo=";
const DSA: &str = "ssh-dss AAAAB3NzaC1kc3MAAACBAM3qPfxBjyMCxuIi+bs10CWIJWgQdfoNlfbdcKPr87a06bGjJCeJjXIxUgsyE6WlQjC5FnuwgF7VYWObumTh7AGEYxKLIKT2UKrC5heYEz7aMe+96mKt3+MEw/AmorS42j/SeieVficumpBV9JmxH5RX/2bh/vnQ3yjH5QHIdv3xAAAAFQDa8Jf902koI2Ln0e15wYWePCSb4QAAAIAemrcXR3oQkEFZdZJuCJQ+TJfumKl9YStgs577w0HdCjT2I8MQo0kEIaKOT758sbzBomsG/nX8Y0B/WlSM31KcXzsZRCIyP03QqOMpetVh3ypQ6DtE0qrB8z9/x/I68Gk4MUafE2W+tavhgeogmjAxioGeKXRDEAYi7E4xqDZ7pwAAAIB91tgRr97OfISE5V/4PUa1uez0I/apvfnKMEjJDsFQSNgpox9/LBkpTzwh99+NpkPGMnw1NLpe/8dPnNatikR7rWQDaKCVxg5cV+tbIUmnAUBK8XmSQe7NBd/ZIB2H/JkbGn9xuUA/1xI7jD9VhIO4rJdzEgDQABj7W5O54T7zBA==";
