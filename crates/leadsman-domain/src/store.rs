use std::future::Future;

use crate::{
    DeadLetter, DeadLetterKey, ErrorKind, Finding, FindingId, FindingKind, IncidentId, RejectReason, Severity,
    SourceId, Span, Timestamp, Triage, TriageError,
};

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another owner claimed the partition, or the offsets do not follow on: this owner must stop.
    #[error("checkpoint of {partition} moved on: another process owns it, or this one is out of date")]
    Fenced {
        /// `source/partition`.
        partition: String,
    },
    /// The store is out of reach, full or busy.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// What is stored cannot be read back.
    #[error("the store holds data that cannot be read: {0}")]
    Corrupt(String),
    /// A topic has another number of partitions than when its state was built.
    #[error(
        "{source_id} has {found} partitions, but its state was built with {stored}: keys moved between partitions, so an actor's history is no longer where its events are; restore the {stored} partitions, or accept the change with `leadsman serve --accept-partitions`"
    )]
    Repartitioned {
        /// The source.
        source_id: SourceId,
        /// How many it has.
        found: u32,
        /// How many it had.
        stored: u32,
    },
    /// The store was written by a newer release.
    #[error(
        "the store has schema version {found}, this release knows {known}: upgrade leadsman, or name another data directory"
    )]
    NewerSchema {
        /// Version found.
        found: i64,
        /// Version known.
        known: i64,
    },
    /// The store was written by an older release, or by none yet.
    #[error(
        "the store has schema version {found}, this release writes {known}: the service of this release brings it up to date \
         when it starts; until then, use the release that serves"
    )]
    OlderSchema {
        /// Version found; 0 when there is none yet.
        found: i64,
        /// Version known.
        known: i64,
    },
}

impl StoreError {
    /// Whose fault it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Fenced { .. } | Self::Repartitioned { .. } => ErrorKind::Conflict,
            Self::Unavailable(_) => ErrorKind::Unavailable,
            Self::Corrupt(_) | Self::NewerSchema { .. } | Self::OlderSchema { .. } => ErrorKind::Internal,
        }
    }
}

/// Where a partition stands, as claimed by one owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The source.
    pub source: SourceId,
    /// Its partition.
    pub partition: i32,
    /// Generation of ownership; a commit with an older one is refused.
    pub epoch: i64,
    /// First offset whose outcome is not stored yet.
    pub next_offset: u64,
    /// Offset that `snapshot` stands at; replay starts here.
    pub state_offset: u64,
    /// The detection state at `state_offset`; `None` is the empty state.
    pub snapshot: Option<Vec<u8>>,
    /// Where the next file of the lake ends, once that was decided; see [`Commit::roll_to`].
    pub roll_to: Option<u64>,
    /// What the source wants to recognise at its next start (a file's identity, say).
    pub source_tag: Option<String>,
}

/// Detection state as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// First offset that the state has not seen; at most the `next_offset` it is stored with.
    pub at: u64,
    /// The state.
    pub body: Vec<u8>,
}

/// One micro-batch's outcome, written in one transaction.
#[derive(Debug, Clone)]
pub struct Commit {
    /// What was processed; `from` must equal the stored `next_offset`.
    pub span: Span,
    /// The owner's generation.
    pub epoch: i64,
    /// Findings, upserted by id where `rev` is higher.
    pub findings: Vec<Finding>,
    /// Refused items.
    pub dead_letters: Vec<DeadLetter>,
    /// A new snapshot. It ends a roll of the lake that was decided at or below its offset.
    pub snapshot: Option<Snapshot>,
    /// Decides that the next file of the lake covers what lies between the last snapshot and this offset.
    ///
    /// It is stored before the file is written, so that an owner that was killed or replaced in between and its
    /// successor write the same file under the same name.
    pub roll_to: Option<u64>,
    /// What the source wants remembered.
    pub source_tag: Option<String>,
    /// Sinks that get the findings through the outbox.
    pub sinks: Vec<String>,
}

/// A finding on its way to a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxItem {
    /// Finding id.
    pub id: FindingId,
    /// Its revision.
    pub rev: u64,
    /// The sink.
    pub sink: String,
    /// Partitioning key: the entity.
    pub key: String,
    /// The finding as JSON.
    pub body: Vec<u8>,
}

/// Which findings to list. Order: newest change first, by commit sequence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FindingQuery {
    /// At most this many.
    pub limit: usize,
    /// Only those whose commit sequence is below this (the cursor).
    pub before: Option<i64>,
    /// Only this band or above.
    pub min_severity: Option<Severity>,
    /// Only this score or above.
    pub min_score: Option<u8>,
    /// Only this entity.
    pub entity: Option<String>,
    /// Only those whose title, sentence, entity or rule titles hold every word of this text, each at least as the
    /// beginning of a word. Words are letters and digits, in either case; any text will do.
    pub text: Option<String>,
    /// Only this cluster.
    pub cluster: Option<String>,
    /// Only those about this.
    pub kind: Option<FindingKind>,
    /// Only those that match this ATT&CK technique, `T1552.007`, or a part of this one, `T1552`.
    pub technique: Option<String>,
    /// Only those of this incident.
    pub incident: Option<IncidentId>,
    /// Only findings last seen at or after.
    pub from: Option<Timestamp>,
    /// Only findings last seen before.
    pub to: Option<Timestamp>,
}

/// One page of findings.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FindingPage {
    /// The findings with their commit sequence.
    pub items: Vec<(i64, Finding)>,
    /// Cursor of the next page; `None` at the end.
    pub next: Option<i64>,
    /// How many match in all.
    pub total: u64,
}

/// How much was deleted because of its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Findings.
    pub findings: u64,
    /// Dead letters.
    pub dead_letters: u64,
}

/// Counts for health and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreStats {
    /// Findings stored.
    pub findings: u64,
    /// Dead letters stored.
    pub dead_letters: u64,
    /// Findings not yet published.
    pub outbox: u64,
}

/// Findings, checkpoints, outbox and dead letters.
///
/// Contract: [`Store::commit`] is all or nothing and durable when it returns; its checkpoint
/// compare-and-set fences an owner whose partition was claimed by another.
pub trait Store: Send + Sync {
    /// Takes ownership of a partition and says where it stands.
    fn claim(&self, source: &SourceId, partition: i32) -> impl Future<Output = Result<Checkpoint, StoreError>> + Send;

    /// Remembers with how many partitions the state of a source is built.
    ///
    /// Errors: `Repartitioned` when it was another number, unless `accept`.
    fn bind_source(
        &self,
        source: &SourceId,
        partitions: u32,
        accept: bool,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The secret of that name which all processes on this store share: `fresh`, if there is none yet.
    fn shared_secret(&self, name: &str, fresh: &str) -> impl Future<Output = Result<String, StoreError>> + Send;

    /// Writes one micro-batch's outcome.
    fn commit(&self, commit: Commit) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes the oldest unpublished findings of a sink that nobody else holds, and holds them until `until`.
    ///
    /// A relay that dies lets its leases end; the clocks of relays may differ, then items are published twice or later.
    fn lease_outbox(
        &self,
        sink: &str,
        limit: usize,
        now: Timestamp,
        until: Timestamp,
    ) -> impl Future<Output = Result<Vec<OutboxItem>, StoreError>> + Send;

    /// Holds items until `to`; a time that has passed gives them back. `until` is that of the lease: one that has passed
    /// on to another stays as it is.
    fn hold_outbox(
        &self,
        items: &[OutboxItem],
        until: Timestamp,
        to: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Forgets published items.
    fn ack_outbox(&self, items: &[OutboxItem]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// One finding with its commit sequence.
    fn finding(&self, id: FindingId) -> impl Future<Output = Result<Option<(i64, Finding)>, StoreError>> + Send;

    /// A page of findings.
    fn findings(&self, query: FindingQuery) -> impl Future<Output = Result<FindingPage, StoreError>> + Send;

    /// What people made of a finding; `None` when there is no such finding.
    fn triage(&self, id: FindingId) -> impl Future<Output = Result<Option<Triage>, StoreError>> + Send;

    /// Stores it if `triage.version` is still the stored one, and returns it with the next version.
    fn set_triage(&self, id: FindingId, triage: Triage) -> impl Future<Output = Result<Triage, TriageError>> + Send;

    /// Deletes what was last stored before the given times: at most `limit` findings and `limit` dead letters.
    ///
    /// Findings that people are not done with or that are not published yet stay.
    fn prune(
        &self,
        findings_before: Timestamp,
        dead_letters_before: Timestamp,
        limit: usize,
    ) -> impl Future<Output = Result<Pruned, StoreError>> + Send;

    /// Dead letters, newest first; those refused for `reason` alone, if one is given.
    fn dead_letters(
        &self,
        limit: usize,
        reason: Option<RejectReason>,
    ) -> impl Future<Output = Result<Vec<DeadLetter>, StoreError>> + Send;

    /// Forgets dead letters; says how many there were. A key that is gone already is no error.
    fn delete_dead_letters(&self, keys: &[DeadLetterKey]) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Counts.
    fn stats(&self) -> impl Future<Output = Result<StoreStats, StoreError>> + Send;
}
