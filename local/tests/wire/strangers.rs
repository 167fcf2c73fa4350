//! What connections that sign nothing do to the calls of those who do: connections of another user of the host's, and those
//! of a leaky client of one's own.

use crate::{
    fixture::{Endpoint, Signed},
    hoard::{Hoard, NOTHING, STRANGER, Saying, raise_limit_of_files},
};
use rustix::process::geteuid;
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

const QUESTION: &str = "Action=DescribeRegions&Version=2016-11-15";
/// How long a call on a connection of its own takes, in the mean.
fn a_call_takes(endpoint: &Endpoint) -> Duration {
    const CALLS: u32 = 50;
    let since = Instant::now();
    for _ in 0..CALLS {
        assert_eq!(Signed::ec2(QUESTION).send(endpoint).status, 200);
    }
    since.elapsed() / CALLS
}

/// Calls go on beside connections that say this: they take longer where the machine has few processors, but none waits for
/// somebody else's patience to end.
#[track_caller]
fn holds_nobody_up(user: Option<u32>, saying: Saying) {
    let endpoint = Endpoint::start();
    let alone = a_call_takes(&endpoint);
    let hoard = Hoard::of(user, endpoint.address, saying);
    let beside = a_call_takes(&endpoint);
    drop(hoard);
    eprintln!("a call takes {alone:?}, and {beside:?} beside them");
    assert!(beside < alone * 25, "{beside:?} instead of {alone:?}");
}

fn is_root() -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        eprintln!("skipped: only root can be somebody else");
    }
    is_root
}

#[test]
fn idle_connections_of_another_user_hold_nobody_up() {
    if is_root() {
        holds_nobody_up(Some(STRANGER), NOTHING);
    }
}

#[test]
fn slow_heads_of_another_user_hold_nobody_up() {
    if is_root() {
        holds_nobody_up(Some(STRANGER), Saying(b"POST / HTTP/1.1\r\nHost: localhost\r\nX-", b"x"));
    }
}

#[test]
fn slow_bodies_of_another_user_hold_nobody_up() {
    if is_root() {
        let head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n";
        holds_nobody_up(Some(STRANGER), Saying(head, b"x"));
    }
}

/// A small one is read, since a signature of version 2 may be in it.
#[test]
fn slow_small_bodies_of_another_user_hold_nobody_up() {
    if is_root() {
        let head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65536\r\n\r\n";
        holds_nobody_up(Some(STRANGER), Saying(head, b"x"));
    }
}

#[test]
fn unsigned_requests_of_another_user_hold_nobody_up() {
    if is_root() {
        let unsigned = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
        holds_nobody_up(Some(STRANGER), Saying(unsigned, unsigned));
    }
}

#[test]
fn ones_own_idle_connections_hold_nobody_up() {
    holds_nobody_up(None, NOTHING);
}

#[test]
fn ones_own_connections_that_were_used_make_room() {
    let endpoint = Endpoint::start();
    raise_limit_of_files();
    let alone = a_call_takes(&endpoint);
    let request = Signed::ec2(QUESTION).bytes(endpoint.address, false);
    let used = |_| {
        let mut stream = endpoint.connect();
        stream.write_all(&request).unwrap();
        let mut answer = [0; 4096];
        assert!(stream.read(&mut answer).unwrap() > 0);
        stream
    };
    let mut leaked: Vec<TcpStream> = (0..1100).map(used).collect();
    let beside = a_call_takes(&endpoint);
    assert!(beside < alone * 25, "{beside:?} instead of {alone:?}");
    // The one that was used last is still good.
    let last = leaked.last_mut().unwrap();
    last.set_nonblocking(true).unwrap();
    let mut rest = [0; 4096];
    while let Ok(1..) = last.read(&mut rest) {}
    assert_eq!(last.read(&mut rest).unwrap_err().kind(), ErrorKind::WouldBlock);
}
