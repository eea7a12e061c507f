use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as commit_queue;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use leadsman_domain::{EventSource, PayloadKind, RawBatch, SourceError, SourceId};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use tokio::sync::mpsc;

use crate::batch::PartitionBuffer;
use crate::config::source_id;
use crate::discovery::{self, CheckedStart, StartOffset};
use crate::events::{PartitionsAssigned, ReaderCloseError};
use crate::reader::{CommitRequest, Delivery, Reader, TopicReader};
use crate::{KafkaConfig, KafkaError};

/// Closing a consumer can hang (librdkafka 4884, rust-rdkafka 509); a shutdown must not.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Reads every given partition, in order, from where the caller says.
///
/// One thread owns librdkafka's consumers; batches come over a bounded channel, so a slow caller slows the
/// reading down. When everything was delivered and nothing arrived for [`KafkaConfig::idle_after`], each
/// partition gets one empty batch.
///
/// Dropping the source stops the thread and waits for it, for at most five seconds.
#[derive(Debug)]
pub struct KafkaSource {
    deliveries: mpsc::Receiver<Delivery>,
    committer: OffsetCommitter,
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    ended: Option<SourceError>,
}

/// Writes the group offset that lag tools show. Nothing is ever read from it.
#[derive(Debug, Clone)]
pub struct OffsetCommitter {
    requests: commit_queue::Sender<CommitRequest>,
}

/// Sizes that tests make small.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tuning {
    /// Batches in the channel.
    pub(crate) channel: usize,
    pub(crate) pause_after: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { channel: 8, pause_after: Duration::from_secs(1) }
    }
}

impl KafkaSource {
    /// Every partition of every configured topic, in the order of the configuration.
    ///
    /// Blocks for up to ten seconds per topic: call it off the async runtime.
    ///
    /// Errors: [`KafkaError::MissingTopic`] names a topic that does not exist.
    pub fn discover(config: &KafkaConfig) -> Result<Vec<(SourceId, i32, PayloadKind)>, KafkaError> {
        discovery::partitions(config)
    }

    /// Starts to read the given partitions; the first batch of each begins at its start offset.
    ///
    /// Blocks for up to ten seconds per partition: call it off the async runtime.
    ///
    /// Errors: [`SourceError::Gap`], inside [`KafkaError::Source`], when a start offset was deleted already
    /// or lies beyond the end.
    pub fn start(config: &KafkaConfig, starts: &[(SourceId, i32, StartOffset)]) -> Result<Self, KafkaError> {
        Self::start_tuned(config, starts, Tuning::default())
    }

    pub(crate) fn start_tuned(
        config: &KafkaConfig,
        starts: &[(SourceId, i32, StartOffset)],
        tuning: Tuning,
    ) -> Result<Self, KafkaError> {
        let configured = |source: &SourceId| config.topics.iter().any(|(topic, _)| source_id(topic) == *source);
        if let Some((source, ..)) = starts.iter().find(|(source, ..)| !configured(source)) {
            return Err(KafkaError::NotConfigured { source_id: source.to_string() });
        }
        let mut topics = Vec::new();
        for (topic, kind) in &config.topics {
            let source = source_id(topic);
            let of_topic: Vec<_> =
                starts.iter().filter(|(of, ..)| *of == source).map(|(_, partition, at)| (*partition, *at)).collect();
            if !of_topic.is_empty() {
                topics.push(open_topic(config, topic, *kind, &of_topic)?);
            }
        }
        let (sender, deliveries) = mpsc::channel(tuning.channel);
        let (requests, commits) = commit_queue::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let reader = Reader {
            topics,
            limits: config.batch,
            idle_after: config.idle_after,
            pause_after: tuning.pause_after,
            deliveries: sender,
            commits,
            stop: Arc::clone(&stop),
        };
        let thread = thread::Builder::new().name("kafka-source".to_owned()).spawn(move || reader.run())?;
        Ok(Self { deliveries, committer: OffsetCommitter { requests }, thread: Some(thread), stop, ended: None })
    }

    /// Writes the group offset of a partition for lag tools; see [`OffsetCommitter::commit`].
    pub fn commit(&self, source: &SourceId, partition: i32, next_offset: u64) {
        self.committer.commit(source, partition, next_offset);
    }

    /// A handle that writes group offsets while another task waits for batches.
    #[must_use]
    pub fn committer(&self) -> OffsetCommitter {
        self.committer.clone()
    }

    fn wake_reader(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

fn open_topic(
    config: &KafkaConfig,
    topic: &str,
    kind: PayloadKind,
    starts: &[(i32, StartOffset)],
) -> Result<TopicReader, KafkaError> {
    let unavailable = |error| KafkaError::unavailable(&config.bootstrap_servers, &error);
    let consumer = discovery::consumer(config)?;
    let source = source_id(topic);
    let mut assignment = TopicPartitionList::new();
    let mut partitions = BTreeMap::new();
    for (partition, start) in starts {
        let CheckedStart { partition, from, offset } =
            discovery::check_start(&consumer, config, topic, *partition, *start)?;
        assignment.add_partition_offset(topic, partition, offset).map_err(unavailable)?;
        partitions.insert(partition, PartitionBuffer::new(source.clone(), partition, from));
    }
    consumer.assign(&assignment).map_err(unavailable)?;
    PartitionsAssigned { source: &source, partitions: partitions.len() }.emit();
    Ok(TopicReader { topic: topic.to_owned(), source, kind, consumer, partitions })
}

impl EventSource for KafkaSource {
    async fn next_batch(&mut self) -> Result<Option<RawBatch>, SourceError> {
        if let Some(error) = &self.ended {
            return Err(same_error(error));
        }
        let delivery = self.deliveries.recv().await;
        self.wake_reader();
        match delivery {
            None => Ok(None),
            Some(Delivery::Batch(batch)) => Ok(Some(batch)),
            Some(Delivery::Failed(error)) => Err(error),
            Some(Delivery::Ended(error)) => {
                self.ended = Some(same_error(&error));
                Err(error)
            }
        }
    }
}

/// A source that cannot go on says so at every call, whoever asks.
fn same_error(error: &SourceError) -> SourceError {
    match error {
        SourceError::Unavailable { source_id, detail } => {
            SourceError::Unavailable { source_id: source_id.clone(), detail: detail.clone() }
        }
        SourceError::Gap { source_id, detail } => {
            SourceError::Gap { source_id: source_id.clone(), detail: detail.clone() }
        }
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.deliveries.close();
        self.wake_reader();
        let Some(thread) = self.thread.take() else { return };
        let deadline = Instant::now() + CLOSE_WITHIN;
        while !thread.is_finished() {
            if Instant::now() >= deadline {
                ReaderCloseError.emit();
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl OffsetCommitter {
    /// Asks for the group offset of a partition to be written; does not wait, and failures are only logged.
    pub fn commit(&self, source: &SourceId, partition: i32, next_offset: u64) {
        let Ok(next_offset) = i64::try_from(next_offset) else { return };
        // A reader that has ended needs no offsets any more.
        drop(self.requests.send(CommitRequest { source: source.clone(), partition, next_offset }));
    }
}
