//! The thread that owns the consumers: polls, groups records into batches, hands them over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use leadsman_domain::{PayloadKind, RawBatch, RawRecord, SourceId, Timestamp};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc::Sender;

use crate::batch::PartitionBuffer;
use crate::budget::Budget;
use crate::discovery::{ended_before, watermarks};
use crate::events::{OffsetCommitError, PauseError, ReadingPaused, RebalanceError, RecordsSkipped, Repeats};
use crate::group::{GroupBatch, GroupEvent};
use crate::member::{Change, Member, lock};
use crate::page::Page;
use crate::{BatchLimits, KafkaError};

/// Bounds how long a stop or a batch that becomes due waits for the thread.
const POLL_WAIT: Duration = Duration::from_millis(50);
/// How often group offsets are written. They serve lag tools only, so the newest of a second is enough.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// How long leaving the group may take.
const LEAVE_WITHIN: Duration = Duration::from_secs(20);

/// How often partitions are looked at whose place in the log is not known.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Partitions that are to be assigned anew.
pub(crate) type Again = Arc<Mutex<BTreeSet<(SourceId, i32)>>>;

/// Group offsets to write, by source and partition.
pub(crate) type Durable = Arc<Mutex<BTreeMap<(SourceId, i32), i64>>>;

/// One topic, read by a member of its own.
///
/// rdkafka 0.39 names the partition in an end-of-partition event but not the topic, so a consumer of
/// several topics could not tell which of them ended.
pub(crate) struct TopicReader {
    pub(crate) topic: String,
    pub(crate) source: SourceId,
    pub(crate) kind: PayloadKind,
    pub(crate) consumer: BaseConsumer<Member>,
    pub(crate) partitions: BTreeMap<i32, PartitionBuffer>,
    pub(crate) repeats: Repeats,
    /// When it was looked for partitions whose offset is outside of the log, and not all could be looked at.
    pub(crate) outrun_at: Option<Instant>,
}

pub(crate) struct Reader {
    pub(crate) topics: Vec<TopicReader>,
    pub(crate) limits: BatchLimits,
    pub(crate) idle_after: Duration,
    /// How long there may be no room before the partitions are paused and librdkafka is polled again.
    pub(crate) pause_after: Duration,
    pub(crate) budget: Budget,
    pub(crate) events: Sender<GroupEvent>,
    pub(crate) durable: Durable,
    pub(crate) again: Again,
    pub(crate) aside: Standing,
    pub(crate) stop: Arc<AtomicBool>,
}

/// Whether the group is left for a while.
pub(crate) struct Standing {
    /// What the caller wants.
    pub(crate) wanted: Arc<AtomicBool>,
    /// It was wanted, and a batch may have been let go for it: the group has to be left, whatever is wanted by now.
    pub(crate) leaving: bool,
    pub(crate) left: bool,
}

impl Standing {
    fn is_leaving(&mut self) -> bool {
        self.leaving |= self.wanted.load(Ordering::Relaxed) && !self.left;
        self.leaving
    }
}

/// What one poll of a topic brought.
enum Polled {
    /// Nothing, or something that was dealt with.
    Nothing,
    Record,
    Fatal(ClientError),
}

impl Reader {
    /// Runs until the source is stopped or cannot go on, then leaves the group.
    pub(crate) fn run(mut self) {
        let mut waits_on = 0;
        let mut committed_at = Instant::now();
        while !self.stopped() {
            if committed_at.elapsed() >= COMMIT_EVERY {
                self.topics.iter().for_each(|topic| topic.commit(&self.durable, CommitMode::Async));
                committed_at = Instant::now();
            }
            // The wait goes round the topics, so that none of them is heard late for long.
            waits_on = (waits_on + 1) % self.topics.len().max(1);
            let polled = self.drain().and_then(|received| if received == 0 { self.wait(waits_on) } else { Ok(()) });
            if let Err(error) = polled {
                let source_id = self.topics.first().map_or_else(|| SourceId::new("kafka"), |t| t.source.clone());
                let failed = leadsman_domain::SourceError::Unavailable { source_id, detail: error.to_string() };
                // Nobody listens only when the source was dropped.
                drop(self.events.blocking_send(GroupEvent::Failed(failed)));
                break;
            }
            self.hand_over_due();
            self.look_after();
        }
        self.leave();
    }

    /// Takes up what needs more than a poll: leaving for a while, partitions that are wanted anew, and those that
    /// retention outran.
    fn look_after(&mut self) {
        let wanted = std::mem::take(&mut *lock(&self.again));
        if self.aside.is_leaving() {
            self.topics.iter().for_each(TopicReader::step_aside);
            (self.aside.leaving, self.aside.left) = (false, true);
        } else if self.aside.left && !self.aside.wanted.load(Ordering::Relaxed) {
            self.topics.iter().for_each(TopicReader::come_back);
            self.aside.left = false;
        }
        for topic in &mut self.topics {
            let source = topic.source.clone();
            for (_, number) in wanted.iter().filter(|(of, _)| *of == source) {
                topic.again(*number);
            }
            if topic.outrun_at.is_some_and(|at| at.elapsed() >= LOOK_AGAIN) {
                topic.skip_what_is_gone();
            }
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Takes what is there without waiting; at most one batch per partition, so that none starves.
    fn drain(&mut self) -> Result<usize, ClientError> {
        let mut received = 0;
        // For all of what is there already: asking the clock for each record is a seventh of this thread's time.
        let now = Instant::now();
        for topic in &mut self.topics {
            for _ in 0..self.limits.max_records {
                match topic.poll(Duration::ZERO, Some(now)) {
                    Polled::Nothing => break,
                    Polled::Record => {
                        received += 1;
                        if topic.is_full(&self.limits) {
                            break;
                        }
                    }
                    Polled::Fatal(error) => return Err(error),
                }
            }
        }
        Ok(received)
    }

    fn wait(&mut self, index: usize) -> Result<(), ClientError> {
        match self.topics.get_mut(index).map(|topic| topic.poll(POLL_WAIT, None)) {
            Some(Polled::Fatal(error)) => Err(error),
            Some(Polled::Nothing | Polled::Record) | None => Ok(()),
        }
    }

    fn hand_over_due(&mut self) {
        let now = Instant::now();
        for index in 0..self.topics.len() {
            let due = |(number, p): (&i32, &mut PartitionBuffer)| {
                (p.has_closed() || p.is_due(now, &self.limits) || p.falls_idle(now, self.idle_after)).then_some(*number)
            };
            let due: Vec<i32> = self
                .topics
                .get_mut(index)
                .map(|t| t.partitions.iter_mut().filter_map(due).collect())
                .unwrap_or_default();
            for number in due {
                // A rebalance during an earlier hand-over may have taken it away.
                let buffer = self.topics.get_mut(index).and_then(|t| t.partitions.get_mut(&number));
                if let Some(batch) = buffer.map(|p| p.take_closed().unwrap_or_else(|| p.take())) {
                    self.hand_over(index, number, batch);
                }
            }
        }
    }

    /// Hands a batch over, waiting while too much is under way.
    ///
    /// A short wait leaves librdkafka alone: its own queues are bounded and stay filled. In a long one it
    /// must be polled, or the group takes us for dead; then the partitions are paused, which drops what was
    /// fetched ahead, and read again from where we are.
    fn hand_over(&mut self, index: usize, number: i32, batch: RawBatch) {
        let waiting_since = Instant::now();
        let end = batch.span.to;
        let mut paused: Vec<TopicPartitionList> = Vec::new();
        let room = loop {
            if let Some(room) = self.budget.room(&batch, POLL_WAIT) {
                break Some(room);
            }
            if self.stopped() || self.aside.is_leaving() {
                break None;
            }
            if waiting_since.elapsed() >= self.pause_after {
                if paused.is_empty() {
                    ReadingPaused { bytes: self.budget.used() }.emit();
                }
                // Again each time: what a rebalance brought meanwhile is not paused yet.
                paused = self.topics.iter().map(TopicReader::pause).collect();
                for topic in &mut self.topics {
                    // One poll each serves a rebalance; records that were on their way stay in the buffers.
                    if let Polled::Fatal(error) = topic.poll(Duration::ZERO, None) {
                        PauseError { error: &error }.emit();
                    }
                }
            }
        };
        for (topic, paused) in self.topics.iter().zip(&paused) {
            topic.resume(paused);
        }
        // A rebalance in between: the batch is read by whoever owns the partition now.
        let ours = |p: &PartitionBuffer| p.next() >= end;
        let still_ours = self.topics.get(index).and_then(|t| t.partitions.get(&number)).is_some_and(ours);
        if let Some(room) = room.filter(|_| still_ours) {
            // Nobody listens only when the source was dropped.
            drop(self.events.blocking_send(GroupEvent::Batch(GroupBatch { batch, room })));
        }
    }

    /// Leaves the group, so that the others need not wait for us to be taken for dead.
    fn leave(mut self) {
        for topic in &mut self.topics {
            topic.commit(&self.durable, CommitMode::Sync);
            topic.consumer.unsubscribe();
        }
        let deadline = Instant::now() + LEAVE_WITHIN;
        while self.topics.iter().any(|topic| !topic.partitions.is_empty()) && Instant::now() < deadline {
            for topic in &mut self.topics {
                if let Polled::Fatal(_) = topic.poll(POLL_WAIT, None) {
                    topic.partitions.clear();
                }
            }
        }
    }
}

// === impl TopicReader ===

impl TopicReader {
    /// Takes one record, waiting for it as long as `wait`; `now` is the time after that, where it is known.
    fn poll(&mut self, wait: Duration, now: Option<Instant>) -> Polled {
        let polled = self.consumer.poll(wait);
        let now = now.unwrap_or_else(Instant::now);
        // First what was gained and lost during the poll: the record may be of a partition that came or went.
        for change in self.consumer.context().take_changes() {
            match change {
                Change::Gained(starts) => self.partitions.extend(starts.into_iter().map(|start| {
                    let (source, number) = (self.source.clone(), start.partition);
                    (number, PartitionBuffer::new(source, number, start.from, now))
                })),
                Change::Lost(lost) => self.partitions.retain(|number, _| !lost.contains(number)),
            }
        }
        match polled {
            None => Polled::Nothing,
            Some(Ok(message)) => {
                let Some(buffer) = self.partitions.get_mut(&message.partition()) else { return Polled::Nothing };
                let record = record(&message, self.kind, &mut buffer.page);
                let taken = record.is_some_and(|record| buffer.push(record, now));
                if taken { Polled::Record } else { Polled::Nothing }
            }
            Some(Err(ClientError::PartitionEOF(partition))) => {
                if let Some(buffer) = self.partitions.get_mut(&partition) {
                    buffer.at_end = true;
                }
                Polled::Nothing
            }
            Some(Err(ClientError::MessageConsumptionFatal(code))) => {
                Polled::Fatal(ClientError::MessageConsumptionFatal(code))
            }
            Some(Err(error)) => {
                match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                        self.outrun_at.get_or_insert(now);
                    }
                    code => self.repeats.emit(&self.source, code, &error, now),
                }
                Polled::Nothing
            }
        }
    }

    fn is_full(&self, limits: &BatchLimits) -> bool {
        self.partitions.values().any(|p| p.is_full(limits))
    }

    /// Takes a partition that is still ours out and back in, as if the group had just assigned it.
    fn again(&mut self, number: i32) {
        if self.partitions.remove(&number).is_some() {
            match self.take_out(number) {
                Ok(()) => self.consumer.context().assign(&self.consumer, &[number]),
                // The group takes it away at this moment.
                Err(error) => RebalanceError { source: &self.source, error: &error }.emit(),
            }
        }
    }

    /// Leaves the group; the partitions are revoked while it is polled.
    fn step_aside(&self) {
        self.consumer.unsubscribe();
    }

    fn come_back(&self) {
        if let Err(error) = self.consumer.subscribe(&[&self.topic]) {
            RebalanceError { source: &self.source, error: &error }.emit();
        }
    }

    fn take_out(&self, number: i32) -> Result<(), ClientError> {
        let mut one = TopicPartitionList::new();
        one.add_partition(&self.topic, number);
        self.consumer.incremental_unassign(&one)
    }

    /// Goes on where the log is, after an offset was found to be outside of it: librdkafka names no partition, tells it
    /// once, and fetches no more of it. Until all are looked at, it is tried again.
    fn skip_what_is_gone(&mut self) {
        self.outrun_at = None;
        let servers = self.consumer.context().servers.clone();
        let mut ended = Vec::new();
        for (number, buffer) in &mut self.partitions {
            let next = buffer.next();
            let looked = watermarks(&self.consumer, &servers, &self.topic, *number).and_then(|(low, high)| {
                if next > high {
                    ended.push((*number, ended_before(&self.topic, *number, next, high)));
                } else if next < low {
                    start_again(&self.consumer, &self.topic, *number, low)
                        .map_err(|error| KafkaError::unavailable(&servers, &error))?;
                    RecordsSkipped { source: &self.source, partition: *number, from: next, to: low }.emit();
                    buffer.skip_to(low);
                }
                Ok(())
            });
            if let Err(error) = looked {
                RebalanceError { source: &self.source, error: &error }.emit();
                self.outrun_at = Some(Instant::now());
            }
        }
        for (partition, error) in ended {
            self.partitions.remove(&partition);
            if let Err(error) = self.take_out(partition) {
                RebalanceError { source: &self.source, error: &error }.emit();
            }
            self.consumer.context().tell(GroupEvent::Stopped { source: self.source.clone(), partition, error });
        }
    }

    /// Pauses what is assigned and not paused yet; gives back all that is paused.
    fn pause(&self) -> TopicPartitionList {
        let assigned = self.consumer.assignment().unwrap_or_default();
        if let Err(error) = self.consumer.pause(&assigned) {
            PauseError { error: &error }.emit();
        }
        assigned
    }

    /// Resumes what was paused and is still ours.
    fn resume(&self, paused: &TopicPartitionList) {
        let mut ours = TopicPartitionList::new();
        for partition in paused.elements().iter().map(|p| p.partition()).filter(|p| self.partitions.contains_key(p)) {
            ours.add_partition(&self.topic, partition);
        }
        if let Err(error) = self.consumer.resume(&ours) {
            PauseError { error: &error }.emit();
        }
    }

    /// Writes the group offsets of what is ours and durable.
    fn commit(&self, durable: &Durable, mode: CommitMode) {
        let mut offsets = TopicPartitionList::new();
        lock(durable).retain(|(source, number), next| {
            if *source != self.source {
                return true;
            }
            if self.partitions.contains_key(number)
                && let Err(error) = offsets.add_partition_offset(&self.topic, *number, Offset::Offset(*next))
            {
                OffsetCommitError { error: &error }.emit();
            }
            false
        });
        if offsets.count() > 0
            && let Err(error) = self.consumer.commit(&offsets, mode)
        {
            OffsetCommitError { error: &error }.emit();
        }
    }
}

/// Reads a partition from another place. Taking it out of the assignment and back in restarts the fetcher,
/// which an offset out of range had stopped.
fn start_again(consumer: &BaseConsumer<Member>, topic: &str, partition: i32, at: u64) -> Result<(), ClientError> {
    let mut one = TopicPartitionList::new();
    one.add_partition_offset(topic, partition, i64::try_from(at).map_or(Offset::Beginning, Offset::Offset))?;
    consumer.incremental_unassign(&one)?;
    consumer.incremental_assign(&one)
}

/// Copies a message once. `None` for an offset that no broker assigns.
pub(crate) fn record(message: &BorrowedMessage<'_>, kind: PayloadKind, page: &mut Page) -> Option<RawRecord> {
    // Without a timestamp (message format 0, gone since Kafka 4.0) nothing bounds event times.
    let received_at = message.timestamp().to_millis().unwrap_or(i64::MAX);
    Some(RawRecord {
        offset: u64::try_from(message.offset()).ok()?,
        received_at: Timestamp::from_millis(received_at),
        kind,
        // A tombstone has no payload; it keeps its place as an empty record.
        bytes: page.copy(message.payload().unwrap_or_default()),
    })
}
