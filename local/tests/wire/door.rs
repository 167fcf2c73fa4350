//! What the door does with requests that are signed well, and with those that never should have come.

use crate::fixture::{Answer, Endpoint, KEY, Signed};
use std::{
    io::{Read, Write},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

const QUESTION: &str = "Action=DescribeRegions&Version=2016-11-15";

/// Waits until something holds, and fails if it never does.
#[track_caller]
fn eventually(what: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !what() {
        assert!(Instant::now() < deadline, "it never came to hold");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn requests_are_decoded_and_answers_encoded() {
    let endpoint = Endpoint::start();
    let answer = endpoint.call(
        "Action=RunInstances&ImageId=ami-1&InstanceType=t3.micro&MinCount=1&MaxCount=2&TagSpecification.1.ResourceType=\
         instance&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=%3Ca%26b%3E",
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.element("ownerId"), "012345678901");
    assert_eq!(answer.element("launchTime"), "1970-01-01T00:00:00.000Z");
    assert_eq!(answer.element("tagSet"), "<item><key>Name</key><value>&lt;a&amp;b&gt;</value></item>");
    assert_eq!(answer.body.matches("<amiLaunchIndex>").count(), 2);
}

#[test]
fn results_without_content_say_true() {
    let endpoint = Endpoint::start();
    assert_eq!(endpoint.call("Action=RebootInstances&InstanceId.1=i-1").element("return"), "true");
    assert_eq!(endpoint.call("Action=DeleteKeyPair&KeyName=k").element("return"), "true");
}

#[test]
fn what_the_model_does_not_know_is_refused() {
    let endpoint = Endpoint::start();
    for (parameters, status, code, message) in [
        ("Action=Fly", 400, "InvalidAction", "The action Fly is not valid for this web service."),
        ("InstanceId.1=i-1", 400, "MissingAction", "The request must contain the parameter Action"),
        ("Action=DescribeRegions&Colour=red", 400, "UnknownParameter", "The parameter Colour is not recognized"),
        ("Action=RebootInstances", 400, "MissingParameter", "The request must contain the parameter InstanceId"),
        (
            "Action=%zz",
            404,
            "MalformedQueryString",
            "The query string is malformed: a % is not followed by two hexadecimal digits",
        ),
        (
            "Action=RunInstances&MinCount=1&MaxCount=1&InstanceType=t9.huge",
            400,
            "InvalidParameterValue",
            "Invalid value 't9.huge' for InstanceType.",
        ),
    ] {
        endpoint.call(parameters).is_error(status, code, message);
    }
    let answer = Signed::ec2("Action=DescribeRegions&Version=2008-01-01").send(&endpoint);
    let message = "The requested version (2008-01-01) of service AmazonEC2 does not exist";
    answer.is_error(400, "NoSuchVersion", message);
    let answer = Signed::ec2("Action=DescribeRegions").send(&endpoint);
    answer.is_error(400, "MissingParameter", "The request must contain the parameter Version");
}

#[test]
fn an_error_of_the_account_is_answered() {
    let endpoint = Endpoint::start();
    let answer = endpoint.call("Action=DescribeTags");
    answer.is_error(400, "InvalidAction", "The action DescribeTags is not served by the stub");
}

#[test]
fn a_panic_is_an_internal_error_and_the_next_request_is_answered() {
    let endpoint = Endpoint::start();
    let answer = endpoint.call("Action=TerminateInstances&InstanceId.1=i-1");
    assert_eq!((answer.status, answer.element("Code")), (500, "InternalError"), "{answer:?}");
    assert_eq!(endpoint.call("Action=DescribeRegions").status, 200);
    eventually(|| endpoint.activity.idle().is_some());
}

#[test]
fn an_answer_that_the_model_does_not_have_is_an_internal_error() {
    let endpoint = Endpoint::start();
    let answer = endpoint.call("Action=DescribeVpcs");
    let message =
        "the answer DescribeVpcs.NoSuchMember is a member that the model does not have; this is a bug of ec2-local";
    answer.is_error(500, "InternalError", message);
}

#[test]
fn foreign_hosts_are_refused() {
    let endpoint = Endpoint::start();
    let port = endpoint.address.port();
    let status = |host: &str| Signed::ec2(QUESTION).header("host", host).send(&endpoint).status;
    for host in ["127.0.0.1", "localhost", "LocalHost", "[::1]", "127.0.0.2"] {
        assert_eq!(status(host), 200, "{host}");
        assert_eq!(status(&format!("{host}:{port}")), 200, "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "192.168.0.1",
        "localhost@evil.example",
        "evil.example@localhost",
        "::1",
        "",
        "0.0.0.0",
        "2130706433",
    ] {
        assert_eq!(status(host), 403, "{host}");
        assert_eq!(status(&format!("{host}:{port}")), 403, "{host}");
    }
    let none = endpoint.raw(b"POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((none.status, none.element("Code")), (403, "UnauthorizedOperation"));
    let mut proxied = Signed::ec2(QUESTION);
    proxied.target = "http://evil.example/".to_owned();
    assert_eq!(proxied.send(&endpoint).status, 403);
    let mut twice = Signed::ec2(QUESTION);
    twice.unsigned.push(("host".to_owned(), "evil.example".to_owned()));
    assert!(matches!(twice.send(&endpoint).status, 400 | 403));
}

#[test]
fn web_pages_are_refused() {
    let endpoint = Endpoint::start();
    for origin in ["https://evil.example", "null", &format!("http://{}", endpoint.address)] {
        let answer = Signed::ec2(QUESTION).header("origin", origin).send(&endpoint);
        assert_eq!((answer.status, answer.element("Code")), (403, "UnauthorizedOperation"), "{origin}");
        assert!(!answer.head.to_lowercase().contains("access-control"), "{}", answer.head);
    }
}

#[test]
fn other_methods_and_paths_are_refused() {
    let endpoint = Endpoint::start();
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"] {
        let answer = Signed { method, ..Signed::ec2(QUESTION) }.send(&endpoint);
        assert_eq!((answer.status, answer.element("Code")), (405, "MethodNotAllowed"), "{method}");
    }
    let elsewhere = Signed { target: "/latest/meta-data".to_owned(), ..Signed::ec2(QUESTION) }.send(&endpoint);
    assert_eq!(elsewhere.status, 404);
}

#[test]
fn bodies_and_heads_are_bounded() {
    let endpoint = Endpoint::start();
    let large = format!("{QUESTION}&RegionName.1={}", "x".repeat(1024 * 1024));
    assert_eq!(Signed::ec2(&large).send(&endpoint).element("Code"), "RequestEntityTooLarge");
    let signed = String::from_utf8(Signed::ec2("").bytes(endpoint.address, true)).unwrap();
    let chunks = format!("10000\r\n{}\r\n", "x".repeat(0x10000)).repeat(17);
    let chunked = |head: &str| head.replace("Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n") + &chunks;
    assert_eq!(endpoint.raw(chunked(&signed).as_bytes()).element("Code"), "RequestEntityTooLarge");
    // Nobody has a body read who doesn't know the key's name.
    for stranger in
        ["POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", &signed.replace(KEY, "AKIDOTHER")]
    {
        let mut stream = endpoint.connect();
        stream.write_all(stranger.replace("Content-Length: 0", "Content-Length: 90000").as_bytes()).unwrap();
        assert!(matches!(Answer::read(stream).status, 401 | 403));
    }
    let names: String = (1..=20).map(|n| format!("&RegionName.{n}={}", "x".repeat(50 * 1024))).collect();
    let fitting = format!("{QUESTION}{names}");
    assert_eq!(Signed::ec2(&fitting).send(&endpoint).status, 200);
    let long = Signed::ec2(QUESTION).header("x-amz-long", &"x".repeat(100_000)).send(&endpoint);
    assert_eq!(long.status, 431, "{long:?}");
    let many = (0..200).fold(Signed::ec2(QUESTION), |request, at| request.header(&format!("x-{at}"), "x"));
    assert_eq!(many.send(&endpoint).status, 431);
    assert_eq!(endpoint.call("Action=DescribeRegions").status, 200);
}

#[test]
fn a_connection_serves_many_requests() {
    let endpoint = Endpoint::start();
    let mut stream = endpoint.connect();
    let request = Signed::ec2(QUESTION).bytes(endpoint.address, false);
    for _ in 0..20 {
        stream.write_all(&request).unwrap();
        let mut answer = String::new();
        while !answer.ends_with("</DescribeRegionsResponse>") {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).unwrap();
            assert_ne!(count, 0, "{answer}");
            answer.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
    }
    assert_eq!(endpoint.activity.connections(), 1);
    drop(stream);
    eventually(|| endpoint.activity.connections() == 0);
}

#[test]
fn what_has_begun_is_finished_for_a_client_that_hangs_up() {
    let endpoint = Endpoint::start();
    let mut stream = endpoint.connect();
    let body = "Action=RebootInstances&Version=2016-11-15&InstanceId.1=i-1";
    stream.write_all(&Signed::ec2(body).bytes(endpoint.address, false)).unwrap();
    eventually(|| endpoint.activity.requests() == 1);
    assert_eq!(endpoint.activity.idle(), None);
    drop(stream);
    eventually(|| endpoint.activity.requests() == 0);
    assert_eq!(endpoint.service.finished.load(Ordering::SeqCst), 1);
    assert!(endpoint.activity.idle().is_some());
}

#[test]
fn strangers_are_no_activity() {
    let endpoint = Endpoint::start();
    let idle_before = endpoint.activity.idle().unwrap();
    std::thread::sleep(Duration::from_millis(20));
    let mut unsigned = Signed::ec2(QUESTION);
    unsigned.secret = "guessed".to_owned();
    assert_eq!(unsigned.send(&endpoint).status, 403);
    assert!(endpoint.activity.idle().unwrap() >= idle_before + Duration::from_millis(20));
    assert_eq!(endpoint.activity.connections(), 0);
}

#[test]
fn connections_that_never_sign_are_closed() {
    let endpoint = Endpoint::start();
    let silent = endpoint.connect();
    let mut refused = endpoint.connect();
    let wrong = Signed { secret: "guessed".to_owned(), ..Signed::ec2(QUESTION) };
    refused.write_all(&wrong.bytes(endpoint.address, false)).unwrap();
    let mut slow = endpoint.connect();
    slow.write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\nX-").unwrap();
    let mut admitted = endpoint.connect();
    admitted.write_all(&Signed::ec2(QUESTION).bytes(endpoint.address, false)).unwrap();
    // Each of these ends only when the other side closes it.
    assert_eq!(Answer::read(silent).status, 0);
    assert_eq!(Answer::read(refused).status, 403);
    assert_eq!(Answer::read(slow).status, 0);
    // The one that was let in still serves.
    assert_eq!(endpoint.activity.connections(), 1);
    admitted.write_all(&Signed::ec2(QUESTION).bytes(endpoint.address, true)).unwrap();
    assert_eq!(Answer::read(admitted).body.matches("</DescribeRegionsResponse>").count(), 2);
}

#[test]
fn what_is_being_answered_at_the_end_is_answered() {
    let mut endpoint = Endpoint::start();
    let mut stream = endpoint.connect();
    let body = "Action=RebootInstances&Version=2016-11-15&InstanceId.1=i-1";
    stream.write_all(&Signed::ec2(body).bytes(endpoint.address, false)).unwrap();
    eventually(|| endpoint.activity.requests() == 1);
    let idle = endpoint.connect();
    endpoint.stop().unwrap();
    assert_eq!(Answer::read(stream).element("return"), "true");
    assert_eq!(Answer::read(idle).status, 0);
    assert!(std::net::TcpStream::connect(endpoint.address).is_err());
}

#[test]
fn fifty_clients_at_once_are_answered() {
    let endpoint = Endpoint::start();
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| assert_eq!(endpoint.call("Action=DescribeRegions").status, 200));
        }
    });
}

#[test]
fn only_the_loopback_is_served() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
        let door = ec2_local::wire::Door::new(ec2_local::wire::Credentials::new("k", "s"), "000000000000");
        let stub = std::sync::Arc::new(crate::fixture::Stub::default());
        ec2_local::wire::serve(listener, door, stub, std::future::pending()).await.unwrap_err()
    });
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}
