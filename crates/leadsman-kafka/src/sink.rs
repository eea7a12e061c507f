use std::time::Duration;

use leadsman_domain::{FindingSink, OutboxItem, SinkError};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use tokio::sync::oneshot;

use crate::events::{Context, ProducerRestarted};
use crate::{Fault, KafkaError, KafkaSinkConfig};

/// How often a full send queue is tried again.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(20);

/// Publishes findings to a topic: key = entity, headers `finding-id` and `finding-rev`, body = JSON.
///
/// The producer is idempotent and waits for all in-sync replicas. Within a session a record is written
/// once; after a crash the outbox repeats it with the same id and revision.
pub struct KafkaSink {
    config: KafkaSinkConfig,
    producer: ThreadedProducer<Context>,
}

type Report = oneshot::Receiver<Result<(), ClientError>>;

impl KafkaSink {
    /// Makes the producer; brokers are contacted at the first publication.
    ///
    /// Errors: [`KafkaError::InvalidSetting`] and [`KafkaError::ReservedSetting`].
    pub fn open(config: KafkaSinkConfig) -> Result<Self, KafkaError> {
        let producer = producer(&config)?;
        Ok(Self { config, producer })
    }

    /// The name of the sink, `kafka:<topic>`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("kafka:{}", self.config.topic)
    }

    async fn send(&self, item: &OutboxItem) -> Result<Report, ClientError> {
        let (sender, report) = oneshot::channel();
        let mut waiting = Box::new(sender);
        let (id, rev) = (item.id.to_string(), item.rev.to_string());
        loop {
            let headers = OwnedHeaders::new()
                .insert(Header { key: "finding-id", value: Some(&id) })
                .insert(Header { key: "finding-rev", value: Some(&rev) });
            let record = BaseRecord::with_opaque_to(&self.config.topic, waiting)
                .key(item.key.as_str())
                .payload(item.body.as_slice())
                .headers(headers);
            match self.producer.send(record) {
                Ok(()) => return Ok(report),
                Err((ClientError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                    waiting = refused.delivery_opaque;
                    tokio::time::sleep(QUEUE_FULL_WAIT).await;
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    fn failed(&self, item: &OutboxItem, detail: String) -> SinkError {
        SinkError { sink: self.name(), item: format!("{} revision {}", item.id, item.rev), detail }
    }

    /// After a fatal error (the broker forgot this producer's sequence, say) librdkafka takes no more records.
    fn revive(&mut self) -> Result<(), KafkaError> {
        if let Some((_, reason)) = self.producer.client().fatal_error() {
            ProducerRestarted { error: &reason }.emit();
            self.producer = producer(&self.config)?;
        }
        Ok(())
    }
}

/// The error, and what to do about it where that is known.
fn advised(error: &ClientError) -> String {
    match Fault::of(error, "") {
        Some(fault @ (Fault::TopicDenied | Fault::GroupDenied)) => format!("{error}: {fault}"),
        Some(_) | None => error.to_string(),
    }
}

fn producer(config: &KafkaSinkConfig) -> Result<ThreadedProducer<Context>, KafkaError> {
    config
        .producer()?
        .create_with_context(Context)
        .map_err(|error| KafkaError::creation(&config.bootstrap_servers, &error))
}

impl FindingSink for KafkaSink {
    async fn publish(&mut self, items: &[OutboxItem]) -> Result<(), SinkError> {
        let Some(first) = items.first() else { return Ok(()) };
        self.revive().map_err(|error| self.failed(first, error.to_string()))?;
        let mut reports = Vec::with_capacity(items.len());
        let mut outcome = Ok(());
        for item in items {
            match self.send(item).await {
                Ok(report) => reports.push((item, report)),
                Err(error) => {
                    outcome = Err(self.failed(item, advised(&error)));
                    break;
                }
            }
        }
        // Every report is awaited, so that no record is under way when the caller tries again.
        for (item, report) in reports {
            let refused = match report.await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => advised(&error),
                Err(_) => "the producer was closed".to_owned(),
            };
            outcome = outcome.and(Err(self.failed(item, refused)));
        }
        outcome
    }
}
