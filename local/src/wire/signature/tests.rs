use super::*;
use hyper::Request;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

fn credentials() -> Credentials {
    Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
}

/// What botocore 1.43.11 signed with these credentials at this time.
#[track_caller]
fn verify(method: &str, target: &str, headers: &[(&str, &str)], body: &str, authorization: &str) -> Authorization {
    let mut request = Request::builder().method(method).uri(target).header("x-amz-date", "20261122T120000Z");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let authorization = format!("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/{authorization}");
    let (parts, ()) = request.header("authorization", authorization).body(()).unwrap().into_parts();
    let in_url = query::parse(parts.uri.query().unwrap_or_default().as_bytes()).unwrap();
    let read = Authorization::read(&parts.headers, &in_url).unwrap().unwrap();
    read.verify(&credentials(), &parts, &in_url, body.as_bytes(), NOW).unwrap();
    let tampered = format!("{body} ");
    let error = read.verify(&credentials(), &parts, &in_url, tampered.as_bytes(), NOW).unwrap_err();
    assert_eq!(error.code, Code::SignatureDoesNotMatch);
    read
}

#[test]
fn what_botocore_signs_is_verified() {
    let post = verify(
        "POST",
        "/",
        &[("host", "127.0.0.1:4566"), ("content-type", "application/x-www-form-urlencoded; charset=utf-8")],
        "Action=DescribeRegions&Version=2016-11-15",
        "us-east-1/ec2/aws4_request, SignedHeaders=content-type;host;x-amz-date, \
         Signature=f74fa558cf1eff1ec07713f92571927b43fb9a18364219e2724e650086cbf516",
    );
    assert_eq!((post.region.as_str(), post.service), ("us-east-1", SignedService::Ec2));
    let get = verify(
        "GET",
        "/?Version=2016-11-15&Action=DescribeRegions&Filter.1.Name=a%20b%2Fc~%C3%A9&Empty=",
        &[("host", "127.0.0.1:4566"), ("x-amz-spaces", "  a   b  ")],
        "",
        "eu-north-1/ec2/aws4_request, SignedHeaders=host;x-amz-date;x-amz-spaces, \
         Signature=368393853dcacc65e415008c0bb6d5c464b2fbacef8c9598468a0d4ec8deb843",
    );
    assert_eq!(get.region, "eu-north-1");
    let sts = verify(
        "POST",
        "/",
        &[("host", "localhost:4566")],
        "Action=GetCallerIdentity&Version=2011-06-15",
        "us-east-1/sts/aws4_request, SignedHeaders=host;x-amz-date, \
         Signature=66c110873113caf39a93ca8176add7c936c47abd7cde78030633dbab10033cd5",
    );
    assert_eq!(sts.service, SignedService::Sts);
}

/// What botocore 1.44.8 presigned with these credentials at this time: method, query, service.
const PRESIGNED: [(&str, &str, SignedService); 3] = [
    (
        "GET",
        "Action=DescribeInstances&Version=2016-11-15&Filter.1.Name=tag%3Aa%20b%2Fc~%C3%A9&Filter.1.Value.1=\
         &X-Amz-Algorithm=AWS4-HMAC-SHA256\
         &X-Amz-Credential=AKIDEXAMPLE%2F20261122%2Fus-east-1%2Fec2%2Faws4_request\
         &X-Amz-Date=20261122T120000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host\
         &X-Amz-Signature=5cf963107c4747ccd447a02c6e605a79348d641d6181192f7ec4e073a628f393",
        SignedService::Ec2,
    ),
    // Its method is the action's own where none was named.
    (
        "POST",
        "Action=DescribeRegions&Version=2016-11-15&X-Amz-Algorithm=AWS4-HMAC-SHA256\
         &X-Amz-Credential=AKIDEXAMPLE%2F20261122%2Fus-east-1%2Fec2%2Faws4_request\
         &X-Amz-Date=20261122T120000Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host\
         &X-Amz-Signature=2988732a7fc65fc0cd392bf4d91bd255e5e0cea4180d4233d996bc27e95397df",
        SignedService::Ec2,
    ),
    (
        "GET",
        "Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256\
         &X-Amz-Credential=AKIDEXAMPLE%2F20261122%2Feu-north-1%2Fsts%2Faws4_request\
         &X-Amz-Date=20261122T120000Z&X-Amz-Expires=604800&X-Amz-SignedHeaders=host\
         &X-Amz-Signature=94eb805cb15e9c50cd6c6df8400e8b78e1196562e9a44358ab64c75460bd6d3a",
        SignedService::Sts,
    ),
];

/// Reads and verifies a presigned query, as of a time.
fn presigned(method: &str, query: &str, body: &str, now: OffsetDateTime) -> Result<Authorization, ApiError> {
    let request = Request::builder().method(method).uri(format!("/?{query}")).header("host", "127.0.0.1:4566");
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let in_url = query::parse(query.as_bytes()).unwrap();
    let read = Authorization::read(&parts.headers, &in_url)?.unwrap();
    read.verify(&credentials(), &parts, &in_url, body.as_bytes(), now)?;
    Ok(read)
}

#[test]
fn what_botocore_presigns_is_verified() {
    for (method, query, service) in PRESIGNED {
        assert_eq!(presigned(method, query, "", NOW).unwrap().service, service, "{query}");
        for (method, query, body) in [
            (method, query.replace("Action=", "Action=X"), ""),
            (method, format!("{query}&DryRun=true"), ""),
            (method, query.replace("Expires=60", "Expires=59").replace("Expires=3600", "Expires=3601"), ""),
            (method, query.replace("T120000Z", "T120001Z"), ""),
            (method, query.replace("-1%2F", "-2%2F"), ""),
            (method, query.to_owned(), "DryRun=true"),
            ("PUT", query.to_owned(), ""),
        ] {
            let code = presigned(method, &query, body, NOW).unwrap_err().code;
            assert_eq!(code, Code::SignatureDoesNotMatch, "{method} {query} {body}");
        }
    }
}

#[test]
fn a_presigned_query_is_valid_for_as_long_as_it_says() {
    for ((method, query, _), lifetime) in PRESIGNED.into_iter().zip([60, 3600, 604_800]) {
        let code = |now| presigned(method, query, "", now).map(drop).map_err(|error| error.code);
        let end = NOW + Duration::seconds(lifetime);
        assert_eq!(code(end), Ok(()));
        assert_eq!(code(end + Duration::MILLISECOND), Err(Code::RequestExpired));
        assert_eq!(code(NOW - SKEW), Ok(()));
        assert_eq!(code(NOW - SKEW - Duration::MILLISECOND), Err(Code::RequestExpired));
    }
}

#[test]
fn a_presigned_query_has_everything_once() {
    let (method, query, _) = PRESIGNED[0];
    let refused = |query: &str| {
        let error = presigned(method, query, "", NOW).unwrap_err();
        assert_eq!(error.code, Code::AuthFailure, "{query}");
        error.message
    };
    let ours: Vec<&str> = query.split('&').filter(|pair| pair.starts_with("X-Amz-")).collect();
    assert_eq!(ours.len(), 6);
    for pair in ours {
        let name = pair.split('=').next().unwrap();
        let without = query.replace(&format!("&{pair}"), "");
        assert_eq!(refused(&without), format!("AWS query-string parameters must include '{name}'."));
        let twice = format!("{query}&{pair}");
        assert_eq!(refused(&twice), format!("AWS query-string parameters have '{name}' twice."));
    }
    for expires in ["0", "-1", "604801", "60.0", "", "9999999999999999999999"] {
        let message = refused(&query.replace("Expires=60", &format!("Expires={expires}")));
        let expected = "X-Amz-Expires must be a number of seconds from 1 to 604800, not";
        assert_eq!(message, format!("{expected} '{expires}'"));
    }
    for (from, to, said) in [
        ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256", "Unsupported AWS 'algorithm'"),
        ("SignedHeaders=host", "SignedHeaders=accept", "'host' must be a 'SignedHeader'"),
        ("%2Fec2%2F", "%2Fs3%2F", "Credential should be scoped to correct service"),
        ("T120000Z", "T12:00:00Z", "Date must be in ISO-8601 'basic format'"),
        ("AKIDEXAMPLE", "AKIDOTHER", "AWS was not able to validate the provided access credentials"),
        ("&X-Amz-Signature", "&X-Amz-Security-Token=a&X-Amz-Signature", "unset AWS_SESSION_TOKEN"),
    ] {
        let message = refused(&query.replace(from, to));
        assert!(message.contains(said), "{message}");
    }
    let another_day = presigned(method, &query.replace("20261122%2F", "20261121%2F"), "", NOW).unwrap_err();
    assert_eq!(another_day.code, Code::SignatureDoesNotMatch);
    assert!(another_day.message.starts_with("Date in Credential scope does not match"), "{another_day}");
}

#[test]
fn a_request_is_signed_in_one_place() {
    let (_, query, _) = PRESIGNED[0];
    let in_url = query::parse(query.as_bytes()).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("authorization", "AWS4-HMAC-SHA256 Credential=a".parse().unwrap());
    for (name, value) in in_url {
        if authorization::is_of_signature(&name) {
            let error = Authorization::read(&headers, &[(name, value)]).unwrap_err();
            assert_eq!(error.code, Code::AuthFailure);
            assert!(error.message.contains("in the Authorization header and in the query string"), "{error}");
        }
    }
}

#[test]
fn fields_may_stand_without_spaces() {
    let read = |fields: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", format!("{ALGORITHM} {fields}").parse().unwrap());
        headers.insert("x-amz-date", "20261122T120000Z".parse().unwrap());
        Authorization::read(&headers, &[])
    };
    let fields = "Credential=a/20261122/r/ec2/aws4_request,SignedHeaders=host;x-amz-date,Signature=00";
    assert_eq!(read(fields).unwrap().unwrap().signed_headers, ["host", "x-amz-date"]);
    for (broken, code) in [
        (fields.replace("=00", "=0"), Code::SignatureDoesNotMatch),
        (fields.replace("=00", "=zz"), Code::SignatureDoesNotMatch),
        (format!("{fields},Signature=00"), Code::AuthFailure),
        (format!("{fields},Other=00"), Code::AuthFailure),
        (fields.replace("aws4_request", "aws5_request"), Code::AuthFailure),
        (fields.replace(";x-amz-date", ""), Code::AuthFailure),
        (String::new(), Code::AuthFailure),
    ] {
        assert_eq!(read(&broken).unwrap_err().code, code, "{broken}");
    }
}

#[test]
fn the_secret_is_not_printed() {
    assert!(!format!("{:?}", credentials()).contains("wJalr"));
}
