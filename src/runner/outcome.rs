//! What a body may return, and what became of it.

use super::record::Cause;
use crate::error::Failure;
use std::{any::Any, convert::Infallible, fmt::Debug, process::ExitCode};

/// What the body of a test may return: `()`, a `Result` of one of these whose error is `Debug` and borrows nothing, or an
/// `ExitCode`.
#[diagnostic::on_unimplemented(
    message = "an `#[ec2_test]` can't return `{Self}`",
    label = "not a test's outcome",
    note = "a test returns `()`, `Result` (of ec2-harness, or any whose error is `Debug`) or `std::process::ExitCode`"
)]
pub trait Outcome: Verdict {}

/// How it is judged: nobody else can name this, and so nobody else's type is an [`Outcome`].
pub trait Verdict {
    /// Whether the test has passed; else why not.
    ///
    /// # Errors
    ///
    /// The cause of its failure.
    fn verdict(self) -> Result<(), Cause>;
}

impl Outcome for () {}

impl Verdict for () {
    fn verdict(self) -> Result<(), Cause> {
        Ok(())
    }
}

impl Outcome for Infallible {}

impl Verdict for Infallible {
    fn verdict(self) -> Result<(), Cause> {
        match self {}
    }
}

impl Outcome for ExitCode {}

impl Verdict for ExitCode {
    fn verdict(self) -> Result<(), Cause> {
        if self == Self::SUCCESS { Ok(()) } else { Err(Cause::Returned(format!("the test returned {self:?}"))) }
    }
}

impl<T: Outcome, E: Debug + 'static> Outcome for Result<T, E> {}

impl<T: Outcome, E: Debug + 'static> Verdict for Result<T, E> {
    fn verdict(self) -> Result<(), Cause> {
        self.map_err(cause_of).and_then(Verdict::verdict)
    }
}

/// What libtest would print of an error; of ours, all that it is.
fn cause_of<E: Debug + 'static>(error: E) -> Cause {
    let text = format!("{error:?}");
    let error: Box<dyn Any> = Box::new(error);
    error.downcast::<Failure>().map_or(Cause::Returned(text), |failure| Cause::Failure(*failure))
}

/// What became of a body.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It returned what stands for success.
    Passed,
    /// It returned an error, had to be dropped, or was never begun because of an error.
    Failed(Cause),
    /// It panicked.
    Panicked(Box<dyn Any + Send>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorKind};

    #[test]
    fn what_a_body_returns_is_judged_as_libtest_does() {
        assert!(().verdict().is_ok());
        assert!(ExitCode::SUCCESS.verdict().is_ok());
        assert!(ExitCode::from(3).verdict().is_err());
        assert!(Ok::<(), String>(()).verdict().is_ok());
        assert_eq!(Err::<(), _>("why").verdict().unwrap_err().to_string(), "\"why\"");
        assert!(Ok::<_, String>(ExitCode::FAILURE).verdict().is_err());
    }

    #[test]
    fn an_error_of_ours_stays_one() {
        let failure = Failure::from(Error::new(ErrorKind::Command, "run `false` on vm"));
        let cause = Err::<(), _>(failure).verdict().unwrap_err();
        let Cause::Failure(failure) = &cause else { panic!("{cause:?}") };
        assert_eq!(failure.kind(), ErrorKind::Command);
        assert_eq!(cause.to_string(), format!("{failure:?}"));
    }
}
