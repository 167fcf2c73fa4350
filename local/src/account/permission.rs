//! Whom else a snapshot or an image is for.

use super::request::{combination, invalid, only};
use crate::{
    error::{ApiError, Code},
    wire::Structure,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Accounts, or everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Permissions {
    users: BTreeSet<String>,
    all: bool,
}

/// Twelve digits.
pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl Permissions {
    pub(super) fn is_public(&self) -> bool {
        self.all
    }

    /// Whether they name an account.
    pub(super) fn names(&self, account: &str) -> bool {
        self.users.contains(account)
    }

    pub(super) fn shown(&self) -> Vec<Structure> {
        let all = self.all.then(|| Structure::new().with("Group", "all"));
        all.into_iter().chain(self.users.iter().map(|user| Structure::new().with("UserId", user))).collect()
    }

    /// Changes them as a request says: by `member`, or by the older way of OperationType, UserIds and `groups`. Whether it
    /// says anything.
    /// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyImageAttribute.html>.
    pub(super) fn modify(&mut self, input: &Structure, member: &str, groups: &str) -> Result<bool, ApiError> {
        let users: Vec<&str> = input.strings("UserIds").collect();
        let groups: Vec<&str> = input.strings(groups).collect();
        let operation = input.string("OperationType");
        if let Some(change) = input.structure(member) {
            if operation.is_some() || !users.is_empty() || !groups.is_empty() {
                return Err(combination(format!("{member} can't be used together with OperationType")));
            }
            only(change, &format!("{member}."), &["Add", "Remove"])?;
            let (add, remove) = (read(change, member, "Add")?, read(change, member, "Remove")?);
            if add.is_empty() && remove.is_empty() {
                return Err(combination("No attributes specified."));
            }
            add.into_iter().for_each(|one| self.set(one, true));
            remove.into_iter().for_each(|one| self.set(one, false));
            return Ok(true);
        }
        let Some(operation) = operation else {
            return match (users.as_slice(), groups.as_slice()) {
                ([], []) => Ok(false),
                _ => Err(combination("UserIds and groups need OperationType")),
            };
        };
        let named = users.into_iter().map(user).chain(groups.into_iter().map(group));
        let named = named.collect::<Result<Vec<_>, _>>()?;
        if named.is_empty() {
            return Err(combination("No attributes specified."));
        }
        named.into_iter().for_each(|one| self.set(one, operation == "add"));
        Ok(true)
    }

    fn set(&mut self, one: One, on: bool) {
        match (one, on) {
            (One::All, on) => self.all = on,
            (One::User(user), true) => drop(self.users.insert(user)),
            (One::User(user), false) => drop(self.users.remove(&user)),
        }
    }
}

enum One {
    All,
    User(String),
}

fn read(change: &Structure, member: &str, list: &str) -> Result<Vec<One>, ApiError> {
    let item = |item: &Structure| {
        only(item, &format!("{member}.{list}."), &["Group", "UserId"])?;
        match (item.string("UserId"), item.string("Group")) {
            (Some(id), None) => user(id),
            (None, Some(name)) => group(name),
            _ => Err(combination(format!("An item of {member}.{list} is either a UserId or a Group"))),
        }
    };
    change.structures(list).map(item).collect()
}

fn user(id: &str) -> Result<One, ApiError> {
    if is_account(id) {
        return Ok(One::User(id.to_owned()));
    }
    Err(ApiError::new(
        Code::InvalidAmiAttributeItemValue,
        format!("Invalid attribute item value \"{id}\" for userId item type."),
    ))
}

fn group(name: &str) -> Result<One, ApiError> {
    if name == "all" { Ok(One::All) } else { Err(invalid(format!("Invalid group name: {name}. Only 'all' is one."))) }
}
