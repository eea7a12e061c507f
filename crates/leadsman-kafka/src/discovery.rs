use std::time::Duration;

use leadsman_domain::{SourceError, SourceId};
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use crate::config::source_id;
use crate::events::{Context, RecordsSkipped};
use crate::{KafkaConfig, KafkaError};

/// How long a broker may take to answer a question about metadata or offsets.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Where reading a partition starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartOffset {
    /// At the oldest record that is still there.
    Earliest,
    /// At an offset; at the oldest record when that is younger.
    At {
        /// The first record that is looked at: to recognise the log, one more than is needed may be.
        first: u64,
        /// The first record that is needed: what lies from it to the oldest record is told as lost.
        needed: u64,
        /// Where the log ended when it was read last. It must not end before that now.
        known: u64,
    },
}

impl StartOffset {
    /// At this offset and no earlier.
    #[must_use]
    pub fn at(offset: u64) -> Self {
        Self::At { first: offset, needed: offset, known: offset }
    }
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

/// How many partitions each configured topic has.
pub(crate) fn partitions(config: &KafkaConfig) -> Result<Vec<(SourceId, u32)>, KafkaError> {
    let consumer = consumer(config)?;
    let count = |topic: &String| {
        let partitions = topic_partitions(&consumer, topic, &config.bootstrap_servers)?;
        Ok((source_id(topic), u32::try_from(partitions).unwrap_or(u32::MAX)))
    };
    config.topics.iter().map(|(topic, _)| count(topic)).collect()
}

/// A consumer that is no member of the group.
pub(crate) fn consumer(config: &KafkaConfig) -> Result<BaseConsumer<Context>, KafkaError> {
    config
        .consumer()?
        .create_with_context(Context)
        .map_err(|error| KafkaError::creation(&config.bootstrap_servers, &error))
}

pub(crate) fn topic_partitions(
    consumer: &BaseConsumer<Context>,
    topic: &str,
    servers: &str,
) -> Result<usize, KafkaError> {
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
    if found.partitions().is_empty() { Err(missing()) } else { Ok(found.partitions().len()) }
}

/// Compares where a partition should start with what the broker still holds.
///
/// Errors: [`SourceError::Gap`] when it ends before that, or is not there at all: it is not the log that was read.
pub(crate) fn check_start<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    servers: &str,
    topic: &str,
    partition: i32,
    start: StartOffset,
) -> Result<CheckedStart, KafkaError> {
    let (low, high) = watermarks(consumer, servers, topic, partition)?;
    let checked = |from, offset| Ok(CheckedStart { partition, from, offset });
    match start {
        StartOffset::Earliest => checked(low, Offset::Beginning),
        StartOffset::At { known, .. } if known > high => Err(ended_before(topic, partition, known, high).into()),
        StartOffset::At { first, needed, .. } => {
            if needed < low {
                RecordsSkipped { source: &source_id(topic), partition, from: needed, to: low }.emit();
            }
            let from = first.max(low);
            checked(from, i64::try_from(from).map_or(Offset::End, Offset::Offset))
        }
    }
}

/// What is said of a log that ends before what was read of it.
pub(crate) fn ended_before(topic: &str, partition: i32, known: u64, high: u64) -> SourceError {
    recreated(source_id(topic), &format!("partition {partition} was read to offset {known}, but it ends at {high}"))
}

/// The oldest offset of a partition and its end.
pub(crate) fn watermarks<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    servers: &str,
    topic: &str,
    partition: i32,
) -> Result<(u64, u64), KafkaError> {
    let (low, high) = match consumer.fetch_watermarks(topic, partition, ANSWER_WITHIN) {
        Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownPartition) => {
            return Err(recreated(source_id(topic), &format!("partition {partition} does not exist")).into());
        }
        other => other.map_err(|error| KafkaError::unavailable(servers, &error))?,
    };
    Ok((u64::try_from(low).unwrap_or(0), u64::try_from(high).unwrap_or(0)))
}

/// What is said of a log that is not the one that was read.
#[must_use]
pub fn recreated(source_id: SourceId, detail: &str) -> SourceError {
    const ADVICE: &str =
        "the topic was recreated or this is another cluster; start anew with an empty store, or restore the topic";
    SourceError::Gap { source_id, detail: format!("{detail}: {ADVICE}") }
}
