//! The idempotent producer behind the sink of findings and the re-key stage.

use std::time::Duration;

use leadsman_domain::Timestamp;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use tokio::sync::oneshot;

use crate::events::{Context, DeliveryError, ProducerRestarted};
use crate::{KafkaError, KafkaSinkConfig};

/// How often a full send queue is tried again.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(20);
/// Pause before records that were not taken are sent again.
const SEND_AGAIN: Duration = Duration::from_millis(500);

/// A record on its way to a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Which partition it goes to: records of one key stay together and in order.
    pub key: Vec<u8>,
    /// What it holds.
    pub payload: Vec<u8>,
    /// What readers see as the time of its receipt.
    pub received_at: Timestamp,
}

/// Appends records to one topic, each acknowledged by all in-sync replicas.
pub struct KafkaProducer {
    client: Client,
    topic: String,
}

impl KafkaProducer {
    /// Makes the producer; brokers are contacted at the first delivery.
    ///
    /// Errors: [`KafkaError::InvalidSetting`] and [`KafkaError::ReservedSetting`].
    pub fn open(config: KafkaSinkConfig) -> Result<Self, KafkaError> {
        let topic = config.topic.clone();
        Ok(Self { client: Client::open(config)?, topic })
    }

    /// Delivers records in their order and waits until every one is acknowledged, however long that takes. Returns the
    /// indices of those that are larger than the topic allows; all others are durable.
    ///
    /// A broker refuses a batch as a whole when one record in it is too large. So those of a refused batch are sent
    /// again, behind the others: the largest by itself, until what is left is taken.
    ///
    /// Errors: when the producer cannot be made anew after a fault.
    pub async fn deliver(&mut self, records: &[Outgoing]) -> Result<Vec<usize>, KafkaError> {
        let size = |index: &usize| records.get(*index).map_or(0, |record| record.payload.len());
        let mut too_large = Vec::new();
        let mut suspects = self.send(records, (0..records.len()).collect()).await?;
        while let Some(largest) = suspects.iter().copied().max_by_key(size) {
            suspects.retain(|index| *index != largest);
            if self.send(records, vec![largest]).await?.is_empty() {
                // Each of them fits, but not all together.
                for index in std::mem::take(&mut suspects) {
                    too_large.extend(self.send(records, vec![index]).await?);
                }
            } else {
                too_large.push(largest);
                suspects = self.send(records, suspects).await?;
            }
        }
        Ok(too_large)
    }

    /// Sends the records `left` until each is acknowledged or refused for its size or its batch's; the refused ones.
    async fn send(&mut self, records: &[Outgoing], mut left: Vec<usize>) -> Result<Vec<usize>, KafkaError> {
        let mut too_large = Vec::new();
        loop {
            self.client.revive()?;
            let mut reports = Vec::with_capacity(left.len());
            for index in left {
                let Some(record) = records.get(index) else { continue };
                let sent = self.client.send(&self.topic, &record.key, &record.payload, Some(record.received_at), None);
                reports.push((index, sent.await));
            }
            let mut refused = None;
            left = Vec::new();
            for (index, report) in reports {
                match delivered(report).await {
                    Ok(()) => {}
                    Err(error) if is_too_large(&error) => too_large.push(index),
                    Err(error) => {
                        left.push(index);
                        refused.get_or_insert(error);
                    }
                }
            }
            let Some(error) = refused else { return Ok(too_large) };
            DeliveryError { topic: &self.topic, records: left.len(), error: &error }.emit();
            tokio::time::sleep(SEND_AGAIN).await;
        }
    }
}

fn is_too_large(error: &ClientError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge)
}

/// A producer that is made anew when it can go on no more.
pub(crate) struct Client {
    config: KafkaSinkConfig,
    producer: ThreadedProducer<Context>,
}

/// What becomes of a record that was sent.
pub(crate) type Report = Result<oneshot::Receiver<Result<(), ClientError>>, ClientError>;

/// Waits for the report.
pub(crate) async fn delivered(report: Report) -> Result<(), ClientError> {
    match report {
        // The sender is gone when the producer was closed.
        Ok(waiting) => waiting.await.unwrap_or(Err(ClientError::Canceled)),
        Err(error) => Err(error),
    }
}

impl Client {
    pub(crate) fn open(config: KafkaSinkConfig) -> Result<Self, KafkaError> {
        let producer = producer(&config)?;
        Ok(Self { config, producer })
    }

    pub(crate) fn config(&self) -> &KafkaSinkConfig {
        &self.config
    }

    /// After a fatal error (the broker forgot this producer's sequence, say) librdkafka takes no more records.
    pub(crate) fn revive(&mut self) -> Result<(), KafkaError> {
        if let Some((_, reason)) = self.producer.client().fatal_error() {
            ProducerRestarted { error: &reason }.emit();
            self.producer = producer(&self.config)?;
        }
        Ok(())
    }

    /// Hands a record over, waiting while the queue is full.
    pub(crate) async fn send(
        &self,
        topic: &str,
        key: &[u8],
        payload: &[u8],
        time: Option<Timestamp>,
        headers: Option<OwnedHeaders>,
    ) -> Report {
        let (sender, report) = oneshot::channel();
        let mut waiting = Box::new(sender);
        loop {
            let mut record = BaseRecord::with_opaque_to(topic, waiting).key(key).payload(payload);
            if let Some(time) = time {
                record = record.timestamp(time.as_micros() / 1_000);
            }
            if let Some(headers) = &headers {
                record = record.headers(headers.clone());
            }
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
}

fn producer(config: &KafkaSinkConfig) -> Result<ThreadedProducer<Context>, KafkaError> {
    config
        .producer()?
        .create_with_context(Context)
        .map_err(|error| KafkaError::creation(&config.bootstrap_servers, &error))
}
