//! The console of an instance: empty at first, as EC2's is, for as long as the conditions say.

use super::{Context, instance::later, request::required};
use crate::{error::ApiError, wire::Structure};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::collections::VecDeque;
use time::OffsetDateTime;

/// What EC2 keeps of a console.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html>.
const KEPT: usize = 64 * 1024;

/// The tail of what was written to an instance's console.
#[derive(Debug, Clone, Default)]
pub(super) struct Console {
    tail: VecDeque<u8>,
    written: Option<OffsetDateTime>,
}

impl Console {
    pub(super) fn write(&mut self, now: OffsetDateTime, bytes: &[u8]) {
        self.written = Some(now);
        let bytes = &bytes[bytes.len().saturating_sub(KEPT)..];
        let excess = (self.tail.len() + bytes.len()).saturating_sub(KEPT);
        self.tail.drain(..excess);
        self.tail.extend(bytes);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

pub(super) fn get_output(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.region.instances.parse(required(input, "InstanceId")?)?;
    let instance = context.region.instances.require(&id)?;
    let console = &instance.console;
    let profile = context.settings.conditions.profile();
    let is_latest = input.boolean("Latest") == Some(true);
    let posted = context.settings.paced(if is_latest { profile.latest_console } else { profile.console });
    let tail = if context.now < later(instance.launched, posted) { &VecDeque::new() } else { &console.tail };
    let bytes: Vec<u8> = tail.iter().copied().collect();
    Ok(Structure::new()
        .with("InstanceId", &id)
        .with("Timestamp", console.written.unwrap_or(context.now))
        .with_some("Output", (!bytes.is_empty()).then(|| STANDARD.encode(bytes))))
}
