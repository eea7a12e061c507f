//! The re-key stage: reads input topics whose records lie in any partition, and writes each item to the events topic,
//! where everything that one actor did is in one partition and in order.
//!
//! A batch is delivered, acknowledged by every in-sync replica, and only then committed. A crash between the two
//! repeats records under their identities, and scoring drops what it has seen.
//!
//! The partitions of a member are merged by the time of their events: see [`merge`].

pub mod merge;
pub mod route;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use leadsman_domain::{
    Commit, DeadLetter, Finding, RawBatch, Reject, RejectReason, Snapshot, SourceError, SourceId, Span, Store,
    Timestamp,
};
use leadsman_engine::{Gap, Unit};
use leadsman_kafka::{
    Assigned, GroupBatch, GroupEvent, KafkaMonitor, KafkaProducer, KafkaSource, Outgoing, Revoked, Room,
};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use self::merge::Merge;
use self::route::Piece;
use super::Service;
use super::again::{self, Again, Key};
use super::aside::{Aside, is_silent, patiently};
use super::events::{DataGap, ItemsRekeyed, PartitionSilent, PartitionStopped};
use super::partition::{commit, insist};
use super::recognise::{Tail, recognise};
use crate::account::Account;
use crate::clock;

/// Records delivered and committed at a time.
const CHUNK: usize = 2_000;
/// With so many bytes waiting for a partition that delivers nothing, the others go on without it: memory comes before
/// order. Half of what may be under way.
const PATIENCE: usize = super::kafka::INGEST_BYTES_UNDER_WAY / 2;
/// Where the numbers of items begin that were decoded and did not fit. Those of refused items count from 0.
const OF_OUTPUT: u64 = 1 << 32;
/// After so long without a word of a partition, which may be offline, the others go on without it.
const MISSING_AFTER: Duration = Duration::from_secs(30);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Where the items of some sources go: those of one cluster.
pub struct Output {
    /// The input topics.
    pub sources: BTreeSet<SourceId>,
    /// Writes to the events topic.
    pub producer: KafkaProducer,
}

/// Name under which the stage keeps its checkpoint of a source, `rekey:<topic>`: scoring the same topic directly has
/// another.
#[must_use]
pub fn checkpoint_of(source: &SourceId) -> SourceId {
    let topic = source.as_str().split_once(':').map_or(source.as_str(), |(_, topic)| topic);
    SourceId::new(format!("rekey:{topic}"))
}

/// Runs a member of the ingest group until `stop`.
///
/// Errors: when reading, delivering or the store fails for good. A fenced commit is no error: what Kafka still takes for
/// ours is claimed anew. When the store is out of reach for long, the group is left until it answers.
pub async fn run(
    service: Service,
    mut source: KafkaSource,
    outputs: Vec<Output>,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let outputs = outputs.into_iter().map(|output| (output, Merge::default())).collect();
    let (monitor, delivered_at) = (source.monitor(), Instant::now());
    let (inputs, again) = (BTreeMap::new(), Again::default());
    let mut stage = Stage { service, monitor, outputs, inputs, again, delivered_at };
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut aside, mut stopping) = (Aside::default(), false);
    loop {
        let event = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                source.stop();
                continue;
            }
            _ = look.tick() => None,
            event = source.next() => Some(event),
        };
        let done = match event {
            None => {
                stage.wait_no_longer();
                for (of, partition) in stage.again.take_due(Instant::now()) {
                    source.assign_again(&of, partition);
                }
                aside.look(&stage.service, &source).await;
                Ok(())
            }
            Some(None) => return Ok(()),
            // Without an answer none is read: the group is being left.
            Some(Some(GroupEvent::Assigned(_))) if aside.is_away() => Ok(()),
            Some(Some(GroupEvent::Assigned(assigned))) => stage.assign(assigned, &stop).await,
            Some(Some(GroupEvent::Revoked(revoked))) => {
                stage.revoke(revoked);
                Ok(())
            }
            Some(Some(GroupEvent::Batch(batch))) => stage.take(batch).await,
            Some(Some(GroupEvent::Stopped { source, partition, error })) => {
                stage.leave(&(source, partition), &error);
                Ok(())
            }
            Some(Some(GroupEvent::Failed(error))) => return Err(error.into()),
        };
        // Nothing is under way between two events: what a partition gave is committed, or still waits.
        let done = if done.is_ok() { stage.advance().await } else { done };
        match done {
            Err(error) if is_silent(&error) => {
                aside.leave(&source, &error);
                stage.forget_all();
            }
            done => done?,
        }
    }
}

struct Stage {
    service: Service,
    monitor: KafkaMonitor,
    outputs: Vec<(Output, Merge<Key, Piece>)>,
    inputs: BTreeMap<Key, Input>,
    again: Again,
    /// When a chunk was delivered: while that takes long, nothing is heard of any partition.
    delivered_at: Instant,
}

/// A partition that is read.
struct Input {
    epoch: i64,
    /// First offset that is not committed.
    next: u64,
    /// The record by which the topic is recognised.
    expected: Option<Tail>,
    /// Batches that are not committed as a whole: their ends, the records to recognise the topic by, and the room that
    /// they take.
    waiting: VecDeque<(u64, Option<Tail>, Room)>,
    /// When something came of it, were it that there is nothing.
    heard_at: Instant,
}

/// What one partition gave to a chunk.
#[derive(Default)]
struct Done {
    to: u64,
    items: usize,
    findings: Vec<Finding>,
    dead_letters: Vec<DeadLetter>,
    account: Account,
    heard: Timestamp,
}

impl Stage {
    async fn assign(&mut self, assigned: Assigned, stop: &watch::Receiver<bool>) -> Result<()> {
        self.again.forget(&assigned.partitions);
        let mut starts = Vec::with_capacity(assigned.partitions.len());
        for key in &assigned.partitions {
            let (source, number) = (checkpoint_of(&key.0), key.1);
            let ask = || self.service.store.claim(&source, number);
            let stands = async { Ok(insist(&self.service, stop, ask).await?) };
            let Some(stands) = patiently(&self.service, stands).await? else { return Ok(()) };
            let expected = stands.source_tag.as_deref().and_then(Tail::parse);
            starts.push(Tail::start(expected.as_ref(), stands.next_offset, stands.next_offset));
            let (cluster, next) = (&self.service.scope(&key.0).context.cluster, stands.next_offset);
            self.service.metrics.claimed(&key.0, key.1, cluster, next, clock::now());
            let (epoch, waiting, heard_at) = (stands.epoch, VecDeque::new(), Instant::now());
            let input = Input { epoch, next, expected, waiting, heard_at };
            if let Some((_, merge)) = self.outputs.iter_mut().find(|(output, _)| output.sources.contains(&key.0)) {
                merge.add(key.clone());
            }
            self.inputs.insert(key.clone(), input);
        }
        assigned.start_at(starts);
        Ok(())
    }

    /// What was delivered is committed, and what waits is read by the next owner.
    fn revoke(&mut self, revoked: Revoked) {
        self.again.forget(&revoked.partitions);
        revoked.partitions.iter().for_each(|key| self.forget(key));
        drop(revoked);
    }

    fn forget(&mut self, key: &Key) {
        if self.inputs.remove(key).is_some() {
            self.service.metrics.released(&key.0, key.1);
        }
        self.outputs.iter_mut().for_each(|(_, merge)| merge.remove(key));
    }

    fn forget_all(&mut self) {
        let all: Vec<Key> = self.inputs.keys().cloned().collect();
        all.iter().for_each(|key| self.forget(key));
        self.again = Again::default();
    }

    fn leave(&mut self, key: &Key, error: &SourceError) {
        PartitionStopped { error }.emit(&self.service.metrics);
        self.again.forget([key]);
        self.forget(key);
    }

    /// Decodes a batch and lets it wait for its turn.
    async fn take(&mut self, batch: GroupBatch) -> Result<()> {
        let (batch, room) = batch.into_parts();
        let key = (batch.span.source.clone(), batch.span.partition);
        let Some(input) = self.inputs.get_mut(&key) else { return Ok(()) };
        input.heard_at = Instant::now();
        if let Err(error) = recognise(&mut input.expected, &batch) {
            self.leave(&key, &error);
            return Ok(());
        }
        let from = input.waiting.back().map_or(input.next, |(end, ..)| *end);
        let gap = (batch.span.from > from && from > 0).then(|| lost(&self.service, &key, from, &batch));
        let (idle, tail, end) = (batch.records.is_empty(), Tail::of(&batch), batch.span.to);
        let mut pieces: Vec<Piece> = gap.into_iter().collect();
        if !idle {
            pieces.extend(decode(&self.service, batch, from).await?);
        }
        if let Some(last) = pieces.last_mut() {
            last.next = end;
            input.waiting.push_back((end, tail, room));
        } else if !idle {
            return Ok(());
        }
        if let Some((_, merge)) = self.outputs.iter_mut().find(|(output, _)| output.sources.contains(&key.0)) {
            merge.push(&key, pieces);
        }
        Ok(())
    }

    /// Lets the others go on without a partition of which nothing was heard for long, until something is.
    fn wait_no_longer(&mut self) {
        for (_, merge) in &mut self.outputs {
            for key in merge.awaited() {
                let Some(input) = self.inputs.get(&key) else { continue };
                if input.heard_at.max(self.delivered_at).elapsed() >= MISSING_AFTER {
                    PartitionSilent { source: &key.0, partition: key.1, waited: MISSING_AFTER }.emit();
                    merge.push(&key, Vec::new());
                }
            }
        }
    }

    /// Delivers and commits what is certain to be next.
    async fn advance(&mut self) -> Result<()> {
        for index in 0..self.outputs.len() {
            while self.advance_one(index).await? {}
        }
        Ok(())
    }

    /// One chunk of one output; `false` when there is nothing to do.
    async fn advance_one(&mut self, index: usize) -> Result<bool> {
        let Some((output, merge)) = self.outputs.get_mut(index) else { return Ok(false) };
        let mut held = self.monitor.bytes_under_way().0;
        let mut done: BTreeMap<Key, Done> = BTreeMap::new();
        let mut records: Vec<Outgoing> = Vec::new();
        let mut places = Vec::new();
        while records.len() < CHUNK
            && let Some((key, piece)) = merge.next(held >= PATIENCE as u64)
        {
            held = held.saturating_sub(piece.size as u64);
            let of = done.entry(key.clone()).or_default();
            places.extend((0..piece.records.len()).map(|item| (key.clone(), piece.offset, OF_OUTPUT + item as u64)));
            of.to = piece.next;
            of.items += piece.records.len();
            of.heard = piece.received_at;
            of.account.merge(&piece.account);
            of.findings.extend(piece.gap);
            of.dead_letters.extend(piece.dead_letters);
            records.extend(piece.records);
        }
        if done.is_empty() {
            return Ok(false);
        }
        let refused = deliver(&self.service, &mut output.producer, &records).await?;
        self.delivered_at = Instant::now();
        for (at, reject) in refused {
            let Some((key, offset, item)) = places.get(at) else { continue };
            let (source, partition) = (checkpoint_of(&key.0), key.1);
            let letter = DeadLetter { source, partition, offset: *offset, reject: Reject { item: *item, ..reject } };
            if let Some(of) = done.get_mut(key) {
                of.account.rejected.add(letter.reject.reason, 1);
                of.dead_letters.push(letter);
            }
        }
        for (key, done) in done {
            if let Err(error) = self.commit(&key, done).await {
                let after = again::after(&self.service, &key, error)?;
                self.forget(&key);
                self.again.at(key, Instant::now() + after);
            }
        }
        Ok(true)
    }

    async fn commit(&mut self, key: &Key, done: Done) -> Result<()> {
        let Some(input) = self.inputs.get_mut(key) else { return Ok(()) };
        let mut tail = None;
        while let Some((_, last, _room)) = input.waiting.pop_front_if(|(end, ..)| *end <= done.to) {
            tail = last.or(tail);
        }
        let span = Span { source: checkpoint_of(&key.0), partition: key.1, from: input.next, to: done.to };
        let outcome = Commit {
            span,
            epoch: input.epoch,
            findings: done.findings,
            dead_letters: done.dead_letters,
            // Nothing is remembered but the place.
            snapshot: Some(Snapshot { at: done.to, body: Vec::new() }),
            roll_to: None,
            source_tag: tail.map(|tail| tail.to_string()),
            sinks: self.service.sinks.clone(),
        };
        input.next = done.to;
        commit(&self.service, outcome).await?;
        self.monitor.committed(&key.0, key.1, done.to);
        let (source, partition) = (&key.0, key.1);
        let (account, items, heard) = (&done.account, done.items, done.heard);
        ItemsRekeyed { source, partition, next: done.to, account, items, heard }.emit(&self.service.metrics);
        Ok(())
    }
}

async fn decode(service: &Service, batch: RawBatch, from: u64) -> Result<Vec<Piece>> {
    let service = service.clone();
    let decoded = tokio::task::spawn_blocking(move || {
        let source = &batch.span.source;
        route::pieces(&service.scope(source).context, &service.limits, &checkpoint_of(source), &batch, from)
    });
    Ok(decoded.await.context("decoding panicked")??)
}

/// What a batch leaves out between `from` and its beginning.
fn lost(service: &Service, (source, number): &Key, from: u64, batch: &RawBatch) -> Piece {
    let (log, to) = (format!("{source} partition {number}"), batch.span.from);
    DataGap { detail: &format!("{log}: offsets {from} to {to} are gone") }.emit();
    let noticed = batch.records.first().map_or_else(clock::now, |record| record.received_at);
    let gap = Gap { log: &log, unit: Unit::Records, from, to, since: noticed, noticed };
    Piece::gap(service.scope(source).engine.gap(&gap), to, noticed)
}

/// Delivers all records; what is too large for the topic travels cut, and what is still too large is refused by index.
async fn deliver(
    service: &Service,
    producer: &mut KafkaProducer,
    records: &[Outgoing],
) -> Result<Vec<(usize, Reject)>> {
    let too_large = producer.deliver(records).await?;
    let mut refused = Vec::new();
    for index in too_large {
        let Some(record) = records.get(index) else { continue };
        let smaller = route::cut(&record.payload).map(|payload| Outgoing { payload, ..record.clone() });
        let left = match &smaller {
            Some(smaller) => producer.deliver(std::slice::from_ref(smaller)).await?,
            None => vec![index],
        };
        if left.is_empty() {
            service.metrics.cut_items.inc();
        } else {
            let detail = "the canonical form is larger than the events topic allows: raise its max.message.bytes";
            let (reason, detail, payload) = (RejectReason::TooLarge, detail.to_owned(), Vec::new());
            refused.push((index, Reject { item: 0, line: 1, reason, detail, payload }));
        }
    }
    Ok(refused)
}
