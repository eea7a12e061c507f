//! One partition that this process owns: from a batch to a commit.
//!
//! A partition is resumed at its last snapshot and replayed, without committing, up to the offset whose
//! outcome is stored. Findings have deterministic ids and revisions, so neither a crash between two steps
//! nor a replay loses or doubles one.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use leadsman_domain::{Commit, Finding, RawBatch, Snapshot, SourceId, Span, Store, StoreError};
use leadsman_engine::{Gap, Unit};
use leadsman_store::failpoint::reach;
use tokio::sync::watch;

use super::compute::{Work, compute};
use super::events::{BatchCommitted, CommitFenced, DataGap, StateReset, StoreCommitError};
use super::roll::PartitionRoll;
use super::{Service, aside};
use crate::clock;
use crate::lake::LakeError;
use crate::pipeline::Shard;
use crate::sources::tail::FileTail;

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

/// Pause between attempts to claim while the store is out of reach.
const ASK_AGAIN: Duration = Duration::from_millis(500);

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
    /// What the lake gets with the next snapshot; always begins where the state stood that was stored last.
    roll: Option<PartitionRoll>,
    /// Where the last owner decided that the roll ends, if it did not come to write it.
    roll_to: Option<u64>,
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
        reach("claimed");
        let (next_offset, state_offset) = (checkpoint.next_offset, checkpoint.state_offset);
        let (worker, of, snapshot) = (service.clone(), source.clone(), checkpoint.snapshot);
        let digest = service.model.manifest.weights_digest.clone();
        // A state of some megabytes takes longer to read than the reactor may wait.
        let restored = tokio::task::spawn_blocking(move || {
            let engine = &worker.scope(&of).engine;
            let empty = || Shard::new(engine, &digest);
            match snapshot.map(|bytes| Shard::from_bytes(engine, &digest, &bytes)) {
                None => empty(),
                Some(Ok(Some(shard))) => shard,
                Some(unusable) => {
                    let reason = unusable.err().map_or_else(|| "the model changed".to_owned(), |e| e.to_string());
                    StateReset { source: &of, partition: number, reason: &reason }.emit(&worker.metrics);
                    empty()
                }
            }
        });
        let shard = restored.await.map_err(|e| StoreError::Corrupt(format!("a state snapshot: {e}")))?;
        let (cluster, now) = (&service.scope(source).context.cluster, clock::now());
        service.metrics.claimed(source, number, cluster, next_offset, now);
        service.metrics.sighted(source, number, shard.state.newest_event());
        if state_offset < next_offset {
            service.metrics.unsaved(source, number, now);
        }
        let begin = |lake| PartitionRoll::begin(lake, &service.rolls, cluster, source, number, state_offset);
        let roll = service.lake.as_ref().map(begin).transpose();
        // The only failure to begin is a partition below zero, which no source has.
        let roll = roll.map_err(|e| StoreError::Corrupt(e.to_string()))?;
        let partition = Self {
            service: service.clone(),
            source: source.clone(),
            number,
            shard: Some(shard),
            epoch: checkpoint.epoch,
            next_offset,
            position: state_offset,
            unsaved: 0,
            saved_at: Instant::now(),
            heard_at: Instant::now(),
            roll_to: checkpoint.roll_to.filter(|_| roll.is_some()),
            roll,
        };
        Ok(Claimed { partition, start: state_offset, next_offset, source_tag: checkpoint.source_tag })
    }

    /// Decodes, scores and commits one batch; tells what became durable. `None` while replaying.
    ///
    /// Errors: when the commit is fenced (see [`is_fenced`]), the lake cannot be written or the pipeline breaks.
    pub async fn step(
        &mut self,
        batch: RawBatch,
        policy: SnapshotPolicy,
        tag: Option<String>,
    ) -> Result<Option<Durable>> {
        let Some(end) = self.roll_to.filter(|end| *end <= batch.span.to) else {
            return self.take(batch, policy, tag).await;
        };
        // The last owner decided where a roll ends, and stored it: it ends there, in the middle of the replay.
        let idle = batch.records.is_empty();
        let (before, after) = cut(batch, end);
        if !before.records.is_empty() {
            self.take(before, policy, None).await?;
        }
        self.roll_to = None;
        // Nothing is left to read of what retention deleted meanwhile.
        self.position = self.position.max(end);
        let state = self.shard.as_mut().context(LOST)?.to_bytes()?;
        self.finish_roll(end).await?;
        self.rest(end, state).await?;
        if idle || !after.records.is_empty() { self.take(after, policy, tag).await } else { Ok(None) }
    }

    async fn take(&mut self, batch: RawBatch, policy: SnapshotPolicy, tag: Option<String>) -> Result<Option<Durable>> {
        let mut findings = Vec::from_iter(self.notice_gap(&batch)?);
        let idle = batch.records.is_empty();
        if idle {
            // An idle source was read up to here: what is not in front of it is gone.
            self.position = self.position.max(batch.span.to);
        }
        let shard = self.shard.take().context(LOST)?;
        // Nothing is closed before the replay has caught up: what it would find was stored long ago.
        let at_rest = shard.is_settled() && self.unsaved == 0 && findings.is_empty();
        if idle && (at_rest || self.position < self.next_offset) {
            self.shard = Some(shard);
            return Ok(None);
        }
        let full = self.roll.as_ref().is_some_and(PartitionRoll::is_full);
        let due = full || self.saved_at.elapsed() >= policy.every || self.unsaved >= policy.records;
        let (stored, records) = (self.next_offset, batch.records.len() as u64);
        let worker = self.service.clone();
        let RawBatch { span, records: raw } = batch;
        let heard = raw.last().map(|record| record.received_at);
        let (source, number, seen) = (self.source.clone(), self.number, self.position);
        let work = Work { source, number, seen, stored, idle, due, roll: self.roll.take() };
        // Scoring never runs on the reactor.
        let core = self.service.cores.acquire().await?;
        let done = tokio::task::spawn_blocking(move || compute(&worker, shard, &raw, work))
            .await
            .context("scoring panicked")??;
        drop(core);
        let newest = done.shard.state.newest_event();
        self.shard = Some(done.shard);
        self.roll = done.roll;
        // Metrics that go on do not stand for an audit log that stopped.
        if done.account.events > 0 {
            self.heard_at = Instant::now();
        }
        self.position = self.position.max(span.to);
        self.unsaved += records;
        if span.to < stored || (span.to == stored && !idle) {
            return Ok(None);
        }
        // Under the name that was claimed: in a shared store a source that is this process's own has another.
        let span = Span { source: self.source.clone(), partition: self.number, from: stored, to: span.to };
        findings.extend(done.findings);
        let (written, at) = (findings.len(), span.to);
        let durable = Durable { span: span.clone(), snapshot: done.snapshot.is_some() };
        reach("batch-scored");
        if idle {
            // What closing has found is stored with the state that knows it.
            self.end_roll(at).await?;
        }
        let with_batch = self.roll.is_none() || idle;
        let (snapshot, after) = if with_batch { (done.snapshot, None) } else { (None, done.snapshot) };
        let saved = snapshot.as_ref().map(Vec::len);
        commit(
            &self.service,
            Commit {
                span,
                epoch: self.epoch,
                findings,
                dead_letters: done.dead_letters,
                snapshot: snapshot.map(|body| Snapshot { at, body }),
                roll_to: after.as_ref().map(|_| at),
                source_tag: tag,
                sinks: self.service.sinks.clone(),
            },
        )
        .await?;
        reach("batch-committed");
        self.next_offset = at;
        let metrics = &self.service.metrics;
        metrics.sighted(&self.source, self.number, newest);
        metrics.unsaved(&self.source, self.number, clock::now());
        if let Some(bytes) = saved {
            self.saved(bytes);
        }
        if let Some(state) = after {
            self.finish_roll(at).await?;
            self.rest(at, state).await?;
            reach("lake-ended");
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

    /// Tells what lies between the last record and a batch, if anything: a finding for what nobody will read any more.
    fn notice_gap(&self, batch: &RawBatch) -> Result<Option<Finding>> {
        let stored = self.next_offset;
        let expected = if self.position > 0 { self.position } else { stored };
        let (from, to) = (expected, batch.span.from);
        if to <= from || from == 0 {
            return Ok(None);
        }
        let log = format!("{} partition {}", self.source, self.number);
        DataGap { detail: &format!("{log}: offsets {from} to {to} are gone") }.emit();
        // In a replay, what lies below the stored offset was read when it was there.
        if to <= stored {
            return Ok(None);
        }
        let noticed = batch.records.first().map_or_else(clock::now, |record| record.received_at);
        let newest = self.shard.as_ref().context(LOST)?.state.newest_event();
        let unit = if FileTail::is_source(&self.source) { Unit::Bytes } else { Unit::Records };
        let gap = Gap { log: &log, unit, from: from.max(stored), to, since: newest.unwrap_or(noticed), noticed };
        Ok(Some(self.service.scope(&self.source).engine.gap(&gap)))
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
        let state = shard.to_bytes()?;
        let (at, sinks, bytes) = (self.next_offset, self.service.sinks.clone(), state.len());
        self.end_roll(at).await?;
        commit(&self.service, Commit { findings: vec![finding], sinks, ..self.at_rest(at, state) }).await?;
        self.saved(bytes);
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
        let state = shard.to_bytes()?;
        reach("state-at-rest");
        self.end_roll(self.next_offset).await?;
        self.rest(self.next_offset, state).await
    }

    /// Stores a state that stands at `at`, behind the roll that ended there.
    async fn rest(&mut self, at: u64, state: Vec<u8>) -> Result<()> {
        let bytes = state.len();
        commit(&self.service, self.at_rest(at, state)).await?;
        self.saved(bytes);
        Ok(())
    }

    /// A state was stored.
    fn saved(&mut self, bytes: usize) {
        self.unsaved = 0;
        self.saved_at = Instant::now();
        self.service.metrics.saved(&self.source, self.number, bytes);
    }

    /// Decides that the roll ends at `at`, and ends it.
    async fn end_roll(&mut self, at: u64) -> Result<()> {
        if self.roll.as_ref().is_some_and(|roll| roll.first() < at) {
            commit(&self.service, Commit { snapshot: None, roll_to: Some(at), ..self.at_rest(at, Vec::new()) }).await?;
            self.finish_roll(at).await?;
        }
        Ok(())
    }

    /// Writes the roll's files; where it ends is stored already.
    async fn finish_roll(&mut self, at: u64) -> Result<()> {
        reach("lake-decided");
        if let Some(roll) = self.roll.take() {
            let following = tokio::task::spawn_blocking(move || roll.finish(at)).await;
            self.roll = Some(following.context("writing the lake panicked")??);
        }
        reach("lake-written");
        Ok(())
    }

    /// A commit of nothing but a state.
    fn at_rest(&self, at: u64, state: Vec<u8>) -> Commit {
        let here = self.next_offset;
        Commit {
            span: Span { source: self.source.clone(), partition: self.number, from: here, to: here },
            epoch: self.epoch,
            findings: Vec::new(),
            dead_letters: Vec::new(),
            snapshot: Some(Snapshot { at, body: state }),
            roll_to: None,
            source_tag: None,
            sinks: Vec::new(),
        }
    }
}

/// Commits, waiting for a store that is out of reach.
///
/// Errors: when the commit is fenced (see [`is_fenced`]), the store is broken, or others could reach it
/// ([`aside::is_silent`]).
pub(super) async fn commit(service: &Service, commit: Commit) -> Result<()> {
    aside::patiently(service, Box::pin(commit_at_last(service, commit))).await
}

async fn commit_at_last(service: &Service, commit: Commit) -> Result<()> {
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
                error @ (StoreError::Corrupt(_)
                | StoreError::Repartitioned { .. }
                | StoreError::NewerSchema { .. }
                | StoreError::OlderSchema { .. }),
            ) => {
                return Err(error.into());
            }
        }
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        self.service.metrics.released(&self.source, self.number);
    }
}

/// Asks the store until it answers; `None` when it is time to stop.
///
/// Errors: when the store is broken.
pub(super) async fn insist<T, F>(
    service: &Service,
    stop: &watch::Receiver<bool>,
    ask: impl Fn() -> F,
) -> Result<Option<T>, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    while !*stop.borrow() {
        match ask().await {
            Err(error @ StoreError::Unavailable(_)) => StoreCommitError { error: &error }.emit(&service.metrics),
            answer => return answer.map(Some),
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
    Ok(None)
}

/// Whether another owner took the partition over.
#[must_use]
pub fn is_fenced(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(StoreError::Fenced { .. }))
}

/// Whether the lake did not take what it should: whoever starts at the last state again loses nothing.
#[must_use]
pub fn lake_error(error: &anyhow::Error) -> Option<&LakeError> {
    error.downcast_ref().filter(|error: &&LakeError| error.kind().is_retryable())
}

const LOST: &str = "the partition's state was lost by an earlier error";

/// The records below `at`, and the rest.
fn cut(batch: RawBatch, at: u64) -> (RawBatch, RawBatch) {
    let RawBatch { span, mut records } = batch;
    let rest = records.split_off(records.partition_point(|r| r.offset < at));
    let border = at.max(span.from);
    let before = RawBatch { span: Span { to: border, ..span.clone() }, records };
    (before, RawBatch { span: Span { from: border, ..span }, records: rest })
}
