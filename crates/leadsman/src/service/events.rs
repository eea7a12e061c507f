//! What the service says about itself: each event is a type whose `emit` writes the log line and counts.

use leadsman_domain::{Pruned, SourceError, SourceId, Span, StoreError, Timestamp};

use super::metrics::Metrics;
use crate::account::Account;
use crate::clock;
use crate::lake::LakeError;

/// A micro-batch is durable.
pub struct BatchCommitted<'a> {
    /// What it covered.
    pub span: &'a Span,
    /// What became of its items.
    pub account: &'a Account,
    /// Findings it wrote.
    pub findings: usize,
    /// When its last record was received.
    pub heard: Option<Timestamp>,
}

impl BatchCommitted<'_> {
    /// Counts it.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.committed(self.span, self.account, self.heard);
        metrics.findings.inc_by(self.findings as u64);
        tracing::debug!(
            source = %self.span.source, partition = self.span.partition, from = self.span.from, to = self.span.to,
            events = self.account.events, samples = self.account.samples, runtime = self.account.runtime,
            flows = self.account.flows, refused = self.account.rejected.total(),
            skipped = self.account.skipped.total(), findings = self.findings, "batch committed"
        );
    }
}

/// A partition delivers nothing, and does not say that it has nothing.
pub struct PartitionSilent<'a> {
    /// The source.
    pub source: &'a SourceId,
    /// Its partition.
    pub partition: i32,
    /// How long it was waited for.
    pub waited: std::time::Duration,
}

impl PartitionSilent<'_> {
    /// Tells the operator: what comes of it later may be late.
    pub fn emit(&self) {
        tracing::warn!(
            source = %self.source, partition = self.partition, waited = ?self.waited,
            "a partition delivers nothing: the others go on without it, and its events may come late; is it offline?"
        );
    }
}

/// Items of a partition are durable in the events topic.
pub struct ItemsRekeyed<'a> {
    /// The source.
    pub source: &'a SourceId,
    /// Its partition.
    pub partition: i32,
    /// First offset that is still to do.
    pub next: u64,
    /// What became of the items.
    pub account: &'a Account,
    /// How many were written.
    pub items: usize,
    /// When the last record was received.
    pub heard: Timestamp,
}

impl ItemsRekeyed<'_> {
    /// Counts it.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.progressed(self.source, self.partition, self.next, self.account, Some(self.heard));
        metrics.rekeyed_items.inc_by(self.items as u64);
        tracing::debug!(
            source = %self.source, partition = self.partition, next = self.next, items = self.items,
            refused = self.account.rejected.total(), skipped = self.account.skipped.total(), "items re-keyed"
        );
    }
}

/// Another process took the partition over.
pub struct CommitFenced<'a> {
    /// The source.
    pub source: &'a SourceId,
    /// Its partition.
    pub partition: i32,
}

impl CommitFenced<'_> {
    /// Counts it and tells the operator.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.fenced.inc();
        tracing::warn!(
            source = %self.source, partition = self.partition,
            "another process owns this partition now: this one leaves it"
        );
    }
}

/// A partition of ours cannot be read; the others go on.
pub struct PartitionStopped<'a> {
    /// Why, and what to do.
    pub error: &'a SourceError,
}

impl PartitionStopped<'_> {
    /// Counts it and tells the operator.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.stopped_partitions.inc();
        tracing::error!(error = %self.error, "a partition is not read any more; the others go on");
    }
}

/// The lake did not take what a partition read.
pub struct LakeWaits<'a> {
    /// The source.
    pub source: &'a SourceId,
    /// Its partition.
    pub partition: i32,
    /// Why.
    pub error: &'a LakeError,
}

impl LakeWaits<'_> {
    /// Counts it and tells the operator.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.lake_retries.inc();
        tracing::warn!(
            source = %self.source, partition = self.partition, error = %self.error,
            "the lake is out of reach: the partition starts at its last state again, nothing is lost"
        );
    }
}

/// The store did not take a commit; it will be tried again.
pub struct StoreCommitError<'a> {
    /// Why.
    pub error: &'a StoreError,
}

impl StoreCommitError<'_> {
    /// Counts it and tells the operator.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.store_retries.inc();
        tracing::warn!(error = %self.error, "the store is out of reach; trying again, nothing is lost");
    }
}

/// The store was out of reach for too long: the worker leaves its group.
pub struct StoreSilent<'a> {
    /// For how long.
    pub error: &'a anyhow::Error,
}

impl StoreSilent<'_> {
    /// Tells the operator.
    pub fn emit(&self) {
        tracing::warn!(
            error = %self.error,
            "left the consumer group, so that others read its partitions; it is joined again when the store answers"
        );
    }
}

/// The store is back: the worker joins its group.
pub struct StoreAnswers;

impl StoreAnswers {
    /// Tells the operator.
    pub fn emit(&self) {
        tracing::info!("the store answers: joining the consumer group again");
    }
}

/// What the configuration no longer keeps is gone.
pub struct OldRowsDeleted {
    /// How much.
    pub deleted: Pruned,
}

impl OldRowsDeleted {
    /// Counts it, and says so when there was any.
    pub fn emit(&self, metrics: &Metrics) {
        let Pruned { findings, dead_letters } = self.deleted;
        metrics.expired_findings.inc_by(findings);
        metrics.expired_dead_letters.inc_by(dead_letters);
        if findings + dead_letters > 0 {
            tracing::info!(findings, dead_letters, "deleted what is older than the configuration keeps");
        }
    }
}

/// Old rows stay for another hour.
pub struct RetentionError<'a> {
    /// Why.
    pub error: &'a StoreError,
}

impl RetentionError<'_> {
    /// Tells the operator.
    pub fn emit(&self) {
        tracing::warn!(error = %self.error, "old findings and dead letters could not be deleted; trying again in an hour");
    }
}

/// Detection state started empty although the log is not at its start.
pub struct StateReset<'a> {
    /// The source.
    pub source: &'a SourceId,
    /// Its partition.
    pub partition: i32,
    /// Why.
    pub reason: &'a str,
}

impl StateReset<'_> {
    /// Counts it and tells the operator.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.state_reset(clock::now());
        tracing::warn!(
            source = %self.source, partition = self.partition, reason = self.reason,
            "detection state starts empty: what actors did since training looks new again"
        );
    }
}

/// Space of the inbox could not be given back; it will be tried with the next snapshot.
pub struct InboxCleanError<'a> {
    /// Why.
    pub error: &'a crate::sources::inbox::InboxError,
}

impl InboxCleanError<'_> {
    /// Tells the operator.
    pub fn emit(&self) {
        tracing::warn!(error = %self.error, "old records of the inbox stay on disk for now");
    }
}

/// A source lost data that was never read.
pub struct DataGap<'a> {
    /// What is missing.
    pub detail: &'a str,
}

impl DataGap<'_> {
    /// Tells the operator: what happened in the gap was not seen.
    pub fn emit(&self) {
        tracing::error!(detail = self.detail, "data was lost before it was read; going on behind the gap");
    }
}

/// Kafka let us read and then did not say what there is.
pub struct TopicsUnknown<'a> {
    /// Why not.
    pub error: &'a dyn std::fmt::Display,
}

impl TopicsUnknown<'_> {
    /// Tells the operator.
    pub fn emit(&self) {
        tracing::warn!(error = %self.error, "the topics cannot be looked at; they are asked for again");
    }
}

/// A sink did not take findings; they stay in the outbox.
pub struct PublishError<'a> {
    /// The sink.
    pub sink: &'a str,
    /// Why.
    pub error: &'a dyn std::fmt::Display,
}

impl PublishError<'_> {
    /// Counts it and tells the operator.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.publish_failures.inc();
        tracing::warn!(sink = self.sink, error = %self.error, "findings stay in the outbox; trying again");
    }
}

/// Kafka cannot be read, and somebody has to mend it.
pub struct KafkaObstructed<'a> {
    /// What stands in the way, and what to do.
    pub obstacle: &'a leadsman_kafka::diagnose::Obstacle,
}

impl KafkaObstructed<'_> {
    /// Tells the operator.
    pub fn emit(&self) {
        tracing::error!(error = %self.obstacle, "kafka cannot be read: waiting until that is mended");
    }
}

/// What stood in the way of reading Kafka is gone.
pub struct KafkaOpened;

impl KafkaOpened {
    /// Tells the operator.
    pub fn emit(&self) {
        tracing::info!("kafka can be read now");
    }
}

/// Certificates were renewed.
pub struct CertificatesRenewed;

impl CertificatesRenewed {
    /// Tells the operator.
    pub fn emit(&self) {
        tracing::info!("certificates were renewed: starting anew with them");
    }
}
