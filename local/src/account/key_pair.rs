//! Key pairs.

use super::{
    Context,
    action::{Action, action},
    describe::Listing,
    filter::whole_second,
    ids::{Id, KeyPairId, Source},
    quota,
    request::{invalid, one_of, required, unsupported},
    tags::TagSpecifications,
};
use crate::{
    error::{ApiError, Code},
    wire::{Structure, Value},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use md5::Md5;
use rand::{SeedableRng, rngs::StdRng};
use rsa::{
    RsaPrivateKey, RsaPublicKey,
    pkcs1::EncodeRsaPrivateKey,
    pkcs8::{DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding},
    traits::PublicKeyParts,
};
use russh::keys::ssh_key::{self, PrivateKey, PublicKey, public::KeyData};
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};
use sha2::Sha256;
use std::{borrow::Cow, ops::RangeInclusive};
use time::OffsetDateTime;

pub(super) const ACTIONS: &[Action] = &[
    action("CreateKeyPair", create, &["KeyName", "KeyType", "KeyFormat", "TagSpecifications"]),
    action("DeleteKeyPair", delete, &["KeyName", "KeyPairId"]),
    action("DescribeKeyPairs", describe, &["Filters", "IncludePublicKey", "KeyNames", "KeyPairIds"]),
    action("ImportKeyPair", import, &["KeyName", "PublicKeyMaterial", "TagSpecifications"]),
];

/// A key pair; the private half is never kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct KeyPair {
    pub(super) name: String,
    /// The public key as it stands in `authorized_keys`, with the name as its comment, as EC2 has it.
    pub(super) openssh: String,
    kind: Cow<'static, str>,
    fingerprint: String,
    created: OffsetDateTime,
}

const RSA: &str = "rsa";
const ED25519: &str = "ed25519";
/// What AWS makes.
const RSA_BITS: usize = 2048;
const NAME_LENGTH: usize = 255;

fn check_name(context: &Context<'_>, input: &Structure) -> Result<String, ApiError> {
    let name = required(input, "KeyName")?;
    if name.is_empty()
        || name.len() > NAME_LENGTH
        || !name.bytes().all(|b| (b' '..=b'~').contains(&b))
        || name.trim() != name
    {
        return Err(invalid(format!(
            "Value ({name}) for parameter KeyName is invalid. It must have 1 to {NAME_LENGTH} printable ASCII characters."
        )));
    }
    if context.region.key_pair_named(name).is_some() {
        return Err(ApiError::new(Code::InvalidKeyPairDuplicate, format!("The keypair '{name}' already exists.")));
    }
    let message = "The maximum number of key pairs has been reached.";
    let quota = context.settings.quotas.key_pairs;
    quota::one_more(context.region.key_pairs.len(), quota, Code::KeyPairLimitExceeded, message)?;
    Ok(name.to_owned())
}

fn add(context: &mut Context<'_>, input: &Structure, key: KeyPair) -> Result<Structure, ApiError> {
    let tags = TagSpecifications::read(input, &["key-pair"])?.of("key-pair");
    let id: KeyPairId = context.shared.source.id();
    let answer = Structure::new()
        .with("KeyPairId", &id)
        .with("KeyName", key.name.as_str())
        .with("KeyFingerprint", key.fingerprint.as_str())
        .with("Tags", super::tags::shown(Some(&tags)));
    context.region.tags.set(&id, tags);
    context.region.key_pairs.insert(id, key);
    Ok(answer)
}

pub(super) fn create(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let name = check_name(context, input)?;
    let kind = one_of(input, "KeyType", &[RSA, ED25519])?.unwrap_or(RSA);
    if one_of(input, "KeyFormat", &["pem", "ppk"])? == Some("ppk") {
        return Err(unsupported("The key format 'ppk'"));
    }
    // The answer must not fail once a key was made.
    TagSpecifications::read(input, &["key-pair"])?;
    let made =
        if kind == RSA { make_rsa(&mut context.shared.source) } else { make_ed25519(&mut context.shared.source) };
    let (openssh, fingerprint, material) =
        made.map_err(|why| ApiError::new(Code::InternalError, format!("failed to make a key pair: {why}; try again")))?;
    let (kind, openssh) = (if kind == RSA { RSA } else { ED25519 }, format!("{openssh} {name}"));
    let key = KeyPair { name, openssh, kind: kind.into(), fingerprint, created: context.now };
    Ok(add(context, input, key)?.with("KeyMaterial", material))
}

/// Public key, fingerprint, private key.
type Made = Result<(String, String, String), Box<dyn std::error::Error>>;

/// The fingerprint of a key that EC2 made is of the private key, that of one that was imported of the public key.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/verify-keys.html>.
fn make_rsa(source: &mut Source) -> Made {
    let key = RsaPrivateKey::new(&mut StdRng::from_seed(source.draw()), RSA_BITS)?;
    let public = KeyData::from(ssh_key::public::RsaPublicKey::try_from(&key.to_public_key())?);
    let fingerprint = colons(&Sha1::digest(key.to_pkcs8_der()?.as_bytes()));
    Ok((PublicKey::from(public).to_openssh()?, fingerprint, key.to_pkcs1_pem(LineEnding::LF)?.trim_end().to_owned()))
}

fn make_ed25519(source: &mut Source) -> Made {
    let key = PrivateKey::random(&mut StdRng::from_seed(source.draw()), ssh_key::Algorithm::Ed25519)?;
    let public = key.public_key();
    Ok((public.to_openssh()?, sha256_fingerprint(public)?, key.to_openssh(ssh_key::LineEnding::LF)?.to_string()))
}

fn sha256_fingerprint(key: &PublicKey) -> Result<String, ssh_key::Error> {
    Ok(STANDARD.encode(Sha256::digest(key.to_bytes()?)))
}

fn colons(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

pub(super) fn import(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let name = check_name(context, input)?;
    let Some(Value::Blob(material)) = input.get("PublicKeyMaterial") else {
        return Err(super::request::missing("PublicKeyMaterial"));
    };
    let (kind, fingerprint, openssh) = read_public(material)
        .ok_or_else(|| ApiError::new(Code::InvalidKeyFormat, "Key is not in valid OpenSSH public key format"))?;
    let key =
        KeyPair { openssh: format!("{openssh} {name}"), name, kind: kind.into(), fingerprint, created: context.now };
    add(context, input, key)
}

/// The sizes of RSA that are taken. AWS documents 1024, 2048 and 4096 bits, and takes what is between and up to 8192, too:
/// OpenSSH's default are 3072.
const IMPORTED_RSA_BITS: RangeInclusive<u32> = 1024..=8192;

/// RSA or ED25519, in OpenSSH's format, that of RFC 4716, or RSA in base64 of DER.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/create-key-pairs.html>.
fn read_public(material: &[u8]) -> Option<(&'static str, String, String)> {
    let text = std::str::from_utf8(material).ok()?.trim();
    let mut key = PublicKey::from_openssh(text).ok().or_else(|| read_rfc4716(text)).or_else(|| read_der(text))?;
    key.set_comment("");
    let openssh = key.to_openssh().ok()?.trim_end().to_owned();
    match key.key_data() {
        KeyData::Ed25519(_) => Some((ED25519, sha256_fingerprint(&key).ok()?, openssh)),
        KeyData::Rsa(public) => {
            let public = RsaPublicKey::try_from(public).ok()?;
            if !IMPORTED_RSA_BITS.contains(&public.n().bits()) {
                return None;
            }
            Some((RSA, colons(&Md5::digest(public.to_public_key_der().ok()?.as_bytes())), openssh))
        }
        _ => None,
    }
}

fn read_rfc4716(text: &str) -> Option<PublicKey> {
    let body = text.strip_prefix("---- BEGIN SSH2 PUBLIC KEY ----")?.strip_suffix("---- END SSH2 PUBLIC KEY ----")?;
    let mut continues = false;
    let base64: String = body
        .lines()
        .filter(|line| {
            let header = continues || line.contains(':');
            continues = header && line.ends_with('\\');
            !header
        })
        .collect();
    PublicKey::from_bytes(&super::request::decode(&base64)?).ok()
}

fn read_der(text: &str) -> Option<PublicKey> {
    let key = RsaPublicKey::from_public_key_der(&super::request::decode(text)?).ok()?;
    Some(KeyData::from(ssh_key::public::RsaPublicKey::try_from(&key).ok()?).into())
}

/// Deleting what isn't there is no error.
pub(super) fn delete(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = match (input.string("KeyPairId"), input.string("KeyName")) {
        (Some(id), _) => Some(KeyPairId::parse(id)?),
        (None, Some(name)) => context.region.key_pair_named(name).map(|(id, _)| id.clone()),
        (None, None) => return Err(super::request::missing("KeyName")),
    };
    let gone = id.filter(|id| context.region.key_pairs.remove(id).is_some());
    if let Some(id) = &gone {
        context.region.tags.forget(id);
    }
    Ok(Structure::new().with("Return", true).with_some("KeyPairId", gone.as_ref()))
}

const LISTING: Listing = Listing {
    action: "DescribeKeyPairs",
    ids: "KeyPairIds",
    id: "KeyPairId",
    sizes: 5..=1000,
    filters: &[("key-pair-id", "KeyPairId"), ("fingerprint", "KeyFingerprint"), ("key-name", "KeyName")],
};

pub(super) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    let names: Vec<&str> = input.strings("KeyNames").collect();
    if let Some(name) = names.iter().find(|name| region.find_key_pair(name).is_none()) {
        return Err(ApiError::new(Code::InvalidKeyPairNotFound, format!("The key pair '{name}' does not exist")));
    }
    let public = input.boolean("IncludePublicKey") == Some(true);
    let wanted = |key: &KeyPair| names.is_empty() || names.contains(&key.name.as_str());
    LISTING.answer_where("KeyPairs", input, &region.key_pairs, &region.tags, wanted, |id, key| {
        Structure::new()
            .with("KeyPairId", id)
            .with("KeyName", key.name.as_str())
            .with("KeyType", &*key.kind)
            .with("KeyFingerprint", key.fingerprint.as_str())
            .with("CreateTime", whole_second(key.created))
            .with_some("PublicKey", public.then_some(key.openssh.as_str()))
            .with("Tags", region.tags.shown(id))
    })
}
