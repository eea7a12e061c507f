//! Metric samples: the common reduction to a workload, and the JSON form.

use std::borrow::Cow;

use leadsman_domain::{ContentHash, MetricSample, Timestamp, Untrusted};

use crate::collect::Terms;
use crate::json::{self, fields, optional_text};
use crate::refusal::Refusal;
use crate::workload::workload_of_pod;

/// Longest label value that is kept. Kubernetes names end at 253; without a bound, one series of long labels
/// and many samples would grow a thousandfold.
const MAX_LABEL: usize = 512;

/// The labels that say what a series is about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Labels<'a> {
    pub(crate) name: Option<Cow<'a, str>>,
    pub(crate) namespace: Option<Cow<'a, str>>,
    pub(crate) workload: Option<Cow<'a, str>>,
    pub(crate) pod: Option<Cow<'a, str>>,
    pub(crate) container: Option<Cow<'a, str>>,
    pub(crate) job: Option<Cow<'a, str>>,
    pub(crate) instance: Option<Cow<'a, str>>,
    /// Hash of all labels, known or not.
    pub(crate) identity: u64,
}

/// What the samples of one series have in common.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    name: Untrusted,
    namespace: Untrusted,
    workload: Untrusted,
    pod: Option<Untrusted>,
    identity: u64,
    whole_pod: bool,
}

/// Container names by which a kubelet labels what it measured for the pod as a whole.
const WHOLE_POD: [&str; 2] = ["", "POD"];

impl Series {
    /// The series that `labels` name.
    pub(crate) fn new(labels: Labels<'_>) -> Result<Self, Refusal> {
        let Labels { name, namespace, workload, pod, container, job, instance, identity } = labels;
        let all = [&name, &namespace, &workload, &pod, &container, &job, &instance];
        if all.into_iter().flatten().any(|l| l.len() > MAX_LABEL) {
            return Err(Refusal::invalid("a label", "at most 512 bytes long"));
        }
        let name = name.ok_or_else(|| Refusal::missing("the metric name"))?;
        // Pods and containers are names within a namespace; without one they say nothing.
        let local = namespace.is_some();
        let whole_pod = container.as_deref().is_none_or(|c| WHOLE_POD.contains(&c));
        let of_pod = pod.as_deref().filter(|_| local).map(|p| Cow::Borrowed(workload_of_pod(p)));
        let workload = workload
            .or(of_pod)
            .or(container.filter(|_| local))
            .or(job)
            .or(instance)
            .ok_or_else(|| Refusal::missing("every label that could name a workload"))?;
        let workload = Untrusted::new(workload);
        Ok(Self {
            name: Untrusted::new(name),
            namespace: namespace.map(Untrusted::new).unwrap_or_default(),
            workload,
            pod: pod.map(Untrusted::new),
            identity,
            whole_pod,
        })
    }

    /// One sample of the series.
    pub(crate) fn sample(&self, event_time: Timestamp, value: f64, terms: Terms<'_>) -> Result<MetricSample, Refusal> {
        let Self { name, namespace, workload, pod, identity, whole_pod } = self.clone();
        checked(MetricSample { name, namespace, workload, pod, series: identity, whole_pod, event_time, value }, terms)
    }
}

/// Refuses values and times that say nothing.
pub(crate) fn checked(sample: MetricSample, terms: Terms<'_>) -> Result<MetricSample, Refusal> {
    if !sample.value.is_finite() {
        return Err(Refusal::invalid("value", "finite"));
    }
    terms.plausible(terms.after_1970(sample.event_time, "timestamp")?)?;
    Ok(sample)
}

/// Hash of labels, in the order given.
pub(crate) fn hash<'a>(labels: impl Iterator<Item = &'a str>) -> u64 {
    let all = labels.fold(ContentHash::new("leadsman metric series v1"), ContentHash::field);
    (all.finish() >> 64) as u64
}

/// Reads `{"timestamp":"RFC 3339","value":"0.5","name":"…","labels":{…}}`, the form of the Prometheus Kafka
/// adapter; the value may be a number too.
pub(crate) fn sample(bytes: &[u8], terms: Terms<'_>) -> Result<MetricSample, Refusal> {
    let json = json::checked(bytes, terms.limits.max_depth)?;
    let [timestamp, value, name, labels] =
        fields(json, &["timestamp", "value", "name", "labels"]).map_err(|e| Refusal::json(&e, "not a JSON object"))?;
    let (Some(timestamp), Some(value)) = (timestamp, value) else {
        return Err(Refusal::missing(if timestamp.is_none() { "timestamp" } else { "value" }));
    };
    let time = optional_text(Some(timestamp), "timestamp")?.ok_or_else(|| Refusal::missing("timestamp"))?;
    let time = Timestamp::parse(&time).map_err(|_| Refusal::invalid("timestamp", "an RFC 3339 time"))?;
    let number = json::text(value).unwrap_or(Cow::Borrowed(value.get()));
    let number: f64 = number.parse().map_err(|_| Refusal::invalid("value", "a number"))?;
    let identity = labels.map_or(0, |l| hash([l.get()].into_iter()));
    let [own_name, namespace, workload, pod, container, job, instance] = match labels {
        None => [None; 7],
        Some(labels) => {
            fields(labels.get(), &["__name__", "namespace", "workload", "pod", "container", "job", "instance"])
                .map_err(|_| Refusal::invalid("labels", "an object"))?
        }
    };
    let series = Series::new(Labels {
        name: optional_text(name.or(own_name), "name")?,
        namespace: optional_text(namespace, "labels.namespace")?,
        workload: optional_text(workload, "labels.workload")?,
        pod: optional_text(pod, "labels.pod")?,
        container: optional_text(container, "labels.container")?,
        job: optional_text(job, "labels.job")?,
        instance: optional_text(instance, "labels.instance")?,
        identity,
    })?;
    series.sample(time, number, terms)
}
