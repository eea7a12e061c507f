//! Files of any size, in chunks.

use std::io::{self, Read};

use leadsman_domain::{AuditEvent, Decoded, MetricSample, Timestamp};

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

/// Reads audit events from a file: plain, gzip or zstd; JSON lines, or JSON documents over several lines.
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

    /// The next events, at most `max_events` (0 counts as 1), with what was refused on the way;
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
    events: std::vec::IntoIter<AuditEvent>,
    samples: std::vec::IntoIter<MetricSample>,
    /// What is decoded but not yet in `events` and `samples`; it also counts the items.
    collector: Collector,
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
            collector: Collector::new(),
            failed: None,
            ctx,
            limits,
            received_at,
        })
    }

    fn next(&mut self, max: usize) -> Result<Option<Decoded>, ReadError> {
        let max = max.max(1);
        let mut rejects = Vec::new();
        // One list may hold more than a chunk: what is left over is delivered before more is read.
        if self.events.len() == 0 && self.samples.len() == 0 {
            while self.collector.largest() < max && self.step() {}
            let Decoded { events, samples, rejects: new } = self.collector.take();
            self.events = events.into_iter();
            self.samples = samples.into_iter();
            rejects = new;
        }
        let events: Vec<_> = self.events.by_ref().take(max).collect();
        let samples: Vec<_> = self.samples.by_ref().take(max).collect();
        if events.is_empty() && samples.is_empty() && rejects.is_empty() {
            return self.failed.take().map_or(Ok(None), Err);
        }
        Ok(Some(Decoded { events, samples, rejects }))
    }

    /// Reads a little further; `false` when there is no more.
    fn step(&mut self) -> bool {
        let Some(mut documents) = self.documents.take() else { return false };
        let terms = Terms { ctx: &self.ctx, limits: &self.limits, received_at: self.received_at };
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
