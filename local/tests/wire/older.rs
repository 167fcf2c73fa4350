//! What older clients send: Signature Version 2, and versions of the API from before the last.

use crate::fixture::{Answer, Endpoint, KEY, SECRET, Signed};
use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use time::{OffsetDateTime, macros::format_description};

/// Parameters with their signature, written after AWS's description, not after our verification.
fn signed(endpoint: &Endpoint, method: &str, parameters: &str, secret: &str) -> String {
    let now = OffsetDateTime::now_utc();
    let now = now.format(format_description!("[year]-[month]-[day]T[hour]%3A[minute]%3A[second]Z")).unwrap();
    let all =
        format!("{parameters}&AWSAccessKeyId={KEY}&SignatureMethod=HmacSHA256&SignatureVersion=2&Timestamp={now}");
    let mut sorted: Vec<&str> = all.split('&').collect();
    sorted.sort();
    let text = format!("{method}\n{}\n/\n{}", endpoint.address, sorted.join("&"));
    let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.as_bytes()).unwrap().chain_update(text);
    let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    format!("{all}&Signature={}", signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"))
}

fn get(endpoint: &Endpoint, query: &str) -> Answer {
    let host = endpoint.address;
    endpoint.raw(format!("GET /?{query} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
}

fn post(endpoint: &Endpoint, body: &str) -> Answer {
    let (host, length) = (endpoint.address, body.len());
    let request =
        format!("POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    endpoint.raw(request.as_bytes())
}

const QUESTION: &str = "Action=DescribeRegions&Version=2016-11-15";

#[test]
fn requests_that_are_signed_with_version_2_are_answered() {
    let endpoint = Endpoint::start();
    for answer in [
        get(&endpoint, &signed(&endpoint, "GET", QUESTION, SECRET)),
        post(&endpoint, &signed(&endpoint, "POST", QUESTION, SECRET)),
    ] {
        assert_eq!((answer.status, answer.element("regionName")), (200, "us-east-1"), "{answer:?}");
    }
    // What isn't about the signature is one of the action's parameters.
    let unknown = format!("{QUESTION}&Colour=red");
    let answer = get(&endpoint, &signed(&endpoint, "GET", &unknown, SECRET));
    answer.is_error(400, "UnknownParameter", "The parameter Colour is not recognized");
}

#[test]
fn what_is_signed_otherwise_is_refused() {
    let endpoint = Endpoint::start();
    let guessed = signed(&endpoint, "GET", QUESTION, "guessed");
    let honest = signed(&endpoint, "POST", QUESTION, SECRET);
    for answer in [
        get(&endpoint, &guessed),
        get(&endpoint, &honest),
        post(&endpoint, &honest.replace("Regions", "RegionZ")),
        post(&endpoint, &format!("{honest}&DryRun=true")),
    ] {
        assert_eq!((answer.status, answer.element("Code")), (403, "SignatureDoesNotMatch"), "{answer:?}");
    }
    let other = honest.replace(KEY, "AKIDOTHER");
    post(&endpoint, &other).is_error(
        401,
        "AuthFailure",
        "AWS was not able to validate the provided access credentials",
    );
}

#[test]
fn a_body_without_a_signature_is_refused_and_a_large_one_is_not_read() {
    let endpoint = Endpoint::start();
    let message = "Request is missing Authentication Token";
    for body in [QUESTION, "%zz", ""] {
        post(&endpoint, body).is_error(403, "MissingAuthenticationToken", message);
    }
    // Nothing of the body is sent, and the answer doesn't wait for it.
    let host = endpoint.address;
    let head = format!("POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 65537\r\n\r\n");
    endpoint.raw(head.as_bytes()).is_error(403, "MissingAuthenticationToken", message);
}

#[test]
fn every_published_version_is_answered_in_its_own_name() {
    let endpoint = Endpoint::start();
    for version in ["2006-06-26", "2009-11-30", "2012-08-15", "2014-10-01", "2016-09-15", "2016-11-15"] {
        let answer = Signed::ec2(&format!("Action=DescribeRegions&Version={version}")).send(&endpoint);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.contains(&format!("xmlns=\"http://ec2.amazonaws.com/doc/{version}/\"")), "{answer:?}");
    }
    for version in ["2006-06-27", "2016-11-16", "2011-06-15", "3.3.0", ""] {
        let answer = Signed::ec2(&format!("Action=DescribeRegions&Version={version}")).send(&endpoint);
        let message = format!("The requested version ({version}) of service AmazonEC2 does not exist");
        answer.is_error(400, "NoSuchVersion", &message);
    }
}

#[test]
fn an_action_that_is_not_served_says_so() {
    let endpoint = Endpoint::start();
    // What only EC2 has says what is missing; parameters aren't looked at.
    for action in ["CreateFleet", "RequestSpotFleet", "DescribeFpgaImages"] {
        let message = format!("The action {action} isn't served by the local EC2 yet");
        endpoint.call(&format!("Action={action}&Colour=red")).is_error(400, "UnsupportedOperation", &message);
    }
    let message = "The action RunInstance is not valid for this web service.";
    endpoint.call("Action=RunInstance").is_error(400, "InvalidAction", message);
}
