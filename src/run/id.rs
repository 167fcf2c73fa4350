//! What tells runs apart.

use crate::error::{Error, ErrorKind};
use std::env;

/// The longest tag value is 256 characters; names of keys and groups, which bear the id too, may have 255.
const ID_MAX: usize = 128;

/// The id that the environment gives; `None` if it gives none.
pub(super) fn given_id() -> Result<Option<String>, Error> {
    for name in ["EC2_HARNESS_RUN_ID", "NEXTEST_RUN_ID"] {
        let Some(id) = env::var(name).ok().filter(|id| !id.is_empty()) else { continue };
        check_id(&id, || format!("use {name} as the run's id"))?;
        return Ok(Some(id));
    }
    Ok(None)
}

/// Whether a run can have this id: no filter takes it for more than it is, and no path leads elsewhere by it.
pub(crate) fn check_id(id: &str, tried: impl FnOnce() -> String) -> Result<(), Error> {
    let is_valid = (1..=ID_MAX).contains(&id.len())
        && !id.starts_with('.')
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if is_valid {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Configuration, tried())
        .because(format!("`{id}` is not of 1 to {ID_MAX} letters, digits, `-`, `_` and `.`")))
}

/// A random name; also for client tokens and attempt tags.
pub(crate) fn random_id() -> Result<String, Error> {
    let mut bytes = [0_u8; 12];
    getrandom::fill(&mut bytes)
        .map_err(|e| Error::new(ErrorKind::Internal, "draw a random id").because(e.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
