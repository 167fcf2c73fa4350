//! Any requests, one after the other, to an account.

use super::{Account, Effect, ImageSettings, Settings};
use crate::{conditions::Conditions, error::Code, machine::Event, wire};
use std::time::Duration;
use time::OffsetDateTime;

/// Requests as they come over the wire, one a line: whatever was asked before, each is answered as the model has it, and
/// nothing is an internal error.
pub fn account(bytes: &[u8]) {
    let mut settings = Settings::new([7; 32], ImageSettings::host("ec2-user", "ID=debian\n"));
    if bytes.len() % 2 == 1 {
        settings.conditions = Conditions::Calm;
    }
    let mut account = Account::new(settings);
    let mut now = OffsetDateTime::UNIX_EPOCH;
    for line in bytes.split(|byte| *byte == b'\n').take(64) {
        now += Duration::from_millis(500);
        let Ok((action, input)) = wire::decode(line) else { continue };
        match account.call(now, "us-east-1", action, &input) {
            Ok(answer) => {
                if let Err(error) = wire::encode(action, &answer, "request") {
                    panic!("{action} was answered with what the model doesn't have: {error}");
                }
            }
            Err(error) => assert_ne!(error.code, Code::InternalError, "{action}: {error}"),
        }
        for effect in account.take_effects() {
            let told = match effect {
                Effect::Start(start) => vec![(start.machine.instance, Event::Started)],
                Effect::PowerOff { instance } | Effect::Kill { instance } => vec![(instance, Event::PoweredOff)],
                Effect::Take { parts, .. } => parts.into_iter().map(|part| (part.snapshot, Event::Taken)).collect(),
                Effect::Fill(filling) => vec![(filling.volume, Event::Filled)],
                Effect::Detach { instance, volume, .. } => vec![(instance, Event::Detached(volume))],
                Effect::Attach { .. }
                | Effect::Resize { .. }
                | Effect::DiscardLayer { .. }
                | Effect::Discard { .. }
                | Effect::Plug { .. }
                | Effect::Unplug { .. } => Vec::new(),
            };
            for (subject, event) in told {
                account.machine_event(now, &subject, event);
            }
        }
    }
}
