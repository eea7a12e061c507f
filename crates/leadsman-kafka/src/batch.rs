use std::collections::VecDeque;
use std::time::{Duration, Instant};

use leadsman_domain::{RawBatch, RawRecord, SourceId, Span};

use crate::BatchLimits;
use crate::page::Page;

/// Records of one partition on their way into a batch.
#[derive(Debug)]
pub(crate) struct PartitionBuffer {
    source: SourceId,
    partition: i32,
    /// Start of the next batch: the end of the one before.
    from: u64,
    /// One past the last record taken.
    next: u64,
    records: Vec<RawRecord>,
    bytes: usize,
    opened_at: Option<Instant>,
    /// When the last record came, or the partition was assigned.
    quiet_since: Instant,
    /// Everything up to the end of the partition was taken.
    pub(crate) at_end: bool,
    idle_said: bool,
    /// Where the payloads of its records are.
    pub(crate) page: Page,
    /// Batches that ended before a hole, and go before any other.
    closed: VecDeque<RawBatch>,
}

impl PartitionBuffer {
    /// An empty buffer of a partition that is read from `start`.
    pub(crate) fn new(source: SourceId, partition: i32, start: u64, now: Instant) -> Self {
        Self {
            source,
            partition,
            from: start,
            next: start,
            records: Vec::new(),
            bytes: 0,
            opened_at: None,
            quiet_since: now,
            at_end: false,
            idle_said: false,
            page: Page::default(),
            closed: VecDeque::new(),
        }
    }

    /// One past the last record taken: where reading has to go on.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Takes a record; `false` when its offset was taken before.
    ///
    /// Resuming a paused partition may deliver a record again (librdkafka 4637, 4686). Batches must be
    /// contiguous, so a repeated offset is left out here instead of trusting that this cannot happen.
    pub(crate) fn push(&mut self, record: RawRecord, now: Instant) -> bool {
        if record.offset < self.next {
            return false;
        }
        self.at_end = false;
        self.idle_said = false;
        self.quiet_since = now;
        self.next = record.offset.saturating_add(1);
        self.bytes += record.bytes.len();
        self.opened_at.get_or_insert(now);
        self.records.push(record);
        true
    }

    /// Goes on at `offset`: what lay before it is gone. The batch that has begun ends before the hole, so that it shows
    /// between two batches.
    pub(crate) fn skip_to(&mut self, offset: u64) {
        if offset > self.next {
            if !self.records.is_empty() {
                let ended = self.take();
                self.closed.push_back(ended);
            }
            self.next = offset;
            self.from = offset;
        }
    }

    /// Whether a batch ended before a hole.
    pub(crate) fn has_closed(&self) -> bool {
        !self.closed.is_empty()
    }

    /// The first batch that ended before a hole.
    pub(crate) fn take_closed(&mut self) -> Option<RawBatch> {
        self.closed.pop_front()
    }

    /// Whether the batch reached one of its limits.
    pub(crate) fn is_due(&self, now: Instant, limits: &BatchLimits) -> bool {
        self.is_full(limits)
            || self.opened_at.is_some_and(|opened| now.saturating_duration_since(opened) >= limits.max_wait)
    }

    /// Whether the batch reached its limit of records or bytes.
    pub(crate) fn is_full(&self, limits: &BatchLimits) -> bool {
        self.records.len() >= limits.max_records || self.bytes >= limits.max_bytes
    }

    /// Whether it has to be said now that nothing came for so long and nothing is left; true once.
    pub(crate) fn falls_idle(&mut self, now: Instant, after: Duration) -> bool {
        let idle = self.at_end
            && self.records.is_empty()
            && !self.idle_said
            && now.saturating_duration_since(self.quiet_since) >= after;
        self.idle_said |= idle;
        idle
    }

    /// The batch so far; empty, with `from == to`, when nothing waits.
    pub(crate) fn take(&mut self) -> RawBatch {
        let span = Span { source: self.source.clone(), partition: self.partition, from: self.from, to: self.next };
        self.from = self.next;
        self.bytes = 0;
        self.opened_at = None;
        RawBatch { span, records: std::mem::take(&mut self.records) }
    }
}
