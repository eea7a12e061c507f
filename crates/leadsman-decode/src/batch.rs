//! The records of a batch, decoded one after the other into the same lists.

use leadsman_domain::{Decoded, PayloadKind, RawRecord, SkipReason};

use crate::collect::{Collector, Shape, Terms};
use crate::inflate::{self, Inflate};
use crate::line::{self, Item};
use crate::memo::DecodeMemo;
use crate::stream::Documents;
use crate::{DecodeContext, Limits, canonical, json, remote_write};

/// Decodes records one by one and keeps what they held together: a record of one event costs no list of its own.
///
/// What is said of a single record in [`record`](crate::record) holds for each.
pub struct BatchDecoder<'a> {
    ctx: &'a DecodeContext,
    limits: &'a Limits,
    out: Collector<'static>,
}

/// How much of each list came of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Audit events.
    pub events: usize,
    /// Metric samples.
    pub samples: usize,
    /// Refused items.
    pub rejects: usize,
}

impl<'a> BatchDecoder<'a> {
    /// Nothing decoded yet. `memo` is what [`finish`](Self::finish) gave of an earlier batch, whichever, or empty.
    #[must_use]
    pub fn new(ctx: &'a DecodeContext, limits: &'a Limits, memo: DecodeMemo) -> Self {
        let mut out = Collector::new(ctx);
        out.memo = memo;
        Self { ctx, limits, out }
    }

    /// Makes room for so many records of one event each.
    pub fn reserve(&mut self, records: usize) {
        self.out.reserve(records);
    }

    /// Decodes one record; what it held stands last in the lists.
    pub fn push(&mut self, record: &RawRecord) -> Found {
        let Self { ctx, limits, out } = self;
        let terms = Terms { ctx, limits, received_at: record.received_at, depth: 0, from_file: false };
        let before = out.found();
        out.begin_record();
        match record.kind {
            PayloadKind::K8sAudit => text(&record.bytes, Shape::Audit, terms, out),
            PayloadKind::MetricJson => text(&record.bytes, Shape::Metric, terms, out),
            PayloadKind::PrometheusRemoteWrite => remote_write::decode(&record.bytes, terms, out),
            PayloadKind::Canonical => canonical::record(&record.bytes, Terms { from_file: true, ..terms }, out),
        }
        if out.accounted() == 0 && !json::is_blank(&record.bytes) {
            out.skip(SkipReason::Empty);
        }
        out.flush();
        let after = out.found();
        Found {
            events: after.events - before.events,
            samples: after.samples - before.samples,
            rejects: after.rejects - before.rejects,
        }
    }

    /// What all records held, in their order, and what to remember for the next batch.
    #[must_use]
    pub fn finish(mut self) -> (Decoded, DecodeMemo) {
        (self.out.take(), self.out.memo)
    }
}

fn text(bytes: &[u8], shape: Shape, terms: Terms<'_>, out: &mut Collector) {
    // What is one event of the API server's form has no second line, and needs not be searched for one.
    let quick = shape == Shape::Audit && bytes.len() <= terms.limits.max_item_bytes;
    if quick && out.quick(bytes.trim_ascii_end(), terms) {
        return;
    }
    if let Some(bytes) = line::only(bytes, terms.limits.max_item_bytes) {
        // Most records of a topic, and every list that the API server posts: nothing of it is copied.
        let item = Item { line: 1, bytes };
        return if quick { out.unusual(item, terms) } else { out.line(shape, item, terms) };
    }
    if !inflate::is_compressed(bytes) {
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
