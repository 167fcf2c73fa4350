//! What cloud-init does on AWS, as far as a test needs it: the login user and its key, user data, the host's keys on the
//! console, and a status that can be waited for.
//!
//! What isn't applied here, and what cloud-init only warns of, is named on the console and makes the boot *degraded*; what fails
//! makes it an *error*. Files,
//! wording and exit codes are cloud-init's (<https://docs.cloud-init.io>), its name is followed by `(ec2-local)`.

mod files;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod instance;
mod modules;
mod parts;
mod script;
mod status;
mod users;
mod value;

use super::{console::Console, root::Root, ssh::HostKeys};
use instance::Instance;
use modules::Settings;
use parts::Part;
use status::{Stage, Status};
use std::{io, net::SocketAddr, path::PathBuf, time::Instant};
use time::{OffsetDateTime, macros::format_description};

/// A boot of the machine.
pub struct Boot {
    root: Root,
    hostname: String,
    login_user: String,
    console: Console,
    status: Status,
    began: Instant,
}

impl Boot {
    /// Begins: from here on `cloud-init status` says that it runs.
    pub fn begin(root: Root, hostname: String, login_user: String, console: Console) -> Self {
        let status = Status::begin(root.clone());
        let boot = Self { root, hostname, login_user, console, status, began: Instant::now() };
        boot.announce(Stage::Local);
        boot
    }

    /// Configures the machine; what goes wrong is in the status, on the console and in the log.
    pub async fn run(mut self, metadata: SocketAddr, keys: &HostKeys, first_boot: bool) {
        self.start(Stage::Init);
        let instance = match Instance::fetch(metadata).await {
            Ok(instance) => instance,
            Err(error) => {
                self.status.without_metadata();
                match error.kind() {
                    io::ErrorKind::PermissionDenied => self.warn("metadata: the service is disabled".to_owned()),
                    _ => self.error(format!("failed to {error}")),
                }
                Instance::default()
            }
        };
        let first = first_boot || !instance.is_set_up(&self.root);
        if let Err(error) = instance.write(&self.root, &self.hostname) {
            self.error(format!("failed to write down the instance: {error}"));
        }
        let (settings, scripts) = self.read(&instance);
        self.init(&settings, &instance, first).await;
        self.start(Stage::Config);
        if first {
            self.configure(&settings);
        }
        self.start(Stage::Final);
        self.run_scripts(&settings, &instance, scripts, first).await;
        if first {
            keys.show();
        }
        self.print_final_message(&settings);
        let finished = format!("{:.2} - {} - v. {}\n", self.began.elapsed().as_secs_f64(), now(), version());
        if let Err(error) = self.root.write(format!("{}/boot-finished", instance.directory()), finished, 0o644) {
            self.error(format!("failed to write boot-finished: {error}"));
        }
        self.status.finish();
    }

    /// The user data's settings and scripts; its problems are reported.
    fn read(&mut self, instance: &Instance) -> (Settings, Vec<(String, Vec<u8>)>) {
        let parsed = parts::parse(&instance.user_data);
        parsed.errors.into_iter().for_each(|error| self.error(error));
        parsed.warnings.into_iter().for_each(|warning| self.warn(warning));
        parsed.unapplied.into_iter().for_each(|what| self.unapplied(&what));
        let (mut merged, mut scripts) = (value::Mapping::new(), Vec::new());
        for part in parsed.parts {
            match part {
                Part::Script(name, content) => scripts.push((name, content)),
                Part::Config(text) => match value::parse(&text) {
                    // Of a key that stands in several parts the last counts, as a whole.
                    Ok(config) => merged.extend(config),
                    Err(why) => self.warn(format!("failed to read a #cloud-config: {why}")),
                },
            }
        }
        let path = format!("{}/cloud-config.txt", instance.directory());
        let text = format!("#cloud-config\n{:#}\n", serde_json::Value::Object(merged.clone()));
        if let Err(error) = self.root.write(&path, text, 0o600) {
            self.error(format!("failed to write {path}: {error}"));
        }
        let settings = Settings::parse(&merged, &self.login_user);
        settings.errors.iter().for_each(|error| self.error(error.clone()));
        settings.warnings.iter().for_each(|warning| self.warn(warning.clone()));
        settings.unapplied.iter().for_each(|what| self.unapplied(what));
        (settings, scripts)
    }

    async fn run_scripts(
        &mut self,
        settings: &Settings,
        instance: &Instance,
        scripts: Vec<(String, Vec<u8>)>,
        first: bool,
    ) {
        self.run_directory("/var/lib/cloud/scripts/per-boot").await;
        if !first {
            return;
        }
        settings.files.iter().filter(|file| file.defer).for_each(|file| self.check(file.write(&self.root.clone())));
        let directory = format!("{}/scripts", instance.directory());
        let mut all = scripts;
        all.extend(settings.runcmd.clone().map(|script| ("runcmd".to_owned(), script.into_bytes())));
        for (name, content) in all {
            let written = self.root.write(format!("{directory}/{name}"), content, 0o700);
            self.check(written.map_err(|error| format!("failed to write the script {name}: {error}")));
        }
        self.run_directory("/var/lib/cloud/scripts/per-instance").await;
        self.run_directory(&directory).await;
    }

    /// Runs what is executable in a directory, by name.
    async fn run_directory(&mut self, directory: &str) {
        let Ok(entries) = std::fs::read_dir(self.root.path(directory)) else { return };
        let mut scripts: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        scripts.sort();
        for path in scripts.into_iter().filter(|path| is_executable(path)) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Err(why) = script::run(&path, &[], &self.console).await {
                self.error(format!("failed to run the script {directory}/{name}: {why}"));
            }
        }
    }

    fn print_final_message(&self, settings: &Settings) {
        const USUAL: &str =
            "Cloud-init v. $version finished at $timestamp. Datasource $datasource.  Up $uptime seconds";
        let text = settings.final_message.as_deref().unwrap_or(USUAL);
        let uptime = format!("{:.2}", self.began.elapsed().as_secs_f64());
        let values = [
            ("version", version()),
            ("timestamp", now()),
            ("datasource", self.status.datasource().to_owned()),
            ("uptime", uptime),
        ];
        let mut text = text.to_owned();
        for (name, value) in values {
            text = text.replace(&format!("${name}"), &value).replace(&format!("${{{name}}}"), &value);
            text = text.replace(&format!("${}", name.to_uppercase()), &value);
        }
        self.console.line(&text);
    }

    fn start(&mut self, stage: Stage) {
        self.status.start(stage);
        self.announce(stage);
    }

    fn announce(&self, stage: Stage) {
        let (name, up) = (stage.name(), self.began.elapsed().as_secs_f64());
        self.console.line(&format!("Cloud-init v. {} running '{name}' at {}. Up {up:.2} seconds.", version(), now()));
    }

    fn check(&mut self, result: Result<(), String>) {
        if let Err(why) = result {
            self.error(why);
        }
    }

    fn unapplied(&mut self, what: &str) {
        self.warn(format!("not applied by ec2-local: {what}"));
    }

    fn warn(&mut self, message: String) {
        self.console.log("WARNING", &message);
        self.status.warning(message);
    }

    fn error(&mut self, message: String) {
        self.console.log("ERROR", &message);
        self.status.error(message);
    }
}

fn is_executable(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn version() -> String {
    format!("{} (ec2-local)", env!("CARGO_PKG_VERSION"))
}

/// The time, in the form that cloud-init prints.
pub(super) fn now() -> String {
    OffsetDateTime::now_utc()
        .format(format_description!(
            "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] +0000"
        ))
        .unwrap_or_default()
}
