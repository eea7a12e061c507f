use serde::{Deserialize, Serialize};

use crate::{Timestamp, Untrusted};

/// One sample of one metric series, reduced to the workload it belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricSample {
    /// Metric name (`__name__`).
    pub name: Untrusted,
    /// Namespace label.
    pub namespace: Untrusted,
    /// Workload: label `workload`, else the pod name without its generated suffix.
    pub workload: Untrusted,
    /// Pod name, if labelled.
    pub pod: Option<Untrusted>,
    /// Tells the series of a metric and pod apart: a hash of all labels.
    pub series: u64,
    /// Whether the series is about the pod as a whole, not about one of its containers.
    pub whole_pod: bool,
    /// When it was sampled.
    pub event_time: Timestamp,
    /// The value, in the metric's own unit; always finite.
    pub value: f64,
}

impl MetricSample {
    /// `namespace/workload`, the entity that windows are built for.
    #[must_use]
    pub fn entity(&self) -> String {
        format!("{}/{}", self.namespace.raw(), self.workload.raw())
    }
}
