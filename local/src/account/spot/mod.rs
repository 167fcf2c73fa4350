//! Spot Instances: their requests, and by files what they are asked for with, what they cost, and how they are made, fulfilled,
//! ended, interrupted and shown.

mod actions;
mod describe;
mod fulfil;
mod interruption;
mod life;
mod market;
mod price;
mod request;

pub(super) use actions::ACTIONS;

pub(super) use describe::describe;
pub(super) use fulfil::settle;
pub(super) use interruption::{Interruption, announce, metadata, settle as interrupt};
pub(super) use life::{cancel, check_start, check_stop, is_one_time, left, started, sweep};
pub(super) use market::{Behavior, Market, check_price};
pub(super) use price::describe_history;
pub(super) use request::{bind, market_options, request};

use super::{
    Context,
    ids::{InstanceId, SpotInstanceRequestId},
    place::Zone,
    settings::Settings,
};
use crate::wire::Structure;
use price::Price;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, time::Duration};
use time::OffsetDateTime;

/// A request for a Spot Instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SpotRequest {
    created: OffsetDateTime,
    market: Market,
    /// What it may cost, as it is shown: the price of instances on demand where no other was said.
    price: Price,
    valid_from: Option<OffsetDateTime>,
    /// What RunInstances is asked for to fulfil it.
    launch: Structure,
    /// The same, as it is shown.
    specification: Structure,
    state: State,
    status: Status,
    /// The instance that fulfils it, or did last.
    instance: Option<InstanceId>,
    zone: Option<Zone>,
    client_token: Option<String>,
}

/// What an instance knows of its request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Spot {
    pub(super) request: SpotInstanceRequestId,
    one_time: bool,
    behavior: Behavior,
    /// The interruption that is on its way.
    #[serde(default)]
    pub(super) interruption: Option<Interruption>,
}

/// The state of a request.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instances-request-status-lifecycle.html>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// It waits to be fulfilled.
    Open,
    /// Its instance runs.
    Active,
    /// Its instance is stopped.
    Disabled,
    Closed,
    Cancelled,
    Failed,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Closed => "closed",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    fn is_over(self) -> bool {
        matches!(self, Self::Closed | Self::Cancelled | Self::Failed)
    }
}

/// Why a request is in its state.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-request-status.html>.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Status {
    code: Cow<'static, str>,
    message: String,
    updated: OffsetDateTime,
}

const PENDING_EVALUATION: (&str, &str) =
    ("pending-evaluation", "Your Spot request has been submitted for review, and is pending evaluation.");
const NOT_SCHEDULED_YET: (&str, &str) =
    ("not-scheduled-yet", "Your Spot request will not be evaluated until the scheduled date.");
const FULFILLED: (&str, &str) = ("fulfilled", "Your spot request is fulfilled.");
const STOPPED_NO_CAPACITY: (&str, &str) = (
    "instance-stopped-no-capacity",
    "Your Spot instance was stopped because there is no Spot capacity available that matches your request.",
);

/// How long EC2 takes to evaluate a request, and to look at one again that can't be fulfilled, at the least.
const EVALUATION: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_secs(60);
const LEAST_AGAIN: Duration = Duration::from_secs(1);

impl SpotRequest {
    fn set(
        &mut self,
        now: OffsetDateTime,
        state: State,
        (code, message): (impl Into<Cow<'static, str>>, impl Into<String>),
    ) {
        let (code, message) = (code.into(), message.into());
        if (self.state, &self.status.code, &self.status.message) != (state, &code, &message) {
            self.state = state;
            self.status = Status { code, message, updated: now };
        }
    }

    /// Whether its instance was stopped by an interruption: then EC2 alone starts it again.
    fn is_interrupted(&self) -> bool {
        self.state == State::Disabled && self.status.code == STOPPED_NO_CAPACITY.0
    }

    /// When something is to be done about it; nothing where all waits for its owner.
    pub(super) fn due(&self, settings: &Settings) -> Option<OffsetDateTime> {
        let pause = if self.status.code == PENDING_EVALUATION.0 { EVALUATION } else { AGAIN };
        let evaluated = super::instance::later(self.status.updated, settings.paced(pause));
        let next = match self.state {
            State::Open if self.status.code == NOT_SCHEDULED_YET.0 => self.valid_from,
            State::Open => Some(evaluated),
            State::Disabled if self.is_interrupted() => Some(evaluated),
            _ => None,
        };
        let expires = self.market.valid_until.filter(|_| !self.state.is_over());
        next.into_iter().chain(expires).min()
    }
}

impl Context<'_> {
    /// Has [`settle`] called at a time.
    fn wake_request(&mut self, id: &SpotInstanceRequestId, at: OffsetDateTime) {
        self.shared.spot_timers.insert((at, self.region.place.name, id.clone()));
    }

    /// Has it called when something is to be done about a request.
    fn wake_when_due(&mut self, id: &SpotInstanceRequestId) {
        if let Some(due) = self.region.spot_requests.get(id).and_then(|request| request.due(self.settings)) {
            self.wake_request(id, due);
        }
    }
}
