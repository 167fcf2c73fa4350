//! What the SDK reports, as our errors: EC2's codes become kinds, and the text says what to do.

use crate::error::{Error, ErrorKind};
use aws_sdk_ec2::{
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};

/// An error of a call: `action` as IAM knows it (`RunInstances`), `tried` as a person does.
pub(crate) fn failed<E, R>(action: &str, tried: impl Into<String>, error: SdkError<E, R>) -> Error
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
    SdkError<E, R>: RequestId,
{
    let tried = tried.into();
    let Some(code) = error.code().map(str::to_owned) else {
        return without_answer(action, tried, error);
    };
    let message = error.message().unwrap_or("EC2 gave no message").to_owned();
    let kind = kind_of(&code);
    let request = error.request_id().map(|id| format!(", request {id}")).unwrap_or_default();
    let made = Error::new(kind, tried).because(format!("{message} ({code}, {action}{request})")).with_code(&code);
    match kind {
        ErrorKind::Unauthorized => made.advise(format!("allow `ec2:{action}` to these credentials")),
        ErrorKind::Credentials => made.advise("check the credentials, and this host's clock"),
        ErrorKind::Capacity => made.advise("try another instance type, or another region"),
        ErrorKind::Quota => made.advise("end what is not needed (`ec2-harness sweep`), or ask AWS for a higher quota"),
        ErrorKind::Throttled => made.advise("run fewer tests at once"),
        _ => made,
    }
}

/// The codes are those of
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>.
fn kind_of(code: &str) -> ErrorKind {
    match code {
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" | "Blocked" | "OptInRequired" => {
            ErrorKind::Unauthorized
        }
        "AuthFailure"
        | "ExpiredToken"
        | "RequestExpired"
        | "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => ErrorKind::Credentials,
        "InsufficientInstanceCapacity"
        | "InsufficientHostCapacity"
        | "InsufficientCapacity"
        | "InsufficientFreeAddressesInSubnet"
        | "InsufficientAddressCapacity"
        | "SpotMaxPriceTooLow"
        | "Unsupported" => ErrorKind::Capacity,
        "RequestLimitExceeded" | "Throttling" | "ThrottlingException" | "EC2ThrottledException" => ErrorKind::Throttled,
        _ if code.ends_with("LimitExceeded") || code == "MaxSpotInstanceCountExceeded" => ErrorKind::Quota,
        _ if code.ends_with(".NotFound") || code == "InvalidAMIID.Unavailable" => ErrorKind::NotFound,
        _ => ErrorKind::Api,
    }
}

/// The call got no answer that could be read, or was never sent.
fn without_answer<E, R>(action: &str, tried: String, error: SdkError<E, R>) -> Error
where
    E: std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    let lower = text.to_lowercase();
    if lower.contains("credential") {
        return Error::new(ErrorKind::Credentials, tried)
            .because(format!("{text} ({action})"))
            .advise("log in, or set AWS_PROFILE or `profile` in ec2-harness.toml");
    }
    let kind = if matches!(error, SdkError::TimeoutError(_)) { ErrorKind::TimedOut } else { ErrorKind::Connection };
    Error::new(kind, tried).because(format!("no answer from EC2: {text} ({action})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_kinds() {
        for (code, kind) in [
            ("UnauthorizedOperation", ErrorKind::Unauthorized),
            ("VcpuLimitExceeded", ErrorKind::Quota),
            ("RequestLimitExceeded", ErrorKind::Throttled),
            ("InstanceLimitExceeded", ErrorKind::Quota),
            ("InvalidKeyPair.NotFound", ErrorKind::NotFound),
            ("InsufficientInstanceCapacity", ErrorKind::Capacity),
            ("InvalidParameterValue", ErrorKind::Api),
        ] {
            assert_eq!(kind_of(code), kind, "{code}");
        }
    }
}
