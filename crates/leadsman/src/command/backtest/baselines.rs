//! What simple detectors would have found in the same windows, under the same budget: what has to be beaten.
//!
//! - first-seen: requests of a kind that the account never made before;
//! - first-seen × sensitivity: the same, weighted by what was done;
//! - plain forest: one isolation forest over the same features, neither stratified nor calibrated.
//!
//! They get every advantage: a window counts as found when it holds any event of the attack, and ties at the alert
//! line are broken at random, so that a coarse score still spends its whole budget.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leadsman_detect::action::{is_routine, sensitivity};
use leadsman_domain::{AuditEvent, ContentHash, FeatureMatrix, MetricSample, Stage, Surprise, Timestamp, Untrusted};
use leadsman_engine::EngineError;
use leadsman_forest::IsolationForest;
use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::Array2;

use crate::pipeline::Judge;

/// A detector to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Baseline {
    FirstSeen,
    FirstSeenSensitivity,
    PlainForest,
}

impl Baseline {
    pub(super) const ALL: [Self; 3] = [Self::FirstSeen, Self::FirstSeenSensitivity, Self::PlainForest];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::FirstSeen => "first-seen",
            Self::FirstSeenSensitivity => "first-seen-x-sensitivity",
            Self::PlainForest => "plain-forest",
        }
    }
}

/// What the baselines remember, and the windows they closed.
#[derive(Debug, Clone, Default)]
pub(super) struct Baselines {
    window: Duration,
    seen: BTreeSet<u128>,
    open: BTreeMap<(Timestamp, Box<str>), Weights>,
    pub(super) closed: Vec<Closed>,
}

/// Weights of the first-seen requests of an open window.
#[derive(Debug, Clone, Default)]
struct Weights {
    plain: Vec<f64>,
    sensitive: Vec<f64>,
}

/// A closed window.
#[derive(Debug, Clone)]
pub(super) struct Closed {
    pub(super) entity: Box<str>,
    pub(super) start: Timestamp,
    first_seen: f64,
    sensitive: f64,
    x: Vec<f64>,
}

/// Discounted sum of the strongest five: aggregation that the product's own novelty uses.
fn top(weights: &mut [f64]) -> f64 {
    weights.sort_by(|a, b| b.total_cmp(a));
    weights
        .iter()
        .take(5)
        .zip(std::iter::successors(Some(1.0), |w| Some(w / 2.0)))
        .map(|(v, w): (&f64, f64)| v * w)
        .sum()
}

impl Baselines {
    pub(super) fn new(window: Duration) -> Self {
        Self { window, ..Self::default() }
    }

    fn observe(&mut self, events: &[AuditEvent]) {
        for event in events.iter().filter(|e| e.stage != Stage::RequestReceived && e.succeeded() && !is_routine(e)) {
            let namespace = event.object.namespace.as_ref().map_or("", Untrusted::raw);
            let hash = ContentHash::new("leadsman baseline v1").field(event.actor.name.as_ref());
            let request = hash.field(event.verb.as_str()).field(event.object.api()).field(namespace).finish();
            if self.seen.insert(request) {
                let key = (event.event_time.window(self.window).start, Box::<str>::from(&*event.actor.name));
                let weights = self.open.entry(key).or_default();
                weights.plain.push(1.0);
                weights.sensitive.push(1.0 + sensitivity(event));
            }
        }
    }

    fn close(&mut self, matrix: &FeatureMatrix) {
        for (i, row) in matrix.rows.iter().enumerate() {
            let mut weights = self.open.remove(&(row.window.start, row.entity.clone())).unwrap_or_default();
            self.closed.push(Closed {
                entity: row.entity.clone(),
                start: row.window.start,
                first_seen: top(&mut weights.plain),
                sensitive: top(&mut weights.sensitive),
                x: matrix.x.row(i).to_vec(),
            });
        }
    }
}

/// Scores of closed windows by one baseline.
pub(super) struct Scorer {
    forest: IsolationForest,
}

impl Scorer {
    /// The plain forest is fitted on `rows`.
    ///
    /// Errors: when there is no row.
    pub(super) fn fit<'r>(
        rows: impl Iterator<Item = &'r Closed>,
        seed: u64,
    ) -> Result<Self, leadsman_forest::ForestError> {
        let forest = IsolationForest::params().n_trees(100).seed(seed).fit(&DatasetBase::from(matrix(rows)))?;
        Ok(Self { forest })
    }

    /// Scores in the order of `rows`. What is equal is told apart by a hash of the window, a billionth of a step.
    ///
    /// Errors: when a row is not finite.
    pub(super) fn scores(
        &self,
        baseline: Baseline,
        rows: &[&Closed],
    ) -> Result<Vec<f64>, leadsman_forest::ForestError> {
        let raw: Vec<f64> = match baseline {
            Baseline::FirstSeen => rows.iter().map(|r| r.first_seen).collect(),
            Baseline::FirstSeenSensitivity => rows.iter().map(|r| r.sensitive).collect(),
            Baseline::PlainForest if rows.is_empty() => Vec::new(),
            Baseline::PlainForest => self.forest.score(matrix(rows.iter().copied()).view())?.to_vec(),
        };
        Ok(raw.into_iter().zip(rows).map(|(score, row)| score + 1e-9 * lot(row)).collect())
    }
}

fn matrix<'r>(rows: impl Iterator<Item = &'r Closed>) -> Array2<f64> {
    let rows: Vec<&[f64]> = rows.map(|r| r.x.as_slice()).collect();
    let width = rows.first().map_or(0, |r| r.len());
    Array2::from_shape_fn((rows.len(), width), |(r, c)| rows[r][c])
}

/// A number in [0, 1) drawn by the window's identity.
fn lot(row: &Closed) -> f64 {
    let hash = ContentHash::new("leadsman baseline tie v1")
        .field(row.entity.as_ref())
        .field(row.start.as_micros().to_le_bytes());
    (hash.finish() >> 75) as f64 / (1u64 << 53) as f64
}

/// Windows of one entity this close together are one incident.
const GAP_MICROS: i64 = 3_600_000_000;

/// Incidents that windows make; windows of one entity within an hour of each other are one.
pub(super) fn incidents<'r>(windows: impl Iterator<Item = &'r Closed>) -> u64 {
    let mut by_entity: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for w in windows {
        by_entity.entry(&w.entity).or_default().push(w.start.as_micros());
    }
    let count = |mut times: Vec<i64>| {
        times.sort_unstable();
        1 + times.windows(2).filter(|pair| pair[1] - pair[0] > GAP_MICROS).count() as u64
    };
    by_entity.into_values().map(count).sum()
}

/// The score above which `rows` make `allowed` incidents.
pub(super) fn line(rows: &[&Closed], scores: &[f64], allowed: f64) -> f64 {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut starts: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
    let mut count = 0.0;
    for i in order {
        let start = rows[i].start.as_micros();
        let of_entity = starts.entry(&rows[i].entity).or_default();
        if of_entity.range(start - GAP_MICROS..=start + GAP_MICROS).next().is_none() {
            count += 1.0;
            if count > allowed {
                return scores[i];
            }
        }
        of_entity.insert(start);
    }
    f64::NEG_INFINITY
}

/// A judge whose events and windows the baselines see, too.
pub(super) struct Watched<'a, J> {
    pub(super) judge: &'a mut J,
    pub(super) baselines: &'a mut Baselines,
}

impl<J: Judge> Judge for Watched<'_, J> {
    fn run_length(&self, earliest_end: Option<Timestamp>, events: &[AuditEvent]) -> (usize, Option<Timestamp>) {
        self.judge.run_length(earliest_end, events)
    }

    fn observe(&mut self, events: &[AuditEvent]) -> Result<Vec<Surprise>, EngineError> {
        self.baselines.observe(events);
        self.judge.observe(events)
    }

    fn close(&mut self, matrix: &FeatureMatrix) -> Result<(), EngineError> {
        self.baselines.close(matrix);
        self.judge.close(matrix)
    }

    fn sample_run_length(
        &self,
        earliest_end: Option<Timestamp>,
        samples: &[MetricSample],
    ) -> (usize, Option<Timestamp>) {
        self.judge.sample_run_length(earliest_end, samples)
    }

    fn observe_samples(&mut self, samples: &[MetricSample]) -> Vec<usize> {
        self.judge.observe_samples(samples)
    }

    fn close_usage(&mut self, matrix: &FeatureMatrix) -> Result<(), EngineError> {
        self.judge.close_usage(matrix)
    }

    fn metrics(&self) -> Vec<String> {
        self.judge.metrics()
    }
}
