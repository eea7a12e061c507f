//! What a partition writes into the lake between two snapshots.
//!
//! A roll covers exactly what lies between two states: whoever replays from the older one writes the same files again.
//! Where it ends is stored before they get their names, so that a successor ends it there, too.

use std::sync::Arc;

use leadsman_domain::{AuditEvent, MetricSample, SourceId};
use leadsman_features::{LogPlace, PlacedSample, ScoredEvent};

use crate::lake::{Lake, LakeError, Roll, RollWriter};

/// Rows of all partitions that may wait in memory: some 50 MB.
const MOST_WAITING: usize = 20_000;

/// The rolls of this process, which share its memory. The one that is kept counts itself.
#[derive(Debug, Clone, Default)]
pub struct Rolls(Arc<()>);

impl Rolls {
    /// Rows that each may let wait.
    fn share(&self) -> usize {
        MOST_WAITING / (Arc::strong_count(&self.0) - 1).max(1)
    }
}

/// The roll that a partition is at.
pub struct PartitionRoll {
    lake: Lake,
    cluster: String,
    source: SourceId,
    /// Shared by all rows.
    name: Arc<str>,
    number: i32,
    writer: RollWriter,
    all: Rolls,
}

/// Decoded rows with the records that they came from.
#[derive(Debug, Default)]
pub struct Placed {
    /// Audit events.
    pub events: Vec<AuditEvent>,
    /// Offset of each event's record.
    pub event_offsets: Vec<u64>,
    /// Metric samples.
    pub samples: Vec<MetricSample>,
    /// Offset of each sample's record.
    pub sample_offsets: Vec<u64>,
}

impl PartitionRoll {
    /// Begins a roll at the offset `first`, one of `all`.
    ///
    /// Errors: [`LakeError`] when the partition cannot be one of a lake.
    pub fn begin(
        lake: &Lake,
        all: &Rolls,
        cluster: &str,
        source: &SourceId,
        number: i32,
        first: u64,
    ) -> Result<Self, LakeError> {
        let writer = lake.begin_roll(cluster, source, number, first)?;
        let (cluster, name) = (cluster.to_owned(), Arc::from(source.as_str()));
        Ok(Self { lake: lake.clone(), cluster, source: source.clone(), name, number, writer, all: all.clone() })
    }

    /// First offset that it covers.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.writer.first()
    }

    /// Whether so much waits in memory that the roll should end.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.writer.waiting() >= self.all.share()
    }

    /// Adds rows in the order of the log, with the surprise of each event. Blocks.
    ///
    /// Errors: [`LakeError`] when there is no room for them.
    pub fn push(&mut self, rows: Placed, surprises: Vec<Option<f64>>) -> Result<(), LakeError> {
        let places = |offsets: Vec<u64>| {
            let (name, partition) = (Arc::clone(&self.name), self.number);
            let mut last = None;
            let mut item = 0_u32;
            offsets.into_iter().map(move |offset| {
                item = if last == Some(offset) { item + 1 } else { 0 };
                last = Some(offset);
                LogPlace { source: Arc::clone(&name), partition, offset, item }
            })
        };
        let events = places(rows.event_offsets).zip(rows.events).zip(surprises);
        let samples = places(rows.sample_offsets).zip(rows.samples);
        self.writer.push(Roll {
            events: events.map(|((place, event), surprise)| ScoredEvent { place, event, surprise }).collect(),
            samples: samples.map(|(place, sample)| PlacedSample { place, sample }).collect(),
        })
    }

    /// Ends it before the offset `next` and begins the one that follows. Blocks until the files are durable.
    ///
    /// Errors: [`LakeError`] when they cannot be written.
    pub fn finish(self, next: u64) -> Result<Self, LakeError> {
        let following = Self::begin(&self.lake, &self.all, &self.cluster, &self.source, self.number, next)?;
        self.writer.finish(next)?;
        Ok(following)
    }
}

#[cfg(test)]
mod tests {
    use crate::lake::Access;

    use super::*;

    #[test]
    fn all_rolls_together_let_no_more_wait_than_one() {
        let directory = tempfile::tempdir().unwrap();
        let lake = Lake::open(&directory.path().display().to_string(), &Access::default()).unwrap();
        let all = Rolls::default();
        let begin = |number| PartitionRoll::begin(&lake, &all, "c", &SourceId::new("kafka:t"), number, 0).unwrap();
        assert_eq!(all.share(), MOST_WAITING);
        let first = begin(0);
        assert_eq!(all.share(), MOST_WAITING);
        let more: Vec<_> = (1..50).map(begin).collect();
        assert_eq!(all.share(), MOST_WAITING / 50);
        drop(more);
        let first = first.finish(9).unwrap();
        assert_eq!(all.share(), MOST_WAITING, "the one that follows takes its place");
        drop(first);
    }
}
