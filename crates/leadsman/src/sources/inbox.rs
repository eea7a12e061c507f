//! The receiver's durable, numbered log: a directory of append-only segments.
//!
//! Records are numbered from 0 without holes; a segment's file name is the number of its first record. An
//! append is answered after `fdatasync`, so a 2xx of the receiver means that the body survives a crash. On
//! open, the last group of appends is cut where it is damaged: it is taken for torn, and torn groups were never answered.
//! Any other damage is an error, and so is it when records are gone that were committed.

mod error;
mod frame;
mod log;
mod opened;
mod reader;
mod segment;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use leadsman_domain::{PayloadKind, SourceError, SourceId, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};

pub use self::error::InboxError;
pub use self::frame::Damage;
use self::log::{Append, Command, Kept, Log};
pub use self::reader::InboxReader;

/// Name of the inbox as an event source.
pub const SOURCE: &str = "inbox";

/// Appends that may wait for the writer thread; more wait for a place.
const QUEUE: usize = 256;

/// How large the inbox may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InboxLimits {
    /// A segment that would grow beyond this many bytes is ended.
    pub segment_bytes: u64,
    /// Bytes of all segments together; an append beyond is refused as [`InboxError::Full`]. At least twice
    /// `segment_bytes`, because only whole segments are given back.
    pub max_bytes: u64,
    /// Bytes of one record.
    pub max_record: usize,
}

impl Default for InboxLimits {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, max_bytes: 4 << 30, max_record: 64 << 20 }
    }
}

/// Opens inboxes.
#[derive(Debug)]
pub struct Inbox;

impl Inbox {
    /// Opens the inbox in `dir`, making it if there is none, and starts its writer thread.
    ///
    /// Reads the last segment in full (64 MiB by default): a start-up cost, not one for the reactor.
    ///
    /// Errors: [`InboxError::Locked`] when another process has it open, [`InboxError::Corrupt`] when a record
    /// that may have been acknowledged is damaged, [`InboxError::Io`].
    pub fn open(dir: &Path, limits: InboxLimits) -> Result<InboxWriter, InboxError> {
        let log = Log::open(dir, limits)?;
        let kept = log.kept();
        opened::note(dir, kept.borrow().end)?;
        let (commands, queue) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new()
            .name("inbox-writer".to_owned())
            .spawn(move || log::run(log, queue))
            .map_err(InboxError::io("start the writer thread of", dir))?;
        let inner = Inner { commands: Some(commands), kept, thread: Some(thread), dir: dir.to_owned(), limits };
        Ok(InboxWriter { inner: Arc::new(inner) })
    }
}

/// Appends to an inbox. Clones share one writer thread, which ends with the last of them.
#[derive(Debug, Clone)]
pub struct InboxWriter {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// `None` only while dropping.
    commands: Option<mpsc::Sender<Command>>,
    kept: watch::Receiver<Kept>,
    thread: Option<JoinHandle<()>>,
    dir: PathBuf,
    limits: InboxLimits,
}

impl InboxWriter {
    /// Appends one record and waits until it is durable; returns its number.
    ///
    /// A caller that stops waiting does not take the record back.
    ///
    /// Errors: [`InboxError::Full`] and [`InboxError::TooLarge`] leave the inbox usable; after
    /// [`InboxError::Refused`] it takes nothing until it is opened again.
    pub async fn append(&self, kind: PayloadKind, bytes: Vec<u8>, received_at: Timestamp) -> Result<u64, InboxError> {
        let limit = self.inner.limits.max_record.min(frame::MAX_BYTES);
        if bytes.len() > limit {
            return Err(InboxError::TooLarge { bytes: bytes.len(), limit });
        }
        self.ask(|reply| Command::Append(Append { kind, bytes, received_at, reply })).await
    }

    /// Deletes the segments that hold only records below `record`; returns how many.
    ///
    /// The last segment stays, because its name carries the numbering on.
    ///
    /// Errors: [`InboxError::Io`].
    pub async fn delete_before(&self, record: u64) -> Result<usize, InboxError> {
        self.ask(|reply| Command::DeleteBefore { record, reply }).await
    }

    /// Number of the next record.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.inner.kept.borrow().end
    }

    /// Makes sure that everything below `committed` was there when the inbox was opened.
    ///
    /// Errors: [`SourceError::Gap`] when it was not: numbers that were committed must not be given to other records.
    pub fn held(&self, committed: u64) -> Result<(), SourceError> {
        let dir = &self.inner.dir;
        let unavailable = |error: InboxError| SourceError::Unavailable {
            source_id: SourceId::new(SOURCE),
            detail: error.to_string(),
        };
        let opened = opened::read(dir).map_err(unavailable)?;
        self.reaches(committed, opened.unwrap_or_else(|| self.end()))?;
        opened::forget(dir).map_err(unavailable)
    }

    fn reaches(&self, record: u64, end: u64) -> Result<(), SourceError> {
        if record <= end {
            return Ok(());
        }
        self.gap(format!(
            "record {record} lies beyond the end {end} of {}: restore that directory as a whole, or remove the checkpoint \
             to start over",
            self.inner.dir.display()
        ))
    }

    /// Reads from record `from` on; says once that it is idle when nothing came for `idle_after`.
    ///
    /// Errors: [`SourceError::Gap`] when `from` lies beyond the end or was deleted.
    pub fn reader(&self, from: u64, idle_after: Duration) -> Result<InboxReader, SourceError> {
        let Kept { first, end } = *self.inner.kept.borrow();
        self.reaches(from, end)?;
        if from < first {
            return self.gap(format!(
                "record {from} was deleted, {} starts at {first}: restore the older segments, or remove the \
                 checkpoint to start over",
                self.inner.dir.display()
            ));
        }
        Ok(InboxReader::new(self.inner.dir.clone(), self.inner.kept.clone(), from, idle_after))
    }

    fn gap<T>(&self, detail: String) -> Result<T, SourceError> {
        Err(SourceError::Gap { source_id: SourceId::new(SOURCE), detail })
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, InboxError>>) -> Command,
    ) -> Result<T, InboxError> {
        let refused = || InboxError::Refused { dir: self.inner.dir.clone() };
        let (reply, answer) = oneshot::channel();
        let commands = self.inner.commands.as_ref().ok_or_else(refused)?;
        commands.send(command(reply)).await.map_err(|_| refused())?;
        answer.await.map_err(|_| refused())?
    }
}

/// Waits for the thread, so that the directory can be opened again at once.
impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!(dir = %self.dir.display(), "the inbox's writer thread panicked: report this as a bug");
        }
    }
}
