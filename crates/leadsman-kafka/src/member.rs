//! What librdkafka calls back on the polling thread of a group member: rebalances and statistics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use leadsman_domain::{SourceError, SourceId};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError as ClientError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use tokio::sync::mpsc::Sender;

use crate::discovery::{self, CheckedStart};
use crate::events::{
    ConnectionError, OffsetCommitError, PartitionsAssigned, PartitionsRevoked, RebalanceError, RevokeTimeout,
    client_log,
};
use crate::group::{Assigned, GroupEvent, Revoked};
use crate::{KafkaError, StartOffset};

/// How often a waiting callback looks whether the process is ending.
const LOOK: Duration = Duration::from_millis(50);

/// What all members of a process share with who reads from them.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// One past the last offset that the broker would deliver, by source and partition.
    pub(crate) ends: Mutex<BTreeMap<(SourceId, i32), u64>>,
    /// Assignments and revocations so far.
    pub(crate) rebalances: AtomicU64,
    /// Bytes that librdkafka holds fetched, by source.
    pub(crate) fetched: Mutex<BTreeMap<SourceId, u64>>,
}

/// A change of what the member owns, for the reader to follow after the poll in which it happened.
#[derive(Debug)]
pub(crate) enum Change {
    Gained(Vec<CheckedStart>),
    Lost(Vec<i32>),
}

/// The context of one member: a consumer of one topic.
pub(crate) struct Member {
    pub(crate) topic: String,
    pub(crate) source: SourceId,
    pub(crate) servers: String,
    pub(crate) events: Sender<GroupEvent>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) drain_timeout: Duration,
    pub(crate) progress: Arc<Progress>,
    /// librdkafka calls back through a shared reference.
    pub(crate) changes: Mutex<Vec<Change>>,
}

impl Member {
    /// What changed since the last call.
    pub(crate) fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut lock(&self.changes))
    }

    /// Asks where to start, checks that the broker still holds it, and begins to read.
    ///
    /// The start offsets are set before the assignment takes effect: there is no moment in which records of
    /// another place could arrive.
    pub(crate) fn assign(&self, consumer: &BaseConsumer<Self>, partitions: &[i32]) {
        // Every cooperative rebalance ends with an assignment, mostly of nothing.
        let starts = if partitions.is_empty() { Vec::new() } else { self.ask(partitions) };
        let mut assigned = TopicPartitionList::new();
        let mut gained = Vec::new();
        for (&partition, start) in partitions.iter().zip(starts) {
            match self.check(consumer, partition, start) {
                Some(Ok(start)) => {
                    // The only error is an offset below zero, which none of these is.
                    if let Err(error) = assigned.add_partition_offset(&self.topic, partition, start.offset) {
                        RebalanceError { source: &self.source, error: &error }.emit();
                    }
                    gained.push(start);
                }
                Some(Err(error)) => {
                    let source = self.source.clone();
                    self.tell(GroupEvent::Stopped { source, partition, error });
                }
                None => {}
            }
        }
        // Also when there is none: librdkafka waits for the answer to its callback.
        if let Err(error) = consumer.incremental_assign(&assigned) {
            RebalanceError { source: &self.source, error: &error }.emit();
            return;
        }
        PartitionsAssigned { source: &self.source, partitions: partitions.len() }.emit();
        lock(&self.changes).push(Change::Gained(gained));
    }

    /// Empty when nobody answers any more.
    fn ask(&self, partitions: &[i32]) -> Vec<StartOffset> {
        let (answer, answered) = mpsc::channel();
        let partitions = partitions.iter().map(|p| (self.source.clone(), *p)).collect();
        self.tell(GroupEvent::Assigned(Assigned { partitions, answer }));
        loop {
            match answered.recv_timeout(LOOK) {
                Ok(starts) => return starts,
                Err(RecvTimeoutError::Timeout) if !self.stop.load(Ordering::Relaxed) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Vec::new(),
            }
        }
    }

    /// `None` when the process ends before the broker answers.
    fn check(
        &self,
        consumer: &BaseConsumer<Self>,
        partition: i32,
        start: StartOffset,
    ) -> Option<Result<CheckedStart, SourceError>> {
        loop {
            match discovery::check_start(consumer, &self.servers, &self.topic, partition, start) {
                Ok(start) => return Some(Ok(start)),
                Err(KafkaError::Source(error)) => return Some(Err(error)),
                // The member stays in the group meanwhile: its heart beats on a thread of librdkafka.
                Err(error) => RebalanceError { source: &self.source, error: &error }.emit(),
            }
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            std::thread::sleep(LOOK);
        }
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, partitions: &[i32]) {
        let lost = consumer.assignment_lost();
        PartitionsRevoked { source: &self.source, partitions: partitions.len(), lost }.emit();
        lock(&self.changes).push(Change::Lost(partitions.to_vec()));
        let (until_dropped, done) = mpsc::channel();
        let named = partitions.iter().map(|p| (self.source.clone(), *p)).collect();
        self.tell(GroupEvent::Revoked(Revoked { partitions: named, lost, _until_dropped: until_dropped }));
        if !lost && matches!(done.recv_timeout(self.drain_timeout), Err(RecvTimeoutError::Timeout)) {
            // Whatever is still under way will be fenced by the next owner's claim.
            RevokeTimeout { source: &self.source, waited: self.drain_timeout }.emit();
        }
        let mut unassigned = TopicPartitionList::new();
        // A partition that was refused at its start was never assigned, and librdkafka would refuse the whole list.
        let held = consumer.assignment().map(|held| held.to_topic_map()).unwrap_or_default();
        for partition in partitions.iter().filter(|p| held.contains_key(&(self.topic.clone(), **p))) {
            unassigned.add_partition(&self.topic, *partition);
        }
        if let Err(error) = consumer.incremental_unassign(&unassigned) {
            RebalanceError { source: &self.source, error: &error }.emit();
        }
    }

    pub(crate) fn tell(&self, event: GroupEvent) {
        // Nobody listens only when the source was dropped, and then nobody is left to be told.
        drop(self.events.blocking_send(event));
    }
}

/// The lock, whoever panicked with it: what it guards is replaced as a whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, log_message: &str) {
        client_log(level, fac, log_message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        // That the end of a partition was reached is no disturbance; the reader is told by itself.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            ConnectionError { error: &error, reason }.emit();
        }
    }

    fn stats(&self, statistics: Statistics) {
        let Some(topic) = statistics.topics.get(&self.topic) else { return };
        let held = topic.partitions.values().map(|p| p.fetchq_size).sum();
        lock(&self.progress.fetched).insert(self.source.clone(), held);
        let mut ends = lock(&self.progress.ends);
        for (number, partition) in &topic.partitions {
            // Behind the last record may be marks of transactions, which are never delivered: at its end, a partition
            // ends where we are.
            let at_end = partition.eof_offset >= partition.ls_offset && partition.fetchq_cnt == 0;
            let end = if at_end && partition.app_offset >= 0 { partition.app_offset } else { partition.ls_offset };
            // Unknown until the first fetch; librdkafka's own partition of a topic is -1.
            if let Ok(end) = u64::try_from(end)
                && *number >= 0
            {
                ends.insert((self.source.clone(), *number), end);
            }
        }
    }
}

impl ConsumerContext for Member {
    /// The default ignores whether the assignment was taken.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, changed: &mut TopicPartitionList) {
        let since = Instant::now();
        self.progress.rebalances.fetch_add(1, Ordering::Relaxed);
        let elements = changed.elements();
        let of_topic = elements.iter().filter(|element| element.topic() == self.topic);
        let partitions: Vec<i32> = of_topic.map(|element| element.partition()).collect();
        match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, &partitions),
            _ => self.revoke(consumer, &partitions),
        }
        tracing::debug!(source = %self.source, took = ?since.elapsed(), "rebalance done");
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            OffsetCommitError { error: &error }.emit();
        }
    }
}
