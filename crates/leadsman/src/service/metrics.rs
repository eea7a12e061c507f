//! Counters in the Prometheus text format.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use leadsman_domain::{RejectReason, SkipReason, SourceId, Span, Timestamp};
use leadsman_kafka::KafkaMonitor;
use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::account::Account;

/// Labels come from closed sets only: sources are configured, reasons are an enum.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BySource {
    source: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct ByPartition {
    source: String,
    partition: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCluster {
    source: String,
    cluster: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByFormat {
    format: &'static str,
}

fn of(source: &SourceId, partition: i32) -> ByPartition {
    ByPartition { source: source.as_str().to_owned(), partition }
}

/// The map, whoever panicked with it: each change to it is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn seconds(at: Timestamp) -> i64 {
    at.as_micros() / 1_000_000
}

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    /// Audit events decoded.
    events: Family<BySource, Counter>,
    samples: Family<BySource, Counter>,
    commits: Family<BySource, Counter>,
    position: Family<ByPartition, Gauge>,
    heard: Family<ByPartition, Gauge>,
    sighted: Family<ByPartition, Gauge>,
    /// 1 for each source: joins the heart beats of a cluster.
    cluster: Family<OfCluster, Gauge>,
    lag: Family<ByPartition, Gauge>,
    lag_seconds: Family<ByPartition, Gauge>,
    /// When a partition became ours.
    claimed: Mutex<BTreeMap<ByPartition, i64>>,
    /// When the first commit came whose effect is in no stored state yet.
    unsaved: Mutex<BTreeMap<ByPartition, i64>>,
    snapshot_age: Family<ByPartition, Gauge>,
    state_bytes: Family<ByPartition, Gauge>,
    rebalances: Gauge,
    bytes_under_way: Gauge,
    bytes_fetched: Gauge,
    rejected: Family<ByReason, Counter>,
    decoded: Family<ByKind, Counter>,
    skipped: Family<ByReason, Counter>,
    formats: Family<ByFormat, Counter>,
    /// Revisions of findings written.
    pub findings: Counter,
    /// Findings published to a sink.
    pub published: Counter,
    /// Publishing failed and will be tried again.
    pub publish_failures: Counter,
    /// Commits refused because another process owns the partition.
    pub fenced: Counter,
    /// Partitions that cannot be read any more.
    pub stopped_partitions: Counter,
    /// The store was out of reach and the commit was tried again.
    pub store_retries: Counter,
    /// Times detection state had to start empty.
    state_resets: Counter,
    state_reset_at: Gauge,
    /// The lake did not take rows, and the partition starts at its last state again.
    pub lake_retries: Counter,
    /// Items too late for their window.
    pub late: Counter,
    /// Events seen before.
    pub duplicates: Counter,
    /// Findings deleted because of their age.
    pub expired_findings: Counter,
    /// Dead letters deleted because of their age.
    pub expired_dead_letters: Counter,
    /// Items written to the events topic.
    pub rekeyed_items: Counter,
    /// Items whose long texts were cut, because they were too large for the events topic.
    pub cut_items: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("leadsman");
        let (events, samples, commits): (Family<BySource, Counter>, Family<_, _>, Family<_, _>) = Default::default();
        let position: Family<ByPartition, Gauge> = Family::default();
        let (rejected, skipped): (Family<ByReason, Counter>, Family<ByReason, Counter>) = Default::default();
        // From 0, or what comes first of a reason is no increase to Prometheus.
        for reason in RejectReason::ALL {
            drop(rejected.get_or_create(&ByReason { reason: reason.as_str() }));
        }
        for reason in SkipReason::ALL {
            drop(skipped.get_or_create(&ByReason { reason: reason.as_str() }));
        }
        let decoded: Family<ByKind, Counter> = Family::default();
        let formats: Family<ByFormat, Counter> = Family::default();
        let [heard, sighted, lag, lag_seconds, snapshot_age, state_bytes]: [Family<ByPartition, Gauge>; 6] =
            std::array::from_fn(|_| Family::default());
        let cluster: Family<OfCluster, Gauge> = Family::default();
        registry.register("source_cluster", "1 for each source, with the cluster that writes it", cluster.clone());
        registry.register("lag_seconds", "age of the last committed record while others wait", lag_seconds.clone());
        registry.register(
            "snapshot_age_seconds",
            "for how long there has been something that no stored state contains; 0 when all is stored",
            snapshot_age.clone(),
        );
        registry.register("state_bytes", "size of the state that was written down last", state_bytes.clone());
        let [rebalances, bytes_under_way, bytes_fetched, state_reset_at] = std::array::from_fn(|_| Gauge::default());
        registry.register("lag_records", "records of a Kafka partition that are not committed yet", lag.clone());
        registry.register("rebalances", "assignments and revocations of Kafka partitions so far", rebalances.clone());
        registry.register("bytes_under_way", "bytes of Kafka records being processed", bytes_under_way.clone());
        registry.register("bytes_fetched", "bytes of Kafka records that wait in the client", bytes_fetched.clone());
        let [
            findings,
            published,
            publish_failures,
            fenced,
            stopped_partitions,
            store_retries,
            state_resets,
            lake_retries,
            late,
            duplicates,
            expired_findings,
            expired_dead_letters,
            rekeyed_items,
            cut_items,
        ] = std::array::from_fn(|_| Counter::default());
        registry.register("events", "audit events decoded", events.clone());
        registry.register("samples", "metric samples decoded", samples.clone());
        registry.register("commits", "micro-batches committed", commits.clone());
        registry.register("position_records", "first record not yet committed", position.clone());
        registry.register(
            "last_record_timestamp_seconds",
            "when the last committed record was received, since the epoch",
            heard.clone(),
        );
        registry.register(
            "last_event_timestamp_seconds",
            "when the newest audit event happened, since the epoch: the heart beat of a cluster",
            sighted.clone(),
        );
        registry.register(
            "stopped_partitions",
            "partitions that cannot be read any more: their log is not the one that was read",
            stopped_partitions.clone(),
        );
        registry.register("rejected_items", "items refused, by reason", rejected.clone());
        registry.register(
            "events_decoded",
            "items decoded, by kind; runtime events and flows reach no detector yet",
            decoded.clone(),
        );
        registry.register("items_skipped", "items that are valid and no telemetry, by reason", skipped.clone());
        registry.register("formats_found", "items and wrappings, by wire format", formats.clone());
        registry.register("finding_revisions", "revisions of findings written", findings.clone());
        registry.register("published_findings", "findings published to a sink", published.clone());
        registry.register("publish_failures", "failed attempts to publish", publish_failures.clone());
        registry.register("fenced_commits", "commits refused: another process owns the partition", fenced.clone());
        registry.register("store_retries", "commits tried again", store_retries.clone());
        registry.register(
            "late_items",
            "events and samples too late for their window, or older than what is remembered",
            late.clone(),
        );
        registry.register("duplicate_events", "events seen before", duplicates.clone());
        registry.register("expired_findings", "findings deleted because of their age", expired_findings.clone());
        registry.register(
            "expired_dead_letters",
            "refused items deleted because of their age",
            expired_dead_letters.clone(),
        );
        registry.register("rekeyed_items", "items written to the events topic", rekeyed_items.clone());
        registry.register("cut_items", "items cut because they were too large for the events topic", cut_items.clone());
        registry.register("state_resets", "times detection state started empty", state_resets.clone());
        registry.register(
            "state_reset_timestamp_seconds",
            "when detection state started empty last, since the epoch; 0 for never",
            state_reset_at.clone(),
        );
        registry.register(
            "lake_retries",
            "times a partition started at its last state again because the lake was out of reach",
            lake_retries.clone(),
        );
        Self {
            registry,
            events,
            samples,
            commits,
            position,
            heard,
            sighted,
            cluster,
            lag,
            lag_seconds,
            claimed: Mutex::default(),
            unsaved: Mutex::default(),
            snapshot_age,
            state_bytes,
            rebalances,
            bytes_under_way,
            bytes_fetched,
            rejected,
            decoded,
            skipped,
            formats,
            findings,
            published,
            publish_failures,
            fenced,
            stopped_partitions,
            store_retries,
            state_resets,
            state_reset_at,
            lake_retries,
            late,
            duplicates,
            expired_findings,
            expired_dead_letters,
            rekeyed_items,
            cut_items,
        }
    }
}

impl Metrics {
    /// A micro-batch was committed.
    pub fn committed(&self, span: &Span, account: &Account, heard: Option<Timestamp>) {
        let by = BySource { source: span.source.as_str().to_owned() };
        self.events.get_or_create(&by).inc_by(account.events);
        self.samples.get_or_create(&by).inc_by(account.samples);
        for (kind, n) in [
            ("audit", account.events),
            ("sample", account.samples),
            ("runtime", account.runtime),
            ("flow", account.flows),
        ] {
            self.decoded.get_or_create(&ByKind { kind }).inc_by(n);
        }
        self.progressed(&span.source, span.partition, span.to, account, heard);
    }

    /// A partition is done up to `next`.
    pub fn progressed(
        &self,
        source: &SourceId,
        partition: i32,
        next: u64,
        account: &Account,
        heard: Option<Timestamp>,
    ) {
        let of = of(source, partition);
        self.commits.get_or_create(&BySource { source: of.source.clone() }).inc();
        if let Some(heard) = heard {
            self.heard.get_or_create(&of).set(seconds(heard));
        }
        self.position.get_or_create(&of).set(i64::try_from(next).unwrap_or(i64::MAX));
        for (reason, n) in account.rejected.iter() {
            self.rejected.get_or_create(&ByReason { reason: reason.as_str() }).inc_by(n);
        }
        for (reason, n) in account.skipped.iter() {
            self.skipped.get_or_create(&ByReason { reason: reason.as_str() }).inc_by(n);
        }
        for (format, n) in account.formats.iter() {
            self.formats.get_or_create(&ByFormat { format: format.as_str() }).inc_by(n);
        }
    }

    /// Takes over what the members of consumer groups see. A partition that others own keeps no lag here.
    pub fn observe_groups(&self, members: &[KafkaMonitor], now: Timestamp) {
        let gauge = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.rebalances.set(gauge(members.iter().map(KafkaMonitor::rebalances).sum()));
        let (under_way, fetched): (Vec<u64>, Vec<u64>) = members.iter().map(KafkaMonitor::bytes_under_way).unzip();
        self.bytes_under_way.set(gauge(under_way.iter().sum()));
        self.bytes_fetched.set(gauge(fetched.iter().sum()));
        for ((source, partition), end) in members.iter().flat_map(KafkaMonitor::ends) {
            let of = of(&source, partition);
            // Another member's since the last look.
            let Some(position) = self.position.get(&of).map(|position| position.get()) else { continue };
            let behind = (gauge(end) - position).max(0);
            self.lag.get_or_create(&of).set(behind);
            // A partition that commits nothing is as old as our claim to it, at least.
            let heard = self.heard.get(&of).map(|heard| heard.get());
            let heard = heard.or_else(|| lock(&self.claimed).get(&of).copied()).filter(|_| behind > 0);
            self.lag_seconds.get_or_create(&of).set(heard.map_or(0, |heard| (seconds(now) - heard).max(0)));
        }
    }

    /// A partition is this process's from now on.
    pub fn claimed(&self, source: &SourceId, partition: i32, cluster: &str, next_offset: u64, now: Timestamp) {
        let of = of(source, partition);
        let written = OfCluster { source: of.source.clone(), cluster: cluster.to_owned() };
        self.cluster.get_or_create(&written).set(1);
        self.position.get_or_create(&of).set(i64::try_from(next_offset).unwrap_or(i64::MAX));
        lock(&self.claimed).insert(of, seconds(now));
    }

    /// The newest audit event that the state of a partition knows.
    pub fn sighted(&self, source: &SourceId, partition: i32, newest: Option<Timestamp>) {
        if let Some(newest) = newest {
            self.sighted.get_or_create(&of(source, partition)).set(seconds(newest));
        }
    }

    /// A partition is no longer this process's: who has it now reports it.
    pub fn released(&self, source: &SourceId, partition: i32) {
        let of = of(source, partition);
        for family in [
            &self.position,
            &self.heard,
            &self.sighted,
            &self.lag,
            &self.lag_seconds,
            &self.snapshot_age,
            &self.state_bytes,
        ] {
            family.remove(&of);
        }
        lock(&self.claimed).remove(&of);
        lock(&self.unsaved).remove(&of);
    }

    /// Something is committed whose effect no stored state contains yet.
    pub fn unsaved(&self, source: &SourceId, partition: i32, now: Timestamp) {
        lock(&self.unsaved).entry(of(source, partition)).or_insert_with(|| seconds(now));
    }

    /// State was written down.
    pub fn saved(&self, source: &SourceId, partition: i32, bytes: usize) {
        let of = of(source, partition);
        lock(&self.unsaved).remove(&of);
        self.snapshot_age.get_or_create(&of).set(0);
        self.state_bytes.get_or_create(&of).set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Detection state started empty.
    pub fn state_reset(&self, now: Timestamp) {
        self.state_resets.inc();
        self.state_reset_at.set(seconds(now));
    }

    /// Brings what grows with time up to date.
    pub fn look_at_the_clock(&self, now: Timestamp) {
        for (of, since) in lock(&self.unsaved).iter() {
            self.snapshot_age.get_or_create(of).set((seconds(now) - since).max(0));
        }
    }

    /// The text that Prometheus scrapes.
    ///
    /// Errors: never; the encoder writes into a string.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_counted_from_zero() {
        let text = Metrics::default().render().unwrap();
        let counted = |metric: &str, reason: &str| text.contains(&format!("{metric}_total{{reason=\"{reason}\"}} 0\n"));
        for reason in RejectReason::ALL {
            assert!(counted("leadsman_rejected_items", reason.as_str()), "{reason}: {text}");
        }
        for reason in SkipReason::ALL {
            assert!(counted("leadsman_items_skipped", reason.as_str()), "{reason:?}: {text}");
        }
    }
}
