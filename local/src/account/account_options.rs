//! What an account chooses for all of a region: whether serial consoles may be used, and how metadata can be read where a launch
//! doesn't say so.

use super::{
    Context,
    action::{Action, action},
    instance::metadata_options::MetadataOptions,
    request::{invalid, one_of},
    stored::{Kept, Stored},
};
use crate::{error::ApiError, wire::Structure};
use serde::{Deserialize, Serialize};

pub(super) const ACTIONS: &[Action] = &[
    action("DisableSerialConsoleAccess", disable_serial_console, &[]),
    action("EnableSerialConsoleAccess", enable_serial_console, &[]),
    action("GetInstanceMetadataDefaults", get_metadata_defaults, &[]),
    action("GetSerialConsoleAccessStatus", serial_console, &[]),
    action(
        "ModifyInstanceMetadataDefaults",
        modify_metadata_defaults,
        &["HttpEndpoint", "HttpPutResponseHopLimit", "HttpTokens", "InstanceMetadataTags"],
    ),
];

/// The key of the one row.
const ROW: &str = "default";

/// What an account has chosen for a region.
#[derive(Debug, Clone, Default)]
pub(super) struct AccountOptions(Kept<Chosen>);

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Chosen {
    #[serde(default)]
    serial_console: bool,
    #[serde(default)]
    metadata: MetadataDefaults,
}

/// How metadata can be read where a launch doesn't say so; none where the account has no preference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MetadataDefaults {
    token_required: Option<bool>,
    hop_limit: Option<i64>,
    enabled: Option<bool>,
    tags: Option<bool>,
}

impl AccountOptions {
    pub(super) fn metadata(&self) -> MetadataDefaults {
        self.0.get(ROW).map_or_else(MetadataDefaults::default, |chosen| chosen.metadata)
    }

    pub(super) fn stored(&mut self) -> &mut dyn Stored {
        &mut self.0
    }
}

impl MetadataDefaults {
    /// Changes the options that an image wants.
    /// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-options.html#instance-metadata-options-order-of-precedence>.
    pub(super) fn apply(self, options: &mut MetadataOptions) {
        options.token_required = self.token_required.unwrap_or(options.token_required);
        options.hop_limit = self.hop_limit.unwrap_or(options.hop_limit);
        options.enabled = self.enabled.unwrap_or(options.enabled);
        options.tags = self.tags.unwrap_or(options.tags);
    }

    fn update(&mut self, input: &Structure) -> Result<(), ApiError> {
        let chosen = |member, on: &str, off: &str| {
            let value = one_of(input, member, &[on, off, "no-preference"])?;
            Ok::<_, ApiError>(value.map(|value| (value != "no-preference").then_some(value == on)))
        };
        if let Some(tokens) = chosen("HttpTokens", "required", "optional")? {
            self.token_required = tokens;
        }
        if let Some(enabled) = chosen("HttpEndpoint", "enabled", "disabled")? {
            self.enabled = enabled;
        }
        if let Some(tags) = chosen("InstanceMetadataTags", "enabled", "disabled")? {
            self.tags = tags;
        }
        match input.integer("HttpPutResponseHopLimit") {
            None => {}
            Some(-1) => self.hop_limit = None,
            Some(limit @ 1..=64) => self.hop_limit = Some(limit),
            Some(limit) => {
                return Err(invalid(format!(
                    "Value ({limit}) for parameter HttpPutResponseHopLimit is invalid. Valid values are -1 and those between 1 and 64."
                )));
            }
        }
        Ok(())
    }
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetInstanceMetadataDefaults.html>.
pub(super) fn get_metadata_defaults(context: &mut Context<'_>, _: &Structure) -> Result<Structure, ApiError> {
    let MetadataDefaults { token_required, hop_limit, enabled, tags } = context.region.options.metadata();
    let switch = |on| if on { "enabled" } else { "disabled" };
    let level = Structure::new()
        .with_some("HttpTokens", token_required.map(|required| if required { "required" } else { "optional" }))
        .with_some("HttpPutResponseHopLimit", hop_limit)
        .with_some("HttpEndpoint", enabled.map(switch))
        .with_some("InstanceMetadataTags", tags.map(switch))
        .with("ManagedBy", "account");
    Ok(Structure::new().with("AccountLevel", level))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyInstanceMetadataDefaults.html>.
pub(super) fn modify_metadata_defaults(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let mut defaults = context.region.options.metadata();
    defaults.update(input)?;
    context.region.options.0.entry(ROW).metadata = defaults;
    Ok(Structure::new().with("Return", true))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetSerialConsoleAccessStatus.html>.
pub(super) fn serial_console(context: &mut Context<'_>, _: &Structure) -> Result<Structure, ApiError> {
    let on = context.region.options.0.get(ROW).is_some_and(|chosen| chosen.serial_console);
    Ok(Structure::new().with("SerialConsoleAccessEnabled", on).with("ManagedBy", "account"))
}

pub(super) fn enable_serial_console(context: &mut Context<'_>, _: &Structure) -> Result<Structure, ApiError> {
    Ok(set_serial_console(context, true))
}

pub(super) fn disable_serial_console(context: &mut Context<'_>, _: &Structure) -> Result<Structure, ApiError> {
    Ok(set_serial_console(context, false))
}

fn set_serial_console(context: &mut Context<'_>, on: bool) -> Structure {
    context.region.options.0.entry(ROW).serial_console = on;
    Structure::new().with("SerialConsoleAccessEnabled", on)
}
