//! Findings published exactly once: a batch is one transaction, which also says what it held.
//!
//! A process that is killed between the end of its transaction and the acknowledgement in the store leaves findings
//! in the outbox that are published already. The next one must not publish them again, and only Kafka knows. So the
//! transaction writes a digest of its batch, as metadata of an offset of the group `<group>-outbox`: either both are
//! there or neither.

mod progress;

use std::time::{Duration, Instant};

use leadsman_domain::{FindingSink, OutboxItem, SinkError};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};

use self::progress::Progress;
use crate::events::{ConnectionError, Context, ProducerRestarted, client_log};
use crate::sink::{failed, headers, name};
use crate::{KafkaError, KafkaSinkConfig};

/// How long each step of a transaction may take.
const STEP: Duration = Duration::from_secs(10);
/// How often a coordinator is asked again that is not ready.
const COORDINATOR_WAIT: Duration = Duration::from_millis(100);
/// How often a full send queue is tried again.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(20);
/// After this long the broker ends a transaction whose producer is gone, so that readers are not held up.
const TRANSACTION_TIMEOUT_MS: &str = "60000";
/// Where the digests stand. Every topic has it.
const PARTITION: i32 = 0;

/// Publishes findings in transactions; the records are those of [`KafkaSink`](crate::KafkaSink).
///
/// A consumer with `isolation.level=read_committed` sees each revision of a finding once, whatever was killed, as long
/// as the outbox offers what is not acknowledged in its order. Where it does not, a finding is repeated, never lost.
///
/// One process of a group publishes at a time: a second one takes over, and the first is refused.
pub struct ExactlyOnceSink {
    config: KafkaSinkConfig,
    group: String,
    /// Made with the first batch, and anew after a fault: only then it is known what became of a transaction.
    session: Option<Session>,
}

struct Session {
    producer: BaseProducer<Outgoing>,
    offsets: BaseConsumer<Context>,
    progress: Progress,
}

impl ExactlyOnceSink {
    /// A sink of the consumer group `group`; brokers are contacted at the first publication.
    ///
    /// Errors: [`KafkaError::InvalidSetting`] and [`KafkaError::ReservedSetting`].
    pub fn open(config: KafkaSinkConfig, group: &str) -> Result<Self, KafkaError> {
        let sink = Self { config, group: Self::group(group), session: None };
        // Settings are refused now, not when the first finding waits.
        producer(&sink.config, &sink.transactional_id())?;
        Ok(sink)
    }

    /// The group that holds the marks of what the consumer group `group` publishes.
    #[must_use]
    pub fn group(group: &str) -> String {
        format!("{group}-outbox")
    }

    /// The name of the sink, `kafka:<topic>`.
    #[must_use]
    pub fn name(&self) -> String {
        name(&self.config)
    }

    /// By which brokers know that two processes are the same publisher.
    #[must_use]
    pub fn transactional_id(&self) -> String {
        format!("{}.{}", self.group, self.config.topic)
    }
}

impl FindingSink for ExactlyOnceSink {
    async fn publish(&mut self, items: &[OutboxItem]) -> Result<(), SinkError> {
        let Some(first) = items.first() else { return Ok(()) };
        let (session, config, group, id) =
            (self.session.take(), self.config.clone(), self.group.clone(), self.transactional_id());
        let batch = items.to_vec();
        // Every call of the transactional API blocks.
        let published = tokio::task::spawn_blocking(move || {
            let mut session = session.map_or_else(|| Session::open(&config, &group, &id), Ok)?;
            session.publish(&config, &batch).inspect_err(|error| session.abort(error))?;
            Ok(session)
        });
        match published.await {
            Ok(Ok(session)) => {
                self.session = Some(session);
                Ok(())
            }
            Ok(Err(error)) => Err(failed(&self.config, first, self.advice(&error))),
            Err(error) => Err(failed(&self.config, first, error.to_string())),
        }
    }
}

impl ExactlyOnceSink {
    fn advice(&self, error: &KafkaError) -> String {
        let KafkaError::Transaction { code, .. } = error else { return error.to_string() };
        match code {
            Some(
                RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch,
            ) => "another process of the group publishes now, one at a time does: this one tries again".to_owned(),
            Some(RDKafkaErrorCode::TransactionalIdAuthorizationFailed) => {
                format!(
                    "{error}: let our principal write and describe the transactional id {}",
                    self.transactional_id()
                )
            }
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {
                format!("{error}: let our principal read the group {}", self.group)
            }
            Some(_) | None => error.to_string(),
        }
    }
}

// === impl Session ===

impl Session {
    /// Takes the publisher's place: what an earlier one had begun is ended, committed or not, and known after this.
    fn open(config: &KafkaSinkConfig, group: &str, id: &str) -> Result<Self, KafkaError> {
        let producer = producer(config, id)?;
        producer.init_transactions(STEP).map_err(KafkaError::transaction)?;
        let offsets: BaseConsumer<Context> = config
            .offsets_of(group)?
            .create_with_context(Context)
            .map_err(|error| KafkaError::creation(&config.bootstrap_servers, &error))?;
        let found = committed(&offsets, &config.topic).map_err(KafkaError::transaction)?;
        let elements = found.elements_for_topic(&config.topic);
        let progress = elements.first().map(|found| {
            found.error().map_err(KafkaError::transaction)?;
            Ok::<_, KafkaError>(Progress::parse(found.offset().to_raw().unwrap_or(0), found.metadata()))
        });
        Ok(Self { producer, offsets, progress: progress.transpose()?.unwrap_or_default() })
    }

    fn publish(&mut self, config: &KafkaSinkConfig, items: &[OutboxItem]) -> Result<(), KafkaError> {
        let new = self.progress.unpublished(items);
        if new.is_empty() {
            return Ok(());
        }
        let progress = self.progress.with(&new);
        self.producer.begin_transaction().map_err(KafkaError::transaction)?;
        for item in new {
            self.send(config, item)?;
        }
        let mut offsets = TopicPartitionList::new();
        let mut element = offsets.add_partition(&config.topic, PARTITION);
        element.set_offset(Offset::Offset(progress.offset())).map_err(KafkaError::transaction)?;
        element.set_metadata(progress.metadata());
        let group = self.offsets.group_metadata().ok_or(KafkaError::Transaction {
            code: None,
            detail: "the client gives no metadata of its group".to_owned(),
        })?;
        self.producer.send_offsets_to_transaction(&offsets, &group, STEP).map_err(KafkaError::transaction)?;
        self.producer.commit_transaction(STEP).map_err(KafkaError::transaction)?;
        self.progress = progress;
        Ok(())
    }

    fn send(&self, config: &KafkaSinkConfig, item: &OutboxItem) -> Result<(), KafkaError> {
        loop {
            let record = BaseRecord::to(&config.topic)
                .key(item.key.as_str())
                .payload(item.body.as_slice())
                .headers(headers(item));
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((ClientError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    self.producer.poll(QUEUE_FULL_WAIT);
                }
                Err((error, _)) => return Err(KafkaError::transaction(error)),
            }
        }
    }

    /// Lets readers go on at once. What fails here is ended by the next session, or by the broker in time.
    fn abort(&self, error: &KafkaError) {
        ProducerRestarted { error: &error.to_string() }.emit();
        if self.producer.client().fatal_error().is_none()
            && let Err(error) = self.producer.abort_transaction(STEP)
        {
            tracing::debug!(%error, "kafka transaction not aborted");
        }
    }
}

/// What the group has committed. A broker that has just become its coordinator says for a moment that it is none.
fn committed(offsets: &BaseConsumer<Context>, topic: &str) -> Result<TopicPartitionList, ClientError> {
    let since = Instant::now();
    loop {
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition(topic, PARTITION);
        match offsets.committed_offsets(wanted, STEP) {
            Err(error) if is_settling(&error) && since.elapsed() < STEP => std::thread::sleep(COORDINATOR_WAIT),
            other => return other,
        }
    }
}

fn is_settling(error: &ClientError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
        )
    )
}

fn producer(config: &KafkaSinkConfig, id: &str) -> Result<BaseProducer<Outgoing>, KafkaError> {
    let mut client = config.producer()?;
    client.set("transactional.id", id).set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS);
    // A record must not outlive its transaction.
    client.set("message.timeout.ms", TRANSACTION_TIMEOUT_MS);
    client.create_with_context(Outgoing).map_err(|error| KafkaError::creation(&config.bootstrap_servers, &error))
}

/// Routes the producer's messages to the log. A record that was not delivered fails the commit of its transaction.
struct Outgoing;

impl ClientContext for Outgoing {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, log_message: &str) {
        client_log(level, fac, log_message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        ConnectionError { error: &error, reason }.emit();
    }
}

impl ProducerContext for Outgoing {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}
