//! Bytes to domain events for every wire format; pure.
//!
//! Decoding never fails as a whole: it returns what it could read and, for the rest, one [`Reject`] per
//! refused item. Nothing here opens a file, reads a clock or logs. Every input is treated as hostile: sizes,
//! depth and inflation are bounded before memory is spent on them.
//!
//! [`record`] decodes one record of a numbered log; [`AuditReader`] and [`MetricReader`] decode files of any
//! size in chunks.
//!
//! [`Reject`]: leadsman_domain::Reject

mod accounts;
mod asked;
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

use leadsman_domain::{ActorRules, Decoded, PayloadKind, RawRecord, SkipReason};

use crate::collect::{Collector, Shape, Terms};
use crate::inflate::Inflate;
use crate::stream::Documents;

pub use collect::PAYLOAD_CAP;
pub use envelope::Envelope;
pub use limits::Limits;
pub use line::{Line, LineReader, RawItem};
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
    let terms = Terms { ctx, limits, received_at: record.received_at, depth: 0, from_file: false };
    let mut out = Collector::new(ctx);
    match record.kind {
        PayloadKind::K8sAudit => text(&record.bytes, Shape::Audit, terms, &mut out),
        PayloadKind::MetricJson => text(&record.bytes, Shape::Metric, terms, &mut out),
        PayloadKind::PrometheusRemoteWrite => remote_write::decode(&record.bytes, terms, &mut out),
        PayloadKind::Canonical => canonical::record(&record.bytes, Terms { from_file: true, ..terms }, &mut out),
    }
    if out.accounted() == 0 && !json::is_blank(&record.bytes) {
        out.skip(SkipReason::Empty);
    }
    out.take()
}

fn text(bytes: &[u8], shape: Shape, terms: Terms<'_>, out: &mut Collector) {
    if !inflate::is_compressed(bytes) {
        let event = bytes.trim_ascii_end();
        let one = event.len() <= terms.limits.max_item_bytes && memchr::memchr(b'\n', event).is_none();
        if shape == Shape::Audit && one && out.quick(event, terms) {
            return;
        }
        return drain(Documents::new(bytes, shape, terms.limits), terms, out);
    }
    match Inflate::record(bytes, terms.limits) {
        Ok(inflated) => drain(Documents::new(inflated, shape, terms.limits), terms, out),
        Err(_) => out.reject(1, inflate::refusal(), bytes),
    }
}

/// Reads to the end. The bytes are in memory, so the only errors are those of decompression.
fn drain<R: std::io::BufRead>(mut documents: Documents<R>, terms: Terms<'_>, out: &mut Collector) {
    loop {
        match documents.step(terms, out) {
            Ok(true) => {}
            Ok(false) => return,
            Err(_) => return documents.broken(terms, out),
        }
    }
}
