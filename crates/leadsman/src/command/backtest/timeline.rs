//! A stretch of telemetry, decoded as the service would and kept in the order in which it was logged.

use leadsman_decode::{DecodeContext, Limits};
use leadsman_domain::{AuditEvent, MetricSample, PayloadKind, RawRecord, Timestamp};
use leadsman_engine::DataSummary;
use leadsman_sim::{Payload, SimRecord};

/// Events and samples, each with the time at which it was logged.
#[derive(Debug, Clone, Default)]
pub(super) struct Timeline {
    /// Times of `events`, ascending.
    logged: Vec<Timestamp>,
    events: Vec<AuditEvent>,
    /// Times of `samples`, ascending.
    sampled: Vec<Timestamp>,
    samples: Vec<MetricSample>,
}

impl Timeline {
    /// What `records` say; a record that does not decode is left out, as it would be.
    pub(super) fn of(records: impl IntoIterator<Item = SimRecord>, context: &DecodeContext) -> Self {
        let mut timeline = Self::default();
        for SimRecord { time, payload, .. } in records {
            let (kind, bytes) = match payload {
                Payload::Audit(line) => (PayloadKind::K8sAudit, line),
                Payload::Metric(line) => (PayloadKind::MetricJson, line),
            };
            let record = RawRecord { offset: 0, received_at: time, kind, bytes: bytes.into() };
            let decoded = leadsman_decode::record(context, &Limits::default(), &record);
            timeline.push(time, decoded.events, decoded.samples);
        }
        timeline
    }

    /// Appends what was logged at `time`, or at the latest time so far if that is later: logs are read in their order.
    pub(super) fn push(&mut self, time: Timestamp, events: Vec<AuditEvent>, samples: Vec<MetricSample>) {
        let logged = self.logged.last().map_or(time, |last| time.max(*last));
        self.logged.extend(events.iter().map(|_| logged));
        self.events.extend(events);
        let sampled = self.sampled.last().map_or(time, |last| time.max(*last));
        self.sampled.extend(samples.iter().map(|_| sampled));
        self.samples.extend(samples);
    }

    /// First and last time.
    pub(super) fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let first = self.logged.first().into_iter().chain(self.sampled.first()).min()?;
        let last = self.logged.last().into_iter().chain(self.sampled.last()).max()?;
        Some((*first, *last))
    }

    /// How many days it spans.
    pub(super) fn days(&self) -> f64 {
        self.span().map_or(0.0, |(from, to)| to.seconds_since(from) / 86_400.0)
    }

    /// Every event.
    pub(super) fn events(&self) -> &[AuditEvent] {
        &self.events
    }

    /// What was logged from `from` up to before `until`.
    pub(super) fn between(&self, from: Timestamp, until: Timestamp) -> (&[AuditEvent], &[MetricSample]) {
        let cut = |times: &[Timestamp]| times.partition_point(|t| *t < from)..times.partition_point(|t| *t < until);
        let (events, samples) = (cut(&self.logged), cut(&self.sampled));
        (
            &self.events[events.start.min(events.end)..events.end],
            &self.samples[samples.start.min(samples.end)..samples.end],
        )
    }

    /// The timeline hour by hour, so that events and samples take turns as they do in life, and cut at `stops`, too.
    /// Each stretch comes with the time at which it ends.
    pub(super) fn stretches(
        &self,
        stops: impl IntoIterator<Item = Timestamp>,
    ) -> impl Iterator<Item = (Timestamp, &[AuditEvent], &[MetricSample])> {
        let (first, last) = self.span().map_or((0, -1), |(from, to)| (from.hour(), to.hour()));
        let hours = (first..=last + 1).map(|h| Timestamp::from_millis(h * 3_600_000));
        let mut cuts: Vec<Timestamp> = hours.chain(stops).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let mut from = cuts.first().copied().unwrap_or_default();
        cuts.into_iter().map(move |until| {
            let (events, samples) = self.between(from, until);
            from = until;
            (until, events, samples)
        })
    }

    /// A first look over all of it.
    pub(super) fn summary(&self) -> DataSummary {
        let mut summary = DataSummary::default();
        summary.add(&self.events, &self.samples);
        summary
    }

    /// The same with the events of `other` mixed in, by time; at the same time, these come first.
    pub(super) fn with(&self, other: &Self) -> Self {
        let mut merged = Self { sampled: self.sampled.clone(), samples: self.samples.clone(), ..Self::default() };
        let (mut mine, mut theirs) = (self.stamped().peekable(), other.stamped().peekable());
        while let Some((time, event)) = match (mine.peek(), theirs.peek()) {
            (Some((a, _)), Some((b, _))) if b < a => theirs.next(),
            (Some(_), _) => mine.next(),
            (None, _) => theirs.next(),
        } {
            merged.logged.push(*time);
            merged.events.push(event.clone());
        }
        merged
    }

    /// The part between two times, on its own.
    pub(super) fn part(&self, from: Timestamp, until: Timestamp) -> Self {
        let (_, samples) = self.between(from, until);
        let sampled = self.sampled.iter().copied().filter(|t| (from..until).contains(t)).collect();
        Self { sampled, samples: samples.to_vec(), ..self.part_without_samples(from, until) }
    }

    /// The events between two times, on their own.
    pub(super) fn part_without_samples(&self, from: Timestamp, until: Timestamp) -> Self {
        let (events, _) = self.between(from, until);
        let begin = self.logged.partition_point(|t| *t < from);
        Self { logged: self.logged[begin..begin + events.len()].to_vec(), events: events.to_vec(), ..Self::default() }
    }

    /// Appends a later timeline.
    pub(super) fn append(&mut self, later: Self) {
        for (time, event) in later.logged.into_iter().zip(later.events) {
            self.push(time, vec![event], Vec::new());
        }
        for (time, sample) in later.sampled.into_iter().zip(later.samples) {
            self.push(time, Vec::new(), vec![sample]);
        }
    }

    fn stamped(&self) -> impl Iterator<Item = (&Timestamp, &AuditEvent)> {
        self.logged.iter().zip(&self.events)
    }
}
