//! What a body may return, and what became of a test.

use std::{any::Any, convert::Infallible, fmt::Debug, process::ExitCode};

/// What the body of a test may return: `()`, a `Result` of one of these whose error is `Debug`, or an `ExitCode`.
#[diagnostic::on_unimplemented(
    message = "an `#[ec2_test]` can't return `{Self}`",
    label = "not a test's outcome",
    note = "a test returns `()`, `Result` (of ec2-harness, or any whose error is `Debug`) or `std::process::ExitCode`"
)]
pub trait Outcome {
    /// Whether the test has passed; else the report.
    #[doc(hidden)]
    fn verdict(self) -> Result<(), String>;
}

impl Outcome for () {
    fn verdict(self) -> Result<(), String> {
        Ok(())
    }
}

impl Outcome for Infallible {
    fn verdict(self) -> Result<(), String> {
        match self {}
    }
}

impl Outcome for ExitCode {
    fn verdict(self) -> Result<(), String> {
        if self == Self::SUCCESS { Ok(()) } else { Err(format!("the test returned {self:?}")) }
    }
}

impl<T: Outcome, E: Debug> Outcome for Result<T, E> {
    fn verdict(self) -> Result<(), String> {
        self.map_err(|error| format!("{error:?}")).and_then(Outcome::verdict)
    }
}

/// What became of a body.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It returned what stands for success.
    Passed,
    /// It returned an error, or was never begun because of one.
    Failed(String),
    /// It panicked.
    Panicked(Box<dyn Any + Send>),
}

/// A panic's text.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_body_returns_is_judged_as_libtest_does() {
        assert_eq!(().verdict(), Ok(()));
        assert_eq!(ExitCode::SUCCESS.verdict(), Ok(()));
        assert!(ExitCode::from(3).verdict().is_err());
        assert_eq!(Ok::<(), String>(()).verdict(), Ok(()));
        assert_eq!(Err::<(), _>("why").verdict(), Err("\"why\"".into()));
        assert!(Ok::<_, String>(ExitCode::FAILURE).verdict().is_err());
    }
}
