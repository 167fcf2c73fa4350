//! The consoles of instances: empty at first, as EC2's are, for as long as the conditions say.

use super::{
    Context,
    action::{Action, action},
    filter::whole_second,
    ids::InstanceId,
    instance::later,
    request::required,
    stored::{Changes, Rows, Stored, base64},
};
use crate::{
    error::{ApiError, Code},
    wire::Structure,
};
use ::base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, VecDeque};
use time::OffsetDateTime;

pub(super) const ACTIONS: &[Action] = &[action("GetConsoleOutput", get_output, &["InstanceId", "Latest"])];

/// What EC2 keeps of a console.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html>.
const KEPT: usize = 64 * 1024;

/// What was written to the consoles of a region's instances, as far as it is kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Consoles {
    consoles: BTreeMap<String, Console>,
    changes: Changes<String>,
}

/// The tail of what was written to an instance's console.
#[derive(Debug, Clone, Default)]
struct Console {
    tail: VecDeque<u8>,
    written: Option<OffsetDateTime>,
    /// How much of the tail's end isn't stored yet.
    fresh: usize,
    /// Whether what is stored is of a console of before.
    is_new: bool,
}

/// What is stored of a console: what was written since it was stored the last time, so that a talkative guest costs no more
/// than what it says.
#[derive(Serialize, Deserialize)]
struct Written {
    is_new: bool,
    at: Option<OffsetDateTime>,
    #[serde(with = "base64")]
    text: Option<Vec<u8>>,
}

impl Console {
    fn write(&mut self, now: OffsetDateTime, bytes: &[u8]) {
        self.written = Some(now);
        let bytes = &bytes[bytes.len().saturating_sub(KEPT)..];
        let excess = (self.tail.len() + bytes.len()).saturating_sub(KEPT);
        self.tail.drain(..excess);
        self.tail.extend(bytes);
        self.fresh = (self.fresh + bytes.len()).min(self.tail.len());
    }

    fn stored(&self, all: bool) -> Written {
        let fresh = if all { self.tail.len() } else { self.fresh };
        let text = self.tail.range(self.tail.len() - fresh..).copied().collect();
        Written { is_new: all || self.is_new, at: self.written, text: Some(text) }
    }
}

impl Consoles {
    pub(super) fn write(&mut self, id: &InstanceId, now: OffsetDateTime, bytes: &[u8]) {
        self.consoles.entry(id.to_string()).or_default().write(now, bytes);
        self.changes.note(id.as_ref());
    }

    /// Begins a new one.
    pub(super) fn clear(&mut self, id: &InstanceId) {
        self.consoles.insert(id.to_string(), Console { is_new: true, ..Console::default() });
        self.changes.note(id.as_ref());
    }

    /// Forgets the console of an instance that is gone.
    pub(super) fn forget(&mut self, id: &InstanceId) {
        if self.consoles.remove(id.as_ref()).is_some() {
            self.changes.note(id.as_ref());
        }
    }

    /// The instances that have one.
    pub(super) fn instances(&self) -> impl Iterator<Item = &str> {
        self.consoles.keys().map(String::as_str)
    }
}

impl Stored for Consoles {
    fn is_stored(&self) -> bool {
        self.changes.is_empty()
    }

    fn rows(&self, all: bool) -> Result<Rows, serde_json::Error> {
        let row = |id: &String| self.consoles.get(id).map(|console| console.stored(all));
        self.changes.rows(all.then(|| self.consoles.keys()), row)
    }

    fn set_stored(&mut self) {
        for id in self.changes.take() {
            if let Some(console) = self.consoles.get_mut(&id) {
                (console.fresh, console.is_new) = (0, false);
            }
        }
    }

    fn restore(&mut self, key: &str, row: Option<&RawValue>) -> Result<(), serde_json::Error> {
        let Some(row) = row else {
            self.consoles.remove(key);
            return Ok(());
        };
        let written: Written = serde_json::from_str(row.get())?;
        let console = self.consoles.entry(key.to_owned()).or_default();
        if written.is_new {
            *console = Console::default();
        }
        if let Some(at) = written.at {
            console.write(at, &written.text.unwrap_or_default());
        }
        console.fresh = 0;
        Ok(())
    }
}

/// The latest output is to be had of types that use the Nitro hypervisor.
/// Source: <https://docs.aws.amazon.com/cli/latest/reference/ec2/get-console-output.html>.
pub(super) fn get_output(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.region.instances.parse(required(input, "InstanceId")?)?;
    let instance = context.region.instances.require(&id)?;
    let console = context.region.consoles.consoles.get(id.as_ref());
    let profile = context.settings.conditions.profile();
    let is_latest = input.boolean("Latest") == Some(true);
    if is_latest && !instance.instance_type.nitro {
        let message = "This instance type does not support retrieving the latest console logs.";
        return Err(ApiError::new(Code::UnsupportedOperation, message));
    }
    let posted = context.settings.paced(if is_latest { profile.latest_console } else { profile.console });
    let shown = console.filter(|_| context.now >= later(instance.launched, posted));
    let bytes: Vec<u8> = shown.into_iter().flat_map(|console| &console.tail).copied().collect();
    let written = console.and_then(|console| console.written);
    Ok(Structure::new()
        .with("InstanceId", &id)
        .with("Timestamp", whole_second(written.unwrap_or(context.now)))
        .with_some("Output", (!bytes.is_empty()).then(|| STANDARD.encode(bytes))))
}
