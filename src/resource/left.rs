//! What could not be ended, and the one error that says so.

use super::{Ending, Kind};
use crate::{
    connection::{
        Connection,
        patience::{OTHERS_VISIBLE_WITHIN, until_answered, until_visible_within},
    },
    error::{Error, ErrorKind},
};
use futures_util::stream::{self, StreamExt};
use std::{future::ready, sync::Arc};

/// What may still be there of one kind, and the first of the reasons.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) ids: Vec<String>,
    pub(crate) error: Error,
}

/// How many are ended at a time whose calls take one each.
const AT_A_TIME: usize = 8;

/// Ends some, as kinds do whose calls take one each. Each call is tried again while EC2 doesn't answer, and for a moment while it
/// doesn't find what it is about: what is fresh isn't gone, even if it was seen before.
pub(super) async fn end_each<F>(
    connection: &Arc<Connection>,
    endings: Vec<Ending>,
    end: impl Fn(String) -> F,
) -> Result<(), Left>
where
    F: Future<Output = Result<(), Error>>,
{
    let limit = connection.paced(OTHERS_VISIBLE_WITHIN);
    let end = &end;
    end_each_as_it_knows(endings, |id| async move {
        until_visible_within(limit, || until_answered(connection, || end(id.clone()))).await
    })
    .await
}

/// The same, where the end of one knows by itself what to try again. One that was seen and isn't found any more is gone.
pub(super) async fn end_each_as_it_knows<F>(endings: Vec<Ending>, end: impl Fn(String) -> F) -> Result<(), Left>
where
    F: Future<Output = Result<(), Error>>,
{
    let end = &end;
    let ended = stream::iter(endings).map(|Ending { id, seen, .. }| async move {
        match end(id.clone()).await {
            Err(error) if seen && error.kind() == ErrorKind::NotFound => None,
            other => other.err().map(|error| (id, error)),
        }
    });
    let left: Vec<(String, Error)> = ended.buffered(AT_A_TIME).filter_map(ready).collect().await;
    let (ids, errors): (Vec<_>, Vec<_>) = left.into_iter().unzip();
    errors.into_iter().next().map_or(Ok(()), |error| Err(Left { ids, error }))
}

/// The first error, which also names all that is left, if it doesn't do so by itself.
pub(crate) fn result_of(left: Vec<(&Kind, Left)>) -> Result<(), Error> {
    let Some(said) = left.first().map(|(_, first)| first.error.to_string()) else { return Ok(()) };
    let is_said = left.iter().flat_map(|(_, left)| &left.ids).all(|id| said.contains(id));
    let line = |(kind, left): &(&Kind, Left)| {
        let reason = if left.error.to_string() == said { String::new() } else { format!(": failed to {}", left.error) };
        format!("{} {}{reason}\n", kind.word, left.ids.join(", "))
    };
    let all: String = if is_said { String::new() } else { left.iter().map(line).collect() };
    left.into_iter().next().map_or(Ok(()), |(_, first)| Err(first.error.with_evidence("what may be left", all)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{INSTANCE, KEY_PAIR};

    fn left(ids: &[&str], tried: &str) -> Left {
        let error = Error::new(ErrorKind::Unavailable, tried).because("EC2 is down");
        Left { ids: ids.iter().map(|id| (*id).to_owned()).collect(), error }
    }

    #[test]
    fn all_that_is_left_is_named_once() {
        assert!(result_of(Vec::new()).is_ok());
        let one = result_of(vec![(&INSTANCE, left(&["i-1", "i-2"], "terminate i-1, i-2"))]).unwrap_err();
        assert_eq!(one.to_string(), "terminate i-1, i-2: EC2 is down");
        let several = vec![(&INSTANCE, left(&["i-1", "i-2"], "terminate i-1")), (&KEY_PAIR, left(&["k"], "delete k"))];
        assert_eq!(
            result_of(several).unwrap_err().to_string(),
            "terminate i-1: EC2 is down\n--- what may be left ---\ninstance i-1, i-2\nkey-pair k: failed to delete k: EC2 is down"
        );
    }
}
