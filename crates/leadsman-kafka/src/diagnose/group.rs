use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::reach::{Client, consumer_of, drain};
use super::{ANSWER_WITHIN, Subject};
use crate::{Fault, KafkaError};

/// No topic has so many partitions.
const NOWHERE: i32 = i32::MAX;

/// Whether the group may be used. `topic` must be one that may be read.
pub(super) fn look(subject: &Subject, group: &str, topic: &str) -> Result<Result<(), Fault>, KafkaError> {
    let client = consumer_of(subject, &subject.bootstrap_servers, group)?;
    let mut offsets = TopicPartitionList::new();
    offsets
        .add_partition_offset(topic, NOWHERE, Offset::Offset(0))
        .map_err(|error| KafkaError::unavailable(&subject.bootstrap_servers, &error))?;
    // A client whose group has no coordinator yet takes a commit and keeps it; it would hold up its own end.
    if let Err(fault) = find_coordinator(&client, topic) {
        return Ok(Err(fault));
    }
    let Err(error) = client.commit(&offsets, CommitMode::Sync) else { return Ok(Ok(())) };
    Ok(match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownPartition) => Ok(()),
        // Members of a group are known by now, and we are none: but the right to the group was asked for before.
        Some(
            RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::RebalanceInProgress,
        ) => Ok(()),
        Some(_) | None => Err(Fault::of(&error, "").unwrap_or(Fault::Silent)),
    })
}

/// Waits until the group's coordinator answers, by asking for an offset.
fn find_coordinator(client: &Client, topic: &str) -> Result<(), Fault> {
    let mut wanted = TopicPartitionList::new();
    wanted.add_partition(topic, 0);
    let started = Instant::now();
    loop {
        if client.committed_offsets(wanted.clone(), Duration::from_millis(300)).is_ok() {
            return Ok(());
        }
        drain(client);
        match client.context().fault() {
            Some(Fault::GroupDenied) => return Err(Fault::GroupDenied),
            fault if started.elapsed() >= ANSWER_WITHIN => return Err(fault.unwrap_or(Fault::Silent)),
            Some(_) | None => {}
        }
    }
}
