use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use leadsman_domain::{EventSource, RawBatch, RawRecord, SourceError, SourceId, Span};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::frame::{self, Damage};
use super::log::Kept;
use super::{InboxError, SOURCE, segment};

/// Records of a batch.
const BATCH_RECORDS: usize = 500;
/// Bytes of a batch; a larger record comes alone.
const BATCH_BYTES: usize = 4 << 20;

/// Delivers the durable records of an inbox, in order; ends when its last [`super::InboxWriter`] is gone and
/// everything was delivered.
#[derive(Debug)]
pub struct InboxReader {
    source: SourceId,
    dir: Arc<Path>,
    kept: watch::Receiver<Kept>,
    cursor: Cursor,
    idle_after: Duration,
    /// Since when nothing came.
    quiet_since: Option<Instant>,
    idle_told: bool,
}

/// Where reading stands. Reading works on a copy, so that an abandoned wait loses nothing.
#[derive(Debug, Clone)]
struct Cursor {
    next: u64,
    open: Option<OpenSegment>,
}

#[derive(Debug, Clone)]
struct OpenSegment {
    file: Arc<File>,
    path: Arc<Path>,
    /// Position of record `next`.
    at: u64,
}

impl InboxReader {
    pub(super) fn new(dir: PathBuf, kept: watch::Receiver<Kept>, from: u64, idle_after: Duration) -> Self {
        Self {
            source: SourceId::new(SOURCE),
            dir: dir.into(),
            kept,
            cursor: Cursor { next: from, open: None },
            idle_after,
            quiet_since: None,
            idle_told: false,
        }
    }

    fn batch(&self, from: u64, records: Vec<RawRecord>) -> RawBatch {
        let span = Span { source: self.source.clone(), partition: 0, from, to: self.cursor.next };
        RawBatch { span, records }
    }
}

impl EventSource for InboxReader {
    async fn next_batch(&mut self) -> Result<Option<RawBatch>, SourceError> {
        let from = self.cursor.next;
        let since = *self.quiet_since.get_or_insert_with(Instant::now);
        let kept = &mut self.kept;
        let arrived = async { kept.wait_for(|kept| kept.end > from).await.map(|kept| kept.end) };
        let end = if self.idle_told { Ok(arrived.await) } else { timeout_at(since + self.idle_after, arrived).await };
        let Ok(end) = end else {
            self.idle_told = true;
            return Ok(Some(self.batch(from, Vec::new())));
        };
        // The writer is gone, and what it wrote was delivered.
        let Ok(end) = end else { return Ok(None) };
        let (dir, mut cursor) = (Arc::clone(&self.dir), self.cursor.clone());
        let read = tokio::task::spawn_blocking(move || cursor.read(&dir, end).map(|records| (cursor, records)));
        let read = read.await.map_err(|e| self.unavailable(e.to_string()))?;
        let (cursor, records) = read.map_err(|error| match error {
            InboxError::Corrupt { .. } => {
                SourceError::Gap { source_id: self.source.clone(), detail: error.to_string() }
            }
            InboxError::Io { .. }
            | InboxError::Full { .. }
            | InboxError::TooLarge { .. }
            | InboxError::Refused { .. }
            | InboxError::Locked { .. } => self.unavailable(error.to_string()),
        })?;
        self.cursor = cursor;
        self.quiet_since = None;
        self.idle_told = false;
        Ok(Some(self.batch(from, records)))
    }
}

impl InboxReader {
    fn unavailable(&self, detail: String) -> SourceError {
        SourceError::Unavailable { source_id: self.source.clone(), detail }
    }
}

impl Cursor {
    /// Reads up to a batch of the records below `end`, all of which are durable.
    fn read(&mut self, dir: &Path, end: u64) -> Result<Vec<RawRecord>, InboxError> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        while self.next < end && records.len() < BATCH_RECORDS {
            let OpenSegment { file, path, at } = self.segment(dir)?;
            let len = file.metadata().map_err(InboxError::io("read", &path))?.len();
            if at == len {
                // Record `next` is durable, so the next segment starts with it.
                self.open = Some(OpenSegment::open(dir, self.next, &path, at)?);
                continue;
            }
            let upcoming = frame::peek(&file, at, len).map_err(InboxError::io("read", &path))?.unwrap_or(0);
            if bytes + upcoming > BATCH_BYTES && !records.is_empty() {
                break;
            }
            let frame = frame::read(&file, at, len).map_err(InboxError::io("read", &path))?;
            let frame = frame.map_err(|damage| InboxError::Corrupt { path: path.to_path_buf(), offset: at, damage })?;
            bytes += frame.bytes.len();
            let at = at + frame::size(frame.bytes.len());
            records.push(RawRecord {
                offset: self.next,
                received_at: frame.received_at,
                kind: frame.kind,
                bytes: frame.bytes,
            });
            self.open = Some(OpenSegment { file, path, at });
            self.next += 1;
        }
        Ok(records)
    }

    /// The segment that stands at record `next`.
    fn segment(&self, dir: &Path) -> Result<OpenSegment, InboxError> {
        match &self.open {
            Some(open) => Ok(open.clone()),
            None => OpenSegment::find(dir, self.next),
        }
    }
}

impl OpenSegment {
    /// Finds the segment that holds `record` and walks to it.
    fn find(dir: &Path, record: u64) -> Result<Self, InboxError> {
        let firsts = segment::list(dir)?;
        // None below `record` means that it was deleted: opening its would-be file says so.
        let first = firsts.iter().copied().rfind(|first| *first <= record).unwrap_or(record);
        let path = segment::path(dir, first);
        let file = File::open(&path).map_err(InboxError::io("open", &path))?;
        let len = file.metadata().map_err(InboxError::io("read", &path))?.len();
        let mut at = 0;
        for _ in first..record {
            let frame = frame::read(&file, at, len).map_err(InboxError::io("read", &path))?;
            let frame = frame.map_err(|damage| InboxError::Corrupt { path: path.clone(), offset: at, damage })?;
            at += frame::size(frame.bytes.len());
        }
        Ok(Self { file: Arc::new(file), path: path.into(), at })
    }

    /// Opens the segment that starts with `record`, which follows the one at `before`.
    fn open(dir: &Path, record: u64, before: &Path, end: u64) -> Result<Self, InboxError> {
        if !segment::list(dir)?.contains(&record) {
            return Err(InboxError::Corrupt { path: before.to_owned(), offset: end, damage: Damage::RecordCount });
        }
        let path = segment::path(dir, record);
        let file = File::open(&path).map_err(InboxError::io("open", &path))?;
        Ok(Self { file: Arc::new(file), path: path.into(), at: 0 })
    }
}
