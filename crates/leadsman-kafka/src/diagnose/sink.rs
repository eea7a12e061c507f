use std::sync::mpsc::sync_channel;

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};

use super::reach::Witness;
use super::topic::{TopicError, TopicState};
use super::{ANSWER_WITHIN, Subject};
use crate::config::{PRODUCER, client};
use crate::{Fault, KafkaError};

/// A topic whose records may be larger is not offered one.
const LARGEST_OFFER: u64 = 64 * 1024 * 1024;

/// Whether a topic can be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writing {
    /// The broker would take them.
    Allowed,
    /// The broker would not.
    Refused(Fault),
    /// It cannot be known without writing: the topic's largest record is unknown or very large.
    Unknown,
    /// Something else came in between.
    Failed(String),
}

/// Offers a record that is too large to be taken.
pub(super) fn look(
    subject: &Subject,
    name: &str,
    topic: &Result<TopicState, TopicError>,
) -> Result<Option<Writing>, KafkaError> {
    let limit = match topic {
        Ok(TopicState { settings: Some(settings), .. }) => settings.max_message_bytes,
        Ok(TopicState { settings: None, .. }) => return Ok(Some(Writing::Unknown)),
        Err(TopicError::Fault(fault @ Fault::TopicDenied)) => return Ok(Some(Writing::Refused(*fault))),
        Err(_) => return Ok(None),
    };
    let Some(size) = usize::try_from(limit).ok().filter(|_| limit <= LARGEST_OFFER) else {
        return Ok(Some(Writing::Unknown));
    };
    let mut config = client(&subject.bootstrap_servers, &PRODUCER, &subject.extra)?;
    // The client must let through what the broker will not.
    config
        .set("message.max.bytes", (limit + 65_536).to_string())
        .set("compression.type", "none")
        .set("message.timeout.ms", ANSWER_WITHIN.as_millis().to_string());
    let servers = &subject.bootstrap_servers;
    let producer: ThreadedProducer<Witness> =
        config.create_with_context(Witness::default()).map_err(|error| KafkaError::creation(servers, &error))?;
    let (sender, report) = sync_channel(1);
    let payload = vec![0_u8; size + 1];
    let record = BaseRecord::<(), [u8], _>::with_opaque_to(name, Box::new(sender)).payload(&payload);
    if let Err((error, _)) = producer.send(record) {
        return Ok(Some(Writing::Failed(error.to_string())));
    }
    let outcome = report.recv_timeout(ANSWER_WITHIN * 2);
    let denied = producer.client().fatal_error().map(|(code, _)| code);
    Ok(Some(match outcome {
        Ok(Err(error)) => verdict(&error, denied),
        Ok(Ok(())) => Writing::Failed("a record above the topic's limit was taken: its limit just changed".to_owned()),
        Err(_) => Writing::Refused(producer.context().fault().unwrap_or(Fault::Silent)),
    }))
}

fn verdict(error: &ClientError, fatal: Option<RDKafkaErrorCode>) -> Writing {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize) => Writing::Allowed,
        // The producer is idempotent, and a broker may refuse it that before it looks at the topic.
        Some(RDKafkaErrorCode::ClusterAuthorizationFailed) => Writing::Refused(Fault::TopicDenied),
        _ if matches!(fatal, Some(RDKafkaErrorCode::ClusterAuthorizationFailed)) => {
            Writing::Refused(Fault::TopicDenied)
        }
        _ => Fault::of(error, "").map_or_else(|| Writing::Failed(error.to_string()), Writing::Refused),
    }
}
