use std::collections::BTreeMap;
use std::time::Duration;

use leadsman_domain::{FeatureMatrix, FeatureSchema, RowKey, Window};
use polars::prelude::*;

use crate::FeatureError;
use crate::window::{Group, groups};

/// The features of one metric.
const PER_METRIC: [&str; 2] = ["mean", "max"];

/// Feature names for windows over `metrics`, in column order: `metric:mean`, `metric:max` for each.
#[must_use]
pub fn metric_feature_names(metrics: &[String]) -> Vec<String> {
    metrics.iter().flat_map(|m| PER_METRIC.iter().map(move |f| format!("{m}:{f}"))).collect()
}

/// One row per (workload, window) of `closed`, ordered by window, then workload.
///
/// A counter (name ending in `_total`) becomes its rate per second, summed over pods; a reset counts from
/// zero. A gauge is summed over pods. Values are `ln(1 + |x|)` with the sign of `x`. A metric that a window
/// lacks is 0 in both features: the workload baseline was built the same way, so absence is judged against
/// the workload's own habit.
///
/// Shape: (windows × 2·metrics), ordered by [`metric_feature_names`].
/// Errors: [`FeatureError`] when the frame lacks a column.
pub fn extract_metrics(
    closed: &DataFrame,
    metrics: &[String],
    length: Duration,
) -> Result<FeatureMatrix, FeatureError> {
    let (metric, pod) = (closed.column("metric")?.str()?, closed.column("pod")?.str()?);
    let (series, whole) = (closed.column("series")?.u64()?, closed.column("whole_pod")?.bool()?);
    let (time, value) = (closed.column("time")?.i64()?, closed.column("value")?.f64()?);
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for Group { entity, start, rows: indices } in groups(closed)? {
        let mut pods: BTreeMap<(&str, &str), Pod> = BTreeMap::new();
        for &i in &indices {
            if let (Some(m), Some(p), Some(t), Some(v)) = (metric.get(i), pod.get(i), time.get(i), value.get(i)) {
                let pod = pods.entry((m, p)).or_default();
                let of = if whole.get(i).unwrap_or(true) { &mut pod.whole } else { &mut pod.containers };
                // One value a series and time: a sample that was sent twice counts once.
                of.entry(series.get(i).unwrap_or_default()).or_default().insert(t, v);
            }
        }
        for m in metrics {
            let (mut mean, mut max) = (0.0, 0.0);
            for (_, pod) in pods.range((m.as_str(), "")..).take_while(|((name, _), _)| name == m) {
                for points in pod.series() {
                    let points: Vec<(i64, f64)> = points.iter().map(|(t, v)| (*t, *v)).collect();
                    let (a, b) = if m.ends_with("_total") { rate(&points) } else { level(&points) };
                    mean += bounded(a);
                    max += bounded(b);
                }
            }
            values.extend([signed_log(mean), signed_log(max)]);
        }
        let window = Window { start, end: start.plus(length) };
        rows.push(RowKey { entity: entity.into(), window, count: indices.len() as u64 });
    }
    Ok(FeatureMatrix::new(FeatureSchema::new(metric_feature_names(metrics)), rows, values)?)
}

/// The series of one metric and pod.
#[derive(Default)]
struct Pod {
    /// Of the pod as a whole.
    whole: BTreeMap<u64, BTreeMap<i64, f64>>,
    /// Of its containers.
    containers: BTreeMap<u64, BTreeMap<i64, f64>>,
}

impl Pod {
    /// Containers where there are any: cAdvisor exports the pod's total beside them, and both would count twice.
    fn series(&self) -> impl Iterator<Item = &BTreeMap<i64, f64>> {
        if self.containers.is_empty() { self.whole.values() } else { self.containers.values() }
    }
}

/// Far beyond any real measurement, and far from overflowing a sum: exporters can send anything.
fn bounded(x: f64) -> f64 {
    if x.is_nan() { 0.0 } else { x.clamp(-1e300, 1e300) }
}

/// Mean and largest rate per second of a counter.
fn rate(points: &[(i64, f64)]) -> (f64, f64) {
    let (mut grown, mut seconds, mut max) = (0.0, 0.0, 0.0f64);
    for pair in points.windows(2) {
        let ((t0, v0), (t1, v1)) = (pair[0], pair[1]);
        let dt = (t1 - t0) as f64 / 1e6;
        if dt > 0.0 {
            let delta = if v1 >= v0 { v1 - v0 } else { v1.max(0.0) };
            grown += delta;
            seconds += dt;
            max = max.max(delta / dt);
        }
    }
    (if seconds > 0.0 { grown / seconds } else { 0.0 }, max)
}

/// Mean and maximum of a gauge.
fn level(points: &[(i64, f64)]) -> (f64, f64) {
    let n = points.len().max(1) as f64;
    let mean = points.iter().map(|p| p.1 / n).sum();
    (mean, points.iter().map(|p| p.1).fold(f64::MIN, f64::max))
}

/// Compresses the range without losing the sign; finite for every finite input.
fn signed_log(x: f64) -> f64 {
    let x = bounded(x);
    x.abs().ln_1p().copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use leadsman_domain::{MetricSample, Timestamp, Untrusted};

    fn sample(name: &str, pod: &str, second: i64, value: f64) -> MetricSample {
        MetricSample {
            name: Untrusted::new(name),
            namespace: Untrusted::new("shop"),
            workload: Untrusted::new("cart"),
            pod: Some(Untrusted::new(pod)),
            event_time: Timestamp::from_millis(second * 1000),
            value,
            series: 0,
            whole_pod: true,
        }
    }

    #[test]
    fn counters_become_rates_and_gauges_levels_summed_over_pods() {
        let length = Duration::from_secs(300);
        let samples = [
            sample("cpu_total", "a", 0, 10.0),
            sample("cpu_total", "a", 60, 16.0),
            sample("cpu_total", "a", 120, 3.0), // restarted: counts from zero
            sample("cpu_total", "b", 0, 0.0),
            sample("cpu_total", "b", 120, 12.0),
            sample("mem", "a", 0, 5.0),
            sample("mem", "a", 60, 7.0),
        ];
        let frame = crate::SampleFrame::new(&samples, length).unwrap().into_inner();
        let metrics = ["cpu_total".to_owned(), "mem".to_owned(), "absent".to_owned()];
        let m = extract_metrics(&frame, &metrics, length).unwrap();
        let rate = 9.0 / 120.0 + 12.0 / 120.0;
        let max = 0.1 + 0.1;
        let want = [f64::ln_1p(rate), f64::ln_1p(max), f64::ln_1p(6.0), f64::ln_1p(7.0), 0.0, 0.0];
        for (got, want) in m.x.row(0).iter().zip(want) {
            assert!((got - want).abs() < 1e-12, "{got} {want}");
        }
        assert_eq!(m.rows[0].entity.as_ref(), "shop/cart");
    }

    #[test]
    fn extreme_values_stay_finite() {
        let length = Duration::from_secs(300);
        let mut samples = Vec::new();
        for second in 0..5 {
            for (pod, value) in [("a", f64::MAX), ("b", -f64::MAX), ("c", f64::MAX)] {
                samples.push(sample("g", pod, second, value));
                samples.push(sample("x_total", pod, second, if second % 2 == 0 { value } else { -value }));
            }
        }
        let frame = crate::SampleFrame::new(&samples, length).unwrap().into_inner();
        let m = extract_metrics(&frame, &["x_total".to_owned(), "g".to_owned()], length).unwrap();
        assert!(m.x.iter().all(|v| v.is_finite()));
    }

    /// What a kubelet exports: the pod's total and each container, and one series per network interface.
    #[test]
    fn containers_count_once_and_series_are_kept_apart() {
        let length = Duration::from_secs(300);
        let mut samples = Vec::new();
        for minute in 0..5u8 {
            let t = i64::from(minute) * 60;
            let total = f64::from(minute) * 60.0;
            samples.push(sample("cpu_total", "a", t, total));
            for (series, share) in [(1, 0.7), (2, 0.3)] {
                let container =
                    MetricSample { series, whole_pod: false, ..sample("cpu_total", "a", t, 1000.0 + total * share) };
                samples.extend([container.clone(), container]);
            }
            samples.push(MetricSample { series: 3, ..sample("net_total", "a", t, total) });
            samples.push(MetricSample { series: 4, ..sample("net_total", "a", t, 5e6 + total) });
        }
        let frame = crate::SampleFrame::new(&samples, length).unwrap().into_inner();
        let m = extract_metrics(&frame, &["cpu_total".to_owned(), "net_total".to_owned()], length).unwrap();
        for (got, want) in m.x.row(0).iter().zip([1.0, 1.0, 2.0, 2.0]) {
            assert!((got.exp_m1() - want).abs() < 1e-9, "{got} {want}");
        }
    }
}
