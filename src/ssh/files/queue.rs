//! Ends of a stream for threads that read and write files.

use std::io::{self, Read, Write};
use tokio::sync::mpsc::{self, Receiver, Sender};

/// How much is on its way between a file and the connection: a few chunks.
const CHUNKS: usize = 8;
/// The size of one.
pub(super) const CHUNK: usize = 64 << 10;

pub(super) fn queue() -> (Sender<Vec<u8>>, Receiver<Vec<u8>>) {
    mpsc::channel(CHUNKS)
}

/// Whether an error says no more than that the other side is gone.
pub(super) fn is_hung_up(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// Writes chunks of a useful size.
pub(super) struct Writer {
    sender: Sender<Vec<u8>>,
    buffer: Vec<u8>,
}

impl Writer {
    pub(super) fn new(sender: Sender<Vec<u8>>) -> Self {
        Self { sender, buffer: Vec::with_capacity(CHUNK) }
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(CHUNK - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..length]);
        if self.buffer.len() == CHUNK {
            self.flush()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        self.sender.blocking_send(chunk).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Reads chunks until there are no more; whether that was the end, the command's status tells.
pub(super) struct Reader {
    receiver: Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    taken: usize,
}

impl Reader {
    pub(super) fn new(receiver: Receiver<Vec<u8>>) -> Self {
        Self { receiver, chunk: Vec::new(), taken: 0 }
    }

    /// A line, without its end.
    pub(super) fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            if self.read(&mut byte)? == 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            if byte[0] == b'\n' {
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            line.push(byte[0]);
        }
    }
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.chunk.len() {
            match self.receiver.blocking_recv() {
                Some(chunk) => (self.chunk, self.taken) = (chunk, 0),
                None => return Ok(0),
            }
        }
        let length = into.len().min(self.chunk.len() - self.taken);
        into[..length].copy_from_slice(&self.chunk[self.taken..self.taken + length]);
        self.taken += length;
        Ok(length)
    }
}
