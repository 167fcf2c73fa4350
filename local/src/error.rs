//! EC2's errors: one table of codes, each with its HTTP status, its rule and where the rule is written down.
//!
//! What this room isn't: the place where messages are worded. A message names the offending value, so it is made where
//! the value is known.

use std::fmt;

/// What EC2 answers instead of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// Which of EC2's codes.
    pub code: Code,
    /// What a person reads; EC2's own wording where it is known.
    pub message: String,
}

impl ApiError {
    /// An error of the given code.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.message)
    }
}

impl std::error::Error for ApiError {}

macro_rules! codes {
    ($($(#[doc = $rule:literal])+ $variant:ident = $name:literal, $status:literal;)+) => {
        /// EC2's error codes, as far as this endpoint answers with them.
        ///
        /// Source, unless a row says otherwise:
        /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code { $($(#[doc = $rule])+ $variant,)+ }

        impl Code {
            /// Every code of the table.
            pub const ALL: &[Code] = &[$(Code::$variant,)+];

            /// The code as it stands on the wire.
            pub fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)+ }
            }

            /// The HTTP status that it comes with.
            pub fn status(self) -> u16 {
                match self { $(Code::$variant => $status,)+ }
            }
        }
    };
}

codes! {
    /// The request lacks a signature, or names no credentials.
    MissingAuthenticationToken = "MissingAuthenticationToken", 403;
    /// The access key or the signature is not the one of this endpoint.
    AuthFailure = "AuthFailure", 401;
    /// The signature does not match the request.
    SignatureDoesNotMatch = "SignatureDoesNotMatch", 403;
    /// The signature is older, or younger, than the time that is allowed.
    RequestExpired = "RequestExpired", 400;
    /// The action is not known, or not yet served here.
    InvalidAction = "InvalidAction", 400;
    /// The version of the API is not served here.
    NoSuchVersion = "NoSuchVersion", 400;
    /// A parameter that the action does not have.
    UnknownParameter = "UnknownParameter", 400;
    /// A parameter that the action needs is missing.
    MissingParameter = "MissingParameter", 400;
    /// The action is missing, or the body is no query string.
    MissingAction = "MissingAction", 400;
    /// The query string has a syntax error.
    MalformedQueryString = "MalformedQueryString", 404;
    /// A value that the parameter can't have, also an unknown filter.
    InvalidParameterValue = "InvalidParameterValue", 400;
    /// Parameters that can't be used together.
    InvalidParameterCombination = "InvalidParameterCombination", 400;
    /// The request would have succeeded, but DryRun was set.
    DryRunOperation = "DryRunOperation", 412;
    /// The request may not be made; here: by this Host, or by a web page.
    UnauthorizedOperation = "UnauthorizedOperation", 403;
    /// The HTTP method is neither POST nor GET.
    MethodNotAllowed = "MethodNotAllowed", 405;
    /// The request is larger than this endpoint reads.
    RequestEntityTooLarge = "RequestEntityTooLarge", 413;
    /// The request did not arrive as a whole, or not in time.
    RequestTimeout = "RequestTimeout", 400;
    /// The volume type does not exist.
    UnknownVolumeType = "UnknownVolumeType", 400;
    /// Something broke on this side.
    InternalError = "InternalError", 500;
    /// The server is over its load.
    RequestLimitExceeded = "RequestLimitExceeded", 503;
}
