//! What a client has sent and a process has not yet read.
//!
//! The SSH library opens a channel's window again as soon as data has arrived, whether or not anybody has taken it. Waiting
//! there would block every channel of the connection, and a process that wants its output taken before it reads on
//! would wait for ever. So what doesn't fit a small queue in memory goes to a file that has no name.

use bytes::Bytes;
use std::{
    collections::VecDeque,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::sync::Notify;

/// How much is held in memory.
const MEMORY: usize = 1 << 20;
/// How much is read from the file at once.
const CHUNK: u64 = 64 << 10;
/// How long a sender is held up for the reader's sake: enough to let a busy reader keep pace, too little to notice
/// on the connection's other channels.
const PATIENCE: Duration = Duration::from_millis(5);

/// The sender's end.
pub struct Sender(Arc<Shared>);

/// The reader's end.
pub struct Receiver(Arc<Shared>);

/// Makes a spool.
pub fn spool() -> (Sender, Receiver) {
    let shared = Arc::new(Shared::default());
    (Sender(shared.clone()), Receiver(shared))
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Notify,
    drained: Notify,
}

#[derive(Default)]
struct Queue {
    memory: VecDeque<Bytes>,
    held: usize,
    file: Option<File>,
    read: u64,
    written: u64,
    finished: bool,
    abandoned: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Sender {
    /// Hands over data. Without a reader it is dropped, as a pipe's would be.
    pub async fn send(&self, data: Bytes) -> io::Result<()> {
        if self.0.lock().held >= MEMORY {
            let _ = tokio::time::timeout(PATIENCE, self.0.drained.notified()).await;
        }
        self.0.lock().push(data)?;
        self.0.filled.notify_one();
        Ok(())
    }
}

impl Drop for Sender {
    /// The end of the data.
    fn drop(&mut self) {
        self.0.lock().finished = true;
        self.0.filled.notify_one();
    }
}

impl Receiver {
    /// The next data; none at its end.
    pub async fn receive(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            {
                let mut queue = self.0.lock();
                if let Some(data) = queue.pop()? {
                    self.0.drained.notify_one();
                    return Ok(Some(data));
                }
                if queue.finished {
                    return Ok(None);
                }
            }
            self.0.filled.notified().await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        *queue = Queue { abandoned: true, ..Queue::default() };
        self.0.drained.notify_one();
    }
}

impl Queue {
    fn push(&mut self, data: Bytes) -> io::Result<()> {
        if self.abandoned || data.is_empty() {
            return Ok(());
        }
        if self.written == self.read && self.held < MEMORY {
            self.held += data.len();
            self.memory.push_back(data);
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(nameless_file()?),
        };
        file.write_all_at(&data, self.written)?;
        self.written += data.len() as u64;
        Ok(())
    }

    fn pop(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(data) = self.memory.pop_front() {
            self.held -= data.len();
            return Ok(Some(data));
        }
        let (Some(file), true) = (&self.file, self.read < self.written) else { return Ok(None) };
        let mut data = vec![0; CHUNK.min(self.written - self.read) as usize];
        file.read_exact_at(&mut data, self.read)?;
        self.read += data.len() as u64;
        if self.read == self.written {
            (self.read, self.written) = (0, 0);
            file.set_len(0)?;
        }
        Ok(Some(data.into()))
    }
}

fn nameless_file() -> io::Result<File> {
    let name = format!(".ec2-local-spool-{:016x}", getrandom::u64().map_err(io::Error::other)?);
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    for directory in ["/var/tmp", "/tmp"] {
        let path = Path::new(directory).join(&name);
        let options = rustix::fs::OFlags::RDWR
            | rustix::fs::OFlags::CREATE
            | rustix::fs::OFlags::EXCL
            | rustix::fs::OFlags::CLOEXEC;
        match rustix::fs::open(&path, options, rustix::fs::Mode::from_raw_mode(0o600)) {
            Ok(file) => {
                std::fs::remove_file(&path)?;
                return Ok(file.into());
            }
            Err(error) => failure = error.into(),
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn everything_arrives_in_order_whether_held_in_memory_or_not() {
        let (sender, mut receiver) = spool();
        let chunk = |n: u32| Bytes::from(n.to_be_bytes().repeat(8 << 10));
        for n in 0..128 {
            sender.send(chunk(n)).await.unwrap();
        }
        let mut arrived = Vec::new();
        while arrived.len() < 2 << 20 {
            arrived.extend(receiver.receive().await.unwrap().unwrap());
        }
        // Between memory and file there is no gap and no repetition.
        for n in 128..160 {
            sender.send(chunk(n)).await.unwrap();
        }
        drop(sender);
        while let Some(data) = receiver.receive().await.unwrap() {
            arrived.extend(data);
        }
        let expected: Vec<u8> = (0..160).flat_map(|n| chunk(n).to_vec()).collect();
        assert!(arrived == expected);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn data_without_a_reader_is_dropped() {
        let (sender, receiver) = spool();
        sender.send(Bytes::from_static(b"one")).await.unwrap();
        drop(receiver);
        sender.send(Bytes::from_static(b"two")).await.unwrap();
        assert_eq!(sender.0.lock().held, 0);
    }
}
