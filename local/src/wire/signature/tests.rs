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
    let read = Authorization::read(&parts.headers, &in_url).unwrap();
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

#[test]
fn fields_may_stand_without_spaces() {
    let fields = "Credential=a/20261122/r/ec2/aws4_request,SignedHeaders=host;x-amz-date,Signature=00";
    assert_eq!(Authorization::fields(fields).unwrap().signed_headers, ["host", "x-amz-date"]);
    for (broken, code) in [
        (fields.replace("=00", "=0"), Code::SignatureDoesNotMatch),
        (fields.replace("=00", "=zz"), Code::SignatureDoesNotMatch),
        (format!("{fields},Signature=00"), Code::AuthFailure),
        (format!("{fields},Other=00"), Code::AuthFailure),
        (fields.replace("aws4_request", "aws5_request"), Code::AuthFailure),
        (fields.replace(";x-amz-date", ""), Code::AuthFailure),
        (String::new(), Code::AuthFailure),
    ] {
        assert_eq!(Authorization::fields(&broken).unwrap_err().code, code, "{broken}");
    }
}

#[test]
fn the_secret_is_not_printed() {
    assert!(!format!("{:?}", credentials()).contains("wJalr"));
}
