use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use leadsman_domain::{PayloadKind, SourceId};
use rdkafka::ClientConfig;

use crate::KafkaError;

/// When a batch is closed: at whichever limit comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Records.
    pub max_records: usize,
    /// Bytes of payload. The record that reaches the limit is still in the batch.
    pub max_bytes: usize,
    /// Age of the oldest record.
    pub max_wait: Duration,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { max_records: 2_000, max_bytes: 4 * 1024 * 1024, max_wait: Duration::from_millis(250) }
    }
}

/// What to read, and from where.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaConfig {
    /// `host:port`, comma separated.
    pub bootstrap_servers: String,
    /// Consumer group: its members share the partitions, and lag tools show its progress.
    pub group_id: String,
    /// Topics and what their records hold.
    pub topics: Vec<(String, PayloadKind)>,
    /// When a batch is closed.
    pub batch: BatchLimits,
    /// How long nothing may arrive before a partition that was read to its end is said to be idle.
    pub idle_after: Duration,
    /// Most bytes of records that wait for being processed.
    pub max_bytes_under_way: usize,
    /// Further librdkafka settings, such as `security.protocol` and `sasl.*`.
    pub extra: BTreeMap<String, String>,
}

/// Where findings go.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaSinkConfig {
    /// `host:port`, comma separated.
    pub bootstrap_servers: String,
    /// The topic.
    pub topic: String,
    /// Further librdkafka settings, such as `security.protocol` and `sasl.*`.
    pub extra: BTreeMap<String, String>,
}

/// Settings whose values the delivery guarantees rest on, or that have their own key in our configuration.
const RESERVED: [&str; 16] = [
    "acks",
    "allow.auto.create.topics",
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "isolation.level",
    "max.poll.interval.ms",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "request.required.acks",
    "transactional.id",
];

pub(crate) const CONSUMER: [(&str, &str); 22] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // `earliest` would jump over a gap silently, `latest` would lose data.
    ("auto.offset.reset", "error"),
    ("enable.partition.eof", "true"),
    ("isolation.level", "read_committed"),
    ("allow.auto.create.topics", "false"),
    ("fetch.min.bytes", "65536"),
    ("fetch.wait.max.ms", "100"),
    // What the client fetches ahead is a third of the memory of a small worker. With four times as much of each
    // partition and twice as much in all, nothing is faster (docs/adr/0012).
    ("max.partition.fetch.bytes", "1048576"),
    // A response is received into one piece of memory, which must not be a mapping of its own (docs/adr/0012).
    ("fetch.max.bytes", "3145728"),
    ("queued.max.messages.kbytes", "16384"),
    ("queued.min.messages", "20000"),
    // The default of 1000 ms stalls the source whenever the queue was full, and so do 50: what is queued and under way
    // may last no longer than that.
    ("fetch.queue.backoff.ms", "5"),
    ("check.crcs", "true"),
    ("socket.keepalive.enable", "true"),
    ("metadata.max.age.ms", "180000"),
    ("connections.max.idle.ms", "180000"),
    ("reconnect.backoff.max.ms", "10000"),
    ("enable.metrics.push", "false"),
    // The reader polls while nobody takes its batches, so this is a safety net only.
    ("max.poll.interval.ms", "300000"),
    // For lag: where the partitions end.
    ("statistics.interval.ms", "5000"),
    ("client.id", "leadsman"),
];

/// Of a classic group; a group of the newer protocol (KIP-848) takes these from the broker.
const CLASSIC_GROUP: [(&str, &str); 3] = [
    ("partition.assignment.strategy", "cooperative-sticky"),
    // A third of the usual 45 s: who is taken for dead too early is fenced and loses no more than a hand-over,
    // who is noticed late leaves its partitions unwatched.
    ("session.timeout.ms", "15000"),
    ("heartbeat.interval.ms", "3000"),
];

pub(crate) const PRODUCER: [(&str, &str); 13] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("linger.ms", "20"),
    ("batch.size", "1048576"),
    ("compression.type", "zstd"),
    ("message.timeout.ms", "120000"),
    ("message.max.bytes", "10485760"),
    ("queue.buffering.max.kbytes", "65536"),
    ("socket.keepalive.enable", "true"),
    ("connections.max.idle.ms", "180000"),
    ("reconnect.backoff.max.ms", "10000"),
    ("enable.metrics.push", "false"),
    ("client.id", "leadsman"),
];

/// Of a consumer that reads no records.
const OFFSETS: [(&str, &str); 4] = [
    ("enable.auto.commit", "false"),
    // An offset of a transaction that is still being committed is waited for.
    ("isolation.level", "read_committed"),
    ("enable.metrics.push", "false"),
    ("client.id", "leadsman"),
];

/// The source name of a topic, `kafka:<topic>`.
#[must_use]
pub fn source_id(topic: &str) -> SourceId {
    SourceId::new(format!("kafka:{topic}"))
}

impl KafkaConfig {
    /// librdkafka's settings for one consumer.
    pub(crate) fn consumer(&self) -> Result<ClientConfig, KafkaError> {
        let newer = self.extra.get("group.protocol").is_some_and(|protocol| protocol == "consumer");
        let group = if newer { &[][..] } else { &CLASSIC_GROUP };
        let baseline = CONSUMER.iter().chain(group);
        let mut client = client(&self.bootstrap_servers, baseline, &self.extra)?;
        client.set("group.id", &self.group_id);
        Ok(client)
    }
}

impl KafkaSinkConfig {
    /// librdkafka's settings for the producer.
    pub(crate) fn producer(&self) -> Result<ClientConfig, KafkaError> {
        client(&self.bootstrap_servers, &PRODUCER, &self.extra)
    }

    /// librdkafka's settings for a consumer that only reads what a group has committed.
    pub(crate) fn offsets_of(&self, group: &str) -> Result<ClientConfig, KafkaError> {
        let mut client = client(&self.bootstrap_servers, &OFFSETS, &self.extra)?;
        client.set("group.id", group);
        Ok(client)
    }
}

/// librdkafka's settings: a baseline, and what the user adds.
pub(crate) fn client<'a>(
    servers: &str,
    baseline: impl IntoIterator<Item = &'a (&'a str, &'a str)>,
    extra: &BTreeMap<String, String>,
) -> Result<ClientConfig, KafkaError> {
    if let Some(setting) = extra.keys().find(|key| RESERVED.contains(&key.as_str())) {
        return Err(KafkaError::ReservedSetting { setting: setting.clone() });
    }
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers);
    for (key, value) in baseline {
        config.set(*key, *value);
    }
    for (key, value) in extra {
        config.set(key, value);
    }
    Ok(config)
}

/// Shows the names of the further settings only: their values may be passwords and keys.
impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("group_id", &self.group_id)
            .field("topics", &self.topics)
            .field("batch", &self.batch)
            .field("idle_after", &self.idle_after)
            .field("max_bytes_under_way", &self.max_bytes_under_way)
            .field("extra", &self.extra.keys())
            .finish()
    }
}

/// Shows the names of the further settings only: their values may be passwords and keys.
impl fmt::Debug for KafkaSinkConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSinkConfig")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("topic", &self.topic)
            .field("extra", &self.extra.keys())
            .finish()
    }
}
