//! What the SDK reports, as our errors: EC2's codes become kinds, and the text says what to do.

use crate::error::{Error, ErrorKind};
use aws_sdk_ec2::{
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use std::time::Duration;

/// What to do where a launch names no VPC, and there is no default one.
pub(crate) const NO_DEFAULT_VPC: &str = "give the test a VPC of its own, `#[ec2_test(vpc = \"10.20.0.0/16\")]`, or the launch one by \
    `.vpc(&vpc)`, set `subnet` in ec2-harness.toml (EC2_HARNESS_SUBNET), or create one with `aws ec2 create-default-vpc`";

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
    let made = Error::new(kind, tried)
        .because(format!("{} ({code}, {action}{request})", without_encoded(&message)))
        .with_code(&code);
    match kind {
        ErrorKind::Unauthorized => made.advise(allow(action, &message)),
        ErrorKind::Credentials => made.advise("check the credentials, and this host's clock"),
        ErrorKind::Capacity => made.advise("try another instance type, or another region"),
        ErrorKind::Quota => made.advise("end what is not needed (`ec2-harness sweep`), or ask AWS for a higher quota"),
        ErrorKind::Throttled => made.advise("run fewer tests at once"),
        ErrorKind::Unavailable => {
            made.advise("try again later; https://health.aws.amazon.com says whether AWS knows of it")
        }
        // Where the launch named groups, nothing else has asked for it before.
        _ if code == "VPCIdNotSpecified" => made.advise(NO_DEFAULT_VPC),
        _ => made,
    }
}

/// An error of a quota that others' ends were waited for, so long and in vain; any other error as it is.
pub(crate) fn after_waiting(error: Error, waited: Duration) -> Error {
    if error.kind() != ErrorKind::Quota || waited < Duration::from_millis(100) {
        return error;
    }
    // Nobody cares for parts of what is mostly minutes.
    let waited = Duration::from_millis(u64::try_from(waited.as_millis() / 100 * 100).unwrap_or(u64::MAX));
    error.also(format!("{} were not enough for others to end", humantime::format_duration(waited)))
}

/// What the message of an UnauthorizedOperation ends with: some kilobytes that only AWS can decode.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_DecodeAuthorizationMessage.html>
fn without_encoded(message: &str) -> &str {
    message.split("Encoded authorization failure message:").next().unwrap_or(message).trim_end()
}

/// A call may need leave for more than itself: RunInstances with tags needs `ec2:CreateTags`. The message says which is
/// missing: "… is not authorized to perform: ec2:CreateTags on resource: …".
fn allow(action: &str, message: &str) -> String {
    let named = message.split("not authorized to perform: ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let missing = named.filter(|name| name.contains(':')).map_or_else(|| format!("ec2:{action}"), str::to_owned);
    format!("allow `{}` to these credentials", missing.trim_end_matches(['.', ',']))
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
        "InternalError" | "InternalFailure" | "RequestTimeout" | "ServiceUnavailable" | "Unavailable" => {
            ErrorKind::Unavailable
        }
        _ if code.ends_with("LimitExceeded") || code == "MaxSpotInstanceCountExceeded" => ErrorKind::Quota,
        _ if code.ends_with("NotFound") || matches!(code, "InvalidAMIID.Unavailable" | "SsmInvalidParameter") => {
            ErrorKind::NotFound
        }
        _ => ErrorKind::Api,
    }
}

/// The call got no answer that could be read, or was never sent.
fn without_answer<E, R>(action: &str, tried: String, error: SdkError<E, R>) -> Error
where
    E: std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let text = causes(&error);
    let lower = text.to_lowercase();
    if lower.contains("credential") {
        return Error::new(ErrorKind::Credentials, tried)
            .because(format!("{text} ({action})"))
            .advise("log in, or set AWS_PROFILE or `profile` in ec2-harness.toml");
    }
    let kind = if matches!(error, SdkError::TimeoutError(_)) { ErrorKind::TimedOut } else { ErrorKind::Connection };
    let destination = super::destination::of(&error).map(|at| format!(" at {at}")).unwrap_or_default();
    Error::new(kind, tried).because(format!("no answer from EC2{destination}: {text} ({action})"))
}

/// What a chain of causes says, without the words by which the SDK and its HTTP client only pass it on.
fn causes(error: &dyn std::error::Error) -> String {
    const NO_REASONS: [&str; 12] = [
        "client error (Connect)",
        "client error (SendRequest)",
        "dispatch failure",
        "error trying to connect",
        "failed to construct request",
        "io error",
        "other",
        "request has timed out",
        "response error",
        "service error",
        "timeout",
        "user error",
    ];
    let mut said: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let text = cause.to_string();
        if !NO_REASONS.contains(&&*text) && !said.iter().any(|before| before.contains(&text)) {
            said.push(text);
        }
        next = cause.source();
    }
    if said.is_empty() { "no reason is known".to_owned() } else { said.join(": ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, path::Path};

    #[test]
    fn a_chain_of_causes_says_what_happened_and_not_who_passed_it_on() {
        #[derive(Debug)]
        struct Link(&'static str, Option<Box<Link>>);
        impl std::fmt::Display for Link {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.0)
            }
        }
        impl std::error::Error for Link {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                self.1.as_deref().map(|link| link as _)
            }
        }
        let chain = |texts: &[&'static str]| {
            let mut links = texts.iter().rev();
            let last = Link(links.next().unwrap(), None);
            links.fold(last, |inner, text| Link(text, Some(Box::new(inner))))
        };
        let refused =
            ["dispatch failure", "io error", "client error (Connect)", "tcp connect error", "Connection refused"];
        assert_eq!(causes(&chain(&refused)), "tcp connect error: Connection refused");
        assert_eq!(causes(&chain(&["dispatch failure", "other", "an error: deep", "deep"])), "an error: deep");
        assert_eq!(causes(&chain(&["dispatch failure", "other"])), "no reason is known");
    }

    /// Every action that an error may name.
    fn actions(directory: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                actions(&entry, found);
            } else if entry.extension().is_some_and(|extension| extension == "rs") && !entry.ends_with("tests.rs") {
                let text = std::fs::read_to_string(entry).unwrap();
                let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                let named = text
                    .split("failed(")
                    .skip(1)
                    .chain(text.split("all_pages!(").skip(1))
                    .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
                let is_action =
                    |name: &&str| name.starts_with(char::is_uppercase) && name.chars().all(char::is_alphanumeric);
                found.extend(named.filter(is_action).map(str::to_owned));
            }
        }
    }

    #[test]
    fn the_policy_in_the_readme_allows_every_action() {
        let (root, mut found) = (Path::new(env!("CARGO_MANIFEST_DIR")), BTreeSet::new());
        actions(&root.join("src"), &mut found);
        assert!(found.contains("RunInstances") && found.len() > 40, "{found:?}");
        let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
        found.retain(|action| !readme.contains(&format!("\"ec2:{action}\"")));
        assert!(found.is_empty(), "the policy lacks {found:?}");
    }

    #[test]
    fn the_action_that_is_missing_is_named() {
        let aws = "You are not authorized to perform this operation. User: arn:aws:iam::111122223333:user/ci is not \
                   authorized to perform: ec2:CreateTags on resource: arn:aws:ec2:eu-west-1:111122223333:instance/* \
                   because no identity-based policy allows the ec2:CreateTags action. \
                   Encoded authorization failure message: AbCd";
        assert_eq!(allow("RunInstances", aws), "allow `ec2:CreateTags` to these credentials");
        assert!(without_encoded(aws).ends_with("action."));
        let old = "You are not authorized to perform this operation.";
        assert_eq!(allow("RunInstances", old), "allow `ec2:RunInstances` to these credentials");
        assert_eq!(without_encoded(old), old);
    }

    #[test]
    fn codes_become_kinds() {
        for (code, kind) in [
            ("UnauthorizedOperation", ErrorKind::Unauthorized),
            ("VcpuLimitExceeded", ErrorKind::Quota),
            ("RequestLimitExceeded", ErrorKind::Throttled),
            ("InstanceLimitExceeded", ErrorKind::Quota),
            ("InvalidKeyPair.NotFound", ErrorKind::NotFound),
            ("SsmInvalidParameter", ErrorKind::NotFound),
            ("InsufficientInstanceCapacity", ErrorKind::Capacity),
            ("InternalError", ErrorKind::Unavailable),
            ("InvalidParameterValue", ErrorKind::Api),
        ] {
            assert_eq!(kind_of(code), kind, "{code}");
        }
    }
}
