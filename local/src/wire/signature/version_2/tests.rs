use super::*;
use hyper::Request;
use time::{Duration, macros::datetime};

const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

/// What clients signed at this time: method, host, parameters.
const SIGNED: [(&str, &str, &str); 3] = [
    // botocore 1.44.8, in a body.
    (
        "POST",
        "127.0.0.1:4566",
        "Action=DescribeInstances&Version=2014-10-01&Filter.1.Name=tag%3Aa+b%2Fc~%C3%A9&Filter.1.Value.1=\
         &AWSAccessKeyId=AKIDEXAMPLE&SignatureVersion=2&SignatureMethod=HmacSHA256&Timestamp=2026-11-22T12%3A00%3A00Z\
         &Signature=nebqiuqgcNohOEN%2Fsh8FaNmX%2BhIIctA2cjcFdXhPGm8%3D",
    ),
    // libcloud 3.9.1, in a query.
    (
        "GET",
        "LocalHost:4566",
        "Action=DescribeInstances&InstanceId.0=i-1&Filter.1.Name=tag%3Aa+b%2Fc~&SignatureVersion=2&SignatureMethod=HmacSHA256\
         &AWSAccessKeyId=AKIDEXAMPLE&Version=2016-11-15&Timestamp=2026-11-22T12%3A00%3A00Z\
         &Signature=p1FhXa6GtiZU9%2BKe0DGm3kSIUScjXgOYwGUuQmFFkak%3D",
    ),
    // Python's hmac, after AWS's description, with the older method and an end.
    (
        "GET",
        "127.0.0.1:4566",
        "AWSAccessKeyId=AKIDEXAMPLE&Action=DescribeRegions&Expires=2026-11-22T12%3A10%3A00.000Z&SignatureMethod=HmacSHA1\
         &SignatureVersion=2&Version=2009-04-04&Signature=SU%2BfTw6JV3lQzD9QGViqcy7oI1g%3D",
    ),
];

fn verify(method: &str, host: &str, parameters: &str, now: OffsetDateTime) -> Result<(), ApiError> {
    let credentials = Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    let (parts, ()) = Request::builder().method(method).uri("/").header("host", host).body(()).unwrap().into_parts();
    let parameters = query::parse(parameters.as_bytes()).unwrap();
    SignedParameters::read(&parameters)?.verify(&credentials, &parts, &parameters, now)
}

#[test]
fn what_clients_sign_is_verified_and_nothing_else() {
    for (method, host, parameters) in SIGNED {
        verify(method, host, parameters, NOW).unwrap();
        for (method, host, parameters) in [
            ("PUT", host, parameters.to_owned()),
            (method, "127.0.0.2:4566", parameters.to_owned()),
            (method, host, parameters.replace("Action=", "Action=X")),
            (method, host, format!("{parameters}&DryRun=true")),
            (
                method,
                host,
                parameters
                    .replace("HmacSHA256", "HmacSHA")
                    .replace("HmacSHA1", "HmacSHA256")
                    .replace("HmacSHA&", "HmacSHA1&"),
            ),
            (method, host, parameters.replace("Signature=", "Signature=AAAA")),
            (method, host, parameters.replace("Signature=", "Signature=%00")),
        ] {
            let code = verify(method, host, &parameters, NOW).unwrap_err().code;
            assert_eq!(code, Code::SignatureDoesNotMatch, "{method} {host} {parameters}");
        }
    }
}

#[test]
fn what_was_signed_ends() {
    let [(method, host, since), _, (get, by, until)] = SIGNED;
    let code = |method, host, parameters, now| verify(method, host, parameters, now).err().map(|error| error.code);
    for (offset, expected) in [(-6, true), (-4, false), (4, false), (6, true)] {
        let expected = expected.then_some(Code::RequestExpired);
        assert_eq!(code(method, host, since, NOW + Duration::minutes(offset)), expected, "{offset}");
    }
    for (offset, expected) in [(-60 * 24 * 7 + 11, false), (9, false), (11, true)] {
        let expected = expected.then_some(Code::RequestExpired);
        assert_eq!(code(get, by, until, NOW + Duration::minutes(offset)), expected, "{offset}");
    }
    // No longer than a presigned URL of version 4.
    assert_eq!(code(get, by, until, NOW - Duration::minutes(60 * 24 * 7 - 9)), Some(Code::AuthFailure));
}

#[test]
fn what_is_no_signature_is_refused_by_name() {
    let good = "SignatureVersion=2&SignatureMethod=HmacSHA1&AWSAccessKeyId=AKIDEXAMPLE&Timestamp=2026-11-22T12:00:00Z&Signature=AAAA";
    for (from, to, error) in [
        ("SignatureVersion=2&", "", "MissingParameter: The request must contain the parameter SignatureVersion"),
        ("&Signature=AAAA", "", "MissingParameter: The request must contain the parameter Signature"),
        ("&Timestamp=2026-11-22T12:00:00Z", "", "MissingParameter: The request must contain the parameter Timestamp"),
        ("AWSAccessKeyId", "AccessKeyId", "MissingParameter: The request must contain the parameter AWSAccessKeyId"),
        ("&Timestamp", "&Timestamp=x&Timestamp", "AuthFailure: The request has the parameter Timestamp twice"),
        (
            "&Timestamp",
            "&Expires=2026-11-22T12:00:00Z&Timestamp",
            "InvalidParameterCombination: The parameter Timestamp cannot be used with the parameter Expires",
        ),
        (
            "Version=2",
            "Version=1",
            "InvalidParameterValue: Value (1) for parameter SignatureVersion is invalid. It must be 2; or sign with version \
             4, in the header.",
        ),
        (
            "HmacSHA1",
            "HmacMD5",
            "InvalidParameterValue: Value (HmacMD5) for parameter SignatureMethod is invalid. It must be HmacSHA256 or HmacSHA1.",
        ),
        (
            "2026-11-22T12:00:00Z",
            "now",
            "InvalidParameterValue: Value (now) for parameter Timestamp is invalid. It must be a time like \
             2014-10-01T12:00:00Z.",
        ),
        ("AKIDEXAMPLE", "AKIDOTHER", "AuthFailure: AWS was not able to validate the provided access credentials"),
    ] {
        assert!(good.contains(from), "{from}");
        let refused = verify("GET", "localhost", &good.replace(from, to), NOW).unwrap_err();
        assert_eq!(refused.to_string(), error);
    }
    let temporary = verify("GET", "localhost", &format!("{good}&SecurityToken=x"), NOW).unwrap_err();
    assert!(temporary.message.contains("AWS_SESSION_TOKEN"), "{temporary}");
}
