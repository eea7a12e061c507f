use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use leadsman_detect::calibration::Calibrator;
use leadsman_detect::evidence::{EvidenceTail, score};
use leadsman_detect::model::{StratumCalibration, stratum};
use leadsman_detect::novelty::{NoveltyBuilder, NoveltyModel};
use leadsman_detect::rules::RuleSet;
use leadsman_detect::sight::SightBuilder;
use leadsman_detect::strangeness::StratifiedForest;
use leadsman_detect::usage::{STRATUM, UsageHabits, UsageModel, largest};
use leadsman_detect::{DetectError, Detectors, FittedModel, action};
use leadsman_domain::{
    ActorClass, ActorRules, AuditEvent, FeatureMatrix, FeatureSchema, MetricSample, RowKey, Surprise, Timestamp,
};
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use crate::EngineError;
use crate::budget::{Benign, corroborated, incidents, shared};
use crate::observer::{Observer, Seen, run_length};
use crate::requests::Admission;
use crate::shard::ShardState;
use crate::summary::DataSummary;

/// Share of the items that habits are learned from before anything is scored.
const FIT_SHARE: f64 = 0.40;
/// Share after which windows calibrate instead of fitting the forest.
const FOREST_SHARE: f64 = 0.55;
/// No entity gives a forest more than this share of its rows: poisoning one account must not bend it.
const ENTITY_QUOTA: f64 = 0.02;
/// Fewest rows an entity may always give.
const ENTITY_MINIMUM: usize = 64;
/// Decades of rareness that may be claimed of a workload's usage beyond what was seen. No rule speaks of workloads, so with
/// the one decade of actors nothing that they do could reach the line of a small budget.
const USAGE_DECADES: f64 = 2.0;

/// How to train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainSpec {
    /// Seed of everything random.
    pub seed: u64,
    /// Length of the windows.
    pub window: Duration,
    /// Declared CI and controller accounts.
    pub rules: ActorRules,
    /// Which detectors are on.
    pub detectors: Detectors,
}

/// What a training run did; written beside the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainReport {
    /// Audit events in the data.
    pub events: u64,
    /// Metric samples in the data.
    pub samples: u64,
    /// Days from the first to the last event.
    pub days: f64,
    /// Days that calibrate.
    pub calibration_days: f64,
    /// Actors learned.
    pub actors: usize,
    /// Peer groups with their sizes.
    pub peer_groups: BTreeMap<String, u32>,
    /// Windows the forest was fitted on.
    pub fitted_windows: usize,
    /// Windows that calibrate.
    pub calibration_windows: usize,
    /// Windows of workloads that calibrate.
    pub usage_windows: usize,
    /// Events that came too late for their window: more than a few mean that the files are not in order.
    pub late: u64,
    /// `ready`, or `learning` when the data is too short to say how rare anything is.
    pub health: String,
    /// Score at which the alert line lies for 1 and 5 incidents a day.
    pub alert_line: BTreeMap<String, u8>,
}

/// Fits a model in one pass over a training period: first habits, then the forest, then calibration. What
/// calibrates was never fitted on, and every event is judged before it is learned from.
pub struct Trainer {
    spec: TrainSpec,
    rules: Arc<RuleSet>,
    summary: DataSummary,
    from: Timestamp,
    fit_until: Timestamp,
    forest_until: Timestamp,
    metrics: Vec<String>,
    sight: SightBuilder,
    builder: NoveltyBuilder,
    novelty: Option<NoveltyModel>,
    state: ShardState,
    schema: Option<FeatureSchema>,
    rows: Vec<TrainRow>,
    usage: Vec<(RowKey, Vec<f64>)>,
    usage_schema: Option<FeatureSchema>,
}

struct TrainRow {
    key: RowKey,
    class: ActorClass,
    novelty: f64,
    /// Evidence of the rules that matched.
    rules: f64,
    x: Vec<f64>,
}

impl Trainer {
    /// A trainer for the data that `summary` describes, calibrated for scoring with `rules`.
    ///
    /// Errors: [`EngineError::TooLittleData`] when it holds nothing.
    pub fn new(spec: TrainSpec, rules: Arc<RuleSet>, summary: DataSummary) -> Result<Self, EngineError> {
        let empty = || EngineError::TooLittleData("it holds no event");
        let (from, _) = summary.span().ok_or_else(empty)?;
        Ok(Self {
            sight: SightBuilder::default(),
            builder: NoveltyBuilder::new(spec.seed, spec.detectors.peers),
            fit_until: summary.at(FIT_SHARE).ok_or_else(empty)?,
            forest_until: summary.at(FOREST_SHARE).ok_or_else(empty)?,
            metrics: summary.metrics(),
            from,
            spec,
            rules,
            summary,
            novelty: None,
            state: ShardState::default(),
            schema: None,
            rows: Vec::new(),
            usage: Vec::new(),
            usage_schema: None,
        })
    }

    /// The metrics that windows of workloads are built from.
    #[must_use]
    pub fn metrics(&self) -> &[String] {
        &self.metrics
    }

    /// As [`crate::Engine::run_length`].
    #[must_use]
    pub fn run_length(&self, earliest_end: Option<Timestamp>, events: &[AuditEvent]) -> (usize, Option<Timestamp>) {
        let times = events.iter().map(|e| e.event_time);
        run_length(self.spec.window, self.state.watermark(), earliest_end, times)
    }

    /// Learns from events; judges those after the habit period first.
    ///
    /// Errors: [`EngineError::Detect`] when habits cannot be fitted.
    pub fn observe(&mut self, events: &[AuditEvent]) -> Result<Vec<Surprise>, EngineError> {
        let mut surprises = Vec::new();
        for (index, event) in events.iter().enumerate() {
            self.sight.add(event);
            if self.novelty.is_none() && event.event_time >= self.fit_until {
                self.novelty = self.builder_or_none()?;
            }
            match &self.novelty {
                None => {
                    if self.state.requests.admit(event) == Admission::New && !action::is_routine(event) {
                        self.builder.add(event);
                    }
                    self.state.saw(event.event_time);
                }
                Some(novelty) => {
                    let TrainSpec { window, detectors, .. } = self.spec;
                    let mut observer = Observer::new(novelty, window, detectors, &self.rules);
                    if let Seen::Scored(observed) = observer.observe(&mut self.state, index, event) {
                        surprises.push(observed.surprise);
                        self.builder.add(event);
                    }
                }
            }
        }
        self.state.forget_requests();
        Ok(surprises)
    }

    /// Habits so far; `None` before the first event that counts.
    fn builder_or_none(&self) -> Result<Option<NoveltyModel>, EngineError> {
        match self.builder.finish() {
            Ok(model) => Ok(Some(model)),
            Err(DetectError::NoData { .. }) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// As [`crate::Engine::sample_run_length`].
    #[must_use]
    pub fn sample_run_length(
        &self,
        earliest_end: Option<Timestamp>,
        samples: &[MetricSample],
    ) -> (usize, Option<Timestamp>) {
        let times = samples.iter().map(|s| s.event_time);
        run_length(self.spec.window, self.state.sample_watermark(), earliest_end, times)
    }

    /// As [`crate::Engine::observe_samples`].
    pub fn observe_samples(&mut self, samples: &[MetricSample]) -> Vec<usize> {
        self.state.admit_samples(samples)
    }

    /// Takes closed windows of actors.
    pub fn close(&mut self, matrix: &FeatureMatrix) {
        self.schema.get_or_insert_with(|| matrix.schema.clone());
        for (i, key) in matrix.rows.iter().enumerate() {
            self.state.closed(key.window.end);
            if let Some(open) = self.state.open.remove(key.window.start, &key.entity) {
                // What is reported whatever the line is says nothing about where the line should be.
                if !open.hits.always_reports() {
                    let (class, novelty, rules) = (open.class, open.novelty(), open.hits.evidence());
                    self.rows.push(TrainRow { key: key.clone(), class, novelty, rules, x: matrix.x.row(i).to_vec() });
                }
            }
        }
    }

    /// Takes closed windows of workloads.
    pub fn close_usage(&mut self, matrix: &FeatureMatrix) {
        self.usage_schema.get_or_insert_with(|| matrix.schema.clone());
        let rows = matrix.rows.iter().enumerate();
        self.usage.extend(rows.map(|(i, key)| (key.clone(), matrix.x.row(i).to_vec())));
    }

    /// The fitted, calibrated model. All windows must have been closed.
    ///
    /// Errors: [`EngineError::TooLittleData`] without a window; [`EngineError::Detect`] when a part cannot be
    /// fitted.
    pub fn finish(self) -> Result<(FittedModel, TrainReport), EngineError> {
        let schema = self.schema.clone().ok_or(EngineError::TooLittleData(
            "no actor did anything worth scoring after the first 40 % of the period",
        ))?;
        let (mut fit, mut held_out): (Vec<&TrainRow>, Vec<&TrainRow>) =
            self.rows.iter().partition(|r| r.key.window.start < self.forest_until);
        // A log of a few minutes has no period to spare. It is calibrated on what it was fitted on, and the
        // model says "learning" for as long as that is so.
        if fit.is_empty() {
            fit.clone_from(&held_out);
        } else if held_out.is_empty() {
            held_out.clone_from(&fit);
        }
        let days = self.summary.days_of_data(self.from);
        let calibration_days = self.summary.days_of_data(self.forest_until);
        let fit = within_quota(&fit);
        let strata: Vec<String> = fit.iter().map(|r| r.class.as_str().to_owned()).collect();
        let forest = StratifiedForest::fit(matrix(&fit)?.view(), &strata, self.spec.seed)?;
        let mut forest_score: Vec<(&TrainRow, f64)> = Vec::with_capacity(held_out.len());
        for class in ActorClass::ALL {
            let rows: Vec<&TrainRow> = held_out.iter().copied().filter(|r| r.class == class).collect();
            let scores = forest.score(matrix(&rows)?.view(), class.as_str());
            for (row, s) in rows.iter().zip(if rows.is_empty() { Vec::new() } else { scores?.to_vec() }) {
                forest_score.push((row, s));
            }
        }
        let calibration = |class: Option<ActorClass>| {
            let of = || forest_score.iter().filter(move |(row, _)| class.is_none_or(|class| row.class == class));
            StratumCalibration {
                novelty: Calibrator::new(
                    corroborated(of().map(|(row, _)| (row.key.entity.as_ref(), row.novelty)).collect()),
                    calibration_days,
                ),
                strangeness: Calibrator::new(
                    corroborated(of().map(|(row, s)| (row.key.entity.as_ref(), *s)).collect()),
                    calibration_days,
                ),
            }
        };
        let mut seen: Vec<ActorClass> = forest_score.iter().map(|(row, _)| row.class).collect();
        seen.dedup();
        let strata: BTreeMap<_, _> = seen.into_iter().map(|c| (c, calibration(Some(c)))).collect();
        let any = calibration(None);
        let mut benign = Vec::with_capacity(forest_score.len());
        for (row, s) in &forest_score {
            let (c, _) = stratum(&strata, &any, row.class);
            let habit = c.novelty.rareness(row.novelty).among(any.novelty.rareness(row.novelty));
            let evidence = self.spec.detectors.closed(habit, c.strangeness.rareness(*s), row.rules).total();
            benign.push(Benign { entity: &row.key.entity, start: row.key.window.start, evidence });
        }
        let usage = self.fit_usage(calibration_days, &mut benign)?;
        let tail = EvidenceTail::new(shared(incidents(benign, self.spec.window)), calibration_days);
        let mut novelty = self.builder.finish()?;
        novelty.history_days = days;
        let report = TrainReport {
            events: self.summary.events,
            samples: self.summary.samples,
            days,
            calibration_days,
            actors: novelty.actor_count(),
            peer_groups: novelty
                .groups()
                .iter()
                .filter(|g| g.members > 0)
                .map(|g| (g.name.clone(), g.members))
                .collect(),
            fitted_windows: fit.len(),
            calibration_windows: held_out.len(),
            usage_windows: usage.as_ref().map_or(0, |u| u.deviation.n() as usize),
            late: self.state.counts.late,
            health: String::new(),
            alert_line: BTreeMap::new(),
        };
        let model = FittedModel {
            window_seconds: self.spec.window.as_secs(),
            detectors: self.spec.detectors,
            rules: self.spec.rules,
            audit_schema: schema.hash(),
            novelty,
            forest,
            any,
            strata,
            usage,
            tail,
            calibration_days,
            sight: self.sight.finish(),
            rule_set: self.rules.digest().to_owned(),
        };
        let line = |budget: f64| score(model.tail.alert_line(budget));
        let report = TrainReport {
            health: if model.is_learning() { "learning" } else { "ready" }.to_owned(),
            alert_line: BTreeMap::from([("1/day".to_owned(), line(1.0)), ("5/day".to_owned(), line(5.0))]),
            ..report
        };
        Ok((model, report))
    }

    fn fit_usage<'r>(
        &'r self,
        calibration_days: f64,
        benign: &mut Vec<Benign<'r>>,
    ) -> Result<Option<UsageModel>, EngineError> {
        let Some(schema) = &self.usage_schema else { return Ok(None) };
        let part = |fit: bool| {
            let rows = self.usage.iter().filter(|(k, _)| (k.window.start < self.forest_until) == fit);
            let (keys, values): (Vec<RowKey>, Vec<Vec<f64>>) = rows.cloned().unzip();
            FeatureMatrix::new(schema.clone(), keys, values.concat()).map_err(|_| DetectError::SchemaMismatch)
        };
        let (fit, held_out) = (part(true)?, part(false)?);
        if fit.rows.is_empty() || held_out.rows.is_empty() {
            return Ok(None);
        }
        let history = self.summary.days_of_data(self.from) - calibration_days;
        let habits = UsageHabits::fit(&fit, self.metrics.clone(), history)?;
        let strata = vec![STRATUM.to_owned(); fit.rows.len()];
        let forest = StratifiedForest::fit(habits.deviations(&fit)?.view(), &strata, self.spec.seed)?;
        let deviations = habits.deviations(&held_out)?;
        let furthest = largest(&deviations);
        let scores = forest.score(deviations.view(), STRATUM)?;
        let calibrator =
            |values: &Array1<f64>| Calibrator::new(values.to_vec(), calibration_days).claiming(USAGE_DECADES);
        let (deviation, strangeness) = (calibrator(&furthest), calibrator(&scores));
        let of_row = self.usage.iter().map(|(key, _)| key).filter(|key| key.window.start >= self.forest_until);
        for (key, (d, s)) in of_row.zip(furthest.iter().zip(&scores)) {
            let (habit, strangeness) = (deviation.rareness(*d), strangeness.rareness(*s));
            let evidence = self.spec.detectors.usage(habit, strangeness).total();
            benign.push(Benign { entity: &key.entity, start: key.window.start, evidence });
        }
        Ok(Some(UsageModel { habits, forest, deviation, strangeness }))
    }
}

/// Thins out entities that have more than their quota of rows, evenly over time.
fn within_quota<'r>(rows: &[&'r TrainRow]) -> Vec<&'r TrainRow> {
    let quota = ((rows.len() as f64 * ENTITY_QUOTA) as usize).max(ENTITY_MINIMUM);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for r in rows {
        *counts.entry(&r.key.entity).or_default() += 1;
    }
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    rows.iter()
        .copied()
        .filter(|r| {
            let n = counts.get(r.key.entity.as_ref()).copied().unwrap_or_default();
            let i = seen.entry(&r.key.entity).or_default();
            // Row i of n is kept when it starts a new quota-sized share.
            let keep = n <= quota || *i * quota / n != (*i + 1) * quota / n;
            *i += 1;
            keep
        })
        .collect()
}

fn matrix(rows: &[&TrainRow]) -> Result<Array2<f64>, DetectError> {
    let width = rows.first().map_or(0, |r| r.x.len());
    let values: Vec<f64> = rows.iter().flat_map(|r| r.x.iter().copied()).collect();
    Array2::from_shape_vec((rows.len(), width), values).map_err(|_| DetectError::SchemaMismatch)
}
