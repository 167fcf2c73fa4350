//! The one question to STS that every client asks: whose account is this?

use super::{
    encode::{DECLARATION, escape},
    query::Parameter,
    session::{Session, unique_id},
};
use crate::error::{ApiError, Code};

/// The version of STS's API; there is no other.
const VERSION: &str = "2011-06-15";

/// Answers `GetCallerIdentity`: the account's root user, or the role that an instance has assumed.
///
/// # Errors
///
/// `InvalidAction` for anything else, and for another version; `UnknownParameter`.
pub(super) fn answer(
    parameters: &[Parameter],
    account_id: &str,
    session: Option<&Session>,
    request_id: &str,
) -> Result<String, ApiError> {
    let named = |wanted: &str| parameters.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value);
    let (action, version) = (named("Action"), named("Version"));
    if (action, version) != ("GetCallerIdentity", VERSION) {
        let message = format!("Could not find operation {action} for version {version}");
        return Err(ApiError::new(Code::InvalidAction, message));
    }
    if let Some((name, _)) = parameters.iter().find(|(name, _)| name != "Action" && name != "Version") {
        return Err(ApiError::new(Code::UnknownParameter, format!("The parameter {name} is not recognized")));
    }
    let (arn, user) = match session {
        None => (format!("arn:aws:iam::{account_id}:root"), account_id.to_owned()),
        Some(Session { role, name, .. }) => (
            format!("arn:aws:sts::{account_id}:assumed-role/{role}/{name}"),
            format!("{}:{name}", unique_id("AROA", account_id, role)),
        ),
    };
    Ok(format!(
        "{DECLARATION}<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/{VERSION}/\">\
         <GetCallerIdentityResult><Arn>{arn}</Arn><UserId>{user}</UserId>\
         <Account>{account_id}</Account></GetCallerIdentityResult>\
         <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    ))
}

/// The document that says what went wrong, in STS's form.
pub(super) fn error(error: &ApiError, request_id: &str) -> String {
    let fault = if error.code.status() < 500 { "Sender" } else { "Receiver" };
    let (code, message) = (error.code.name(), escape(&error.message));
    format!(
        "{DECLARATION}<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/{VERSION}/\"><Error><Type>{fault}</Type>\
         <Code>{code}</Code><Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    )
}
