//! What a client has sent and a process has not yet read.
//!
//! The SSH library opens a channel's window again as soon as data has arrived, whether or not anybody has taken it. Waiting
//! there would block every channel of the connection, and a process that wants its output taken before it reads on
//! would wait for ever. So what doesn't fit a small queue in memory goes to a file that has no name.
//!
//! A client may have many connections forwarded: what these hold together is bounded, see [`Budget`].

mod budget;

pub use budget::Budget;

use bytes::Bytes;
use rustix::fs::{FallocateFlags, fallocate};
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
/// What a piece takes in memory beside its bytes: clients may send a byte at a time.
const PER_PIECE: usize = 64;
/// How much of a file has been read before its space is given back.
const GIVE_BACK: u64 = 1 << 20;
/// How much is read from the file at once.
const CHUNK: u64 = 64 << 10;
/// How long a sender is held up for the reader's sake: enough to let a busy reader keep pace, too little to notice
/// on the connection's other channels.
const PATIENCE: Duration = Duration::from_millis(5);

/// The sender's end.
pub struct Sender(Arc<Shared>);

/// The reader's end.
pub struct Receiver(Arc<Shared>);

/// Makes a spool that has no more than itself to heed.
pub fn spool() -> (Sender, Receiver) {
    spool_of(Arc::default())
}

/// Makes a spool that shares a budget with others.
pub fn spool_of(budget: Arc<Budget>) -> (Sender, Receiver) {
    let queue = Mutex::new(Queue { budget, ..Queue::default() });
    let shared = Arc::new(Shared { queue, ..Shared::default() });
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
    budget: Arc<Budget>,
    memory: VecDeque<Bytes>,
    held: usize,
    file: Option<File>,
    read: u64,
    written: u64,
    /// Up to where the file's space has been given back.
    given_back: u64,
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
    ///
    /// # Errors
    ///
    /// The data can't be held; then what was held before is dropped, too, and the reader is told so.
    pub async fn send(&self, data: Bytes) -> io::Result<()> {
        if self.0.lock().is_full() {
            let _ = tokio::time::timeout(PATIENCE, self.0.drained.notified()).await;
        }
        let mut queue = self.0.lock();
        let pushed = queue.push(data);
        if pushed.is_err() {
            queue.abandon();
        }
        self.0.filled.notify_one();
        pushed
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
        self.0.lock().abandon();
        self.0.drained.notify_one();
    }
}

impl Queue {
    fn push(&mut self, data: Bytes) -> io::Result<()> {
        if self.abandoned || data.is_empty() {
            return Ok(());
        }
        if self.written == self.read && self.held < MEMORY && self.budget.memory.take(cost(&data)) {
            self.held += cost(&data);
            self.memory.push_back(data);
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(nameless_file()?),
        };
        if !self.budget.files.take(data.len()) {
            let why = "hold what nobody reads: the client's forwards hold as much in files as they may";
            return Err(io::Error::other(why));
        }
        let written = file.write_all_at(&data, self.written);
        match written {
            Ok(()) => self.written += data.len() as u64,
            Err(_) => self.budget.files.give_back(data.len()),
        }
        written
    }

    /// Whether the reader is so far behind that waiting for it is worth while.
    fn is_full(&self) -> bool {
        let holds_any = self.held > 0 || self.read < self.written;
        self.held >= MEMORY || holds_any && !self.budget.memory.has(CHUNK as usize)
    }

    /// Drops what it holds, and takes no more.
    fn abandon(&mut self) {
        self.budget.memory.give_back(self.held);
        self.budget.files.give_back((self.written - self.read) as usize);
        let budget = self.budget.clone();
        *self = Self { budget, abandoned: true, ..Self::default() };
    }

    fn pop(&mut self) -> io::Result<Option<Bytes>> {
        if self.abandoned {
            return Err(io::Error::other("hear the client out: what it has sent is lost"));
        }
        if let Some(data) = self.memory.pop_front() {
            self.held -= cost(&data);
            self.budget.memory.give_back(cost(&data));
            return Ok(Some(data));
        }
        let (Some(file), true) = (&self.file, self.read < self.written) else { return Ok(None) };
        let mut data = vec![0; CHUNK.min(self.written - self.read) as usize];
        file.read_exact_at(&mut data, self.read)?;
        self.read += data.len() as u64;
        self.budget.files.give_back(data.len());
        if self.read == self.written {
            (self.read, self.written, self.given_back) = (0, 0, 0);
            file.set_len(0)?;
        } else if self.read - self.given_back >= GIVE_BACK {
            // A reader that is always a little behind would have the file grow for ever. Where there are no holes it does.
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let _ = fallocate(file, hole, self.given_back, self.read - self.given_back);
            self.given_back = self.read;
        }
        Ok(Some(data.into()))
    }
}

fn cost(data: &Bytes) -> usize {
    data.len() + PER_PIECE
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

    #[tokio::test(flavor = "current_thread")]
    async fn spools_of_a_budget_hold_no_more_than_it_together() {
        let piece = Bytes::from_static(&[7; 1000]);
        let memory = 2 * cost(&piece);
        let budget = Arc::new(Budget::new(memory, 3000));
        let (first, mut one) = spool_of(budget.clone());
        let (second, two) = spool_of(budget.clone());
        for sender in [&first, &second, &first, &second] {
            sender.send(piece.clone()).await.unwrap();
        }
        assert_eq!((first.0.lock().held, second.0.lock().held), (cost(&piece), cost(&piece)));
        first.send(piece.clone()).await.unwrap();
        // One that can't hold any more is at its end; the others aren't.
        second.send(piece.clone()).await.unwrap_err();
        let mut two = two;
        two.receive().await.unwrap_err();
        first.send(piece.clone()).await.unwrap();
        drop(first);
        let mut arrived = 0;
        while let Some(data) = one.receive().await.unwrap() {
            arrived += data.len();
        }
        assert_eq!(arrived, 4000);
        drop((one, two));
        assert!(budget.memory.has(memory) && budget.files.has(3000));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_reader_that_is_behind_has_what_it_has_read_taken_off_the_disk() {
        use std::os::unix::fs::MetadataExt;
        let (sender, mut receiver) = spool();
        let piece = Bytes::from(vec![7; 1 << 20]);
        for _ in 0..9 {
            sender.send(piece.clone()).await.unwrap();
        }
        let mut arrived = 0;
        while arrived < 8 << 20 {
            arrived += receiver.receive().await.unwrap().unwrap().len();
        }
        let taken = sender.0.lock().file.as_ref().unwrap().metadata().unwrap().blocks() * 512;
        assert!(taken < 4 << 20, "{taken}");
    }
}
