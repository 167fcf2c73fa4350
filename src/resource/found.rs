//! What EC2 shows of something, whatever its kind.

use super::{Kind, Token};
use crate::{
    connection::tags,
    error::{Error, ErrorKind},
};
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

/// What may still be there, and the first of the reasons.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) ids: Vec<String>,
    pub(crate) error: Error,
}

/// Ends some one by one, as kinds do whose calls take one each. One that was seen and isn't found any more is gone.
pub(super) async fn end_each<F>(endings: Vec<Ending>, end: impl Fn(String) -> F) -> Result<(), Left>
where
    F: Future<Output = Result<(), Error>>,
{
    let (mut ids, mut first) = (Vec::new(), None);
    for Ending { id, seen } in endings {
        match end(id.clone()).await {
            Ok(()) => {}
            Err(error) if seen && error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                ids.push(id);
                first.get_or_insert(error);
            }
        }
    }
    first.map_or(Ok(()), |error| Err(Left { ids, error }))
}
