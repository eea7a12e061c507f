//! Rolls: what a service read since its last snapshot, written down.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use leadsman_domain::{SourceId, Span};
use leadsman_features::{FeatureError, PlacedSample, ScoredEvent, TableWriter};
use tempfile::NamedTempFile;

use super::Lake;
use super::error::LakeError;
use super::name::{FileName, Hour, Range, SafeText};
use super::row::LakeRow;
use super::storage::Storage;

/// Rows of a log, in its order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Roll {
    /// Audit events, scored or not.
    pub events: Vec<ScoredEvent>,
    /// Metric samples.
    pub samples: Vec<PlacedSample>,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Files.
    pub files: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A roll that is being written: one file for each kind and hour that has rows. They have their names, and are seen, once
/// it is finished; dropped before, they are gone.
///
/// Memory holds at most one row group of each of the files.
pub struct RollWriter {
    storage: Arc<dyn Storage>,
    cluster: SafeText,
    source: SafeText,
    partition: u32,
    first: u64,
    /// Highest offset so far.
    last: Option<u64>,
    events: Hours<ScoredEvent>,
    samples: Hours<PlacedSample>,
}

impl Lake {
    /// Begins the roll of a cluster's log that starts at the offset `first`.
    ///
    /// Errors: [`LakeError::Partition`] when there can be no such partition.
    pub fn begin_roll(
        &self,
        cluster: &str,
        source: &SourceId,
        partition: i32,
        first: u64,
    ) -> Result<RollWriter, LakeError> {
        Ok(RollWriter {
            storage: self.storage.clone(),
            cluster: SafeText::of(cluster),
            source: SafeText::of(source.as_str()),
            partition: u32::try_from(partition).map_err(|_| LakeError::Partition { partition })?,
            first,
            last: None,
            events: Hours::default(),
            samples: Hours::default(),
        })
    }

    /// Writes the rows of the offsets `span` of a cluster's log.
    ///
    /// Every row of the range has to be given, and the same rows give the same files, so that a roll may be written
    /// again from its beginning at any time.
    ///
    /// Errors: as [`RollWriter::push`] and [`RollWriter::finish`].
    pub fn write_roll(&self, cluster: &str, span: &Span, roll: Roll) -> Result<Written, LakeError> {
        let mut writer = self.begin_roll(cluster, &span.source, span.partition, span.from)?;
        writer.push(roll)?;
        writer.finish(span.to)
    }
}

impl RollWriter {
    /// Adds rows that follow in the log. However they are handed over, the same rows give the same files.
    ///
    /// Errors: [`LakeError`] when rows of a kind are not in the order of the log or lie before the roll, or there is no
    /// room for them. What was written so far is of no use then: begin again.
    pub fn push(&mut self, roll: Roll) -> Result<(), LakeError> {
        let highest = roll.events.iter().map(|row| row.place.offset);
        let highest = highest.chain(roll.samples.iter().map(|row| row.place.offset)).max();
        self.last = self.last.max(highest);
        self.events.push(&self.storage, self.first, roll.events)?;
        self.samples.push(&self.storage, self.first, roll.samples)
    }

    /// First offset of the range.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Rows that wait in memory for a row group of theirs. A roll over many hours, as a backlog gives, has many files and
    /// fills none of them.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.events.waiting() + self.samples.waiting()
    }

    /// Ends the roll before the offset `next`: its files are durable and have their names.
    ///
    /// Errors: [`LakeError`] when a row lies beyond, or a file cannot be written. Files that were published before the
    /// error are the same when the roll is written again.
    pub fn finish(self, next: u64) -> Result<Written, LakeError> {
        let Self { first, .. } = self;
        if let Some(offset) = self.last.filter(|last| *last >= next) {
            return Err(LakeError::OutsideRange { offset, first, next });
        }
        let range = Range { source: self.source, partition: self.partition, first, next };
        let mut written = self.events.publish(&self.storage, &self.cluster, &range)?;
        written.add(self.samples.publish(&self.storage, &self.cluster, &range)?);
        Ok(written)
    }
}

/// The files of one kind.
struct Hours<T: LakeRow> {
    drafts: BTreeMap<Hour, Draft<T>>,
    /// Place of the last row.
    last: Option<(u64, u32)>,
}

impl<T: LakeRow> Default for Hours<T> {
    fn default() -> Self {
        Self { drafts: BTreeMap::new(), last: None }
    }
}

impl<T: LakeRow> Hours<T> {
    fn waiting(&self) -> usize {
        self.drafts.values().map(|draft| draft.table.waiting()).sum()
    }

    fn push(&mut self, storage: &Arc<dyn Storage>, first: u64, rows: Vec<T>) -> Result<(), LakeError> {
        for row in rows {
            let key = row.key();
            let last = self.last.unwrap_or((first, 0));
            if key < last {
                return Err(LakeError::Order { offset: key.0, last: last.0 });
            }
            self.last = Some(key);
            let draft = match self.drafts.entry(Hour::of(row.time())) {
                Entry::Occupied(draft) => draft.into_mut(),
                Entry::Vacant(hour) => hour.insert(Draft::begin(storage)?),
            };
            draft.push(row)?;
        }
        Ok(())
    }

    fn publish(self, storage: &Arc<dyn Storage>, cluster: &SafeText, range: &Range) -> Result<Written, LakeError> {
        let mut written = Written::default();
        for (hour, draft) in self.drafts {
            let name = FileName { kind: T::KIND, cluster: cluster.clone(), hour, range: range.clone() };
            written.add(draft.publish(storage, &name)?);
        }
        Ok(written)
    }
}

/// A file that has no name yet.
pub(super) struct Draft<T: LakeRow> {
    file: NamedTempFile,
    table: TableWriter<File, T>,
}

impl<T: LakeRow> Draft<T> {
    pub(super) fn begin(storage: &Arc<dyn Storage>) -> Result<Self, LakeError> {
        let file = storage.draft()?;
        let to = file.reopen().map_err(LakeError::io("write", file.path()))?;
        Ok(Self { file, table: TableWriter::new(to) })
    }

    pub(super) fn push(&mut self, row: T) -> Result<(), LakeError> {
        let path = self.file.path();
        self.table.write([row]).map_err(|cause| unwritten(path.to_owned())(cause))
    }

    /// Writes what is left; nothing of it is seen before all of it is durable.
    pub(super) fn publish(self, storage: &Arc<dyn Storage>, name: &FileName) -> Result<Written, LakeError> {
        let Self { file, table } = self;
        let rows = table.finish().map_err(unwritten(file.path().to_owned()))?;
        let bytes = file.as_file().metadata().map_err(LakeError::io("write", file.path()))?.len();
        storage.publish(file, &name.to_string())?;
        Ok(Written { files: 1, rows, bytes })
    }
}

fn unwritten(path: PathBuf) -> impl FnOnce(FeatureError) -> LakeError {
    move |cause| LakeError::Unwritten { key: path.display().to_string(), cause }
}

impl Written {
    fn add(&mut self, more: Self) {
        self.files += more.files;
        self.rows += more.rows;
        self.bytes += more.bytes;
    }
}
