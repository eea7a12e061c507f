use leadsman_domain::Timestamp;
use serde::Serialize;

/// One record of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimRecord {
    /// When it is logged: the stream is ordered by it.
    pub time: Timestamp,
    /// What a collector would read.
    pub payload: Payload,
    /// The label: index into [`crate::Simulation::stages`], or `None` for benign records.
    pub stage: Option<usize>,
}

/// The bytes of one record, without a line feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// One `audit.k8s.io/v1` Event.
    Audit(Vec<u8>),
    /// One metric sample in the form of the Prometheus Kafka adapter.
    Metric(Vec<u8>),
}

impl Payload {
    /// The bytes, of whichever kind.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Audit(bytes) | Self::Metric(bytes) => bytes,
        }
    }
}

/// One step of an attack: the ground truth that detectors are measured against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stage {
    /// Short name, such as `secrets-read`.
    pub name: String,
    /// ATT&CK technique id.
    pub technique: String,
    /// ATT&CK tactic.
    pub tactic: String,
    /// Who a finding should name: a user name, or `namespace/workload`.
    pub entity: String,
    /// Time of the first record.
    pub begins: Timestamp,
    /// Time of the last record.
    pub ends: Timestamp,
    /// Which telemetry shows it.
    pub signal: Signal,
}

/// A kind of telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// The API server's audit log.
    Audit,
    /// Metric samples of pods.
    Metrics,
}
