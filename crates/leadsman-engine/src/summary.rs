//! A first look over training data: how much, of when, and which metrics.

use std::collections::BTreeMap;

use leadsman_domain::{AuditEvent, ContentHash, MetricSample, Timestamp};

/// Most metrics in the schema: those with the most samples.
const MAX_METRICS: usize = 8;

/// What a first look over the training data found.
#[derive(Clone, Default)]
pub struct DataSummary {
    /// Items by hour since the epoch.
    hours: BTreeMap<i64, u64>,
    /// First and last time of the items of an hour.
    spans: BTreeMap<i64, (Timestamp, Timestamp)>,
    /// Audit events.
    pub events: u64,
    /// Metric samples.
    pub samples: u64,
    metrics: BTreeMap<String, u64>,
    digest: Option<ContentHash>,
}

impl DataSummary {
    /// Takes a chunk into account.
    pub fn add(&mut self, events: &[AuditEvent], samples: &[MetricSample]) {
        let mut digest = self.digest.take().unwrap_or_else(|| ContentHash::new("leadsman training data v1"));
        for e in events {
            self.saw(e.event_time);
            digest = digest.field(e.id.get().to_le_bytes());
        }
        for s in samples {
            self.saw(s.event_time);
            let (series, time) = (s.series.to_le_bytes(), s.event_time.as_micros().to_le_bytes());
            digest =
                digest.field(s.entity()).field(s.name.raw()).field(series).field(time).field(s.value.to_le_bytes());
            *self.metrics.entry(s.name.raw().to_owned()).or_default() += 1;
        }
        self.events += events.len() as u64;
        self.samples += samples.len() as u64;
        self.digest = Some(digest);
    }

    fn saw(&mut self, time: Timestamp) {
        *self.hours.entry(time.hour()).or_default() += 1;
        let span = self.spans.entry(time.hour()).or_insert((time, time));
        *span = (span.0.min(time), span.1.max(time));
    }

    /// First and last event time, without the strays: days that hold less than a thousandth of the items. One
    /// line with a wrong clock must not stretch the period, because rareness is counted per day.
    #[must_use]
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let days = self.days();
        let (first, last) = (days.first()?, days.last()?);
        let mut inside = self.spans.range(first * 24..(last + 1) * 24).map(|(_, span)| *span);
        let (from, to) = inside.next()?;
        Some(inside.fold((from, to), |(from, to), (a, b)| (from.min(a), to.max(b))))
    }

    /// Days that hold their share of the items, ascending.
    fn days(&self) -> Vec<i64> {
        let mut by_day: BTreeMap<i64, u64> = BTreeMap::new();
        for (hour, n) in &self.hours {
            *by_day.entry(hour.div_euclid(24)).or_default() += n;
        }
        let least = self.hours.values().sum::<u64>() / 1_000;
        by_day.into_iter().filter(|(_, n)| *n > least).map(|(day, _)| day).collect()
    }

    /// Time before which `share` of the items lie.
    pub(crate) fn at(&self, share: f64) -> Option<Timestamp> {
        let (from, to) = self.span()?;
        let inside = || self.hours.range(from.hour()..=to.hour());
        let wanted = inside().map(|(_, n)| *n).sum::<u64>() as f64 * share;
        let mut before = 0.0;
        for (hour, n) in inside() {
            let n = *n as f64;
            if before + n >= wanted {
                let (first, last) = self.spans.get(hour)?;
                let part = (last.as_micros() - first.as_micros()) as f64 * ((wanted - before) / n);
                return Some(Timestamp::from_micros(first.as_micros() + part as i64));
            }
            before += n;
        }
        Some(to)
    }

    /// Days of data from `from` on: days without data prove nothing about rareness.
    pub(crate) fn days_of_data(&self, from: Timestamp) -> f64 {
        let Some((_, to)) = self.span() else { return 0.0 };
        let days = self.days().into_iter().filter(|day| *day >= from.day()).count() as f64;
        (to.seconds_since(from) / 86_400.0).min(days)
    }

    /// Digest over the identities of all events and samples, in order, hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        format!("{:032x}", self.digest.as_ref().map_or(0, ContentHash::finish))
    }

    /// The metrics with the most samples, by name.
    #[must_use]
    pub fn metrics(&self) -> Vec<String> {
        let mut all: Vec<(&String, &u64)> = self.metrics.iter().collect();
        all.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let mut names: Vec<String> = all.into_iter().take(MAX_METRICS).map(|(n, _)| n.clone()).collect();
        names.sort();
        names
    }
}

impl std::fmt::Debug for DataSummary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataSummary").field("span", &self.span()).field("events", &self.events).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leadsman_domain::Untrusted;

    fn sample(time: Timestamp) -> MetricSample {
        MetricSample {
            name: Untrusted::new("cpu"),
            namespace: Untrusted::new("shop"),
            workload: Untrusted::new("cart"),
            pod: None,
            series: 0,
            whole_pod: true,
            event_time: time,
            value: 1.0,
        }
    }

    fn at(day: i64, hour: i64) -> Timestamp {
        Timestamp::from_millis((day * 24 + hour) * 3_600_000)
    }

    #[test]
    fn one_stray_line_does_not_stretch_the_period() {
        let mut summary = DataSummary::default();
        let regular: Vec<_> =
            (0..10).flat_map(|d| (0..2_400).map(move |m| at(20_000 + d, m / 100))).map(sample).collect();
        summary.add(&[], &regular);
        let (clean, split) = (summary.span(), summary.at(0.4));
        summary.add(&[], &[sample(at(400, 0)), sample(at(30_000, 0))]);
        assert_eq!(summary.span(), clean);
        let moved = summary.at(0.4).zip(split).map(|(a, b)| a.seconds_since(b).abs());
        assert!(moved.is_some_and(|s| s < 3_600.0), "{moved:?}");
    }

    #[test]
    fn days_without_data_are_no_evidence() {
        let mut summary = DataSummary::default();
        let two_weeks_apart: Vec<_> = [0, 1, 2, 150, 151, 152]
            .into_iter()
            .flat_map(|d| (0..24).map(move |h| at(20_000 + d, h)))
            .map(sample)
            .collect();
        summary.add(&[], &two_weeks_apart);
        let (from, _) = summary.span().unwrap();
        assert!((summary.days_of_data(from) - 6.0).abs() < 1e-9);
    }

    #[test]
    fn a_minute_of_data_is_split_inside_the_minute() {
        let mut summary = DataSummary::default();
        let minute: Vec<_> = (0..60).map(|s| sample(Timestamp::from_millis(1_700_000_000_000 + s * 1000))).collect();
        summary.add(&[], &minute);
        let split = summary.at(0.5).unwrap();
        let (from, to) = summary.span().unwrap();
        assert!(split > from && split < to);
        assert!(summary.days_of_data(from) < 0.001);
    }
}
