//! `users`, `groups` and keys.

use super::value::{self, Mapping};
use crate::guest::{
    accounts::{self, NewAccount},
    authorize,
    root::Root,
};
use serde_json::Value;
use std::io;

/// Whom sudo lets through without a password, for the guest's own sudo; a name a line.
const SUDOERS: &str = "/etc/ec2-local/sudoers";
/// The same for a real one.
const REAL_SUDOERS: &str = "/etc/sudoers.d/90-cloud-init-users";

/// A user of a `#cloud-config`.
#[derive(Debug, Clone)]
pub struct User {
    /// The account.
    pub account: NewAccount,
    /// Keys to log in with.
    pub keys: Vec<String>,
    /// The rules for sudo.
    pub sudo: Vec<String>,
}

impl User {
    /// The user that an image of a distribution has.
    pub fn default_of_image(name: &str) -> Self {
        let mut account = NewAccount::new(name);
        account.gecos = "ec2-local".to_owned();
        account.groups = ["adm", "sudo"].map(str::to_owned).to_vec();
        Self { account, keys: Vec::new(), sudo: vec!["ALL=(ALL) NOPASSWD:ALL".to_owned()] }
    }

    /// Reads an entry of the list.
    pub fn parse(entry: &Mapping, unapplied: &mut Vec<String>) -> Result<Self, String> {
        let name = entry.get("name").and_then(value::text).ok_or("users: an entry has no `name`")?;
        let wrong = |key: &str| format!("users: `{key}` of {name} has a value that it can't have");
        let mut account = NewAccount::new(&name);
        let (mut keys, mut sudo) = (Vec::new(), Vec::new());
        let mut locked = true;
        for (key, content) in entry {
            let text = || value::text(content).ok_or_else(|| wrong(key));
            let truth = || value::truth(content).ok_or_else(|| wrong(key));
            match key.replace('-', "_").as_str() {
                "name" => {}
                "gecos" => account.gecos = text()?,
                "shell" => account.shell = Some(text()?),
                "homedir" => account.home = Some(text()?),
                "uid" => account.uid = Some(text()?.parse().map_err(|_| wrong(key))?),
                "primary_group" => account.primary_group = Some(text()?),
                "groups" => account.groups = groups(content).ok_or_else(|| wrong(key))?,
                "system" => account.system = truth()?,
                "no_create_home" => account.no_home = truth()?,
                "passwd" | "hashed_passwd" => account.password = Some(text()?),
                "lock_passwd" => locked = truth()?,
                "ssh_authorized_keys" => keys = value::keys(content).ok_or_else(|| wrong(key))?,
                "sudo" => match content {
                    Value::Null | Value::Bool(false) => {}
                    rules => sudo = value::texts(&one(rules)).ok_or_else(|| wrong(key))?,
                },
                _ => unapplied.push(format!("`{key}` of user {name}")),
            }
        }
        // A lock stands before the hash, which stays.
        account.password = match (account.password.take(), locked) {
            (Some(hash), true) => Some(format!("!{hash}")),
            (hash, _) => hash,
        };
        Ok(Self { account, keys, sudo })
    }

    /// Makes the account, with its keys and its rights.
    pub fn create(&self, root: &Root, unapplied: &mut Vec<String>) -> io::Result<()> {
        let name = &self.account.name;
        accounts::add_account(root, &self.account)?;
        if !self.keys.is_empty() {
            authorize::add_keys(root, name, &self.keys)?;
        }
        for rule in &self.sudo {
            append(root, REAL_SUDOERS, &format!("{name} {rule}"), 0o440)?;
            let plain: String = rule.split_whitespace().collect::<String>().to_uppercase();
            if ["ALL=(ALL)NOPASSWD:ALL", "ALL=(ALL:ALL)NOPASSWD:ALL"].contains(&plain.as_str()) {
                append(root, SUDOERS, name, 0o644)?;
            } else {
                unapplied.push(format!("sudo rule `{rule}` of user {name} (only ALL=(ALL) NOPASSWD:ALL is)"));
            }
        }
        Ok(())
    }
}

/// A text alone is one rule, commas and all.
fn one(rules: &Value) -> Value {
    if rules.is_string() { Value::Array(vec![rules.clone()]) } else { rules.clone() }
}

/// Groups stand in a list, in a text, or as the keys of a mapping.
fn groups(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Object(groups) => Some(groups.keys().cloned().collect()),
        other => value::texts(other),
    }
}

/// The groups of the `groups` key, each with its members.
pub fn groups_with_members(value: &Value) -> Option<Vec<(String, Vec<String>)>> {
    let mapping = |groups: &Mapping| {
        groups.iter().map(|(name, members)| Some((name.clone(), value::texts(members)?))).collect::<Option<Vec<_>>>()
    };
    match value {
        Value::Object(groups) => mapping(groups),
        Value::Array(entries) => {
            let mut all = Vec::new();
            for entry in entries {
                match entry {
                    Value::Object(groups) => all.extend(mapping(groups)?),
                    other => all.push((value::text(other)?, Vec::new())),
                }
            }
            Some(all)
        }
        other => Some(value::texts(other)?.into_iter().map(|name| (name, Vec::new())).collect()),
    }
}

fn append(root: &Root, path: &str, line: &str, mode: u32) -> io::Result<()> {
    let text = root.read_or_empty(path)?;
    if text.lines().any(|found| found == line) {
        return Ok(());
    }
    root.write(path, format!("{text}{line}\n"), mode)
}
