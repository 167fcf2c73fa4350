//! Groups of users.

use super::{
    table::{Learn, Perhaps, Thing, kind},
    user::{line, number},
};
use crate::check::{Numbers, answer::Answers, fact::Fact};

kind! {
    /// What a group of users is expected to be; made by [`group`].
    #[derive(Default)]
    GroupCheck

    /// A group, by name; whether a user belongs to it is for `user` to say.
    ///
    /// Expects that it exists, unless told otherwise.
    group(group: String = name) expects exists;

    exists: Option<bool> {
        /// It exists.
        exists() = true;
        /// There is no such group.
        is_missing() = false;
    } expects [last "exists", "no such group"] => |exists, entry| entry.judge_presence(*exists);

    gid: Option<Numbers> {
        /// Its number: `0`, `1000..`.
        gid(gid: impl Into<Numbers>) = gid.into();
    } expects "gid {}" => |gid, entry| gid.judge("gid", number(&entry.there()?.0, 2)?);
}

impl Learn for GroupCheck {
    type Learnt = Option<Entry>;

    fn facts(&self) -> Vec<Fact> {
        vec![Fact::new("group", [&self.group])]
    }

    fn learn(&self, answers: &Answers) -> Result<Option<Entry>, String> {
        let answer = answers.get(&Fact::new("group", [&self.group]))?;
        Ok(line(answer, "group", &self.group)?.map(Entry))
    }
}

/// A line of group.
pub(super) struct Entry(String);

impl Thing for Entry {
    const MISSING: &'static str = "no such group";

    fn describe(&self) -> String {
        self.0.clone()
    }
}
