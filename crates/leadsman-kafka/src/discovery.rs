use std::time::Duration;

use leadsman_domain::{PayloadKind, SourceError, SourceId};
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use crate::config::source_id;
use crate::events::Context;
use crate::{KafkaConfig, KafkaError};

/// How long a broker may take to answer a question about metadata or offsets.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Where reading a partition starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartOffset {
    /// At the oldest record that is still there.
    Earliest,
    /// At this offset; it must not have been deleted yet, and not lie beyond the end.
    At(u64),
}

/// A partition to read, checked against what the broker holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CheckedStart {
    pub(crate) partition: i32,
    /// Start of the first batch.
    pub(crate) from: u64,
    /// What librdkafka is told.
    pub(crate) offset: Offset,
}

/// Every partition of the configured topics.
pub(crate) fn partitions(config: &KafkaConfig) -> Result<Vec<(SourceId, i32, PayloadKind)>, KafkaError> {
    let consumer = consumer(config)?;
    let mut found = Vec::new();
    for (topic, kind) in &config.topics {
        found.extend(
            topic_partitions(&consumer, topic, &config.bootstrap_servers)?
                .into_iter()
                .map(|partition| (source_id(topic), partition, *kind)),
        );
    }
    Ok(found)
}

/// A consumer without an assignment.
pub(crate) fn consumer(config: &KafkaConfig) -> Result<BaseConsumer<Context>, KafkaError> {
    config
        .consumer()?
        .create_with_context(Context)
        .map_err(|error| KafkaError::creation(&config.bootstrap_servers, &error))
}

fn topic_partitions(consumer: &BaseConsumer<Context>, topic: &str, servers: &str) -> Result<Vec<i32>, KafkaError> {
    let missing = || KafkaError::MissingTopic { topic: topic.to_owned(), servers: servers.to_owned() };
    let metadata = match consumer.fetch_metadata(Some(topic), ANSWER_WITHIN) {
        Err(ClientError::MetadataFetch(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition)) => {
            return Err(missing());
        }
        other => other.map_err(|error| KafkaError::unavailable(servers, &error))?,
    };
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Err(missing()) };
    match found.error() {
        None => {}
        Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => return Err(missing()),
        Some(error) => return Err(KafkaError::unavailable(servers, &ClientError::MetadataFetch(error.into()))),
    }
    let mut partitions: Vec<i32> = found.partitions().iter().map(|p| p.id()).collect();
    partitions.sort_unstable();
    if partitions.is_empty() { Err(missing()) } else { Ok(partitions) }
}

/// Compares where a partition should start with what the broker still holds.
pub(crate) fn check_start(
    consumer: &BaseConsumer<Context>,
    config: &KafkaConfig,
    topic: &str,
    partition: i32,
    start: StartOffset,
) -> Result<CheckedStart, KafkaError> {
    let (low, high) = match consumer.fetch_watermarks(topic, partition, ANSWER_WITHIN) {
        Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownPartition) => {
            return Err(gap(topic, format!("partition {partition} does not exist: {RECREATED}")).into());
        }
        other => other.map_err(|error| KafkaError::unavailable(&config.bootstrap_servers, &error))?,
    };
    let (low, high) = (u64::try_from(low).unwrap_or(0), u64::try_from(high).unwrap_or(0));
    let checked = |from, offset| Ok(CheckedStart { partition, from, offset });
    match start {
        StartOffset::Earliest => checked(low, Offset::Beginning),
        StartOffset::At(at) if at < low => Err(gap(
            topic,
            format!("partition {partition} should go on at offset {at}, but its oldest record is {low}: retention deleted {} offsets unread; accept the loss by starting at {low}", low - at),
        )
        .into()),
        StartOffset::At(at) if at > high => {
            Err(gap(topic, format!("partition {partition} should go on at offset {at}, but it ends at {high}: {RECREATED}")).into())
        }
        StartOffset::At(at) => checked(at, i64::try_from(at).map_or(Offset::End, Offset::Offset)),
    }
}

const RECREATED: &str =
    "the topic was recreated or this is another cluster; start anew with an empty store, or restore the topic";

fn gap(topic: &str, detail: String) -> SourceError {
    SourceError::Gap { source_id: source_id(topic), detail }
}
