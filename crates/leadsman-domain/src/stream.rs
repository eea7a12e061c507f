use std::fmt;
use std::future::Future;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    AuditEvent, ErrorKind, FlowEvent, Format, MetricSample, OutboxItem, RuntimeEvent, SkipReason, Tally, Timestamp,
};

/// A numbered log: a Kafka topic, the receiver's inbox, a tailed file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceId(String);

impl SourceId {
    /// Names a source, for example `kafka:leadsman.audit`.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A range `[from, to)` of one partition of one source. Offsets inside may have holes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The source.
    pub source: SourceId,
    /// Its partition; 0 where it has only one.
    pub partition: i32,
    /// First offset.
    pub from: u64,
    /// One past the last offset.
    pub to: u64,
}

/// What the bytes of a record are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PayloadKind {
    /// JSON telemetry of any [`Format`], audit above all: one document, an array, an `EventList` or JSON lines.
    K8sAudit,
    /// Prometheus remote_write 1.0: a snappy-compressed `prometheus.WriteRequest`.
    PrometheusRemoteWrite,
    /// JSON lines of metric samples.
    MetricJson,
    /// One item in the canonical form, as the re-key stage writes it. It carries its identity, which is believed: only
    /// what Leadsman alone can write to may be read as this.
    Canonical,
}

/// One undecoded record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRecord {
    /// Its offset.
    pub offset: u64,
    /// When it was received or appended; bounds event times from the future.
    pub received_at: Timestamp,
    /// What it should hold.
    pub kind: PayloadKind,
    /// The bytes; records that came together may share memory.
    pub bytes: Bytes,
}

/// Consecutive records of one partition, not yet decoded.
///
/// An empty batch with `from == to` says that the source is idle: everything it holds was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawBatch {
    /// Where the records stand.
    pub span: Span,
    /// The records, in offset order.
    pub records: Vec<RawRecord>,
}

/// What a record held, and what could not be read. Decoding itself never fails.
///
/// Every item of the input is in exactly one of the lists or in `skipped`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decoded {
    /// Audit events, in order.
    pub events: Vec<AuditEvent>,
    /// Metric samples, in order.
    pub samples: Vec<MetricSample>,
    /// What runtime-security tools saw, in order.
    pub runtime: Vec<RuntimeEvent>,
    /// Network flows, in order.
    pub flows: Vec<FlowEvent>,
    /// What was refused.
    pub rejects: Vec<Reject>,
    /// How much was valid and no telemetry.
    pub skipped: Tally<SkipReason>,
    /// Which formats were found, wrappings included.
    pub formats: Tally<Format>,
}

impl Decoded {
    /// Puts what `more` holds behind what is here.
    pub fn append(&mut self, mut more: Self) {
        self.events.append(&mut more.events);
        self.samples.append(&mut more.samples);
        self.runtime.append(&mut more.runtime);
        self.flows.append(&mut more.flows);
        self.rejects.append(&mut more.rejects);
        self.skipped.merge(&more.skipped);
        self.formats.merge(&more.formats);
    }
}

/// One refused item and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Index of the item in its record or file.
    pub item: u64,
    /// Line in the file or record, from 1.
    pub line: u64,
    /// Why.
    pub reason: RejectReason,
    /// What exactly, without payload text.
    pub detail: String,
    /// The refused bytes, capped.
    pub payload: Vec<u8>,
}

/// Why an item was refused: a closed set, counted by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// Not JSON, or cut off.
    MalformedJson,
    /// Not UTF-8.
    InvalidUtf8,
    /// Larger than the limit.
    TooLarge,
    /// Nested deeper than the limit.
    TooDeep,
    /// JSON, but no telemetry of a known format.
    UnknownShape,
    /// An API version this release does not know.
    UnknownApiVersion,
    /// A required field is missing.
    MissingField,
    /// A field has a wrong type or an impossible value.
    InvalidField,
    /// Decompression failed, or grew beyond the limit.
    Decompression,
    /// Not a valid protobuf message.
    MalformedProtobuf,
    /// The event claims to be from the future.
    FutureEventTime,
    /// Text that should be base64 is not.
    MalformedBase64,
    /// Wrapped more often than the limit.
    TooNested,
}

impl RejectReason {
    /// Every reason.
    pub const ALL: [Self; 13] = [
        Self::MalformedJson,
        Self::InvalidUtf8,
        Self::TooLarge,
        Self::TooDeep,
        Self::UnknownShape,
        Self::UnknownApiVersion,
        Self::MissingField,
        Self::InvalidField,
        Self::Decompression,
        Self::MalformedProtobuf,
        Self::FutureEventTime,
        Self::MalformedBase64,
        Self::TooNested,
    ];

    /// The name in counters, dead letters and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MalformedJson => "malformed_json",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::TooLarge => "too_large",
            Self::TooDeep => "too_deep",
            Self::UnknownShape => "unknown_shape",
            Self::UnknownApiVersion => "unknown_api_version",
            Self::MissingField => "missing_field",
            Self::InvalidField => "invalid_field",
            Self::Decompression => "decompression",
            Self::MalformedProtobuf => "malformed_protobuf",
            Self::FutureEventTime => "future_event_time",
            Self::MalformedBase64 => "malformed_base64",
            Self::TooNested => "too_nested",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refused item with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The source.
    pub source: SourceId,
    /// Its partition.
    pub partition: i32,
    /// Offset of the record.
    pub offset: u64,
    /// What was refused.
    pub reject: Reject,
}

/// What identifies a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeadLetterKey {
    /// The source.
    pub source: SourceId,
    /// Its partition.
    pub partition: i32,
    /// Offset of the record.
    pub offset: u64,
    /// Which item of the record.
    pub item: u64,
}

impl DeadLetter {
    /// What identifies it.
    #[must_use]
    pub fn key(&self) -> DeadLetterKey {
        DeadLetterKey {
            source: self.source.clone(),
            partition: self.partition,
            offset: self.offset,
            item: self.reject.item,
        }
    }
}

/// Why a source cannot deliver.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The source is out of reach; the caller may try again.
    #[error("{source_id} is unavailable: {detail}")]
    Unavailable {
        /// Which source.
        source_id: SourceId,
        /// What happened.
        detail: String,
    },
    /// The source lost data, or is not the one the checkpoint was written for.
    #[error("{source_id} cannot continue from its checkpoint: {detail}")]
    Gap {
        /// Which source.
        source_id: SourceId,
        /// What happened and what to do.
        detail: String,
    },
}

impl SourceError {
    /// Whose fault it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unavailable { .. } => ErrorKind::Unavailable,
            Self::Gap { .. } => ErrorKind::Conflict,
        }
    }
}

/// A numbered log that telemetry is read from.
///
/// Contract: batches of a partition are contiguous (`from` of one is `to` of the one before) and in
/// order; what lies between two that are not was lost. A source replays from the offset it was opened
/// at; it never decides by itself that something was processed. `None` means that it ended (a file read
/// once, a shutdown).
pub trait EventSource: Send {
    /// Waits for the next batch.
    fn next_batch(&mut self) -> impl Future<Output = Result<Option<RawBatch>, SourceError>> + Send;
}

/// Why a finding could not be published.
#[derive(Debug, thiserror::Error)]
#[error("sink {sink} did not take {item}: {detail}")]
pub struct SinkError {
    /// Which sink.
    pub sink: String,
    /// Which outbox item.
    pub item: String,
    /// What happened.
    pub detail: String,
}

/// Where findings are published, at least once, with the same id and revision.
pub trait FindingSink: Send {
    /// Publishes `items`; `Ok` means that every one is durable there.
    fn publish(&mut self, items: &[OutboxItem]) -> impl Future<Output = Result<(), SinkError>> + Send;
}
