//! Connections that somebody holds, many of them.

use rustix::{
    process::{Gid, Resource, Rlimit, Uid, getrlimit, setrlimit},
    thread::{set_thread_res_gid, set_thread_res_uid},
};
use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// A user that isn't the one who runs the tests.
pub const STRANGER: u32 = 4242;
/// How many connections are held.
const MANY: usize = 2000;

/// What is said on a connection that is held: this at first, and then this every 200 ms.
#[derive(Clone, Copy)]
pub struct Saying(pub &'static [u8], pub &'static [u8]);

pub const NOTHING: Saying = Saying(b"", b"");

/// Connections that are held; gone on drop. Another user means it, and makes them anew when they are closed; a leaky client of
/// one's own doesn't.
pub struct Hoard {
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Hoard {
    /// Returns once so many connections have been made.
    pub fn of(user: Option<u32>, address: SocketAddr, saying: Saying) -> Self {
        raise_limit_of_files();
        let (ends, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let hold = || {
            let (ends, made) = (ends.clone(), made.clone());
            thread::spawn(move || {
                if let Some(user) = user {
                    become_user(user);
                }
                hold(address, saying, user.is_some(), &ends, &made);
            })
        };
        let threads = (0..4).map(|_| hold()).collect();
        let hoard = Self { ends, threads };
        let deadline = Instant::now() + Duration::from_secs(60);
        while made.load(Ordering::SeqCst) < MANY {
            assert!(Instant::now() < deadline && !hoard.threads.iter().any(JoinHandle::is_finished));
            thread::sleep(Duration::from_millis(5));
        }
        hoard
    }
}

impl Drop for Hoard {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// This thread's sockets are another user's from now on.
pub fn become_user(user: u32) {
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(user));
    set_thread_res_gid(group, group, group).unwrap();
    set_thread_res_uid(user, user, user).unwrap();
}

/// Holds a thread's part of the connections.
fn hold(address: SocketAddr, Saying(first, then): Saying, renews: bool, ends: &AtomicBool, made: &AtomicUsize) {
    let connect = || {
        // The listener may be busy for a while; then it is tried again.
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()?;
        stream.set_nonblocking(true).ok()?;
        stream.write_all(first).ok()?;
        Some(stream)
    };
    let is_open = |stream: &mut TcpStream| {
        let would_block = |error: std::io::Error| error.kind() == ErrorKind::WouldBlock;
        stream.write_all(then).is_ok() && stream.read(&mut [0; 4096]).map_or_else(would_block, |count| count > 0)
    };
    let mut held: Vec<Option<TcpStream>> = (0..MANY / 4).map(|_| None).collect();
    let mut makes = true;
    while !ends.load(Ordering::SeqCst) {
        for slot in &mut held {
            if ends.load(Ordering::SeqCst) {
                return;
            }
            if makes && !slot.as_mut().is_some_and(is_open) {
                *slot = connect();
                made.fetch_add(1, Ordering::SeqCst);
            }
        }
        makes = renews;
        thread::sleep(Duration::from_millis(200));
    }
}

/// Both ends of what is held may be this process's.
pub fn raise_limit_of_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}
