//! The loop: batches in, findings out, one transaction each.
//!
//! A partition is resumed at its last snapshot and replayed, without committing, up to the offset whose
//! outcome is stored. Findings have deterministic ids and revisions, so neither a crash between two steps
//! nor a replay loses or doubles one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use leadsman_domain::{
    AuditEvent, Checkpoint, Commit, DeadLetter, EventSource, Finding, MetricSample, RawBatch, RawRecord, Snapshot,
    SourceId, Span, Store, StoreError,
};

use tokio::sync::watch;

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

/// Partitions by source and number.
pub type Partitions = BTreeMap<(SourceId, i32), Partition>;

/// Claims a partition; tells where reading has to start.
///
/// Errors: when the store is out of reach.
pub async fn claim(service: &Service, source: &SourceId, partition: i32) -> Result<(Checkpoint, Partition, u64)> {
    let mut checkpoint = service.store.claim(source, partition).await.context("cannot claim a partition")?;
    let digest = &service.model.manifest.weights_digest;
    let reset = |reason: &str| {
        StateReset { source, partition, reason }.emit(&service.metrics);
        (Shard::new(&service.engine, digest), checkpoint.next_offset)
    };
    let (shard, start) = match &checkpoint.snapshot {
        None => (Shard::new(&service.engine, digest), checkpoint.state_offset),
        Some(bytes) => match Shard::from_bytes(&service.engine, digest, bytes) {
            Ok(Some(shard)) => (shard, checkpoint.state_offset),
            Ok(None) => reset("the model changed"),
            Err(e) => reset(&e.to_string()),
        },
    };
    checkpoint.snapshot = None;
    let owned = Partition {
        shard: Some(shard),
        epoch: checkpoint.epoch,
        next_offset: checkpoint.next_offset,
        position: start,
        unsaved: 0,
        saved_at: Instant::now(),
        heard_at: Instant::now(),
    };
    Ok((checkpoint, owned, start))
}

/// What the loop asks of a source beyond its batches.
pub trait Hooks<S>: Send {
    /// What the source wants remembered with the next commit.
    fn tag(&mut self, source: &mut S) -> Option<String>;
    /// A span is durable.
    fn committed(&mut self, source: &S, durable: Durable<'_>);
}

/// What became durable.
#[derive(Debug, Clone, Copy)]
pub struct Durable<'a> {
    /// The span.
    pub span: &'a Span,
    /// Whether the state at its end is durable, too: nothing before it is read again.
    pub snapshot: bool,
}

/// Runs one source to its end, or until `stop`.
///
/// Errors: when the source fails for good, a commit is fenced, or the pipeline breaks.
pub async fn run<S: EventSource>(
    service: Service,
    mut source: S,
    mut partitions: Partitions,
    policy: SnapshotPolicy,
    mut hooks: impl Hooks<S>,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    // One for all batches: a source that never pauses must not keep the watch from its turn.
    let mut watch = tokio::time::interval_at(tokio::time::Instant::now() + WATCH, WATCH);
    watch.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let Some(batch) = next(&service, &mut source, &mut partitions, &mut watch, &mut stop).await? else { break };
        let key = (batch.span.source.clone(), batch.span.partition);
        let partition = partitions.get_mut(&key).context("a batch of a partition that was never claimed")?;
        let tag = hooks.tag(&mut source);
        if let Some((span, snapshot)) = step(&service, partition, batch, policy, tag).await? {
            hooks.committed(&source, Durable { span: &span, snapshot });
        }
    }
    for ((source, number), partition) in &mut partitions {
        save(&service, source, *number, partition).await?;
    }
    Ok(())
}

/// How often a silent source is looked at.
const WATCH: Duration = Duration::from_secs(60);

/// The next batch; `None` when it is time to stop. Whenever `watch` ticks, partitions that fell silent are noticed.
async fn next<S: EventSource>(
    service: &Service,
    source: &mut S,
    partitions: &mut Partitions,
    watch: &mut tokio::time::Interval,
    stop: &mut watch::Receiver<bool>,
) -> Result<Option<RawBatch>> {
    let batch = source.next_batch();
    tokio::pin!(batch);
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return Ok(None),
            _ = watch.tick() => {}
            batch = &mut batch => {
                return Ok(Some(batch?.context("a source ended by itself; its thread may have panicked")?));
            }
        }
        for ((source, number), partition) in partitions.iter_mut() {
            silence(service, source, *number, partition).await?;
        }
    }
}

/// Commits a finding when a partition fell silent, together with the state that knows it was told.
async fn silence(service: &Service, source: &SourceId, number: i32, partition: &mut Partition) -> Result<()> {
    let caught_up = partition.position >= partition.next_offset;
    let Some(shard) = partition.shard.as_mut().filter(|_| caught_up) else { return Ok(()) };
    let Some(newest) = shard.state.newest_event() else { return Ok(()) };
    let now = newest.plus(partition.heard_at.elapsed());
    let Some(finding) = service.engine.silence(&mut shard.state, now) else { return Ok(()) };
    let at = partition.next_offset;
    let span = Span { source: source.clone(), partition: number, from: at, to: at };
    let snapshot = Some(Snapshot { at, body: shard.to_bytes()? });
    let (findings, dead_letters, sinks) = (vec![finding], Vec::new(), service.sinks.clone());
    commit(
        service,
        Commit {
            span,
            epoch: partition.epoch,
            findings,
            dead_letters,
            snapshot,
            roll_to: None,
            source_tag: None,
            sinks,
        },
    )
    .await?;
    service.outbox.notify_one();
    Ok(())
}

/// Decodes, scores and commits one batch; tells the span and whether a snapshot went with it. `None` while
/// replaying.
async fn step(
    service: &Service,
    partition: &mut Partition,
    batch: RawBatch,
    policy: SnapshotPolicy,
    tag: Option<String>,
) -> Result<Option<(Span, bool)>> {
    let shard = partition.shard.take().context("the partition's state was lost by an earlier error")?;
    let idle = batch.records.is_empty();
    // Nothing is closed before the replay has caught up: what it would find was stored long ago.
    if idle && (shard.is_settled() || partition.position < partition.next_offset) {
        partition.shard = Some(shard);
        return Ok(None);
    }
    let due = partition.saved_at.elapsed() >= policy.every || partition.unsaved >= policy.records;
    let (stored, records) = (partition.next_offset, batch.records.len() as u64);
    let expected = if partition.position > 0 { partition.position } else { stored };
    if batch.span.from > expected && expected > 0 {
        let (source, from, to) = (&batch.span.source, expected, batch.span.from);
        DataGap { detail: &format!("{source}: offsets {from} to {to} are gone") }.emit();
    }
    let worker = service.clone();
    let RawBatch { span, records: raw } = batch;
    let source = span.source.clone();
    let number = span.partition;
    // Scoring never runs on the reactor.
    let work = Work { source, number, stored, idle, due };
    let done = tokio::task::spawn_blocking(move || compute(&worker, shard, &raw, &work))
        .await
        .context("scoring panicked")??;
    partition.shard = Some(done.shard);
    // Metrics that go on do not stand for an audit log that stopped.
    if done.account.events > 0 {
        partition.heard_at = Instant::now();
    }
    partition.position = span.to;
    partition.unsaved += records;
    if span.to < stored || (span.to == stored && !idle) {
        return Ok(None);
    }
    let span = Span { from: stored, ..span };
    let written = done.findings.len();
    let saved = done.snapshot.is_some();
    commit(
        service,
        Commit {
            span: span.clone(),
            epoch: partition.epoch,
            findings: done.findings,
            dead_letters: done.dead_letters,
            snapshot: done.snapshot.map(|body| Snapshot { at: span.to, body }),
            roll_to: None,
            source_tag: tag,
            sinks: service.sinks.clone(),
        },
    )
    .await?;
    partition.next_offset = span.to;
    if saved {
        partition.unsaved = 0;
        partition.saved_at = Instant::now();
    }
    if written > 0 {
        service.outbox.notify_one();
    }
    service.metrics.late.inc_by(done.late);
    service.metrics.duplicates.inc_by(done.duplicates);
    BatchCommitted { span: &span, account: &done.account, findings: written }.emit(&service.metrics);
    Ok(Some((span, saved)))
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
    /// First offset whose outcome is not stored.
    stored: u64,
    /// The source fell idle: close what is open.
    idle: bool,
    /// A snapshot is due.
    due: bool,
}

fn compute(service: &Service, mut shard: Shard, records: &[RawRecord], work: &Work) -> Result<Computed> {
    // What lies below the stored offset was committed before: it only rebuilds state.
    let (old, new) = records.split_at(records.partition_point(|r| r.offset < work.stored));
    let mut forgotten = Outcome::default();
    let replayed = decode(service, old, work);
    shard.push(&service.engine, &replayed.events, &replayed.samples, &mut forgotten)?;
    let before = shard.state.counts;
    let mut outcome = Outcome::default();
    let batch = decode(service, new, work);
    shard.push(&service.engine, &batch.events, &batch.samples, &mut outcome)?;
    if work.idle {
        shard.close_all(&service.engine, &mut outcome)?;
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
    let mut batch = Batch::default();
    for record in records {
        let decoded = leadsman_decode::record(&service.context, &service.limits, record);
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

/// Commits, waiting for a store that is out of reach. A fenced commit ends the loop.
async fn commit(service: &Service, commit: Commit) -> Result<()> {
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
                CommitFenced { source: &commit.span.source, partition: commit.span.partition }.emit(&service.metrics);
                return Err(error.into());
            }
            Err(
                error @ (StoreError::Corrupt(_) | StoreError::Repartitioned { .. } | StoreError::NewerSchema { .. }),
            ) => return Err(error.into()),
        }
    }
}

/// Writes the state down at a clean end, so that the next start replays nothing.
async fn save(service: &Service, source: &SourceId, number: i32, partition: &mut Partition) -> Result<()> {
    // A state that is still being replayed is older than what is stored, and must not be taken for it.
    let worth_it = partition.unsaved > 0 && partition.position >= partition.next_offset;
    let Some(mut shard) = partition.shard.take().filter(|_| worth_it) else { return Ok(()) };
    let at = partition.next_offset;
    let span = Span { source: source.clone(), partition: number, from: at, to: at };
    let snapshot = Some(Snapshot { at, body: shard.to_bytes()? });
    let (findings, dead_letters, sinks) = (Vec::new(), Vec::new(), Vec::new());
    commit(
        service,
        Commit {
            span,
            epoch: partition.epoch,
            findings,
            dead_letters,
            snapshot,
            roll_to: None,
            source_tag: None,
            sinks,
        },
    )
    .await
}
