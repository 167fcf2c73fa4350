//! Who is let in, and who isn't.

use crate::fixture::{ACCOUNT, Answer, Endpoint, Signed, session_key};
use ec2_local::wire::Session;
use time::Duration;

const QUESTION: &str = "Action=DescribeRegions&Version=2016-11-15";

const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your AWS \
                        Secret Access Key and signing method. Consult the service documentation for details.";

#[test]
fn a_signed_request_is_answered() {
    let endpoint = Endpoint::start();
    let answer = Signed::ec2(QUESTION).send(&endpoint);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.body.lines().nth(1).unwrap(),
        format!(
            "<DescribeRegionsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>{}</requestId>\
             <regionInfo><item><regionName>us-east-1</regionName></item><item><regionName>eu-west-1</regionName></item>\
             </regionInfo></DescribeRegionsResponse>",
            answer.element("requestId")
        )
    );
    assert!(answer.head.contains(&format!("x-amzn-requestid: {}", answer.element("requestId"))), "{}", answer.head);
    assert!(answer.head.contains("content-type: text/xml;charset=UTF-8"), "{}", answer.head);
}

#[test]
fn the_region_is_that_of_the_signature() {
    let endpoint = Endpoint::start();
    let answer = Signed { region: "ap-southeast-2".to_owned(), ..Signed::ec2(QUESTION) }.send(&endpoint);
    assert_eq!(answer.element("regionName"), "ap-southeast-2");
}

#[test]
fn a_signed_get_is_answered() {
    let endpoint = Endpoint::start();
    assert_eq!(Signed::get(QUESTION).send(&endpoint).status, 200);
    // The canonical query is decoded and escaped anew, so an order or an escape of the client's own is all the same.
    let awkward = "Action=DescribeRegions&RegionName.1=a%20b%2F~&Version=2016-11-15";
    assert_eq!(Signed::get(awkward).send(&endpoint).status, 200);
}

#[test]
fn odd_headers_are_signed_as_they_are_sent() {
    let endpoint = Endpoint::start();
    let answer = Signed::ec2(QUESTION)
        .header("x-amz-user-agent", "  aws-sdk-rust/1.0  ")
        .header("amz-sdk-request", "attempt=1; max=3")
        .send(&endpoint);
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn an_unsigned_request_is_refused() {
    let endpoint = Endpoint::start();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{QUESTION}",
        endpoint.address,
        QUESTION.len()
    );
    let answer = endpoint.raw(request.as_bytes());
    answer.is_error(403, "MissingAuthenticationToken", "Request is missing Authentication Token");
}

#[test]
fn another_key_is_refused() {
    let endpoint = Endpoint::start();
    let answer = Signed { key: "AKIDOTHER".to_owned(), ..Signed::ec2(QUESTION) }.send(&endpoint);
    answer.is_error(401, "AuthFailure", "AWS was not able to validate the provided access credentials");
}

#[test]
fn another_secret_is_refused() {
    let endpoint = Endpoint::start();
    let answer = Signed { secret: "guessed".to_owned(), ..Signed::ec2(QUESTION) }.send(&endpoint);
    answer.is_error(403, "SignatureDoesNotMatch", MISMATCH);
}

#[test]
fn what_was_changed_on_the_way_is_refused() {
    let endpoint = Endpoint::start();
    let signed = Signed::ec2(QUESTION).header("x-amz-user-agent", "original");
    let honest = String::from_utf8(signed.bytes(endpoint.address, true)).unwrap();
    assert_eq!(endpoint.raw(honest.as_bytes()).status, 200);
    for (from, to) in [
        ("Action=DescribeRegions", "Action=DescribeRegionz"),
        ("x-amz-user-agent: original", "x-amz-user-agent: another"),
        ("POST / ", "POST /?DryRun=true "),
        ("/us-east-1/", "/us-east-2/"),
        ("/ec2/aws4", "/sts/aws4"),
        ("Signature=", "Signature=00"),
        ("x-amz-user-agent: original\r\n", ""),
    ] {
        assert!(honest.contains(from));
        let answer = endpoint.raw(honest.replace(from, to).as_bytes());
        assert_eq!((answer.status, answer.element("Code")), (403, "SignatureDoesNotMatch"), "{from} -> {to}");
    }
}

#[test]
fn the_payload_hash_is_verified() {
    let endpoint = Endpoint::start();
    let answer = Signed::ec2(QUESTION).header("x-amz-content-sha256", "UNSIGNED-PAYLOAD").send(&endpoint);
    answer.is_error(403, "SignatureDoesNotMatch", MISMATCH);
}

#[test]
fn a_clock_that_is_off_is_refused() {
    let endpoint = Endpoint::start();
    let at = |offset: Duration| {
        let mut request = Signed::ec2(QUESTION);
        request.time += offset;
        request.send(&endpoint)
    };
    at(-Duration::minutes(6)).is_error(400, "RequestExpired", "Request has expired.");
    assert_eq!(at(Duration::minutes(6)).element("Code"), "RequestExpired");
    assert_eq!(at(-Duration::minutes(4)).status, 200);
    assert_eq!(at(Duration::minutes(4)).status, 200);
}

#[test]
fn headers_that_are_no_signature_are_refused() {
    let endpoint = Endpoint::start();
    let good = String::from_utf8(Signed::ec2(QUESTION).bytes(endpoint.address, true)).unwrap();
    let line = good.lines().find(|line| line.starts_with("Authorization")).unwrap();
    for (value, message) in [
        ("AWS AKID:sig", "Unsupported AWS 'algorithm': 'AWS'"),
        ("Bearer x", "Unsupported AWS 'algorithm': 'Bearer'"),
        (
            "AWS4-HMAC-SHA256 Credential",
            "'Credential' not a valid key=value pair (missing equal-sign) in Authorization header",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host;x-amz-date, Signature=00",
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'a/b/c'",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/b/c/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=00",
            "Credential should be scoped to correct service: 'ec2'. ",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/b/../ec2/aws4_request, SignedHeaders=host;x-amz-date, Signature=00",
            "Credential should be scoped to a valid region, not '..'. ",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/b/c/ec2/aws4_request, SignedHeaders=x-amz-date, Signature=00",
            "'host' must be a 'SignedHeader' in the AWS Authorization.",
        ),
        ("AWS4-HMAC-SHA256 Signature=00", "Authorization header requires 'Credential' parameter."),
    ] {
        let answer = endpoint.raw(good.replace(line, &format!("Authorization: {value}")).as_bytes());
        answer.is_error(401, "AuthFailure", message);
    }
    let twice = good.replace(line, &format!("{line}\r\n{line}"));
    endpoint.raw(twice.as_bytes()).is_error(401, "AuthFailure", "The request has more than one Authorization header");
}

/// Sends a presigned query, by GET and with nothing else, as a browser would.
fn presigned(endpoint: &Endpoint, query: &str) -> Answer {
    let host = endpoint.address;
    endpoint.raw(format!("GET /?{query} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
}

#[test]
fn presigned_queries_are_answered() {
    let endpoint = Endpoint::start();
    let query = Signed::get(QUESTION).presigned(endpoint.address, 60);
    let answer = presigned(&endpoint, &query);
    assert_eq!((answer.status, answer.element("regionName")), (200, "us-east-1"), "{answer:?}");
    // What is about the signature is no parameter of the action, and what isn't, is one.
    let answer = presigned(&endpoint, &query.replace("&X-Amz-Algorithm", "&DryRun=true&X-Amz-Algorithm"));
    answer.is_error(403, "SignatureDoesNotMatch", MISMATCH);
    let unknown = format!("{QUESTION}&X-Amz-Other=1");
    let answer = presigned(&endpoint, &Signed::get(&unknown).presigned(endpoint.address, 60));
    answer.is_error(400, "UnknownParameter", "The parameter X-Amz-Other is not recognized");

    let question = "Action=GetCallerIdentity&Version=2011-06-15";
    let sts = |query| Signed { service: "sts".to_owned(), ..Signed::get(query) };
    let answer = presigned(&endpoint, &sts(question).presigned(endpoint.address, 60));
    assert_eq!((answer.status, answer.element("Account")), (200, ACCOUNT), "{answer:?}");
    let answer = presigned(&endpoint, &sts("Action=AssumeRole&Version=2011-06-15").presigned(endpoint.address, 60));
    assert_eq!((answer.status, answer.element("Type"), answer.element("Code")), (400, "Sender", "InvalidAction"));
}

#[test]
fn presigned_queries_end() {
    let endpoint = Endpoint::start();
    let at = |offset: Duration, seconds| {
        let mut request = Signed::get(QUESTION);
        request.time += offset;
        presigned(&endpoint, &request.presigned(endpoint.address, seconds))
    };
    at(-Duration::minutes(2), 60).is_error(400, "RequestExpired", "Request has expired.");
    assert_eq!(at(-Duration::days(6), 7 * 24 * 60 * 60).status, 200);
    assert_eq!(at(Duration::minutes(4), 60).status, 200);
    assert_eq!(at(Duration::minutes(6), 60).element("Code"), "RequestExpired");
}

#[test]
fn a_session_token_is_refused_clearly() {
    let endpoint = Endpoint::start();
    let answer = Signed::ec2(QUESTION).header("x-amz-security-token", "stale").send(&endpoint);
    assert_eq!((answer.status, answer.element("Code")), (401, "AuthFailure"));
    assert!(answer.element("Message").contains("AWS_SESSION_TOKEN"), "{answer:?}");
}

#[test]
fn sts_tells_whose_account_it_is() {
    let endpoint = Endpoint::start();
    let answer = Signed::sts("Action=GetCallerIdentity&Version=2011-06-15").send(&endpoint);
    assert_eq!((answer.status, answer.element("Account")), (200, ACCOUNT), "{answer:?}");
    assert_eq!(answer.element("Arn"), format!("arn:aws:iam::{ACCOUNT}:root"));
    let answer = Signed::sts("Action=AssumeRole&Version=2011-06-15").send(&endpoint);
    assert_eq!((answer.status, answer.element("Type"), answer.element("Code")), (400, "Sender", "InvalidAction"));
    let answer = Signed { secret: "guessed".to_owned(), ..Signed::sts("Action=GetCallerIdentity&Version=2011-06-15") };
    assert_eq!(answer.send(&endpoint).element("Code"), "SignatureDoesNotMatch");
    // EC2's actions are not STS's, nor the other way round.
    assert_eq!(Signed::sts(QUESTION).send(&endpoint).element("Code"), "InvalidAction");
    assert_eq!(endpoint.call("Action=GetCallerIdentity").element("Code"), "InvalidAction");
}

/// A question by an instance's role, whose time ends in so many seconds.
fn by_role(request: Signed, seconds: i64) -> (Signed, String) {
    let session = Session::new("web", "i-0123456789abcdef0", request.time + Duration::seconds(seconds));
    let issued = session_key().issue(&session);
    (Signed { key: issued.access_key, secret: issued.secret, ..request }, issued.token)
}

#[test]
fn a_role_is_somebody_for_a_while() {
    let endpoint = Endpoint::start();
    let whose = || Signed::sts("Action=GetCallerIdentity&Version=2011-06-15");
    let ask = |(request, token): (Signed, String)| request.header("x-amz-security-token", &token).send(&endpoint);
    let answer = ask(by_role(whose(), 60));
    let arn = format!("arn:aws:sts::{ACCOUNT}:assumed-role/web/i-0123456789abcdef0");
    assert_eq!((answer.status, answer.element("Arn"), answer.element("Account")), (200, arn.as_str(), ACCOUNT));
    let user = answer.element("UserId");
    assert!(user.starts_with("AROA") && user.ends_with(":i-0123456789abcdef0"), "{user}");
    assert_eq!(ask(by_role(Signed::ec2(QUESTION), 60)).status, 200);

    // In a presigned URL its token is in the query.
    let (request, token) = by_role(Signed::get(QUESTION), 60);
    let token = token.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let target = format!("{}&X-Amz-Security-Token={token}", request.target);
    let request = Signed { target, ..request };
    assert_eq!(presigned(&endpoint, &request.presigned(endpoint.address, 60)).status, 200);

    ask(by_role(Signed::ec2(QUESTION), -1)).is_error(400, "RequestExpired", "Request has expired.");
    let over = ask(by_role(whose(), -1));
    assert_eq!((over.status, over.element("Code")), (403, "ExpiredToken"), "{over:?}");
    let (request, _) = by_role(Signed::ec2(QUESTION), 60);
    // Of another time, whenever the others are signed.
    let (_, other) = by_role(Signed::ec2(QUESTION), 600);
    let refused = "AWS was not able to validate the provided access credentials";
    ask((request, other.clone())).is_error(401, "AuthFailure", refused);
    let (guessed, token) = by_role(Signed::ec2(QUESTION), 60);
    let guessed = Signed { secret: "guessed".to_owned(), ..guessed };
    assert_eq!(ask((guessed, token)).element("Code"), "SignatureDoesNotMatch");
    by_role(Signed::ec2(QUESTION), 60).0.send(&endpoint).is_error(401, "AuthFailure", refused);
    let (request, _) = by_role(whose(), 60);
    assert_eq!(ask((request, other)).element("Code"), "InvalidClientTokenId");
}
