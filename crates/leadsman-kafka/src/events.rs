//! What this crate tells the operator, and the client context that passes librdkafka's own messages on.

use leadsman_domain::SourceId;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::sync::oneshot;

/// The partitions of a topic are being read.
pub(crate) struct PartitionsAssigned<'a> {
    pub(crate) source: &'a SourceId,
    pub(crate) partitions: usize,
}

impl PartitionsAssigned<'_> {
    pub(crate) fn emit(&self) {
        tracing::info!(source = %self.source, partitions = self.partitions, "kafka partitions assigned");
    }
}

/// The consumer of our batches is slow; the partitions are paused until it catches up.
pub(crate) struct ReadingPaused;

impl ReadingPaused {
    pub(crate) fn emit(&self) {
        tracing::info!("kafka reading paused until earlier batches are processed");
    }
}

/// Pausing or resuming failed; reading goes on as it was.
pub(crate) struct PauseError<'a> {
    pub(crate) error: &'a KafkaError,
}

impl PauseError<'_> {
    pub(crate) fn emit(&self) {
        tracing::warn!(error = %self.error, "kafka partitions could not be paused or resumed");
    }
}

/// librdkafka reports a fault that it recovers from by itself.
pub(crate) struct ConnectionError<'a> {
    pub(crate) error: &'a KafkaError,
}

impl ConnectionError<'_> {
    pub(crate) fn emit(&self) {
        tracing::warn!(error = %self.error, "kafka connection disturbed, retrying");
    }
}

/// The group offset for lag tools was not written.
pub(crate) struct OffsetCommitError<'a> {
    pub(crate) error: &'a KafkaError,
}

impl OffsetCommitError<'_> {
    pub(crate) fn emit(&self) {
        tracing::warn!(error = %self.error, "kafka group offset not committed: lag tools show an old position");
    }
}

/// The reader thread did not end in time.
pub(crate) struct ReaderCloseError;

impl ReaderCloseError {
    pub(crate) fn emit(&self) {
        tracing::warn!("kafka reader thread did not close in time and was left behind");
    }
}

/// The producer met a fault it cannot recover from and was made anew.
pub(crate) struct ProducerRestarted<'a> {
    pub(crate) error: &'a str,
}

impl ProducerRestarted<'_> {
    pub(crate) fn emit(&self) {
        tracing::warn!(error = self.error, "kafka producer restarted");
    }
}

/// Routes librdkafka's callbacks to the log, and delivery reports to who waits for them.
pub(crate) struct Context;

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, log_message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::warn!(facility = fac, message = log_message, "librdkafka");
            }
            RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
                tracing::info!(facility = fac, message = log_message, "librdkafka");
            }
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(facility = fac, message = log_message, "librdkafka");
            }
        }
    }

    fn error(&self, error: KafkaError, _reason: &str) {
        ConnectionError { error: &error }.emit();
    }
}

impl ConsumerContext for Context {
    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            OffsetCommitError { error: &error }.emit();
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<oneshot::Sender<Result<(), KafkaError>>>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiting: Self::DeliveryOpaque) {
        let outcome = match result {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(error.clone()),
        };
        // Nobody waits any more when the publishing task was cancelled; the outbox then repeats the item.
        drop(waiting.send(outcome));
    }
}
