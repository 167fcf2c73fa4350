//! The settings of a `#cloud-config` that are applied here, and applying them in cloud-init's order
//! (<https://docs.cloud-init.io/en/latest/reference/modules.html>).

use super::{
    Boot,
    files::File,
    instance::Instance,
    script,
    users::{User, groups_with_members},
    value::{self, Mapping},
};
use crate::guest::{accounts, authorize};
use serde_json::Value;
use std::{io, os::unix::fs::symlink};

/// What a `#cloud-config` asks for.
#[derive(Debug, Default)]
pub struct Settings {
    /// The host name, without a domain.
    pub hostname: Option<String>,
    /// The host name with its domain.
    pub fqdn: Option<String>,
    /// Run at each boot, before all else.
    pub bootcmd: Option<String>,
    /// Run at the end of the first boot.
    pub runcmd: Option<String>,
    /// Files to be written.
    pub files: Vec<File>,
    /// Groups with their members.
    pub groups: Vec<(String, Vec<String>)>,
    /// Users to be made; the first is the one that gets the instance's key.
    pub users: Vec<User>,
    /// The user that gets the instance's key; none if the list of users leaves it out.
    pub default_user: Option<String>,
    /// Further keys for that user.
    pub keys: Vec<String>,
    /// Whether root is told to log in as somebody else. Default: yes.
    pub root_disabled: bool,
    /// A name of the time zone database.
    pub timezone: Option<String>,
    /// Printed at the end.
    pub final_message: Option<String>,
    /// What isn't applied.
    pub unapplied: Vec<String>,
    /// What cloud-init puts up with, and warns of.
    pub warnings: Vec<String>,
    /// What is wrong with it.
    pub errors: Vec<String>,
}

impl Settings {
    /// Reads a `#cloud-config`. `login_user` is the user that the image has by default.
    pub fn parse(config: &Mapping, login_user: &str) -> Self {
        let mut settings = Self { root_disabled: true, ..Self::default() };
        let default_user = match config.get("user") {
            Some(Value::Object(user)) => user.get("name").and_then(value::text),
            Some(name) => value::text(name),
            None => None,
        };
        let default_user = default_user.unwrap_or_else(|| login_user.to_owned());
        settings.default_user = Some(default_user.clone());
        settings.users = vec![User::default_of_image(&default_user)];
        for (key, content) in config {
            if let Err(why) = settings.read(key, content, &default_user) {
                settings.errors.push(why);
            }
        }
        settings
    }

    fn read(&mut self, key: &str, content: &Value, default_user: &str) -> Result<(), String> {
        let wrong = || format!("`{key}` has a value that it can't have");
        let text = || value::text(content).ok_or_else(wrong);
        match key {
            "hostname" => self.hostname = Some(text()?),
            "fqdn" => self.fqdn = Some(text()?),
            "bootcmd" => self.bootcmd = Some(value::script(content).map_err(|why| format!("bootcmd: {why}"))?),
            "runcmd" => self.runcmd = Some(value::script(content).map_err(|why| format!("runcmd: {why}"))?),
            "write_files" => {
                for entry in content.as_array().ok_or_else(wrong)? {
                    match File::parse(entry, &mut self.unapplied, &mut self.warnings) {
                        Ok(file) => self.files.extend(file),
                        Err(why) => self.errors.push(why),
                    }
                }
            }
            "groups" => self.groups = groups_with_members(content).ok_or_else(wrong)?,
            "users" => self.read_users(content, default_user)?,
            // Read before the others.
            "user" => {}
            "ssh_authorized_keys" => self.keys = value::keys(content).ok_or_else(wrong)?,
            "disable_root" => self.root_disabled = value::truth(content).ok_or_else(wrong)?,
            "timezone" => self.timezone = Some(text()?),
            "final_message" => self.final_message = Some(text()?),
            // There are no passwords to log in with, so to forbid them is to leave things as they are.
            "ssh_pwauth" if value::truth(content) == Some(false) => {}
            "manage_etc_hosts" if value::truth(content) == Some(false) => {}
            other => self.unapplied.push(format!("`{other}`")),
        }
        Ok(())
    }

    fn read_users(&mut self, content: &Value, default_user: &str) -> Result<(), String> {
        let entries = match content {
            Value::Array(entries) => entries.clone(),
            Value::String(_) => value::texts(content).unwrap_or_default().into_iter().map(Value::String).collect(),
            Value::Null => return Ok(()),
            _ => return Err("`users` is not a list".to_owned()),
        };
        self.users.clear();
        self.default_user = None;
        for entry in entries {
            match entry {
                Value::String(name) if name == "default" => {
                    self.default_user = Some(default_user.to_owned());
                    self.users.insert(0, User::default_of_image(default_user));
                }
                Value::String(name) => {
                    let account = accounts::NewAccount::new(name);
                    self.users.push(User { account, keys: Vec::new(), sudo: Vec::new() });
                }
                Value::Object(user) => match User::parse(&user, &mut self.unapplied) {
                    Ok(user) => self.users.push(user),
                    Err(why) => self.errors.push(why),
                },
                other => self.errors.push(format!("users: `{other}` is not a user")),
            }
        }
        Ok(())
    }
}

impl Boot {
    /// The stage with the network: commands, files, host name, groups, users, keys.
    pub(super) async fn init(&mut self, settings: &Settings, instance: &Instance, first: bool) {
        if let Some(commands) = &settings.bootcmd {
            let path = format!("{}/bootcmd", instance.directory());
            let run = match self.root.write(&path, commands, 0o700) {
                Ok(()) => script::run(&self.root.path(&path), &[("INSTANCE_ID", &instance.id)], &self.console).await,
                Err(error) => Err(error.to_string()),
            };
            self.check(run.map_err(|why| format!("failed to run bootcmd: {why}")));
        }
        if !first {
            return;
        }
        let root = self.root.clone();
        settings.files.iter().filter(|file| !file.defer).for_each(|file| self.check(file.write(&root)));
        let named = self.set_hostname(settings);
        self.check(named.map_err(|error| format!("failed to set the host name: {error}")));
        for (group, members) in &settings.groups {
            let made = accounts::add_group(&root, group, None)
                .and_then(|_| members.iter().try_for_each(|member| accounts::add_member(&root, group, member)));
            self.check(made.map_err(|error| format!("failed to make the group {group}: {error}")));
        }
        for user in &settings.users {
            let mut unapplied = Vec::new();
            let made = user.create(&root, &mut unapplied);
            self.check(made.map_err(|error| format!("failed to make the user {}: {error}", user.account.name)));
            unapplied.iter().for_each(|what| self.unapplied(what));
        }
        let keys: Vec<String> = instance.keys.iter().chain(&settings.keys).cloned().collect();
        let authorized =
            authorize::instance_keys(&root, settings.default_user.as_deref(), &keys, settings.root_disabled);
        self.check(authorized.map_err(|error| format!("failed to authorize the instance's keys: {error}")));
    }

    /// The stage of the settings.
    pub(super) fn configure(&mut self, settings: &Settings) {
        if let Some(zone) = &settings.timezone {
            let set = self.set_timezone(zone);
            self.check(set.map_err(|error| format!("failed to set the time zone to {zone}: {error}")));
        }
    }

    fn set_hostname(&mut self, settings: &Settings) -> io::Result<()> {
        let Some(name) = settings.hostname.as_ref().or(settings.fqdn.as_ref()) else { return Ok(()) };
        let name = name.split('.').next().unwrap_or_default();
        if name.is_empty() || name.len() > 64 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            return Err(io::Error::other(format!("`{name}` can't be one")));
        }
        self.root.write("/etc/hostname", format!("{name}\n"), 0o644)?;
        self.hostname = name.to_owned();
        // Elsewhere the name belongs to somebody else.
        if self.root.is_own() { Ok(rustix::system::sethostname(name.as_bytes())?) } else { Ok(()) }
    }

    fn set_timezone(&self, zone: &str) -> io::Result<()> {
        let file = format!("/usr/share/zoneinfo/{zone}");
        if zone.split('/').any(|part| part.is_empty() || part == "..") || !self.root.path(&file).is_file() {
            return Err(io::Error::other("the machine's time zone database has no such zone"));
        }
        let link = self.root.path("/etc/localtime");
        let _ = std::fs::remove_file(&link);
        symlink(file, link)?;
        self.root.write("/etc/timezone", format!("{zone}\n"), 0o644)
    }
}
