use leadsman_domain::{MetricSample, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Kind, Text, Version, text, untrusted};
use crate::collect::Terms;
use crate::metric;
use crate::refusal::Refusal;

/// A metric sample, reduced to its workload.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Body<'a> {
    api_version: Version,
    kind: Kind,
    name: Text<'a>,
    namespace: Text<'a>,
    workload: Text<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pod: Option<Text<'a>>,
    /// 64 bits in hexadecimal: many readers of JSON keep 53 bits of a number.
    series: Text<'a>,
    whole_pod: bool,
    timestamp: Timestamp,
    value: f64,
}

impl<'a> From<&'a MetricSample> for Body<'a> {
    fn from(s: &'a MetricSample) -> Self {
        Self {
            api_version: Version::V1,
            kind: Kind::MetricSample,
            name: text(&s.name),
            namespace: text(&s.namespace),
            workload: text(&s.workload),
            pod: s.pod.as_ref().map(text),
            series: format!("{:016x}", s.series).into(),
            whole_pod: s.whole_pod,
            timestamp: s.event_time,
            value: s.value,
        }
    }
}

impl Body<'_> {
    pub(super) fn sample(self, terms: Terms<'_>) -> Result<MetricSample, Refusal> {
        let series = u64::from_str_radix(&self.series, 16).ok().filter(|_| self.series.len() == 16);
        let sample = MetricSample {
            name: untrusted(self.name),
            namespace: untrusted(self.namespace),
            workload: untrusted(self.workload),
            pod: self.pod.map(untrusted),
            series: series.ok_or_else(|| Refusal::invalid("series", "16 hexadecimal digits"))?,
            whole_pod: self.whole_pod,
            event_time: self.timestamp,
            value: self.value,
        };
        metric::checked(sample, terms)
    }
}
