//! The one error type, with kinds; and [`Failure`], which operations and tests return it in.
//!
//! What this room isn't: a place where errors are decided. Each room makes its own, with what it knows.

mod shown;

pub(crate) use shown::shown;
use std::{any::Any, fmt, ops::Deref, panic::Location};

/// What went wrong, as far as a program may want to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration, an argument or a combination of them can't be used; what was made for it is ended.
    Configuration,
    /// No credentials, or credentials that are not accepted.
    Credentials,
    /// The credentials are good, but may not do this; the text names the missing action.
    Unauthorized,
    /// A cap of the configuration, or the account that may be touched, forbids it; nothing was created.
    Refused,
    /// The resource doesn't exist.
    NotFound,
    /// The resource was ended before, by us; the text says where.
    Ended,
    /// EC2 has no capacity for this type, in any of the zones that were tried.
    Capacity,
    /// A quota of the account is used up.
    Quota,
    /// EC2 throttled the call for longer than we were willing to wait.
    Throttled,
    /// EC2 said, for longer than we were willing to wait, that something of its own broke.
    Unavailable,
    /// EC2 refused the call for another reason; the text has its code and message.
    Api,
    /// The machine did not come up.
    Provisioning,
    /// The operation's own deadline, or the test's, has passed.
    TimedOut,
    /// No connection, or a connection that broke.
    Connection,
    /// The machine refused the key or the user.
    Authentication,
    /// The machine's host key is not the one that was expected.
    HostKey,
    /// A command ended with a non-zero exit status, or by a signal.
    Command,
    /// A file could not be transferred.
    Transfer,
    /// A check did not hold.
    Assertion,
    /// A check asks for a fact that this machine cannot have.
    Unanswerable,
    /// The operation was cancelled because its task was dropped or the process is ending.
    Cancelled,
    /// Something of ours, or of this host, broke.
    Internal,
    /// An error that isn't ours: `?` took it into a [`Failure`].
    Other,
}

/// What was tried, on what, why it failed and what to do next.
///
/// `Display` fits `failed to {error}`. Evidence of several lines (output of a command, a console's tail) follows the
/// first line.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    tried: String,
    code: Option<String>,
    reason: Option<String>,
    advice: Option<String>,
    evidence: Vec<Evidence>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Debug)]
struct Evidence {
    title: String,
    text: String,
}

impl Error {
    /// An error of a kind; `tried` fits `failed to {tried}` and names the resource: "run `uname -r` on i-0abc".
    pub fn new(kind: ErrorKind, tried: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            tried: tried.into(),
            code: None,
            reason: None,
            advice: None,
            evidence: Vec::new(),
            source: None,
        }))
    }

    /// An error that isn't ours, with its causes.
    fn of_others(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        Self::new(ErrorKind::Other, text)
    }

    /// Says why it failed.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.0.reason = Some(reason.into());
        self
    }

    /// Says what to do next.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.0.advice = Some(advice.into());
        self
    }

    /// Says something else that helps, behind what is said already.
    #[must_use]
    pub(crate) fn advise_also(mut self, more: &str) -> Self {
        self.0.advice = Some(self.0.advice.map_or_else(|| more.to_owned(), |advice| format!("{advice}; {more}")));
        self
    }

    /// Says what to do next, unless that was said.
    #[must_use]
    pub(crate) fn or_advise(mut self, advice: &str) -> Self {
        self.0.advice.get_or_insert_with(|| advice.to_owned());
        self
    }

    /// Adds evidence of several lines below a title, for example `stderr`; nothing if the text is empty. Of a long text the end is
    /// kept, and nothing that steers a terminal.
    #[must_use]
    pub fn with_evidence(mut self, title: impl Into<String>, text: impl Into<String>) -> Self {
        let text = shown(&text.into());
        if !text.trim().is_empty() {
            self.0.evidence.push(Evidence { title: title.into(), text });
        }
        self
    }

    /// Adds to the reason.
    #[must_use]
    pub(crate) fn also(mut self, more: String) -> Self {
        self.0.reason = Some(self.0.reason.map_or_else(|| more.clone(), |reason| format!("{reason}; {more}")));
        self
    }

    /// The error that caused this one; it is the reason too, where none was given.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Which kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether a call that failed so may succeed a little later, as it is.
    pub(crate) fn is_transient(&self) -> bool {
        use ErrorKind::{Connection, Throttled, TimedOut, Unavailable};
        matches!(self.kind(), Throttled | Unavailable | Connection | TimedOut)
    }

    /// Notes EC2's own code.
    #[must_use]
    pub(crate) fn with_code(mut self, code: &str) -> Self {
        self.0.code = Some(code.to_owned());
        self
    }

    /// EC2's own code, for example `InvalidAMIID.NotFound`, where EC2 answered with an error.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// What was tried.
    pub fn tried(&self) -> &str {
        &self.0.tried
    }

    /// Puts another attempt around this one: "launch web: " and then all of this error.
    #[must_use]
    pub fn while_trying(mut self, outer: &str) -> Self {
        self.0.tried = format!("{outer}: failed to {}", self.0.tried);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        f.write_str(&inner.tried)?;
        if let Some(reason) = &inner.reason {
            write!(f, ": {reason}")?;
        }
        let mut source = inner.source.as_deref().map(|source| source as &dyn std::error::Error);
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        if let Some(advice) = &inner.advice {
            write!(f, "; {advice}")?;
        }
        for evidence in &inner.evidence {
            write!(f, "\n--- {} ---\n{}", evidence.title, evidence.text.trim_end())?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    // The causes stand in the text already: anyone who prints the chain must not print them twice.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        None
    }
}

/// A panic's text.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text")
}

/// What operations and tests fail with: an [`Error`], and the line where it came up. It takes any other error by `?`, and
/// its `Debug`, which libtest prints, is the report.
///
/// It derefs to the error inside, and so has its kind and code. It isn't a [`std::error::Error`] itself, as nothing that
/// takes all of these by `?` can be; [`into_error`](Self::into_error) gives one, and `Box<dyn Error>` takes it by `?`.
pub struct Failure {
    error: Error,
    at: &'static Location<'static>,
}

impl Failure {
    pub(crate) fn new(error: Error, at: &'static Location<'static>) -> Self {
        Self { error, at }
    }

    /// The error inside; one that `?` has taken from elsewhere is of kind [`Other`](ErrorKind::Other).
    #[must_use]
    pub fn into_error(self) -> Error {
        self.error
    }

    /// Where an operation was waited for, or `?` took another error.
    pub fn location(&self) -> &'static Location<'static> {
        self.at
    }
}

impl Deref for Failure {
    type Target = Error;

    fn deref(&self) -> &Error {
        &self.error
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Failure {
    #[track_caller]
    fn from(error: E) -> Self {
        let error: Box<dyn std::error::Error + Send + Sync> = Box::new(error);
        let error = error.downcast::<Error>().map_or_else(|other| Error::of_others(&*other), |ours| *ours);
        Self { error, at: Location::caller() }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

impl From<Failure> for Box<dyn std::error::Error + Send + Sync> {
    fn from(failure: Failure) -> Self {
        Box::new(failure.error)
    }
}

impl From<Failure> for Box<dyn std::error::Error> {
    fn from(failure: Failure) -> Self {
        Box::new(failure.error)
    }
}

impl fmt::Display for Failure {
    /// As the error's own: fits `failed to {failure}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind() != ErrorKind::Other {
            f.write_str("failed to ")?;
        }
        write!(f, "{}\n  at {}:{}", self.error, self.at.file(), self.at.line())
    }
}

/// What a test returns; with two parameters it is std's `Result`.
pub type Result<T = (), E = Failure> = std::result::Result<T, E>;
