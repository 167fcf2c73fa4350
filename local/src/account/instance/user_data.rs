//! User data.

use crate::{
    account::request::{decode, invalid},
    error::ApiError,
};

/// What EC2 takes, before base64.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html>.
const LIMIT: usize = 16 * 1024;

/// Reads user data as it stands in a request.
pub(super) fn read(text: Option<&str>) -> Result<Option<Vec<u8>>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    check(decode(text).ok_or_else(|| invalid("Invalid BASE64 encoding of user data."))?)
}

/// Checks user data that is decoded; none if it is empty.
pub(super) fn check(data: Vec<u8>) -> Result<Option<Vec<u8>>, ApiError> {
    if data.len() > LIMIT {
        return Err(invalid(format!("User data is limited to {LIMIT} bytes")));
    }
    Ok(Some(data).filter(|data| !data.is_empty()))
}
