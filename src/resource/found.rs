//! What EC2 shows of something, whatever its kind.

use super::{Kind, Token};
use crate::connection::tags;
use aws_sdk_ec2::types::Tag;
use std::time::Duration;

/// Something that EC2 shows.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) kind: &'static Kind,
    /// By which it is ended: EC2's id of it, or the name of what is ended by name.
    pub(crate) id: String,
    /// EC2's id of it, by which it is tagged.
    pub(crate) resource_id: String,
    /// The client token of the call that made it.
    pub(crate) client_token: Option<String>,
    pub(crate) tags: Vec<Tag>,
    /// Whether it has ended, or is just ending.
    pub(crate) has_ended: bool,
    /// The request that a Spot Instance is of.
    pub(crate) spot_request: Option<SpotRequest>,
}

impl Found {
    /// Something that no client token is known of, and that is ended by EC2's own id of it.
    pub(super) fn new(kind: &'static Kind, id: String, tags: Vec<Tag>, has_ended: bool) -> Self {
        Self { kind, resource_id: id.clone(), id, client_token: None, tags, has_ended, spot_request: None }
    }

    /// What ends it.
    pub(crate) fn ending(&self, seen: bool) -> Ending {
        Ending { id: self.id.clone(), seen, spot_request: self.spot_request.clone() }
    }

    /// What the call that made it is known by.
    pub(crate) fn token(&self) -> Option<&str> {
        match self.kind.token {
            Token::Client(_) => self.client_token.as_deref(),
            Token::Attempt => self.tag(tags::ATTEMPT),
        }
    }

    /// The value of one of its tags.
    pub(crate) fn tag(&self, key: &str) -> Option<&str> {
        tags::value(&self.tags, key)
    }
}

/// Something that is to be ended.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    pub(crate) id: String,
    /// Whether EC2 has ever shown it: if so, not to be found is to be gone.
    pub(crate) seen: bool,
    /// The request that a Spot Instance is of, which is cancelled before: EC2 may not show it yet to whoever looks for it.
    pub(crate) spot_request: Option<SpotRequest>,
}

impl Ending {
    /// The end of something that has no Spot request.
    pub(crate) fn new(id: impl Into<String>, seen: bool) -> Self {
        Self { id: id.into(), seen, spot_request: None }
    }
}

/// A request for a Spot Instance, as its instance names it.
#[derive(Debug, Clone)]
pub(crate) struct SpotRequest {
    pub(crate) id: String,
    /// How long ago it was made, at least.
    pub(crate) age: Duration,
}
