//! Bytes to domain events for every wire format; pure.
//!
//! Decoding never fails as a whole: it returns what it could read and, for the rest, one [`Reject`] per
//! refused item. Nothing here opens a file, reads a clock or logs. Every input is treated as hostile: sizes,
//! depth and inflation are bounded before memory is spent on them.
//!
//! [`record`] decodes one record of a numbered log, [`BatchDecoder`] many; [`AuditReader`] and [`MetricReader`] decode
//! files of any size in chunks.
//!
//! [`Reject`]: leadsman_domain::Reject

mod accounts;
mod asked;
mod batch;
mod body;
pub mod canonical;
mod collect;
pub mod envelope;
mod event;
mod formats;
mod inflate;
mod json;
mod limits;
mod line;
mod list;
mod memo;
mod metric;
mod nested;
mod reader;
mod redact;
mod refusal;
mod remote_write;
mod risk;
mod scan;
mod split;
mod stream;
mod text;
mod uri;
mod view;
mod workload;

#[cfg(test)]
mod tests;

use leadsman_domain::{ActorRules, Decoded, RawRecord};

pub use batch::{BatchDecoder, Found};
pub use collect::PAYLOAD_CAP;
pub use envelope::Envelope;
pub use limits::Limits;
pub use line::{Line, LineReader, RawItem};
pub use memo::DecodeMemo;
pub use reader::{AuditReader, MetricReader, ReadError};
pub use redact::{RedactionKey, redacted};
pub use scan::{AuditScanner, LineBlock, Memory, Part};
pub use view::EventView;
pub use workload::workload_of_pod;

/// What decoding needs to know and the payload must not decide.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DecodeContext {
    /// Identity of the cluster that the telemetry comes from. Configuration, never payload.
    pub cluster: String,
    /// The declared part of actor classification.
    pub rules: ActorRules,
    /// Key of the hashes that stand for secrets; without one a secret leaves only its kind.
    pub redaction_key: Option<RedactionKey>,
}

/// Decodes one record.
///
/// A `K8sAudit` record holds telemetry in JSON of any [`Format`](leadsman_domain::Format), told by content item by
/// item: one document, an `EventList`, an array or lines, plain, gzip, zstd or base64 of these; `MetricJson` holds JSON lines, plain, gzip or zstd; `PrometheusRemoteWrite` holds a snappy block; `Canonical` holds one
/// line of [`canonical`], and its identity is believed.
/// Items and lines in rejects count from the beginning of the record. Events and samples more than two
/// minutes after `record.received_at` are refused.
#[must_use]
pub fn record(ctx: &DecodeContext, limits: &Limits, record: &RawRecord) -> Decoded {
    let mut batch = BatchDecoder::new(ctx, limits, DecodeMemo::default());
    batch.push(record);
    batch.finish().0
}
