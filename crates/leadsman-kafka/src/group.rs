//! What a member of a consumer group is told, and what it answers.

use std::sync::mpsc;

use leadsman_domain::{RawBatch, SourceError, SourceId};

use crate::StartOffset;
use crate::budget::Room;

/// What happened, in the order in which it must be acted on.
#[derive(Debug)]
pub enum GroupEvent {
    /// These partitions are ours now.
    Assigned(Assigned),
    /// These partitions are no longer ours.
    Revoked(Revoked),
    /// Records of a partition of ours; without any when the partition fell idle.
    Batch(GroupBatch),
    /// A partition of ours cannot be read; it stays assigned, and nothing more comes of it.
    Stopped {
        /// The source.
        source: SourceId,
        /// Its partition.
        partition: i32,
        /// Why, and what to do.
        error: SourceError,
    },
    /// Reading failed for good: the caller ends, or starts a new source.
    Failed(SourceError),
}

/// Partitions that were assigned. Reading starts when it is said where.
#[derive(Debug)]
pub struct Assigned {
    /// The partitions: the added ones only.
    pub partitions: Vec<(SourceId, i32)>,
    pub(crate) answer: mpsc::Sender<Vec<StartOffset>>,
}

impl Assigned {
    /// Says where each of the partitions is read from, in their order. Without an answer none is read.
    pub fn start_at(self, starts: Vec<StartOffset>) {
        // A reader that has ended reads nothing more.
        drop(self.answer.send(starts));
    }
}

/// Partitions that were taken away. The next owner gets them when this is dropped, or after the drain timeout.
#[derive(Debug)]
pub struct Revoked {
    /// The partitions. Under cooperative rebalancing these are the removed ones only.
    pub partitions: Vec<(SourceId, i32)>,
    /// Another member may own them already: drop what is known of them and store nothing.
    pub lost: bool,
    pub(crate) _until_dropped: mpsc::Sender<()>,
}

/// A batch, and the room that it takes among the bytes under way until it is dropped.
#[derive(Debug)]
pub struct GroupBatch {
    /// The records.
    pub batch: RawBatch,
    pub(crate) room: Room,
}

impl GroupBatch {
    /// The records, and the room to keep until they are stored.
    #[must_use]
    pub fn into_parts(self) -> (RawBatch, Room) {
        (self.batch, self.room)
    }
}
