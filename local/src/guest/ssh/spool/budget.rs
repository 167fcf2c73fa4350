//! What the spools of a client's forwards may hold together.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How much all connections that are forwarded for a client may hold in memory.
const FORWARDS_MEMORY: usize = 8 << 20;
/// How much they may hold in files.
const FORWARDS_FILES: usize = 1 << 30;

/// What several spools may hold together.
pub struct Budget {
    /// In memory.
    pub memory: Room,
    /// In files.
    pub files: Room,
}

impl Budget {
    /// That of all connections that are forwarded for one client.
    pub fn of_forwards() -> Self {
        Self::new(FORWARDS_MEMORY, FORWARDS_FILES)
    }

    /// So many bytes in memory and in files.
    pub fn new(memory: usize, files: usize) -> Self {
        Self { memory: Room(memory.into()), files: Room(files.into()) }
    }
}

impl Default for Budget {
    /// No bound.
    fn default() -> Self {
        Self::new(usize::MAX, usize::MAX)
    }
}

/// How many bytes are left.
pub struct Room(AtomicUsize);

impl Room {
    /// Takes so many, if there are.
    pub fn take(&self, number: usize) -> bool {
        let rest = |left: usize| left.checked_sub(number);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest).is_ok()
    }

    /// Gives so many back.
    pub fn give_back(&self, number: usize) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// Whether so many are left.
    pub fn has(&self, number: usize) -> bool {
        self.0.load(Ordering::Relaxed) >= number
    }
}
