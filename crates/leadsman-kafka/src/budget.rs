use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use leadsman_domain::RawBatch;

/// How many bytes of records may be under way between the reader and the store.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    used: Mutex<usize>,
    freed: Condvar,
    limit: usize,
}

/// Room that a batch takes until it is dropped.
#[derive(Debug)]
pub struct Room {
    shared: Arc<Shared>,
    bytes: usize,
}

/// What a record costs beside its payload.
const PER_RECORD: usize = 64;

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self(Arc::new(Shared { used: Mutex::new(0), freed: Condvar::new(), limit }))
    }

    /// Room for a batch, waiting for it as long as `wait`. A batch larger than the whole budget gets its turn
    /// when nothing else is under way.
    pub(crate) fn room(&self, batch: &RawBatch, wait: Duration) -> Option<Room> {
        let bytes = batch.records.iter().map(|record| record.bytes.len() + PER_RECORD).sum::<usize>();
        let Shared { used, freed, limit } = &*self.0;
        let guard = used.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |used: usize| used == 0 || used + bytes <= *limit;
        let (mut guard, _) =
            freed.wait_timeout_while(guard, wait, |used| !fits(*used)).unwrap_or_else(PoisonError::into_inner);
        if !fits(*guard) {
            return None;
        }
        *guard += bytes;
        Some(Room { shared: Arc::clone(&self.0), bytes })
    }

    /// Bytes under way.
    pub(crate) fn used(&self) -> usize {
        *self.0.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut used = self.shared.used.lock().unwrap_or_else(PoisonError::into_inner);
        *used = used.saturating_sub(self.bytes);
        self.shared.freed.notify_all();
    }
}
