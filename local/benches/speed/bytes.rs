//! Many bytes over one connection: the one that serves them runs in a process of its own, on the host or in a machine.

use crate::Result;
use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

/// What is read or written at once, on either side.
const CHUNK: usize = 256 * 1024;

/// What a connection is for: its first byte.
const TAKE: u8 = b't';
const GIVE: u8 = b'g';

/// Serves connections at an address, which it prints; for ever.
pub fn serve(address: &str) -> Result {
    let listener = TcpListener::bind(address)?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept()?;
        thread::spawn(move || {
            if let Err(error) = answer(stream) {
                eprintln!("a connection broke: {error}");
            }
        });
    }
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut purpose = [0; 1];
    stream.read_exact(&mut purpose)?;
    let mut count = [0; 8];
    if purpose[0] == TAKE {
        let taken = take(&mut stream)?;
        return stream.write_all(&taken.to_be_bytes());
    }
    stream.read_exact(&mut count)?;
    give(&mut stream, u64::from_be_bytes(count))
}

fn take(from: &mut impl Read) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK];
    let mut taken = 0;
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(taken),
            length => taken += length as u64,
        }
    }
}

fn give(to: &mut impl Write, count: u64) -> io::Result<()> {
    let buffer = vec![0x5a; CHUNK];
    let mut left = count;
    while left > 0 {
        let length = left.min(CHUNK as u64) as usize;
        to.write_all(&buffer[..length])?;
        left -= length as u64;
    }
    Ok(())
}

/// A stream that can say that it is done.
pub trait Stream: Read + Write {
    fn done(&self) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn done(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Stream for UnixStream {
    fn done(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// Sends so many bytes; how long it took until the other side had all of them.
pub fn send(mut stream: impl Stream, count: u64) -> Result<Duration> {
    stream.write_all(&[TAKE])?;
    let since = Instant::now();
    give(&mut stream, count)?;
    stream.done()?;
    let mut taken = [0; 8];
    stream.read_exact(&mut taken)?;
    let took = since.elapsed();
    if u64::from_be_bytes(taken) == count { Ok(took) } else { Err("bytes were lost".into()) }
}

/// Asks for so many bytes; how long it took until they were here.
pub fn receive(mut stream: impl Stream, count: u64) -> Result<Duration> {
    let since = Instant::now();
    stream.write_all(&[&[GIVE][..], &count.to_be_bytes()].concat())?;
    let taken = take(&mut stream)?;
    if taken == count { Ok(since.elapsed()) } else { Err("bytes were lost".into()) }
}
