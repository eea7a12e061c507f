//! The thread that owns the consumers: polls, groups records into batches, hands them over.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use leadsman_domain::{PayloadKind, RawBatch, RawRecord, SourceError, SourceId, Timestamp};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use crate::BatchLimits;
use crate::batch::PartitionBuffer;
use crate::events::{Context, OffsetCommitError, PauseError, ReadingPaused};

/// Bounds how long a stop, a commit request or a batch that becomes due waits for the thread.
const POLL_WAIT: Duration = Duration::from_millis(50);

/// What the thread hands over. After `Ended` it stops.
#[derive(Debug)]
pub(crate) enum Delivery {
    Batch(RawBatch),
    Failed(SourceError),
    Ended(SourceError),
}

/// A group offset to write for lag tools.
#[derive(Debug)]
pub(crate) struct CommitRequest {
    pub(crate) source: SourceId,
    pub(crate) partition: i32,
    pub(crate) next_offset: i64,
}

/// One topic, read by a consumer of its own.
///
/// rdkafka 0.39 names the partition in an end-of-partition event but not the topic, so a consumer of
/// several topics could not tell which of them ended.
pub(crate) struct TopicReader {
    pub(crate) topic: String,
    pub(crate) source: SourceId,
    pub(crate) kind: PayloadKind,
    pub(crate) consumer: BaseConsumer<Context>,
    pub(crate) partitions: BTreeMap<i32, PartitionBuffer>,
}

pub(crate) struct Reader {
    pub(crate) topics: Vec<TopicReader>,
    pub(crate) limits: BatchLimits,
    pub(crate) idle_after: Duration,
    /// How long the channel may be full before the partitions are paused and librdkafka is polled again.
    pub(crate) pause_after: Duration,
    pub(crate) deliveries: Sender<Delivery>,
    pub(crate) commits: Receiver<CommitRequest>,
    pub(crate) stop: Arc<AtomicBool>,
}

/// What one poll of a topic brought.
enum Polled {
    Nothing,
    Record,
    PartitionEnd,
    /// A record that was taken before.
    Repeated,
    Failed(Delivery),
}

impl Reader {
    /// Runs until the source is dropped or cannot go on.
    pub(crate) fn run(mut self) {
        let mut quiet_since = Instant::now();
        let mut idle_said = false;
        let mut waits_on = 0;
        let mut failures = VecDeque::new();
        while !self.stop.load(Ordering::Relaxed) {
            self.commit_requested();
            let mut received = self.drain(&mut failures);
            if received == 0 {
                // The wait goes round the topics, so that none of them is heard late for long.
                waits_on = (waits_on + 1) % self.topics.len().max(1);
                received = self.wait(waits_on, &mut failures);
            }
            if received > 0 {
                quiet_since = Instant::now();
                idle_said = false;
            }
            let mut due = self.due_batches();
            if !idle_said && quiet_since.elapsed() >= self.idle_after && self.is_idle() {
                due.extend(self.take_all());
                idle_said = true;
            }
            due.extend(failures.drain(..));
            for delivery in due {
                if self.deliver(delivery, &mut failures).is_break() {
                    return;
                }
            }
        }
    }

    /// Takes what is there without waiting; at most one batch per partition, so that none starves.
    fn drain(&mut self, failures: &mut VecDeque<Delivery>) -> usize {
        let mut received = 0;
        for topic in &mut self.topics {
            for _ in 0..self.limits.max_records {
                match topic.poll(Duration::ZERO) {
                    Polled::Nothing => break,
                    Polled::PartitionEnd | Polled::Repeated => {}
                    Polled::Record => {
                        received += 1;
                        if topic.partitions.values().any(|p| p.is_full(&self.limits)) {
                            break;
                        }
                    }
                    Polled::Failed(failure) => failures.push_back(failure),
                }
            }
        }
        received
    }

    fn wait(&mut self, index: usize, failures: &mut VecDeque<Delivery>) -> usize {
        let Some(topic) = self.topics.get_mut(index) else { return 0 };
        match topic.poll(POLL_WAIT) {
            Polled::Nothing | Polled::PartitionEnd | Polled::Repeated => 0,
            Polled::Record => 1,
            Polled::Failed(failure) => {
                failures.push_back(failure);
                0
            }
        }
    }

    fn partitions(&mut self) -> impl Iterator<Item = &mut PartitionBuffer> {
        self.topics.iter_mut().flat_map(|topic| topic.partitions.values_mut())
    }

    fn due_batches(&mut self) -> Vec<Delivery> {
        let (now, limits) = (Instant::now(), self.limits);
        self.partitions().filter(|p| p.is_due(now, &limits)).map(|p| Delivery::Batch(p.take())).collect()
    }

    fn is_idle(&mut self) -> bool {
        self.partitions().all(|p| p.is_idle())
    }

    fn take_all(&mut self) -> Vec<Delivery> {
        self.partitions().map(|p| Delivery::Batch(p.take())).collect()
    }

    /// Hands `delivery` over, waiting while the channel is full.
    ///
    /// A short wait leaves librdkafka alone: its own queues are bounded and stay filled. In a long one it
    /// must be polled, or it takes us for dead; then the partitions are paused, which drops what was
    /// fetched ahead, and read again from where we are.
    fn deliver(&mut self, delivery: Delivery, failures: &mut VecDeque<Delivery>) -> ControlFlow<()> {
        let ends = matches!(delivery, Delivery::Ended(_));
        let waiting_since = Instant::now();
        let mut paused = false;
        let mut waiting = delivery;
        loop {
            match self.deliveries.try_send(waiting) {
                Ok(()) => break,
                Err(TrySendError::Closed(_)) => return ControlFlow::Break(()),
                Err(TrySendError::Full(back)) => waiting = back,
            }
            if self.stop.load(Ordering::Relaxed) {
                return ControlFlow::Break(());
            }
            if paused {
                self.drain(failures);
                self.commit_requested();
            } else if waiting_since.elapsed() >= self.pause_after {
                ReadingPaused.emit();
                self.topics.iter().for_each(TopicReader::pause);
                paused = true;
            }
            // The receiving side wakes this thread whenever it takes a batch.
            thread::park_timeout(POLL_WAIT);
        }
        if paused {
            self.topics.iter().for_each(TopicReader::resume);
        }
        if ends { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Writes the newest requested group offsets, without waiting for the answer.
    fn commit_requested(&mut self) {
        let mut newest = BTreeMap::new();
        for request in self.commits.try_iter() {
            newest.insert((request.source, request.partition), request.next_offset);
        }
        if newest.is_empty() {
            return;
        }
        for topic in &self.topics {
            let mut offsets = TopicPartitionList::new();
            for ((_, partition), next) in newest.iter().filter(|((source, _), _)| *source == topic.source) {
                if let Err(error) = offsets.add_partition_offset(&topic.topic, *partition, Offset::Offset(*next)) {
                    OffsetCommitError { error: &error }.emit();
                }
            }
            if offsets.count() > 0
                && let Err(error) = topic.consumer.commit(&offsets, CommitMode::Async)
            {
                OffsetCommitError { error: &error }.emit();
            }
        }
    }
}

// === impl TopicReader ===

impl TopicReader {
    fn poll(&mut self, wait: Duration) -> Polled {
        match self.consumer.poll(wait) {
            None => Polled::Nothing,
            Some(Ok(message)) => {
                let Some(buffer) = self.partitions.get_mut(&message.partition()) else { return Polled::Nothing };
                let taken = record(&message, self.kind).is_some_and(|record| buffer.push(record, Instant::now()));
                if taken { Polled::Record } else { Polled::Repeated }
            }
            Some(Err(ClientError::PartitionEOF(partition))) => {
                if let Some(buffer) = self.partitions.get_mut(&partition) {
                    buffer.at_end = true;
                }
                Polled::PartitionEnd
            }
            Some(Err(error)) => failure(&self.source, &error).map_or(Polled::Nothing, Polled::Failed),
        }
    }

    fn pause(&self) {
        self.report(self.consumer.assignment().and_then(|assigned| self.consumer.pause(&assigned)));
    }

    fn resume(&self) {
        self.report(self.consumer.assignment().and_then(|assigned| self.consumer.resume(&assigned)));
    }

    fn report(&self, outcome: Result<(), ClientError>) {
        if let Err(error) = outcome {
            PauseError { error: &error }.emit();
        }
    }
}

/// Copies a message once. `None` for an offset that no broker assigns.
fn record(message: &BorrowedMessage<'_>, kind: PayloadKind) -> Option<RawRecord> {
    // Without a timestamp (message format 0, gone since Kafka 4.0) nothing bounds event times.
    let received_at = message.timestamp().to_millis().unwrap_or(i64::MAX);
    Some(RawRecord {
        offset: u64::try_from(message.offset()).ok()?,
        received_at: Timestamp::from_millis(received_at),
        kind,
        // A tombstone has no payload; it keeps its place as an empty record.
        bytes: message.payload().unwrap_or_default().to_vec(),
    })
}

/// What an error of the consumer means for the caller; `None` when librdkafka recovers by itself.
fn failure(source: &SourceId, error: &ClientError) -> Option<Delivery> {
    let source_id = source.clone();
    let code = error.rdkafka_error_code();
    match code {
        Some(
            RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::RequestTimedOut,
        ) => {
            crate::events::ConnectionError { error }.emit();
            None
        }
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
            let detail =
                format!("{error}: retention deleted records that were not read yet; restart to choose where to go on");
            Some(Delivery::Ended(SourceError::Gap { source_id, detail }))
        }
        Some(
            RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition,
        ) => {
            let detail =
                format!("{error}: the topic was deleted or recreated; restore it, or start anew with an empty store");
            Some(Delivery::Ended(SourceError::Gap { source_id, detail }))
        }
        Some(_) | None => {
            let failed = SourceError::Unavailable { source_id, detail: error.to_string() };
            Some(if matches!(error, ClientError::MessageConsumptionFatal(_)) {
                Delivery::Ended(failed)
            } else {
                Delivery::Failed(failed)
            })
        }
    }
}
