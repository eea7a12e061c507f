//! The vocabulary every other crate shares, and the ports the edge implements.
//!
//! Nothing here reads a clock, touches a file or names a runtime: `now` and `seed` are arguments
//! wherever they are needed.

mod actor;
mod client;
mod error;
mod event;
mod finding;
mod flow;
mod format;
mod hash;
mod id;
mod matrix;
mod memo;
mod metric;
mod registry;
mod risk;
mod rule;
mod runtime;
mod store;
mod stream;
mod surprise;
mod text;
mod time;
mod triage;

pub use actor::{Actor, ActorClass, ActorRules, UNAUTHENTICATED, service_account};
pub use client::{Network, NetworkError, Source, SourceClass, UserAgent};
pub use error::ErrorKind;
pub use event::{AuditEvent, Level, ObjectRef, Stage, Verb, write_api};
pub use finding::{
    Baseline, Change, Contribution, Counterfactual, Entity, EntityType, EvidenceRef, Explanation, Finding, FindingKind,
    Link, LinkKind, ModelRef, Rarity, Severity, Technique, WindowRef,
};
pub use flow::{FlowDirection, FlowEndpoint, FlowEvent, FlowProtocol, FlowVerdict};
pub use format::{Format, SkipReason, Tally};
pub use hash::{ContentHash, ContentHasher, TableHash, short_hash};
pub use id::{EventId, FindingId, IdError, IncidentId, RequestKey};
pub use matrix::{FeatureMatrix, FeatureSchema, MatrixError, RowKey};
pub use memo::Memo;
pub use metric::MetricSample;
pub use registry::{ModelAlias, ModelManifest, ModelSummary};
pub use risk::{Risk, RiskFlags};
pub use rule::{RuleHit, RuleLevel};
pub use runtime::{Process, RuntimeEvent, RuntimeSeverity, RuntimeTool, WorkloadRef};
pub use store::{
    Checkpoint, Commit, FindingPage, FindingQuery, OutboxItem, Pruned, Snapshot, Store, StoreError, StoreStats,
};
pub use stream::{
    DeadLetter, DeadLetterKey, Decoded, EventSource, FindingSink, PayloadKind, RawBatch, RawRecord, Reject,
    RejectReason, SinkError, SourceError, SourceId, Span,
};
pub use surprise::Surprise;
pub use text::{Untrusted, identifier};
pub use time::{TimeError, Timestamp, Window};
pub use triage::{Triage, TriageError, TriageStatus};
