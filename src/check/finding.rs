//! What came of each expectation of one check.

use super::{Matcher, Numbers};

/// What came of one expectation: it holds, or this is why it can't be said to.
pub(super) type Outcome = Result<(), Miss>;

/// Why an expectation doesn't hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Miss {
    /// This was found instead.
    Failed(String),
    /// It can't be told, for this reason.
    Unanswerable(String),
}

/// All that came of one check.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Each expectation, in words, and what came of it.
    pub(super) list: Vec<(String, Outcome)>,
    /// Those that the list is to end with.
    last: Vec<(String, Outcome)>,
    /// What else helps to understand a failure: short titles, and texts.
    pub(super) evidence: Vec<(&'static str, String)>,
}

/// An expectation in words.
pub(super) struct Words {
    pub(super) text: String,
    /// Whether it stands behind all others.
    pub(super) last: bool,
}

impl Findings {
    /// Judges each value that a property is expected to have by what was learnt; where nothing was, it is unanswerable.
    pub(super) fn expect<'a, T: 'a, L>(
        &mut self,
        expected: impl IntoIterator<Item = &'a T>,
        words: impl Fn(&T) -> Words,
        learnt: &Result<L, String>,
        judge: impl Fn(&T, &L) -> Outcome,
    ) {
        for expected in expected {
            let Words { text, last } = words(expected);
            let outcome = match learnt {
                Ok(learnt) => judge(expected, learnt),
                Err(why) => Err(Miss::Unanswerable(why.clone())),
            };
            if last { &mut self.last } else { &mut self.list }.push((text, outcome));
        }
    }

    /// Ends the list.
    pub(super) fn end(&mut self) {
        self.list.append(&mut self.last);
    }

    /// Adds evidence, unless it is empty.
    pub(super) fn evidence(&mut self, title: &'static str, text: String) {
        if !text.trim().is_empty() {
            self.evidence.push((title, text));
        }
    }
}

/// It holds, or else this was found.
pub(super) fn hold(holds: bool, found: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(Miss::Failed(found())) }
}

impl From<String> for Miss {
    /// Why nothing was learnt.
    fn from(why: String) -> Self {
        Self::Unanswerable(why)
    }
}

impl Matcher {
    pub(super) fn judge(&self, text: impl AsRef<[u8]>) -> Outcome {
        let text = text.as_ref();
        hold(self.holds(text)?, || self.found(text))
    }
}

impl Numbers {
    /// A number is shown with its name.
    pub(super) fn judge(&self, name: &str, number: u64) -> Outcome {
        hold(self.contains(number), || format!("{name} {number}"))
    }
}
