//! The state of a tail, and one look at the files.

use std::path::{Path, PathBuf};

use leadsman_domain::{PayloadKind, RawBatch, RawRecord, SourceId, Span, Timestamp};

use super::files::{self, FileError, OpenFile};
use super::generation::{Generation, HEAD, Tag, hash};
use super::lines::{self, Stretch};
use super::{FileTail, TailPosition};

/// What one look found.
#[derive(Debug)]
pub(super) enum Step {
    /// Lines.
    Batch(RawBatch),
    /// Another file is open now: look again at once.
    Moved,
    /// The file grew, but not by a whole line.
    Grown,
    /// Nothing new.
    Quiet,
    /// There is no file.
    Missing,
}

/// Cheap to clone: a handle, at most sixteen generations and a KiB.
#[derive(Debug, Clone)]
pub(super) struct Follower {
    path: PathBuf,
    source: SourceId,
    clock: fn() -> Timestamp,
    generations: Vec<Generation>,
    open: Option<Reading>,
    /// One past the last logical offset delivered.
    next: u64,
    /// What lies before this logical offset was committed in an earlier run.
    fence: u64,
    /// When the last generation was last written.
    modified: i64,
    /// Generations before this index were read in this run.
    done: usize,
}

/// The file that is being read.
#[derive(Debug, Clone)]
struct Reading {
    file: OpenFile,
    /// Index in the generations.
    generation: usize,
    /// First byte of the file that was not delivered.
    place: u64,
    /// Its length at the last look that found no whole line.
    seen: Option<u64>,
    /// Its first bytes.
    head: Vec<u8>,
}

impl Follower {
    pub(super) fn new(path: &Path, from: Option<&TailPosition>, clock: fn() -> Timestamp) -> Self {
        let parsed = from.map_or_else(|| Ok(Tag::default()), |from| from.tag.parse::<Tag>());
        let next = from.map_or(0, |from| from.offset);
        let (tag, unreadable) = match parsed {
            Ok(tag) => (tag, None),
            Err(error) => (Tag::default(), Some(error)),
        };
        let mut follower = Self {
            path: path.to_owned(),
            source: FileTail::source_id(path),
            clock,
            generations: tag.generations,
            open: None,
            next,
            fence: tag.end.max(next).max(from.map_or(0, |from| from.committed)),
            modified: tag.modified,
            done: 0,
        };
        if let Some(error) = unreadable {
            let behind = follower.fence + 1;
            follower.lost(&format!("{error}: the file is read from its start"), behind);
        }
        follower
    }

    pub(super) fn source(&self) -> &SourceId {
        &self.source
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn tag(&self) -> String {
        let (end, modified) = (self.next.max(self.fence), self.modified);
        Tag { end, modified, generations: self.generations.clone() }.to_string()
    }

    /// Looks at the files once.
    pub(super) fn look(&mut self) -> Result<Step, FileError> {
        let Some(reading) = &mut self.open else { return self.resume() };
        let is_last = reading.generation + 1 == self.generations.len();
        // Asked before the file is read for what it holds: when there is a successor, that is all of it.
        let successor = if is_last { files::successor(&self.path, &reading.file, &self.generations)? } else { None };
        let extent = reading.file.extent()?;
        let start = self.generations[reading.generation].start;
        let until =
            self.generations.get(reading.generation + 1).map_or(extent.len, |g| extent.len.min(g.start - start));
        let finished = !is_last || successor.is_some();
        if is_last {
            if extent.len < reading.place || (reading.seen != Some(extent.len) && !reading.same_head()?) {
                return self.truncated(extent.len);
            }
            self.modified = extent.modified;
            let generation = &mut self.generations[reading.generation];
            (generation.head_len, generation.hash) = (reading.head.len(), hash(&reading.head));
        }
        if reading.seen == Some(extent.len) && !finished {
            return Ok(Step::Quiet);
        }
        let fence = self.fence.saturating_sub(start);
        let cut = lines::cut(&reading.file, Stretch { from: reading.place, until, finished, fence })?;
        if cut.records.is_empty() {
            if finished {
                let generation = reading.generation;
                return self.advance(generation, successor);
            }
            let empty = extent.len == reading.place;
            reading.seen = Some(extent.len);
            return Ok(if empty { Step::Quiet } else { Step::Grown });
        }
        (reading.place, reading.seen) = (cut.end, None);
        let received_at = (self.clock)();
        let records = cut.records.into_iter().map(|(at, bytes)| {
            let kind = PayloadKind::K8sAudit;
            RawRecord { offset: start + at, received_at, kind, bytes: bytes.into() }
        });
        let span = Span { source: self.source.clone(), partition: 0, from: self.next, to: start + cut.end };
        self.next = span.to;
        Ok(Step::Batch(RawBatch { span, records: records.collect() }))
    }

    /// Opens the file that holds `next`, or the oldest one behind it that is still there.
    fn resume(&mut self) -> Result<Step, FileError> {
        let Some(last) = self.generations.len().checked_sub(1) else {
            let newest = OpenFile::open(&self.path)?;
            return newest.map_or(Ok(Step::Missing), |file| self.start(file));
        };
        let holder = self.generations.iter().rposition(|g| g.start <= self.next);
        let first = holder.unwrap_or(0).max(self.done);
        for index in first..=last {
            let Some(file) = files::locate(&self.path, &self.generations[index])? else { continue };
            if holder.is_none() || index > first {
                let (from, to) = (self.next, self.generations[index].start);
                self.lost(&format!("the file that held offsets {from} to {to} is gone"), to);
            }
            return self.read(file, index);
        }
        // A volume that is not mounted yet is no loss.
        if OpenFile::open(&self.path)?.is_none() {
            return Ok(Step::Missing);
        }
        self.after_loss()
    }

    /// Goes on with a known generation.
    fn read(&mut self, file: OpenFile, generation: usize) -> Result<Step, FileError> {
        let head = file.head()?;
        let place = self.next.saturating_sub(self.generations[generation].start);
        // A copy stands in for the original from now on.
        self.generations[generation].id = file.id;
        self.open = Some(Reading { file, generation, place, seen: None, head });
        Ok(Step::Moved)
    }

    /// Starts a new generation.
    fn start(&mut self, file: OpenFile) -> Result<Step, FileError> {
        let head = file.head()?;
        // Never below what was committed: an offset names one byte only.
        let start = self.next.max(self.fence);
        self.generations.push(Generation { start, id: file.id, head_len: head.len(), hash: hash(&head) });
        Tag::trim(&mut self.generations);
        let generation = self.generations.len() - 1;
        self.open = Some(Reading { file, generation, place: 0, seen: None, head });
        Ok(Step::Moved)
    }

    /// Goes on behind a generation that was read to its end.
    fn advance(&mut self, generation: usize, successor: Option<OpenFile>) -> Result<Step, FileError> {
        if let Some(file) = successor {
            return self.start(file);
        }
        // Replay: what follows is known.
        let start = self.generations[generation + 1].start;
        if self.next < start {
            self.lost(&format!("offsets {} to {start} are gone: their file was cut", self.next), start);
        }
        self.done = generation + 1;
        self.resume()
    }

    /// No file of the last generations is left.
    fn after_loss(&mut self) -> Result<Step, FileError> {
        let Some(file) = files::after_loss(&self.path, self.modified, &self.generations)? else {
            return Ok(Step::Missing);
        };
        let detail = format!(
            "the file that held offset {} is gone or was truncated: reading goes on with {}",
            self.next,
            file.path.display()
        );
        // Nobody knows how much it was: one byte is enough for offsets to tell that there is a hole.
        self.lost(&detail, self.next.max(self.fence) + 1);
        self.start(file)
    }

    /// Reading goes on at `next`: the next span does not follow on the last, and whoever reads it sees that.
    fn lost(&mut self, detail: &str, next: u64) {
        FileLost { source: &self.source, detail }.emit();
        self.next = next;
    }

    fn truncated(&mut self, len: u64) -> Result<Step, FileError> {
        let Some(Reading { file, place, .. }) = self.open.take() else { return Ok(Step::Moved) };
        FileTruncated { source: &self.source, read: place, len }.emit();
        self.start(file)
    }
}

impl Reading {
    /// Whether the file still starts as it did; learns more of its head as it grows.
    fn same_head(&mut self) -> Result<bool, FileError> {
        let head = self.file.head()?;
        if !head.starts_with(&self.head) {
            return Ok(false);
        }
        if self.head.len() < HEAD {
            self.head = head;
        }
        Ok(true)
    }
}

/// What became of a file that was not read to its end. Whoever reads the spans makes a finding of it.
struct FileLost<'a> {
    source: &'a SourceId,
    detail: &'a str,
}

impl FileLost<'_> {
    fn emit(&self) {
        tracing::warn!(source = %self.source, detail = self.detail, "a followed file is gone: keep rotated files uncompressed until they were read");
    }
}

/// Copy-and-truncate, or somebody emptied the file.
struct FileTruncated<'a> {
    source: &'a SourceId,
    read: u64,
    len: u64,
}

impl FileTruncated<'_> {
    fn emit(&self) {
        let Self { source, read, len } = self;
        tracing::warn!(
            %source, read, len,
            "the file was truncated: lines written just before may be lost; rotate by renaming instead"
        );
    }
}
