//! Users.

use super::table::{Learn, Perhaps, Thing, kind};
use crate::check::{
    Matcher, Numbers,
    answer::{Answer, Answers},
    fact::Fact,
    finding::{Miss, Outcome, hold},
};

kind! {
    /// What a user is expected to be; made by [`user`].
    #[derive(Default)]
    UserCheck

    /// A user, by name; from all of the machine's sources where it has `getent`, else from /etc/passwd.
    ///
    /// Expects that the user exists, unless told otherwise.
    user(user: String = name) expects exists;

    exists: Option<bool> {
        /// The user exists.
        exists() = true;
        /// There is no such user.
        is_missing() = false;
    } expects [last "exists", "no such user"] => |exists, entry| entry.judge_presence(*exists);

    uid: Option<Numbers> {
        /// The user's number: `0`, `1000..`.
        uid(uid: impl Into<Numbers>) = uid.into();
    } expects "uid {}" => |uid, entry| uid.judge("uid", number(&entry.there()?.line, 2)?);

    gid: Option<Numbers> {
        /// The number of the user's own group.
        gid(gid: impl Into<Numbers>) = gid.into();
    } expects "gid {}" => |gid, entry| gid.judge("gid", number(&entry.there()?.line, 3)?);

    home: Option<Matcher> {
        /// The home directory.
        home(home: impl Into<Matcher>) = home.into();
    } expects "home {}" => |home, entry| home.judge(field(&entry.there()?.line, 5));

    shell: Option<Matcher> {
        /// The login shell.
        shell(shell: impl Into<Matcher>) = shell.into();
    } expects "shell {}" => |shell, entry| shell.judge(field(&entry.there()?.line, 6));

    #[serde(with = "super::texts")]
    in_group: Vec<String> {
        /// The user belongs to this group; may be said several times.
        in_group(group: impl Into<String>) = group.into();
    } expects "in group {}" => |group, entry| entry.there()?.judge_membership(group, true);

    #[serde(with = "super::texts")]
    not_in_group: Vec<String> {
        /// The user exists and doesn't belong to this group; may be said several times.
        not_in_group(group: impl Into<String>) = group.into();
    } expects "not in group {}" => |group, entry| entry.there()?.judge_membership(group, false);
}

impl Learn for UserCheck {
    type Learnt = Option<Entry>;

    fn facts(&self) -> Vec<Fact> {
        vec![Fact::new("user", [&self.user])]
    }

    fn learn(&self, answers: &Answers) -> Result<Option<Entry>, String> {
        let answer = answers.get(&Fact::new("user", [&self.user]))?;
        let groups = answer.text("groups").unwrap_or_default();
        Ok(line(answer, "passwd", &self.user)?.map(|line| Entry { line, groups }))
    }

    fn evidence(&self, entry: &Option<Entry>) -> Vec<(&'static str, String)> {
        entry.iter().map(|entry| ("it is", entry.describe())).collect()
    }
}

/// A line of passwd, and the user's groups.
pub(super) struct Entry {
    line: String,
    groups: String,
}

impl Thing for Entry {
    const MISSING: &'static str = "no such user";

    fn describe(&self) -> String {
        self.line.clone()
    }
}

impl Entry {
    fn judge_membership(&self, group: &str, expected: bool) -> Outcome {
        match self.groups.trim() {
            "" => Err(Miss::Unanswerable("`id` told no groups of this user".to_owned())),
            all => hold(self.groups.split_whitespace().any(|other| other == group) == expected, || {
                format!("in groups {}", all.replace(' ', ", "))
            }),
        }
    }
}

/// The line of passwd or group with this name, if there is one.
pub(super) fn line(answer: &Answer, database: &str, name: &str) -> Result<Option<String>, String> {
    let entries = answer.text("entry").unwrap_or_default();
    // Asked for a number, getent looks for the entry with that number.
    let line = entries.lines().find(|line| line.split(':').next() == Some(name));
    if line.is_none() && answer.says(database, "no") {
        return Err(format!("there is no /etc/{database} on this machine"));
    }
    Ok(line.map(str::to_owned))
}

/// A number in such a line.
pub(super) fn number(line: &str, index: usize) -> Result<u64, Miss> {
    let number = field(line, index).parse();
    number.map_err(|_| Miss::Unanswerable(format!("its entry can't be read: {line}")))
}

fn field(line: &str, index: usize) -> &str {
    line.split(':').nth(index).unwrap_or_default()
}
