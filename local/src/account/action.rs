//! What an action is: name, function, and the parameters that are served. Each room has a table of its own, `ACTIONS`.

use super::{Context, request::only};
use crate::{error::ApiError, wire::Structure};

/// What answers an action.
type Function = fn(&mut Context<'_>, &Structure) -> Result<Structure, ApiError>;

/// An action that is served.
#[derive(Debug)]
pub(super) struct Action {
    pub(super) name: &'static str,
    pub(super) run: Function,
    /// The parameters that are served, besides DryRun. Others are refused by name, never ignored.
    parameters: &'static [&'static str],
}

pub(super) const fn action(name: &'static str, run: Function, parameters: &'static [&'static str]) -> Action {
    Action { name, run, parameters }
}

impl Action {
    /// The parameters that are served.
    #[cfg(test)]
    pub(super) fn parameters(&self) -> &'static [&'static str] {
        self.parameters
    }

    /// Refuses parameters that are not served.
    pub(super) fn check(&self, input: &Structure) -> Result<(), ApiError> {
        let unserved = input.members().filter(|(name, _)| *name != "DryRun");
        let mut rest = Structure::new();
        for (name, value) in unserved.filter(|(name, _)| !self.parameters.contains(name)) {
            rest.set(name.to_owned(), value.clone());
        }
        only(&rest, "", &[])
    }
}
