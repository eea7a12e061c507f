//! Files of any size, in chunks.

use std::io::{self, Read};
use std::vec::IntoIter;

use leadsman_domain::{AuditEvent, Decoded, FlowEvent, MetricSample, RuntimeEvent, Timestamp};

use crate::collect::{Collector, Shape, Terms};
use crate::inflate::Inflate;
use crate::stream::Documents;
use crate::{DecodeContext, Limits};

/// The underlying reader failed. Damaged content is never an error but a reject.
#[derive(Debug, thiserror::Error)]
#[error("reading stopped at line {line}: {source}; check the file and read it again")]
pub struct ReadError {
    /// The line that was being read, from 1.
    pub line: u64,
    /// What the reader said.
    pub source: io::Error,
}

/// Reads telemetry in JSON of any [`Format`](leadsman_domain::Format) from a file: plain, gzip or zstd; JSON lines,
/// or JSON documents over several lines.
///
/// Memory holds one item and one chunk, however long the file and its lists. Lines and items in rejects count
/// from the beginning of the file.
pub struct AuditReader<R: Read>(Chunks<R>);

impl<R: Read> AuditReader<R> {
    /// Starts reading; `received_at` bounds event times from the future.
    ///
    /// Errors: [`ReadError`] when the first bytes cannot be read.
    pub fn new(reader: R, ctx: DecodeContext, limits: Limits, received_at: Timestamp) -> Result<Self, ReadError> {
        Chunks::new(reader, Shape::Audit, ctx, limits, received_at).map(Self)
    }

    /// The next events, at most `max_events` of a kind (0 counts as 1), with what was refused and skipped on the way;
    /// `None` at the end.
    ///
    /// Errors: [`ReadError`] when the reader fails, after everything before it was delivered. Nothing follows.
    pub fn next_chunk(&mut self, max_events: usize) -> Result<Option<Decoded>, ReadError> {
        self.0.next(max_events)
    }
}

/// Reads metric samples from a file of JSON lines, plain, gzip or zstd.
///
/// Each line is `{"timestamp":"RFC 3339","value":"0.5","name":"…","labels":{…}}`, as the Prometheus Kafka
/// adapter writes it.
pub struct MetricReader<R: Read>(Chunks<R>);

impl<R: Read> MetricReader<R> {
    /// As [`AuditReader::new`].
    ///
    /// Errors: [`ReadError`] when the first bytes cannot be read.
    pub fn new(reader: R, ctx: DecodeContext, limits: Limits, received_at: Timestamp) -> Result<Self, ReadError> {
        Chunks::new(reader, Shape::Metric, ctx, limits, received_at).map(Self)
    }

    /// As [`AuditReader::next_chunk`], with samples in place of events.
    ///
    /// Errors: [`ReadError`] when the reader fails, after everything before it was delivered.
    pub fn next_chunk(&mut self, max_samples: usize) -> Result<Option<Decoded>, ReadError> {
        self.0.next(max_samples)
    }
}

struct Chunks<R: Read> {
    ctx: DecodeContext,
    limits: Limits,
    received_at: Timestamp,
    /// `None` once the stream has ended.
    documents: Option<Documents<Inflate<R>>>,
    // What was decoded and is not yet delivered.
    events: IntoIter<AuditEvent>,
    samples: IntoIter<MetricSample>,
    runtime: IntoIter<RuntimeEvent>,
    flows: IntoIter<FlowEvent>,
    /// What is decoded beyond that; it also counts the items.
    collector: Collector<'static>,
    failed: Option<ReadError>,
}

impl<R: Read> Chunks<R> {
    fn new(
        reader: R,
        shape: Shape,
        ctx: DecodeContext,
        limits: Limits,
        received_at: Timestamp,
    ) -> Result<Self, ReadError> {
        let inflate = Inflate::file(reader, &limits).map_err(|source| ReadError { line: 1, source })?;
        Ok(Self {
            documents: Some(Documents::new(inflate, shape, &limits)),
            events: Vec::new().into_iter(),
            samples: Vec::new().into_iter(),
            runtime: Vec::new().into_iter(),
            flows: Vec::new().into_iter(),
            collector: Collector::new(&ctx),
            failed: None,
            ctx,
            limits,
            received_at,
        })
    }

    fn next(&mut self, max: usize) -> Result<Option<Decoded>, ReadError> {
        let max = max.max(1);
        let mut chunk = Decoded::default();
        // One list may hold more than a chunk: what is left over is delivered before more is read.
        if self.events.len() + self.samples.len() + self.runtime.len() + self.flows.len() == 0 {
            while self.collector.largest() < max && self.step() {}
            let Decoded { events, samples, runtime, flows, rejects, skipped, formats } = self.collector.take();
            self.events = events.into_iter();
            self.samples = samples.into_iter();
            self.runtime = runtime.into_iter();
            self.flows = flows.into_iter();
            chunk = Decoded { rejects, skipped, formats, ..chunk };
        }
        chunk.events.extend(self.events.by_ref().take(max));
        chunk.samples.extend(self.samples.by_ref().take(max));
        chunk.runtime.extend(self.runtime.by_ref().take(max));
        chunk.flows.extend(self.flows.by_ref().take(max));
        if chunk == Decoded::default() {
            return self.failed.take().map_or(Ok(None), Err);
        }
        Ok(Some(chunk))
    }

    /// Reads a little further; `false` when there is no more.
    fn step(&mut self) -> bool {
        let Some(mut documents) = self.documents.take() else { return false };
        let terms =
            Terms { ctx: &self.ctx, limits: &self.limits, received_at: self.received_at, depth: 0, from_file: true };
        let more = match documents.step(terms, &mut self.collector) {
            Ok(more) => more,
            Err(source) => {
                if documents.source().input_failed() {
                    self.failed = Some(ReadError { line: documents.line(), source });
                } else {
                    documents.broken(terms, &mut self.collector);
                }
                self.collector.flush();
                return false;
            }
        };
        self.collector.flush();
        if more {
            self.documents = Some(documents);
        }
        more
    }
}
