//! A range of a topic, read outside of any group: nothing is committed, and no member is disturbed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use leadsman_domain::{PayloadKind, RawRecord, Timestamp};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use crate::discovery::{self, ANSWER_WITHIN, check_start, watermarks};
use crate::events::Context;
use crate::page::Page;
use crate::reader::record;
use crate::{KafkaConfig, KafkaError, StartOffset};

/// How long a broker may deliver nothing of what it says it holds.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL_WAIT: Duration = Duration::from_millis(200);

/// Where a range begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeStart {
    /// At this offset of each partition; at its oldest record when that is younger.
    Offset(u64),
    /// At the first record that was received at this time or later.
    Since(Timestamp),
}

/// Which part of a topic to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The topic.
    pub topic: String,
    /// What its records hold.
    pub kind: PayloadKind,
    /// One partition; `None` means all of them.
    pub partition: Option<i32>,
    /// Where it begins.
    pub start: RangeStart,
    /// Ends before the first record that was received at this time or later; without it, at the present end.
    pub until: Option<Timestamp>,
}

/// Offsets of one partition: from the first, up to and without the second.
pub type Bounds = (u64, u64);

/// What reading brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranged {
    /// A record of a partition, in its order.
    Record(i32, RawRecord),
    /// A partition was read to the end of its range.
    End(i32),
}

/// Reads a range. Every call blocks.
pub struct RangeReader {
    consumer: BaseConsumer<Context>,
    range: Range,
    bounds: BTreeMap<i32, Bounds>,
    /// What is still to come of each partition.
    left: BTreeMap<i32, Bounds>,
    /// Partitions whose end was not told yet.
    ended: Vec<i32>,
    page: Page,
    servers: String,
}

impl RangeReader {
    /// Finds out where the range begins and ends. Of the configuration, brokers, group and further settings count; the
    /// group is named, and not joined.
    ///
    /// Errors: when the topic or partition does not exist, or the range begins beyond its end.
    pub fn open(config: &KafkaConfig, range: Range) -> Result<Self, KafkaError> {
        let consumer = discovery::consumer(config)?;
        let servers = config.bootstrap_servers.clone();
        let count = discovery::topic_partitions(&consumer, &range.topic, &servers)?;
        let numbers: Vec<i32> = match range.partition {
            Some(number) => vec![number],
            None => (0..i32::try_from(count).unwrap_or(i32::MAX)).collect(),
        };
        let starts = match range.start {
            RangeStart::Offset(offset) => numbers.iter().map(|number| (*number, Some(offset))).collect(),
            RangeStart::Since(time) => offsets_at(&consumer, &servers, &range.topic, &numbers, time)?,
        };
        let ends = match range.until {
            Some(time) => offsets_at(&consumer, &servers, &range.topic, &numbers, time)?,
            None => BTreeMap::new(),
        };
        let mut bounds = BTreeMap::new();
        for number in numbers {
            let (_, high) = watermarks(&consumer, &servers, &range.topic, number)?;
            // No record is so young: nothing is left of the partition.
            let from = starts.get(&number).copied().flatten().unwrap_or(high);
            let start = if from == 0 { StartOffset::Earliest } else { StartOffset::at(from) };
            let from = check_start(&consumer, &servers, &range.topic, number, start)?.from;
            let to = ends.get(&number).copied().flatten().unwrap_or(high).max(from);
            bounds.insert(number, (from, to));
        }
        let (left, ended) = bounds.iter().partition(|(_, (from, to))| from < to);
        let left: BTreeMap<i32, Bounds> = left;
        let ended: BTreeMap<i32, Bounds> = ended;
        let mut assigned = TopicPartitionList::new();
        for (number, (from, _)) in &left {
            let at = i64::try_from(*from).map_or(Offset::End, Offset::Offset);
            let added = assigned.add_partition_offset(&range.topic, *number, at);
            added.map_err(|error| KafkaError::unavailable(&servers, &error))?;
        }
        consumer.assign(&assigned).map_err(|error| KafkaError::unavailable(&servers, &error))?;
        let (ended, page) = (ended.into_keys().collect(), Page::default());
        Ok(Self { consumer, range, bounds, left, ended, page, servers })
    }

    /// Where the range begins and ends in each partition.
    #[must_use]
    pub fn bounds(&self) -> &BTreeMap<i32, Bounds> {
        &self.bounds
    }

    /// The next record, or the end of a partition; `None` when all of them ended.
    ///
    /// Errors: when the brokers are out of reach for half a minute.
    pub fn read(&mut self) -> Result<Option<Ranged>, KafkaError> {
        let since = Instant::now();
        loop {
            if let Some(number) = self.ended.pop() {
                return Ok(Some(Ranged::End(number)));
            }
            if self.left.is_empty() {
                return Ok(None);
            }
            match self.consumer.poll(POLL_WAIT) {
                None => {}
                Some(Ok(message)) => {
                    let number = message.partition();
                    let taken = record(&message, self.range.kind, &mut self.page);
                    drop(message);
                    if let Some(taken) = taken.and_then(|record| self.take(number, record)) {
                        return Ok(Some(Ranged::Record(number, taken)));
                    }
                }
                // Offsets before the end may hold no record.
                Some(Err(ClientError::PartitionEOF(number))) => self.end(number),
                Some(Err(error @ ClientError::MessageConsumptionFatal(_))) => {
                    return Err(KafkaError::unavailable(&self.servers, &error));
                }
                Some(Err(error)) => tracing::debug!(%error, "kafka read disturbed, trying again"),
            }
            if since.elapsed() >= PATIENCE {
                let detail = "nothing came for 30 seconds of what the brokers say they hold".to_owned();
                return Err(KafkaError::Unavailable { servers: self.servers.clone(), detail });
            }
        }
    }

    /// The record, if it is in the range.
    fn take(&mut self, number: i32, record: RawRecord) -> Option<RawRecord> {
        let (next, end) = *self.left.get(&number)?;
        if record.offset >= end {
            self.end(number);
            return None;
        }
        let after = record.offset.saturating_add(1);
        self.left.insert(number, (after, end));
        if after >= end {
            self.end(number);
        }
        (record.offset >= next).then_some(record)
    }

    fn end(&mut self, number: i32) {
        if self.left.remove(&number).is_some() {
            self.ended.push(number);
            let mut one = TopicPartitionList::new();
            one.add_partition(&self.range.topic, number);
            if let Err(error) = self.consumer.pause(&one) {
                // What still comes of it is not asked for.
                tracing::debug!(%error, "kafka partition not paused");
            }
        }
    }
}

/// The offset of the first record of each partition that was received at `time` or later; `None` where there is none.
fn offsets_at(
    consumer: &BaseConsumer<Context>,
    servers: &str,
    topic: &str,
    numbers: &[i32],
    time: Timestamp,
) -> Result<BTreeMap<i32, Option<u64>>, KafkaError> {
    let unavailable = |error: ClientError| KafkaError::unavailable(servers, &error);
    let mut wanted = TopicPartitionList::new();
    for number in numbers {
        let at = Offset::Offset(time.as_micros().div_euclid(1_000).max(0));
        wanted.add_partition_offset(topic, *number, at).map_err(unavailable)?;
    }
    let found = consumer.offsets_for_times(wanted, ANSWER_WITHIN).map_err(unavailable)?;
    let mut offsets = BTreeMap::new();
    for element in found.elements_for_topic(topic) {
        element.error().map_err(unavailable)?;
        let offset = element.offset().to_raw().and_then(|raw| u64::try_from(raw).ok());
        offsets.insert(element.partition(), offset);
    }
    Ok(offsets)
}
