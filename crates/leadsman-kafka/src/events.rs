//! What this crate tells the operator, and the client context that passes librdkafka's own messages on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use leadsman_domain::SourceId;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
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

/// Partitions were taken away.
pub(crate) struct PartitionsRevoked<'a> {
    pub(crate) source: &'a SourceId,
    pub(crate) partitions: usize,
    pub(crate) lost: bool,
}

impl PartitionsRevoked<'_> {
    pub(crate) fn emit(&self) {
        if self.lost {
            tracing::warn!(
                source = %self.source, partitions = self.partitions,
                "kafka partitions lost: the group took this member for dead"
            );
        } else {
            tracing::info!(source = %self.source, partitions = self.partitions, "kafka partitions handed over");
        }
    }
}

/// What was under way of a revoked partition took too long.
pub(crate) struct RevokeTimeout<'a> {
    pub(crate) source: &'a SourceId,
    pub(crate) waited: std::time::Duration,
}

impl RevokeTimeout<'_> {
    pub(crate) fn emit(&self) {
        tracing::warn!(
            source = %self.source, waited = ?self.waited,
            "revoked partitions did not come to rest in time: their next owner repeats what was not stored"
        );
    }
}

/// A step of a rebalance failed.
pub(crate) struct RebalanceError<'a> {
    pub(crate) source: &'a SourceId,
    pub(crate) error: &'a dyn std::fmt::Display,
}

impl RebalanceError<'_> {
    pub(crate) fn emit(&self) {
        tracing::error!(source = %self.source, error = %self.error, "kafka rebalance disturbed");
    }
}

/// Records were deleted before they were read.
pub(crate) struct RecordsSkipped<'a> {
    pub(crate) source: &'a SourceId,
    pub(crate) partition: i32,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl RecordsSkipped<'_> {
    pub(crate) fn emit(&self) {
        tracing::error!(
            source = %self.source, partition = self.partition, from = self.from, to = self.to,
            "retention deleted records that were not read: give the topic more of it"
        );
    }
}

/// Errors of reading that librdkafka recovers from by itself. It repeats them as often as it tries: each kind is
/// told once in a while.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    told: BTreeMap<i32, Instant>,
}

/// How often the same error is told.
const TELL_AGAIN: Duration = Duration::from_secs(30);

impl Repeats {
    pub(crate) fn emit(&mut self, source: &SourceId, code: Option<RDKafkaErrorCode>, error: &KafkaError, now: Instant) {
        let kind = code.map_or(0, |code| code as i32);
        if self.told.get(&kind).is_some_and(|at| now.saturating_duration_since(*at) < TELL_AGAIN) {
            return;
        }
        self.told.insert(kind, now);
        let advice = match code {
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => "let our principal read and describe the topic",
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => "let our principal read the consumer group",
            Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
                "the topic is gone: create it again, and its state starts anew"
            }
            _ => {
                tracing::warn!(%source, %error, "kafka reading disturbed, it is tried again by itself");
                return;
            }
        };
        tracing::error!(%source, %error, advice, "kafka reading disturbed");
    }
}

/// The consumer of our batches is slow; the partitions are paused until it catches up.
pub(crate) struct ReadingPaused {
    /// Bytes that wait.
    pub(crate) bytes: usize,
}

impl ReadingPaused {
    pub(crate) fn emit(&self) {
        tracing::info!(bytes = self.bytes, "kafka reading paused until earlier batches are stored");
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
    /// librdkafka's own words.
    pub(crate) reason: &'a str,
}

impl ConnectionError<'_> {
    pub(crate) fn emit(&self) {
        tracing::warn!(error = %self.error, reason = self.reason, "kafka connection disturbed, retrying");
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

/// Records were not taken; they are sent again.
pub(crate) struct DeliveryError<'a> {
    pub(crate) topic: &'a str,
    pub(crate) records: usize,
    pub(crate) error: &'a KafkaError,
}

impl DeliveryError<'_> {
    pub(crate) fn emit(&self) {
        tracing::warn!(topic = self.topic, records = self.records, error = %self.error, "kafka records not taken, sending again");
    }
}

/// Passes a line of librdkafka's log on.
pub(crate) fn client_log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            tracing::warn!(facility, message, "librdkafka");
        }
        RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => tracing::info!(facility, message, "librdkafka"),
        RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => tracing::debug!(facility, message, "librdkafka"),
    }
}

/// Routes librdkafka's callbacks to the log, and delivery reports to who waits for them.
pub(crate) struct Context;

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, log_message: &str) {
        client_log(level, fac, log_message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        ConnectionError { error: &error, reason }.emit();
    }
}

impl ConsumerContext for Context {}

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
