use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// A wire format of telemetry, told by content.
///
/// An event is counted under the format it has by itself, and once more under each wrapping it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `audit.k8s.io` `Event`.
    AuditEvent,
    /// `audit.k8s.io` `EventList`, per list.
    AuditEventList,
    /// `message` of Vector and of Filebeat, per record.
    Vector,
    /// `log` of Fluent Bit and of Docker's log files, per record.
    FluentBit,
    /// `event.original` of Logstash, per record.
    Logstash,
    /// CloudWatch Logs subscription, decoded, per message.
    CloudWatch,
    /// CloudWatch Logs subscription as Lambda gets it, per invocation.
    AwsLambda,
    /// Kinesis or Firehose records in JSON, per record.
    AwsRecords,
    /// CloudWatch Logs exported or queried, per line or answer.
    CloudWatchExport,
    /// Azure diagnostics record, per record.
    AksDiagnostics,
    /// Row of the tables `AKSAudit` and `AKSAuditAdmin`.
    AksTable,
    /// Cloud Logging entry of the Kubernetes API.
    Gke,
    /// Pub/Sub push message, per message.
    PubSub,
    /// CloudEvents in JSON, per event.
    CloudEvents,
    /// Falco alert.
    Falco,
    /// Falco alert that passed through falcosidekick.
    Falcosidekick,
    /// Tracee event.
    Tracee,
    /// Tetragon event.
    Tetragon,
    /// Hubble flow.
    Hubble,
    /// Metric sample in JSON.
    MetricJson,
    /// Prometheus remote write, per request.
    PrometheusRemoteWrite,
    /// Leadsman's own form, as `datasets convert` writes it.
    Canonical,
}

impl Format {
    /// The name in JSON and counters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuditEvent => "audit_event",
            Self::AuditEventList => "audit_event_list",
            Self::Vector => "vector",
            Self::FluentBit => "fluent_bit",
            Self::Logstash => "logstash",
            Self::CloudWatch => "cloud_watch",
            Self::AwsLambda => "aws_lambda",
            Self::AwsRecords => "aws_records",
            Self::CloudWatchExport => "cloud_watch_export",
            Self::AksDiagnostics => "aks_diagnostics",
            Self::AksTable => "aks_table",
            Self::Gke => "gke",
            Self::PubSub => "pub_sub",
            Self::CloudEvents => "cloud_events",
            Self::Falco => "falco",
            Self::Falcosidekick => "falcosidekick",
            Self::Tracee => "tracee",
            Self::Tetragon => "tetragon",
            Self::Hubble => "hubble",
            Self::MetricJson => "metric_json",
            Self::PrometheusRemoteWrite => "prometheus_remote_write",
            Self::Canonical => "canonical",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why something valid yielded no telemetry. Unlike a reject it is no fault and no dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// A message by which a transport checks the connection, for example `CONTROL_MESSAGE` of CloudWatch.
    Control,
    /// A log line of something else, for example of the EKS authenticator or of another Google service.
    OtherLog,
    /// A list or an envelope with nothing in it.
    Empty,
    /// A description of the API, for example an `APIResourceList`.
    Discovery,
    /// A source says that it lost telemetry. Somebody should look at that source.
    SourceLoss,
    /// A security tool talks about itself.
    ToolStatus,
    /// A metric series that measured nothing: it ended, or holds exemplars only.
    NoMeasurement,
}

impl SkipReason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Control,
        Self::OtherLog,
        Self::Empty,
        Self::Discovery,
        Self::SourceLoss,
        Self::ToolStatus,
        Self::NoMeasurement,
    ];

    /// The name in JSON and counters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::OtherLog => "other_log",
            Self::Empty => "empty",
            Self::Discovery => "discovery",
            Self::SourceLoss => "source_loss",
            Self::ToolStatus => "tool_status",
            Self::NoMeasurement => "no_measurement",
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How often each member of a small closed set occurred, in the order of the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally<K>(Vec<(K, u64)>);

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// An object of counts by name.
impl<K: Serialize> Serialize for Tally<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, n)| (key, n)))
    }
}

impl<K: Copy + Ord> Tally<K> {
    /// Counts `n` more of `key`.
    pub fn add(&mut self, key: K, n: u64) {
        match self.0.binary_search_by_key(&key, |(k, _)| *k) {
            Ok(at) => {
                if let Some((_, count)) = self.0.get_mut(at) {
                    *count = count.saturating_add(n);
                }
            }
            Err(at) => self.0.insert(at, (key, n)),
        }
    }

    /// Adds every count of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (key, n) in other.iter() {
            self.add(key, n);
        }
    }

    /// How often `key` occurred.
    #[must_use]
    pub fn get(&self, key: K) -> u64 {
        self.0.iter().find(|(k, _)| *k == key).map_or(0, |(_, n)| *n)
    }

    /// How often anything occurred.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, (_, n)| sum.saturating_add(*n))
    }

    /// What occurred and how often, in the order of the set.
    pub fn iter(&self) -> impl Iterator<Item = (K, u64)> + '_ {
        self.0.iter().copied()
    }

    /// Whether nothing occurred.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_does_not_depend_on_the_order_of_counting() {
        let mut a = Tally::default();
        let mut b = Tally::default();
        for key in [Format::Hubble, Format::Falco, Format::Hubble] {
            a.add(key, 1);
        }
        b.add(Format::Falco, 1);
        b.merge(&{
            let mut more = Tally::default();
            more.add(Format::Hubble, 2);
            more
        });
        assert_eq!(a, b);
        assert_eq!((a.get(Format::Hubble), a.get(Format::Gke), a.total()), (2, 0, 3));
        assert_eq!(serde_json::to_string(&a).unwrap(), r#"{"falco":1,"hubble":2}"#);
        assert_eq!(a.iter().map(|(f, _)| f.as_str()).collect::<Vec<_>>(), ["falco", "hubble"]);
    }

    #[test]
    fn names_are_the_serialized_ones() {
        for (json, name) in [
            (serde_json::to_string(&Format::CloudWatch).unwrap(), Format::CloudWatch.as_str()),
            (serde_json::to_string(&Format::AksTable).unwrap(), Format::AksTable.as_str()),
            (serde_json::to_string(&SkipReason::SourceLoss).unwrap(), SkipReason::SourceLoss.as_str()),
        ] {
            assert_eq!(json, format!("\"{name}\""));
        }
    }
}
