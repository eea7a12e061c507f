use leadsman_domain::{FindingSink, OutboxItem, SinkError};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{Header, OwnedHeaders};

use crate::producer::{Client, delivered};
use crate::{Fault, KafkaError, KafkaSinkConfig};

/// Publishes findings to a topic: key = entity, headers `finding-id` and `finding-rev`, body = JSON.
///
/// The producer is idempotent and waits for all in-sync replicas. Within a session a record is written
/// once; after a crash the outbox repeats it with the same id and revision.
pub struct KafkaSink {
    client: Client,
}

impl KafkaSink {
    /// Makes the producer; brokers are contacted at the first publication.
    ///
    /// Errors: [`KafkaError::InvalidSetting`] and [`KafkaError::ReservedSetting`].
    pub fn open(config: KafkaSinkConfig) -> Result<Self, KafkaError> {
        Ok(Self { client: Client::open(config)? })
    }

    /// The name of the sink, `kafka:<topic>`.
    #[must_use]
    pub fn name(&self) -> String {
        name(self.client.config())
    }
}

/// The error, and what to do about it where that is known.
fn advised(error: &ClientError) -> String {
    match Fault::of(error, "") {
        Some(fault @ (Fault::TopicDenied | Fault::GroupDenied)) => format!("{error}: {fault}"),
        Some(_) | None => error.to_string(),
    }
}

/// The name of the sink that writes to this topic.
pub(crate) fn name(config: &KafkaSinkConfig) -> String {
    format!("kafka:{}", config.topic)
}

/// What consumers tell a repeated finding by.
pub(crate) fn headers(item: &OutboxItem) -> OwnedHeaders {
    OwnedHeaders::new()
        .insert(Header { key: "finding-id", value: Some(&item.id.to_string()) })
        .insert(Header { key: "finding-rev", value: Some(&item.rev.to_string()) })
}

pub(crate) fn failed(config: &KafkaSinkConfig, item: &OutboxItem, detail: String) -> SinkError {
    SinkError { sink: name(config), item: format!("{} revision {}", item.id, item.rev), detail }
}

impl FindingSink for KafkaSink {
    async fn publish(&mut self, items: &[OutboxItem]) -> Result<(), SinkError> {
        let Some(first) = items.first() else { return Ok(()) };
        let revived = self.client.revive();
        let config = self.client.config();
        revived.map_err(|error| failed(config, first, error.to_string()))?;
        let mut reports = Vec::with_capacity(items.len());
        for item in items {
            let sent = self.client.send(&config.topic, item.key.as_bytes(), &item.body, None, Some(headers(item)));
            let sent = sent.await;
            let refused = sent.is_err();
            reports.push((item, sent));
            if refused {
                break;
            }
        }
        // Every report is awaited, so that no record is under way when the caller tries again.
        let mut outcome = Ok(());
        for (item, report) in reports {
            if let Err(error) = delivered(report).await {
                outcome = outcome.and(Err(failed(config, item, advised(&error))));
            }
        }
        outcome
    }
}
