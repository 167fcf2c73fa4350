//! What came of each expectation of one check.

/// What came of one expectation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It holds.
    Held,
    /// It doesn't; this was found instead.
    Failed(String),
    /// It can't be told, for this reason.
    Unanswerable(String),
}

/// All that came of one check.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Each expectation, in words, and what came of it.
    pub(super) list: Vec<(String, Outcome)>,
    /// What else helps to understand a failure: short titles, and texts.
    pub(super) evidence: Vec<(&'static str, String)>,
}

impl Findings {
    /// Judges an expectation by what was learnt; where nothing was, it is unanswerable.
    pub(super) fn expect<T>(
        &mut self,
        expected: impl Into<String>,
        learnt: &Result<T, String>,
        judge: impl FnOnce(&T) -> Outcome,
    ) {
        let outcome = match learnt {
            Ok(learnt) => judge(learnt),
            Err(why) => Outcome::Unanswerable(why.clone()),
        };
        self.list.push((expected.into(), outcome));
    }

    /// Adds evidence, unless it is empty.
    pub(super) fn evidence(&mut self, title: &'static str, text: impl Into<String>) {
        let text = text.into();
        if !text.trim().is_empty() {
            self.evidence.push((title, text));
        }
    }
}

impl Outcome {
    /// Held, or else failed with what was found.
    pub(super) fn of(held: bool, found: impl FnOnce() -> String) -> Self {
        if held { Self::Held } else { Self::Failed(found()) }
    }

    /// What came of matching a text.
    pub(super) fn of_match(matcher: &super::Matcher, text: &[u8]) -> Self {
        match matcher.holds(text) {
            Ok(held) => Self::of(held, || matcher.found(text)),
            Err(why) => Self::Unanswerable(why),
        }
    }
}
