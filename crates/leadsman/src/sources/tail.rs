//! Follows an audit log file through rotations and restarts: the source that loses nothing.
//!
//! An offset counts bytes of the *logical* log: all generations of the file since the first start, one behind
//! the other, so it only grows. A generation is recognised by device, inode and a hash of its first KiB; the
//! caller stores these as a tag with each commit and hands the tag back at the next start.

mod files;
mod follower;
mod generation;
mod lines;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use leadsman_domain::{EventSource, RawBatch, SourceError, SourceId, Span, Timestamp};
use tokio::time::{Instant, sleep};

use self::follower::{Follower, Step};

/// What the name of such a source begins with.
const PREFIX: &str = "file:";
/// How often a file is looked at for growth.
const POLL: Duration = Duration::from_millis(200);
/// How often a missing path is looked for.
const POLL_MISSING: Duration = Duration::from_millis(250);

/// Where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailPosition {
    /// First logical offset to deliver: the checkpoint's `state_offset`.
    pub offset: u64,
    /// First logical offset whose outcome is not stored: no other byte may have one that lies before.
    pub committed: u64,
    /// What [`FileTail::tag`] said at the last commit.
    pub tag: String,
}

/// Delivers whole lines of one file as JSON-lines records of at most 1 MiB; one longer line comes alone.
///
/// A last line without newline is held back until its newline comes or its file was rotated away. Of a line
/// beyond 16 MiB the first 16 MiB and one byte are delivered, which the decoder refuses as too large.
///
/// Rotation by renaming (`audit.log` to `audit-<timestamp>.log`) loses nothing, also across a restart, as long
/// as the renamed files are kept uncompressed until they were read. Copy-and-truncate can lose what was written
/// between the last look and the truncation.
#[derive(Debug)]
pub struct FileTail {
    follower: Follower,
    tag: String,
    idle_after: Duration,
    /// Since when the file has not grown.
    quiet_since: Option<Instant>,
    idle_told: bool,
}

impl FileTail {
    /// Name of the log at `path`.
    #[must_use]
    pub fn source_id(path: &Path) -> SourceId {
        SourceId::new(format!("{PREFIX}{}", path.display()))
    }

    /// Whether a source is a followed file.
    #[must_use]
    pub fn is_source(source: &SourceId) -> bool {
        source.as_str().starts_with(PREFIX)
    }

    /// Follows `path` from its start, or from where `from` left off. Nothing is opened before the first
    /// batch is asked for; a path that does not exist is waited for.
    ///
    /// `clock` gives the receipt time; the source says once that it is idle when the file has not grown for
    /// `idle_after`.
    #[must_use]
    pub fn open(path: &Path, from: Option<TailPosition>, idle_after: Duration, clock: fn() -> Timestamp) -> Self {
        let follower = Follower::new(path, from.as_ref(), clock);
        let tag = from.map_or_else(|| follower.tag(), |from| from.tag);
        Self { follower, tag, idle_after, quiet_since: None, idle_told: false }
    }

    /// What to store with the commit of the last batch; valid for everything delivered so far.
    #[must_use]
    pub fn tag(&self) -> String {
        self.tag.clone()
    }

    /// Looks at the files on a thread that may block. It works on a copy, so that an abandoned wait loses
    /// nothing.
    async fn look(&mut self) -> Result<Step, SourceError> {
        let mut follower = self.follower.clone();
        let looked = tokio::task::spawn_blocking(move || follower.look().map(|step| (follower, step))).await;
        let unavailable =
            |detail: String| SourceError::Unavailable { source_id: self.follower.source().clone(), detail };
        let (follower, step) =
            looked.map_err(|e| unavailable(e.to_string()))?.map_err(|e| unavailable(e.to_string()))?;
        self.follower = follower;
        Ok(step)
    }

    /// An empty batch when the time has come.
    fn idle(&mut self) -> Option<RawBatch> {
        let since = *self.quiet_since.get_or_insert_with(Instant::now);
        if self.idle_told || since.elapsed() < self.idle_after {
            return None;
        }
        self.idle_told = true;
        // Also names a file that is still empty: it may be rotated away before the next start.
        self.tag = self.follower.tag();
        let at = self.follower.next();
        let span = Span { source: self.follower.source().clone(), partition: 0, from: at, to: at };
        Some(RawBatch { span, records: Vec::new() })
    }
}

impl EventSource for FileTail {
    async fn next_batch(&mut self) -> Result<Option<RawBatch>, SourceError> {
        loop {
            let pause = match self.look().await? {
                Step::Batch(batch) => {
                    self.tag = self.follower.tag();
                    self.quiet_since = None;
                    self.idle_told = false;
                    return Ok(Some(batch));
                }
                Step::Moved => continue,
                Step::Grown => {
                    self.quiet_since = None;
                    POLL
                }
                Step::Quiet => POLL,
                Step::Missing => POLL_MISSING,
            };
            if let Some(idle) = self.idle() {
                return Ok(Some(idle));
            }
            sleep(pause).await;
        }
    }
}
