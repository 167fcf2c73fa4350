//! One row of the table of kinds.

use super::{Ending, Found, Left};
use crate::{connection::Connection, error::Error};
use aws_sdk_ec2::types::Filter;
use futures_util::future::BoxFuture;
use std::{fmt, sync::Arc};

/// A kind of what we make in EC2.
pub(crate) struct Kind {
    /// EC2's word for it, as in the resource types of tags: `security-group`.
    pub(crate) word: &'static str,
    /// How a create call's result is found whose answer was lost.
    pub(crate) token: Token,
    /// How long it lives.
    pub(crate) life: Life,
    /// Its place in the order of ending; what it may be used by has a smaller one.
    pub(crate) rank: u8,
    /// The codes of errors that say that it is in use, or so it seems.
    pub(crate) in_use: &'static [&'static str],
    /// Finds all that fits every filter.
    pub(crate) find: Find,
    /// Who uses one of them, each as a person would name it; `None` where it is of no use to ask.
    pub(crate) users: Option<Users>,
    /// Ends some; returns once EC2 has accepted it. What has ended already, by whomever, is no error.
    pub(crate) end: End,
}

type Find = for<'a> fn(&'a Connection, Vec<Filter>) -> Answer<'a, Vec<Found>, Error>;
type End = for<'a> fn(&'a Arc<Connection>, Vec<Ending>) -> Answer<'a, (), Left>;
type Users = for<'a> fn(&'a Connection, &'a str) -> Answer<'a, Vec<String>, Error>;
type Answer<'a, T, E> = BoxFuture<'a, Result<T, E>>;

/// How a create call's result is found whose answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// By the call's client token, which this filter takes.
    Client(&'static str),
    /// By a tag that only this attempt bears.
    Attempt,
}

/// How long something lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// As long as its test; it may be kept beyond it.
    Test,
    /// As long as its run, and as whatever of the run is kept.
    Run,
}

impl Kind {
    /// What a person calls it: `security group`.
    pub(crate) fn noun(&self) -> String {
        self.word.replace('-', " ")
    }

    /// Some of them, counted: `2 security groups`.
    pub(crate) fn count(&self, count: usize) -> String {
        format!("{count} {}{}", self.noun(), if count == 1 { "" } else { "s" })
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.word == other.word
    }
}

impl Eq for Kind {}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word)
    }
}
