//! With which key a volume is encrypted, and what a region's defaults for that are. Nothing is encrypted here, and no key is looked
//! up: EC2, too, takes any that is well-formed, and asks for it later.

use super::Shape;
use crate::{
    account::{
        Context,
        request::{combination, given, invalid, required},
        snapshot::Snapshot,
        stored::{Kept, Stored},
    },
    error::{ApiError, Code},
    wire::Structure,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The alias of the key that AWS makes for each region of an account.
const AWS_ALIAS: &str = "alias/aws/ebs";
/// The key of the one row.
const ROW: &str = "default";

/// What holds for new volumes of a region.
#[derive(Debug, Clone, Default)]
pub(in crate::account) struct Encryption(Kept<Defaults>);

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Defaults {
    /// Whether all new volumes are encrypted.
    by_default: bool,
    /// The ARN of the key where another was named than AWS's own.
    #[serde(default)]
    key: Option<String>,
}

impl Encryption {
    fn is_default(&self) -> bool {
        self.0.get(ROW).is_some_and(|defaults| defaults.by_default)
    }

    pub(in crate::account) fn stored(&mut self) -> &mut dyn Stored {
        &mut self.0
    }
}

/// Encrypts a new volume, as its request or the region's defaults want it. `ebs` is the structure with Encrypted and KmsKeyId. What
/// it is made of may have a key already.
pub(in crate::account) fn apply(context: &Context<'_>, ebs: &Structure, shape: &mut Shape) -> Result<(), ApiError> {
    let key = given(ebs, "KmsKeyId").map(|key| arn(context, key)).transpose()?;
    if key.is_some() && ebs.boolean("Encrypted") != Some(true) {
        let message = "The parameter KmsKeyId requires the parameter Encrypted to be set.";
        return Err(ApiError::new(Code::InvalidParameterDependency, message));
    }
    shape.encrypted |= context.region.encryption.is_default();
    let key = key.or(shape.kms_key.take());
    shape.kms_key = shape.encrypted.then(|| key.unwrap_or_else(|| default_key(context)));
    Ok(())
}

/// The same of a volume that is made of a snapshot: encrypted it stays, by another key if one is named.
/// Source: <https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption.html#encryption-parameters>.
pub(in crate::account) fn apply_to_restored(
    context: &Context<'_>,
    ebs: &Structure,
    snapshot: &Snapshot,
    shape: &mut Shape,
) -> Result<(), ApiError> {
    if snapshot.encrypted && ebs.boolean("Encrypted") == Some(false) {
        return Err(combination("An unencrypted volume of an encrypted snapshot can't be made."));
    }
    shape.kms_key.clone_from(&snapshot.kms_key);
    apply(context, ebs, shape)
}

/// The key of a copy of a snapshot, if it is encrypted: that of the request or the region's, since keys are of one region.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CopySnapshot.html>.
pub(in crate::account) fn of_copy(
    context: &Context<'_>,
    input: &Structure,
    source: bool,
) -> Result<Option<String>, ApiError> {
    let key = given(input, "KmsKeyId").map(|key| arn(context, key)).transpose()?;
    match input.boolean("Encrypted") {
        Some(false) if source => Err(combination("An unencrypted copy of an encrypted snapshot can't be made.")),
        // A key for what stays unencrypted is an error, and none for a copy that is encrypted in any case.
        wanted if key.is_some() && wanted != Some(true) && !source => Err(ApiError::new(
            Code::InvalidParameterDependency,
            "The parameter KmsKeyId requires the parameter Encrypted to be set.",
        )),
        wanted => {
            let encrypts = source || wanted == Some(true) || context.region.encryption.is_default();
            Ok(encrypts.then(|| key.unwrap_or_else(|| default_key(context))))
        }
    }
}

/// The ARN of the key that volumes get for which none is named.
fn default_key(context: &Context<'_>) -> String {
    let named = context.region.encryption.0.get(ROW).and_then(|defaults| defaults.key.clone());
    named.unwrap_or_else(|| key_of_alias(context, AWS_ALIAS))
}

fn own(context: &Context<'_>, resource: &str) -> String {
    format!("arn:aws:kms:{}:{}:{resource}", context.region.place.name, context.settings.account)
}

/// The key that an alias stands for: its id follows from the name.
fn key_of_alias(context: &Context<'_>, alias: &str) -> String {
    let hash = Sha256::digest(own(context, alias).as_bytes());
    let id = uuid::Builder::from_random_bytes(std::array::from_fn(|i| hash[i])).into_uuid();
    own(context, &format!("key/{id}"))
}

/// The ARN of the key of a name: of its id, its alias, its ARN, or the ARN of its alias.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateVolume.html>.
fn arn(context: &Context<'_>, name: &str) -> Result<String, ApiError> {
    let is_id =
        |id: &str| uuid::Uuid::try_parse(id).is_ok_and(|parsed| parsed.to_string() == id) || is_multi_region(id);
    let resource = name.strip_prefix(&own(context, ""));
    match resource.unwrap_or(name) {
        alias if is_alias(alias) => Ok(key_of_alias(context, alias)),
        key if resource.is_some() && key.strip_prefix("key/").is_some_and(is_id) => Ok(name.to_owned()),
        id if resource.is_none() && is_id(id) => Ok(own(context, &format!("key/{id}"))),
        _ => Err(invalid(format!(
            "Value ({name}) for parameter KmsKeyId is invalid. It must be the id, the alias or the ARN of a key of this account \
             and region."
        ))),
    }
}

/// Source: <https://docs.aws.amazon.com/kms/latest/developerguide/mrk-how-it-works.html>.
fn is_multi_region(id: &str) -> bool {
    id.strip_prefix("mrk-").is_some_and(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Source: <https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateAlias.html>.
fn is_alias(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-".contains(&byte);
    name.len() <= 256 && name.strip_prefix("alias/").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(allowed))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetEbsEncryptionByDefault.html>.
pub(in crate::account) fn get(context: &mut Context<'_>, _: &Structure) -> Result<Structure, ApiError> {
    let is_default = context.region.encryption.is_default();
    let sse_type = if is_default { "sse-kms" } else { "none" };
    Ok(Structure::new().with("EbsEncryptionByDefault", is_default).with("SseType", sse_type))
}

pub(in crate::account) fn enable(context: &mut Context<'_>, _: &Structure) -> Result<Structure, ApiError> {
    set(context, true)
}

pub(in crate::account) fn disable(context: &mut Context<'_>, _: &Structure) -> Result<Structure, ApiError> {
    set(context, false)
}

fn set(context: &mut Context<'_>, by_default: bool) -> Result<Structure, ApiError> {
    context.region.encryption.0.entry(ROW).by_default = by_default;
    Ok(Structure::new().with("EbsEncryptionByDefault", by_default))
}

pub(in crate::account) fn get_key(context: &mut Context<'_>, _: &Structure) -> Result<Structure, ApiError> {
    Ok(Structure::new().with("KmsKeyId", default_key(context)))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyEbsDefaultKmsKeyId.html>.
pub(in crate::account) fn modify_key(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let key = arn(context, required(input, "KmsKeyId")?)?;
    context.region.encryption.0.entry(ROW).key = Some(key);
    get_key(context, input)
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ResetEbsDefaultKmsKeyId.html>.
pub(in crate::account) fn reset_key(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    context.region.encryption.0.entry(ROW).key = None;
    get_key(context, input)
}
