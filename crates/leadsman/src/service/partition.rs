//! One partition that this process owns: from a batch to a commit.
//!
//! A partition is resumed at its last snapshot and replayed, without committing, up to the offset whose
//! outcome is stored. Findings have deterministic ids and revisions, so neither a crash between two steps
//! nor a replay loses or doubles one.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use leadsman_domain::{
    AuditEvent, Commit, DeadLetter, Finding, MetricSample, RawBatch, RawRecord, Snapshot, SourceId, Span, Store,
    StoreError,
};

use super::Service;
use super::events::{BatchCommitted, CommitFenced, DataGap, StateReset, StoreCommitError};
use crate::account::Account;
use crate::pipeline::{Outcome, Shard};

/// When to write detection state down.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotPolicy {
    /// After this long …
    pub every: Duration,
    /// … or this many records, whichever comes first.
    pub records: u64,
}

/// Longest pause between attempts to reach the store.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// One partition that this process owns.
pub struct Partition {
    service: Service,
    source: SourceId,
    number: i32,
    shard: Option<Shard>,
    epoch: i64,
    /// First offset whose outcome is not stored.
    next_offset: u64,
    /// First offset that `shard` has not seen; behind `next_offset` while replaying.
    position: u64,
    unsaved: u64,
    saved_at: Instant,
    /// When the last record came.
    heard_at: Instant,
}

/// What became durable.
#[derive(Debug, Clone)]
pub struct Durable {
    /// The span.
    pub span: Span,
    /// Whether the state at its end is durable, too: nothing before it is read again.
    pub snapshot: bool,
}

/// A partition just taken, and what its last owner left.
pub struct Claimed {
    /// The partition.
    pub partition: Partition,
    /// First offset that has to be read.
    pub start: u64,
    /// First offset whose outcome is not stored.
    pub next_offset: u64,
    /// What the source wanted to recognise.
    pub source_tag: Option<String>,
}

impl Partition {
    /// Takes the partition over; tells where reading has to start.
    ///
    /// Errors: when the store is out of reach.
    pub async fn claim(service: &Service, source: &SourceId, number: i32) -> Result<Claimed, StoreError> {
        let checkpoint = service.store.claim(source, number).await?;
        let (next_offset, state_offset) = (checkpoint.next_offset, checkpoint.state_offset);
        let (worker, of, snapshot) = (service.clone(), source.clone(), checkpoint.snapshot);
        let digest = service.model.manifest.weights_digest.clone();
        // A state of some megabytes takes longer to read than the reactor may wait.
        let restored = tokio::task::spawn_blocking(move || {
            let engine = &worker.scope(&of).engine;
            let empty = || Shard::new(engine, &digest);
            match snapshot.map(|bytes| Shard::from_bytes(engine, &digest, &bytes)) {
                None => (empty(), state_offset),
                Some(Ok(Some(shard))) => (shard, state_offset),
                Some(unusable) => {
                    let reason = unusable.err().map_or_else(|| "the model changed".to_owned(), |e| e.to_string());
                    StateReset { source: &of, partition: number, reason: &reason }.emit(&worker.metrics);
                    (empty(), next_offset)
                }
            }
        });
        let (shard, start) = restored.await.map_err(|e| StoreError::Corrupt(format!("a state snapshot: {e}")))?;
        let partition = Self {
            service: service.clone(),
            source: source.clone(),
            number,
            shard: Some(shard),
            epoch: checkpoint.epoch,
            next_offset,
            position: start,
            unsaved: 0,
            saved_at: Instant::now(),
            heard_at: Instant::now(),
        };
        Ok(Claimed { partition, start, next_offset, source_tag: checkpoint.source_tag })
    }

    /// Decodes, scores and commits one batch; tells what became durable. `None` while replaying.
    ///
    /// Errors: when the commit is fenced (see [`is_fenced`]) or the pipeline breaks.
    pub async fn step(
        &mut self,
        batch: RawBatch,
        policy: SnapshotPolicy,
        tag: Option<String>,
    ) -> Result<Option<Durable>> {
        let shard = self.shard.take().context("the partition's state was lost by an earlier error")?;
        let idle = batch.records.is_empty();
        // Nothing is closed before the replay has caught up: what it would find was stored long ago.
        if idle && (shard.is_settled() || self.position < self.next_offset) {
            self.shard = Some(shard);
            return Ok(None);
        }
        let due = self.saved_at.elapsed() >= policy.every || self.unsaved >= policy.records;
        let (stored, records) = (self.next_offset, batch.records.len() as u64);
        let expected = if self.position > 0 { self.position } else { stored };
        if batch.span.from > expected && expected > 0 {
            let (source, from, to) = (&batch.span.source, expected, batch.span.from);
            DataGap { detail: &format!("{source}: offsets {from} to {to} are gone") }.emit();
        }
        let worker = self.service.clone();
        let RawBatch { span, records: raw } = batch;
        let heard = raw.last().map(|record| record.received_at);
        let work = Work { source: span.source.clone(), number: span.partition, seen: self.position, stored, idle, due };
        // Scoring never runs on the reactor.
        let done = tokio::task::spawn_blocking(move || compute(&worker, shard, &raw, &work))
            .await
            .context("scoring panicked")??;
        self.shard = Some(done.shard);
        // Metrics that go on do not stand for an audit log that stopped.
        if done.account.events > 0 {
            self.heard_at = Instant::now();
        }
        self.position = self.position.max(span.to);
        self.unsaved += records;
        if span.to < stored || (span.to == stored && !idle) {
            return Ok(None);
        }
        let span = Span { from: stored, ..span };
        let written = done.findings.len();
        let snapshot = done.snapshot.map(|body| Snapshot { at: span.to, body });
        let durable = Durable { span: span.clone(), snapshot: snapshot.is_some() };
        let sinks = self.service.sinks.clone();
        let (findings, dead_letters) = (done.findings, done.dead_letters);
        let outcome =
            Commit { span, epoch: self.epoch, findings, dead_letters, snapshot, roll_to: None, source_tag: tag, sinks };
        commit(&self.service, outcome).await?;
        self.next_offset = durable.span.to;
        if durable.snapshot {
            self.unsaved = 0;
            self.saved_at = Instant::now();
        }
        if written > 0 {
            self.service.outbox.notify_one();
        }
        let metrics = &self.service.metrics;
        metrics.late.inc_by(done.late);
        metrics.duplicates.inc_by(done.duplicates);
        BatchCommitted { span: &durable.span, account: &done.account, findings: written, heard }.emit(metrics);
        Ok(Some(durable))
    }

    /// Commits a finding when the partition fell silent, together with the state that knows it was told.
    ///
    /// Errors: as [`Self::step`].
    pub async fn notice_silence(&mut self) -> Result<()> {
        let caught_up = self.position >= self.next_offset;
        let Some(shard) = self.shard.as_mut().filter(|_| caught_up) else { return Ok(()) };
        let Some(newest) = shard.state.newest_event() else { return Ok(()) };
        let now = newest.plus(self.heard_at.elapsed());
        let engine = &self.service.scope(&self.source).engine;
        let Some(finding) = engine.silence(&mut shard.state, now) else { return Ok(()) };
        let body = shard.to_bytes()?;
        let sinks = self.service.sinks.clone();
        commit(&self.service, Commit { findings: vec![finding], sinks, ..self.at_rest(body) }).await?;
        self.service.outbox.notify_one();
        Ok(())
    }

    /// Writes the state down at a clean end, so that the next owner replays nothing.
    ///
    /// Errors: as [`Self::step`].
    pub async fn save(mut self) -> Result<()> {
        // A state that is still being replayed is older than what is stored, and must not be taken for it.
        let worth_it = self.unsaved > 0 && self.position >= self.next_offset;
        let Some(mut shard) = self.shard.take().filter(|_| worth_it) else { return Ok(()) };
        let body = shard.to_bytes()?;
        commit(&self.service, self.at_rest(body)).await
    }

    /// A commit of nothing but the state as it is.
    fn at_rest(&self, body: Vec<u8>) -> Commit {
        let at = self.next_offset;
        Commit {
            span: Span { source: self.source.clone(), partition: self.number, from: at, to: at },
            epoch: self.epoch,
            findings: Vec::new(),
            dead_letters: Vec::new(),
            snapshot: Some(Snapshot { at, body }),
            roll_to: None,
            source_tag: None,
            sinks: Vec::new(),
        }
    }
}

/// Commits, waiting for a store that is out of reach.
///
/// Errors: when the commit is fenced (see [`is_fenced`]) or the store is broken.
pub(super) async fn commit(service: &Service, commit: Commit) -> Result<()> {
    let mut pause = Duration::from_millis(50);
    loop {
        match service.store.commit(commit.clone()).await {
            Ok(()) => return Ok(()),
            Err(error @ StoreError::Unavailable(_)) => {
                StoreCommitError { error: &error }.emit(&service.metrics);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MAX_BACKOFF);
            }
            Err(error @ StoreError::Fenced { .. }) => {
                let (source, partition) = (&commit.span.source, commit.span.partition);
                CommitFenced { source, partition }.emit(&service.metrics);
                return Err(error.into());
            }
            Err(
                error @ (StoreError::Corrupt(_) | StoreError::Repartitioned { .. } | StoreError::NewerSchema { .. }),
            ) => {
                return Err(error.into());
            }
        }
    }
}

/// Whether another owner took the partition over.
#[must_use]
pub fn is_fenced(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(StoreError::Fenced { .. }))
}

struct Computed {
    shard: Shard,
    findings: Vec<Finding>,
    dead_letters: Vec<DeadLetter>,
    snapshot: Option<Vec<u8>>,
    account: Account,
    late: u64,
    duplicates: u64,
}

/// What is asked of one computation.
struct Work {
    source: SourceId,
    number: i32,
    /// First offset that the state has not seen.
    seen: u64,
    /// First offset whose outcome is not stored.
    stored: u64,
    /// The source fell idle: close what is open.
    idle: bool,
    /// A snapshot is due.
    due: bool,
}

fn compute(service: &Service, mut shard: Shard, records: &[RawRecord], work: &Work) -> Result<Computed> {
    let engine = &service.scope(&work.source).engine;
    let below = |offset: u64| records.partition_point(|r| r.offset < offset);
    // What lies below the stored offset was committed before: it only rebuilds state.
    let (seen, stored) = (below(work.seen), below(work.stored.max(work.seen)));
    let (old, new) = (&records[seen..stored], &records[stored..]);
    let mut forgotten = Outcome::default();
    let replayed = decode(service, old, work);
    shard.push(engine, &replayed.events, &replayed.samples, &mut forgotten)?;
    let before = shard.state.counts;
    let mut outcome = Outcome::default();
    let batch = decode(service, new, work);
    shard.push(engine, &batch.events, &batch.samples, &mut outcome)?;
    if work.idle {
        shard.close_all(engine, &mut outcome)?;
    }
    // Closing on idleness is no part of the log, so it must be part of the snapshot.
    let snapshot = if work.idle || (work.due && !new.is_empty()) { Some(shard.to_bytes()?) } else { None };
    let after = shard.state.counts;
    Ok(Computed {
        late: (after.late + after.late_samples) - (before.late + before.late_samples),
        duplicates: after.duplicates - before.duplicates,
        shard,
        findings: outcome.findings.into_values().collect(),
        dead_letters: batch.dead_letters,
        snapshot,
        account: batch.account,
    })
}

/// What several records held.
#[derive(Default)]
struct Batch {
    events: Vec<AuditEvent>,
    samples: Vec<MetricSample>,
    dead_letters: Vec<DeadLetter>,
    account: Account,
}

fn decode(service: &Service, records: &[RawRecord], work: &Work) -> Batch {
    let context = &service.scope(&work.source).context;
    let mut batch = Batch::default();
    for record in records {
        let decoded = leadsman_decode::record(context, &service.limits, record);
        batch.account.add(&decoded);
        batch.events.extend(decoded.events);
        batch.samples.extend(decoded.samples);
        batch.dead_letters.extend(decoded.rejects.into_iter().map(|reject| {
            let (source, partition) = (work.source.clone(), work.number);
            DeadLetter { source, partition, offset: record.offset, reject }
        }));
    }
    batch
}
