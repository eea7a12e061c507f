use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use leadsman_domain::{PayloadKind, RawRecord, Timestamp};
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::reach::{Client, Witness, consumer};
use super::{ANSWER_WITHIN, Subject};
use crate::Fault;
use crate::config::{CONSUMER, client};

/// Newest records of a partition that are looked at.
const SAMPLE_RECORDS: u64 = 200;
/// Bytes of a topic after which its sample is large enough.
const SAMPLE_BYTES: usize = 8 * 1024 * 1024;

/// A topic that is there and may be used.
pub struct TopicState {
    /// Its partitions, by number.
    pub partitions: Vec<PartitionState>,
    /// Its settings; `None` where we may not ask for them.
    pub settings: Option<TopicSettings>,
    /// Some of the newest records; none of a topic that is not read.
    pub sample: Vec<RawRecord>,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionState {
    /// Its number.
    pub number: i32,
    /// Copies it should have.
    pub replicas: usize,
    /// Copies that are up to date.
    pub in_sync: usize,
    /// Offset of the oldest record.
    pub low: u64,
    /// One past the newest record.
    pub high: u64,
    /// Time of the newest record, by its producer or, where the topic says so, the broker.
    pub newest: Option<Timestamp>,
}

/// Settings of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSettings {
    /// `cleanup.policy`.
    pub cleanup_policy: String,
    /// `retention.ms`; `None` is for ever.
    pub retention: Option<Duration>,
    /// `retention.bytes` of each partition; `None` is without a limit.
    pub retention_bytes: Option<u64>,
    /// `max.message.bytes`.
    pub max_message_bytes: u64,
    /// `min.insync.replicas`.
    pub min_in_sync: usize,
}

/// Why a topic cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// It does not exist, or nobody may know that it does.
    #[error("does not exist: create it, for example with `kafka-topics.sh --create --topic TOPIC --partitions 6`")]
    Missing,
    /// We may not use it, or the broker does not serve us.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A partition has no leader.
    #[error(
        "partition {0} has no leader: nothing can be read from it or written to it; start the brokers that hold it"
    )]
    Leaderless(i32),
    /// Something else.
    #[error("{0}: ask the broker's log")]
    Other(String),
}

/// Looks at a topic; with a kind of records, fetches from every partition.
pub(super) fn look(
    subject: &Subject,
    asked: &Client,
    name: &str,
    read: Option<PayloadKind>,
) -> Result<TopicState, TopicError> {
    let (partitions, sample) = read_newest(subject, asked, name, read.map(|kind| (kind, SAMPLE_RECORDS)))?;
    Ok(TopicState { partitions, settings: settings(subject, name), sample })
}

/// The partitions of a topic and, with a kind of records, so many of the newest records of each.
pub(super) fn read_newest(
    subject: &Subject,
    asked: &Client,
    name: &str,
    read: Option<(PayloadKind, u64)>,
) -> Result<(Vec<PartitionState>, Vec<RawRecord>), TopicError> {
    let mut partitions = partitions(asked, name)?;
    let reader = consumer(subject, &subject.bootstrap_servers).map_err(|error| TopicError::Other(error.to_string()))?;
    for partition in &mut partitions {
        let marks = reader.fetch_watermarks(name, partition.number, ANSWER_WITHIN);
        let (low, high) = marks.map_err(|error| failed(reader.context(), &error))?;
        (partition.low, partition.high) = (u64::try_from(low).unwrap_or(0), u64::try_from(high).unwrap_or(0));
    }
    let sample = match read {
        Some(newest) => fetch(&reader, name, newest, &mut partitions)?,
        None => Vec::new(),
    };
    Ok((partitions, sample))
}

fn partitions(client: &Client, name: &str) -> Result<Vec<PartitionState>, TopicError> {
    let metadata = match client.fetch_metadata(Some(name), ANSWER_WITHIN) {
        Err(ClientError::MetadataFetch(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition)) => {
            return Err(TopicError::Missing);
        }
        other => other.map_err(|error| failed(client.context(), &error))?,
    };
    let topic = metadata.topics().iter().find(|topic| topic.name() == name).ok_or(TopicError::Missing)?;
    match topic.error() {
        None => {}
        Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => return Err(TopicError::Missing),
        Some(code) => return Err(failed(client.context(), &ClientError::MetadataFetch(code.into()))),
    }
    if let Some(without) = topic.partitions().iter().find(|partition| partition.leader() < 0) {
        return Err(TopicError::Leaderless(without.id()));
    }
    let mut found: Vec<_> = topic
        .partitions()
        .iter()
        .map(|partition| PartitionState {
            number: partition.id(),
            replicas: partition.replicas().len(),
            in_sync: partition.isr().len(),
            low: 0,
            high: 0,
            newest: None,
        })
        .collect();
    found.sort_unstable_by_key(|partition| partition.number);
    if found.is_empty() { Err(TopicError::Missing) } else { Ok(found) }
}

/// Fetches the newest records of every partition up to its end.
fn fetch(
    reader: &Client,
    name: &str,
    (kind, records): (PayloadKind, u64),
    partitions: &mut [PartitionState],
) -> Result<Vec<RawRecord>, TopicError> {
    let mut wanted = TopicPartitionList::new();
    for partition in &*partitions {
        let from = partition.high.saturating_sub(records).max(partition.low);
        let from = i64::try_from(from).map_or(Offset::End, Offset::Offset);
        wanted.add_partition_offset(name, partition.number, from).map_err(|error| failed(reader.context(), &error))?;
    }
    reader.assign(&wanted).map_err(|error| failed(reader.context(), &error))?;
    let (mut ended, mut newest, mut sample) = (BTreeSet::new(), BTreeMap::new(), Vec::<RawRecord>::new());
    let (mut bytes, started) = (0, Instant::now());
    while ended.len() < partitions.len() && bytes < SAMPLE_BYTES {
        if started.elapsed() >= ANSWER_WITHIN {
            let fault = reader.context().fault().filter(|fault| *fault != Fault::GroupDenied);
            return Err(fault.unwrap_or(Fault::Silent).into());
        }
        match reader.poll(Duration::from_millis(100)) {
            None => {}
            Some(Ok(record)) => {
                let received_at = record.timestamp().to_millis().map(Timestamp::from_millis);
                newest.insert(record.partition(), received_at);
                let payload = Bytes::copy_from_slice(record.payload().unwrap_or_default());
                bytes += payload.len();
                sample.push(RawRecord {
                    offset: u64::try_from(record.offset()).unwrap_or(0),
                    received_at: received_at.unwrap_or(Timestamp::from_millis(i64::MAX)),
                    kind,
                    bytes: payload,
                });
            }
            Some(Err(ClientError::PartitionEOF(number))) => {
                ended.insert(number);
            }
            Some(Err(error)) if Fault::of(&error, "") == Some(Fault::TopicDenied) => {
                return Err(Fault::TopicDenied.into());
            }
            // librdkafka tries again. That it may not use the group is looked at by itself; fetching does not need it.
            Some(Err(_)) => {}
        }
    }
    for partition in partitions {
        partition.newest = newest.remove(&partition.number).flatten();
    }
    Ok(sample)
}

fn failed(witness: &Witness, error: &ClientError) -> TopicError {
    match Fault::of(error, "").or_else(|| witness.fault()) {
        Some(fault) => fault.into(),
        None => TopicError::Other(error.to_string()),
    }
}

/// Settings of the topic; `None` where we may not ask for them, or where nobody answers.
fn settings(subject: &Subject, name: &str) -> Option<TopicSettings> {
    let config = client(&subject.bootstrap_servers, &CONSUMER, &subject.extra).ok()?;
    let admin: AdminClient<Witness> = config.create_with_context(Witness::default()).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().ok()?;
    let options = AdminOptions::new().request_timeout(Some(ANSWER_WITHIN));
    let described = runtime.block_on(admin.describe_configs([&ResourceSpecifier::Topic(name)], &options)).ok()?;
    read_settings(&described.into_iter().next()?.ok()?)
}

fn read_settings(resource: &ConfigResource) -> Option<TopicSettings> {
    let text = |name: &str| resource.get(name).and_then(|entry| entry.value.as_deref());
    // A negative number stands for "no limit".
    let limit = |name: &str| text(name).and_then(|value| value.parse::<u64>().ok());
    Some(TopicSettings {
        cleanup_policy: text("cleanup.policy")?.to_owned(),
        retention: limit("retention.ms").map(Duration::from_millis),
        retention_bytes: limit("retention.bytes"),
        max_message_bytes: limit("max.message.bytes")?,
        min_in_sync: usize::try_from(limit("min.insync.replicas")?).ok()?,
    })
}
