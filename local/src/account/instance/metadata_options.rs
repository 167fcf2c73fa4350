//! How an instance's metadata can be read.

use super::State;
use crate::{
    account::{
        Context,
        account_options::MetadataDefaults,
        request::{invalid, one_of, only, required},
        tags,
    },
    error::{ApiError, Code},
    wire::Structure,
};
use serde::{Deserialize, Serialize};

/// How an instance's metadata can be read.
/// Source of the defaults: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceMetadataOptionsRequest.html>.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::account) struct MetadataOptions {
    pub(in crate::account) enabled: bool,
    pub(in crate::account) token_required: bool,
    pub(in crate::account) hop_limit: i64,
    pub(in crate::account) ipv6: bool,
    pub(in crate::account) tags: bool,
}

impl Default for MetadataOptions {
    fn default() -> Self {
        Self { enabled: true, token_required: false, hop_limit: 1, ipv6: false, tags: false }
    }
}

const MEMBERS: [&str; 5] =
    ["HttpTokens", "HttpPutResponseHopLimit", "HttpEndpoint", "HttpProtocolIpv6", "InstanceMetadataTags"];

impl MetadataOptions {
    /// Changes what a request names.
    pub(super) fn update(&mut self, request: &Structure) -> Result<(), ApiError> {
        let switch = |member| {
            Ok::<_, ApiError>(one_of(request, member, &["enabled", "disabled"])?.map(|value| value == "enabled"))
        };
        if let Some(tokens) = one_of(request, "HttpTokens", &["optional", "required"])? {
            self.token_required = tokens == "required";
        }
        if let Some(limit) = request.integer("HttpPutResponseHopLimit") {
            if !(1..=64).contains(&limit) {
                let message = format!(
                    "Value ({limit}) for parameter HttpPutResponseHopLimit is invalid. Valid values are between 1 and 64."
                );
                return Err(invalid(message));
            }
            self.hop_limit = limit;
        }
        self.enabled = switch("HttpEndpoint")?.unwrap_or(self.enabled);
        self.ipv6 = switch("HttpProtocolIpv6")?.unwrap_or(self.ipv6);
        self.tags = switch("InstanceMetadataTags")?.unwrap_or(self.tags);
        Ok(())
    }

    /// The options of a launch, from an image that may be for IMDSv2 alone: where neither the launch nor the account's defaults say
    /// otherwise, tokens are required then, and an answer may go two hops.
    /// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RegisterImage.html>.
    pub(super) fn read(input: &Structure, is_v2: bool, defaults: MetadataDefaults) -> Result<Self, ApiError> {
        let mut options = Self::default();
        if is_v2 {
            (options.token_required, options.hop_limit) = (true, 2);
        }
        defaults.apply(&mut options);
        if let Some(request) = input.structure("MetadataOptions") {
            only(request, "MetadataOptions.", &MEMBERS)?;
            options.update(request)?;
        }
        Ok(options)
    }

    /// As EC2 shows them; they are applied once the machine that they are of has heard of them.
    pub(super) fn shown(&self, applied: bool) -> Structure {
        let switch = |on| if on { "enabled" } else { "disabled" };
        Structure::new()
            .with("State", if applied { "applied" } else { "pending" })
            .with("HttpTokens", if self.token_required { "required" } else { "optional" })
            .with("HttpPutResponseHopLimit", self.hop_limit)
            .with("HttpEndpoint", switch(self.enabled))
            .with("HttpProtocolIpv6", switch(self.ipv6))
            .with("InstanceMetadataTags", switch(self.tags))
    }
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyInstanceMetadataOptions.html>.
pub(in crate::account) fn modify(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.region.instances.parse(required(input, "InstanceId")?)?;
    if MEMBERS.iter().all(|member| input.get(member).is_none()) {
        return Err(ApiError::new(Code::MissingParameter, "At least one metadata option must be specified"));
    }
    let instance = context.region.instances.require(&id)?;
    if !matches!(instance.state, State::Running | State::Stopped) {
        let message = format!("The instance '{id}' is not in the 'running' or 'stopped' state.");
        return Err(ApiError::new(Code::IncorrectInstanceState, message));
    }
    let mut options = instance.metadata_options.clone();
    options.update(input)?;
    if options.tags
        && let Some(tags) = context.region.tags.get(&id)
    {
        tags::check_metadata_keys(tags.keys())?;
    }
    let shown = options.shown(false);
    context.region.instances.require_mut(&id)?.metadata_options = options;
    Ok(Structure::new().with("InstanceId", &id).with("InstanceMetadataOptions", shown))
}
