//! What EC2 shows of something, whatever its kind.

use super::{Kind, Token};
use crate::connection::tags;
use aws_sdk_ec2::types::Tag;

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
}

impl Found {
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
}
