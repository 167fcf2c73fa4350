//! How far the boot has come, where cloud-init documents it
//! (<https://docs.cloud-init.io/en/latest/explanation/return_codes.html>, `status.json`, `result.json`).

use crate::guest::root::Root;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// For the guest's own `cloud-init status`: a line a key, values as it prints them, with `\n` for a line's end and `\\` for a backslash.
const OWN: &str = "/run/ec2-local/cloud-init-status";

/// A part of the boot, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before the network.
    Local,
    /// With the network: `bootcmd`, files, host name, users, keys.
    Init,
    /// Settings.
    Config,
    /// Scripts.
    Final,
}

impl Stage {
    const ALL: [Self; 4] = [Self::Local, Self::Init, Self::Config, Self::Final];

    /// As cloud-init names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "init-local",
            Self::Init => "init",
            Self::Config => "modules-config",
            Self::Final => "modules-final",
        }
    }
}

#[derive(Debug, Default, Clone)]
struct Progress {
    start: Option<f64>,
    finished: Option<f64>,
    errors: Vec<String>,
    warnings: Vec<String>,
}

/// The state of the boot; every change is written down.
#[derive(Debug)]
pub struct Status {
    root: Root,
    datasource: &'static str,
    current: Option<Stage>,
    progress: [Progress; 4],
    over: bool,
}

impl Status {
    /// A boot that begins.
    pub fn begin(root: Root) -> Self {
        let mut status = Self {
            root,
            datasource: "DataSourceEc2Local",
            current: None,
            progress: std::array::from_fn(|_| Progress::default()),
            over: false,
        };
        status.start(Stage::Local);
        status
    }

    /// No metadata could be had.
    pub fn without_metadata(&mut self) {
        self.datasource = "DataSourceNone";
    }

    /// Where the boot's configuration comes from.
    pub fn datasource(&self) -> &'static str {
        self.datasource
    }

    /// Ends the stage that runs, and starts another.
    pub fn start(&mut self, stage: Stage) {
        self.end();
        self.progress[stage as usize].start = Some(epoch());
        self.current = Some(stage);
        self.write();
    }

    /// Something failed: the boot's result is an error.
    pub fn error(&mut self, message: String) {
        self.now().errors.push(message);
        self.write();
    }

    /// Something wasn't applied: the boot's result is degraded.
    pub fn warning(&mut self, message: String) {
        self.now().warnings.push(message);
        self.write();
    }

    /// The boot is over.
    pub fn finish(&mut self) {
        self.end();
        self.over = true;
        let result = json!({ "v1": { "datasource": self.datasource, "errors": self.errors() } });
        self.keep("result.json", &format!("{result:#}\n"));
        self.write();
    }

    fn end(&mut self) {
        if let Some(stage) = self.current.take() {
            self.progress[stage as usize].finished = Some(epoch());
        }
    }

    fn now(&mut self) -> &mut Progress {
        &mut self.progress[self.current.unwrap_or(Stage::Final) as usize]
    }

    fn errors(&self) -> Vec<String> {
        self.progress.iter().flat_map(|progress| progress.errors.clone()).collect()
    }

    fn all_warnings(&self) -> Vec<String> {
        self.progress.iter().flat_map(|progress| progress.warnings.clone()).collect()
    }

    fn write(&self) {
        let mut v1 = self.stages();
        v1["datasource"] = json!(self.datasource);
        self.keep("status.json", &format!("{:#}\n", json!({ "v1": v1 })));
        if let Err(error) = self.root.write(OWN, self.own(), 0o644) {
            tracing::warn!("failed to write {OWN}: {error}");
        }
    }

    fn stages(&self) -> Value {
        let mut stages = json!({ "stage": self.current.map(Stage::name) });
        for stage in Stage::ALL {
            let progress = &self.progress[stage as usize];
            stages[stage.name()] = json!({
                "start": progress.start,
                "finished": progress.finished,
                "errors": progress.errors,
                "recoverable_errors": recoverable(progress.warnings.clone()),
            });
        }
        stages
    }

    /// What `cloud-init status` says: the word, the longer words, and the exit code.
    fn summary(&self) -> (&'static str, &'static str, u8) {
        let failed = self.progress.iter().any(|progress| !progress.errors.is_empty());
        let degraded = self.progress.iter().any(|progress| !progress.warnings.is_empty());
        match (self.over, failed, degraded) {
            (false, true, _) => ("error", "error - running", 1),
            (false, false, true) => ("running", "degraded running", 2),
            (false, false, false) => ("running", "running", 0),
            (true, true, _) => ("error", "error - done", 1),
            (true, false, true) => ("done", "degraded done", 2),
            (true, false, false) => ("done", "done", 0),
        }
    }

    fn own(&self) -> String {
        let (status, extended, code) = self.summary();
        let mut whole = self.stages();
        let updated = super::now();
        for (key, value) in [
            ("status", json!(status)),
            ("extended_status", json!(extended)),
            ("boot_status_code", json!("enabled-by-generator")),
            ("datasource", json!(if self.datasource == "DataSourceNone" { "none" } else { "ec2" })),
            ("detail", json!(self.datasource)),
            ("last_update", json!(updated)),
            ("errors", json!(self.errors())),
            ("recoverable_errors", recoverable(self.all_warnings())),
        ] {
            whole[key] = value;
        }
        let long = format!(
            "status: {status}\nextended_status: {extended}\nboot_status_code: enabled-by-generator\nlast_update: {updated}\n\
             detail: {}\nerrors:{}\nrecoverable_errors:{}",
            self.datasource,
            listed(&self.errors(), "", " []"),
            listed(&self.all_warnings(), "\nWARNING:", " {}"),
        );
        let running = if self.over { "no" } else { "yes" };
        format!(
            "status={status}\nextended_status={extended}\ncode={code}\nrunning={running}\nlong={}\njson={}\n",
            on_one_line(&long),
            on_one_line(&format!("{whole:#}"))
        )
    }

    fn keep(&self, name: &str, content: &str) {
        for directory in ["/var/lib/cloud/data", "/run/cloud-init"] {
            let path = format!("{directory}/{name}");
            if let Err(error) = self.root.write(&path, content, 0o644) {
                tracing::warn!("failed to write {path}: {error}");
            }
        }
    }
}

fn recoverable(warnings: Vec<String>) -> Value {
    if warnings.is_empty() { json!({}) } else { json!({ "WARNING": warnings }) }
}

/// A list as the long form has it.
fn listed(messages: &[String], head: &str, none: &str) -> String {
    match messages {
        [] => none.to_owned(),
        _ => {
            messages.iter().fold(head.to_owned(), |list, message| format!("{list}\n\t- {}", message.replace('\n', " ")))
        }
    }
}

fn on_one_line(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

fn epoch() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
