use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{collections::BTreeMap, sync::Mutex};

use leadsman_domain::SourceId;
use rdkafka::consumer::Consumer;
use tokio::sync::mpsc;

use crate::budget::Budget;
use crate::config::source_id;
use crate::discovery;
use crate::events::{ReaderCloseError, Repeats};
use crate::group::GroupEvent;
use crate::member::{Member, Progress, lock};
use crate::reader::{Again, Durable, Reader, Standing, TopicReader};
use crate::{KafkaConfig, KafkaError};

/// Closing a consumer can hang (librdkafka 4884, rust-rdkafka 509); a shutdown must not.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// How long the reader waits for the caller before it answers a rebalance without it.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// Events that wait for the caller. Records are bounded by their bytes, so this bounds little more than errors.
const EVENTS: usize = 1_024;

/// A member of a consumer group for each topic: reads the partitions that the group assigns to it.
///
/// One thread owns librdkafka's consumers and hands [`GroupEvent`]s over in order. Where a partition starts is
/// what the caller answers; the group's offset in Kafka is only written, for lag tools.
///
/// [`KafkaSource::stop`] leaves the group: the remaining revocations come as events, then the source ends.
/// Dropping it without that stops the thread and waits for it, for at most five seconds.
#[derive(Debug)]
pub struct KafkaSource {
    events: mpsc::Receiver<GroupEvent>,
    monitor: KafkaMonitor,
    thread: Option<JoinHandle<()>>,
    again: Again,
    aside: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

/// What can be seen of, and told to, a source while another task waits for its events.
#[derive(Debug, Clone)]
pub struct KafkaMonitor {
    durable: Durable,
    progress: Arc<Progress>,
    budget: Budget,
}

impl KafkaSource {
    /// How many partitions each of the configured topics has, in the order of the configuration.
    ///
    /// Blocks for up to ten seconds per topic: call it off the async runtime.
    ///
    /// Errors: [`KafkaError::MissingTopic`] names a topic that does not exist.
    pub fn discover(config: &KafkaConfig) -> Result<Vec<(SourceId, u32)>, KafkaError> {
        discovery::partitions(config)
    }

    /// Joins the group.
    ///
    /// Errors: when a setting is refused or a thread cannot be started. A broker that is out of reach is no error:
    /// it is tried again until it answers.
    pub fn join(config: &KafkaConfig) -> Result<Self, KafkaError> {
        Self::join_tuned(config, Duration::from_secs(1))
    }

    pub(crate) fn join_tuned(config: &KafkaConfig, pause_after: Duration) -> Result<Self, KafkaError> {
        let (sender, events) = mpsc::channel(EVENTS);
        let stop = Arc::new(AtomicBool::new(false));
        let progress = Arc::new(Progress::default());
        let mut topics = Vec::new();
        for (topic, kind) in &config.topics {
            let source = source_id(topic);
            let member = Member {
                topic: topic.clone(),
                source: source.clone(),
                servers: config.bootstrap_servers.clone(),
                events: sender.clone(),
                stop: Arc::clone(&stop),
                drain_timeout: DRAIN_TIMEOUT,
                progress: Arc::clone(&progress),
                changes: Mutex::default(),
            };
            let consumer = config
                .consumer()?
                .create_with_context(member)
                .map_err(|error| KafkaError::creation(&config.bootstrap_servers, &error))?;
            let subscribed: Result<(), rdkafka::error::KafkaError> =
                rdkafka::consumer::BaseConsumer::subscribe(&consumer, &[topic]);
            subscribed.map_err(|error| KafkaError::unavailable(&config.bootstrap_servers, &error))?;
            let (topic, kind) = (topic.clone(), *kind);
            let (partitions, repeats) = (BTreeMap::new(), Repeats::default());
            topics.push(TopicReader { topic, source, kind, consumer, partitions, repeats, outrun_at: None });
        }
        let monitor =
            KafkaMonitor { durable: Durable::default(), progress, budget: Budget::new(config.max_bytes_under_way) };
        let (again, aside) = (Again::default(), Arc::new(AtomicBool::new(false)));
        let reader = Reader {
            topics,
            limits: config.batch,
            idle_after: config.idle_after,
            pause_after,
            budget: monitor.budget.clone(),
            events: sender,
            durable: Arc::clone(&monitor.durable),
            again: Arc::clone(&again),
            aside: Standing { wanted: Arc::clone(&aside), leaving: false, left: false },
            stop: Arc::clone(&stop),
        };
        let thread = thread::Builder::new().name("kafka-source".to_owned()).spawn(move || reader.run())?;
        Ok(Self { events, monitor, thread: Some(thread), again, aside, stop })
    }

    /// The next event; `None` when the group was left.
    pub async fn next(&mut self) -> Option<GroupEvent> {
        self.events.recv().await
    }

    /// Lets a partition that is still ours be assigned anew: its caller lost it, and Kafka does not know.
    pub fn assign_again(&self, source: &SourceId, partition: i32) {
        lock(&self.again).insert((source.clone(), partition));
    }

    /// Leaves the group until [`Self::come_back`]: every partition is revoked. Those that are assigned before that takes
    /// effect must not be answered.
    pub fn step_aside(&self) {
        self.aside.store(true, Ordering::Relaxed);
    }

    /// Joins the group again.
    pub fn come_back(&self) {
        self.aside.store(false, Ordering::Relaxed);
    }

    /// Begins to leave the group for good. Go on taking events until there is none.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// A handle for other tasks.
    #[must_use]
    pub fn monitor(&self) -> KafkaMonitor {
        self.monitor.clone()
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.stop();
        self.events.close();
        // What still waits in the channel holds answers that the thread may be waiting for.
        while self.events.try_recv().is_ok() {}
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

impl KafkaMonitor {
    /// Lets the group's offset of a partition be written soon, for lag tools; failures are only logged.
    pub fn committed(&self, source: &SourceId, partition: i32, next_offset: u64) {
        // No broker assigns an offset beyond it.
        let Ok(next) = i64::try_from(next_offset) else { return };
        lock(&self.durable).insert((source.clone(), partition), next);
    }

    /// One past the last offset of each partition that was read from, as of the last few seconds.
    #[must_use]
    pub fn ends(&self) -> BTreeMap<(SourceId, i32), u64> {
        lock(&self.progress.ends).clone()
    }

    /// Assignments and revocations so far.
    #[must_use]
    pub fn rebalances(&self) -> u64 {
        self.progress.rebalances.load(Ordering::Relaxed)
    }

    /// Bytes of records that were handed over and are not stored yet, and bytes that wait in the client, as of the
    /// last few seconds.
    #[must_use]
    pub fn bytes_under_way(&self) -> (u64, u64) {
        let fetched = lock(&self.progress.fetched).values().sum();
        (u64::try_from(self.budget.used()).unwrap_or(u64::MAX), fetched)
    }
}
