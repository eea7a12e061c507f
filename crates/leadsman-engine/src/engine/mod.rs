mod altered;
mod usage;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leadsman_detect::FittedModel;
use leadsman_detect::calibration::{Calibrator, Rareness};
use leadsman_detect::evidence::{Evidence, score};
use leadsman_detect::rules::RuleSet;
use leadsman_domain::{
    ActorClass, AuditEvent, FeatureMatrix, Finding, MetricSample, ModelRef, Surprise, Timestamp, Window,
};
use ndarray::Axis;

use crate::EngineError;
use crate::blindness::Gap;
use crate::observer::{Observed, Observer, Seen, run_length};
use crate::report::{ActorWindow, Reporter};
use crate::shard::{EntityKey, ShardState};
use crate::windows::OpenWindow;

/// How an engine is set up.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Cluster the telemetry comes from: configuration, never payload.
    pub cluster: String,
    /// Incidents a day that people are willing to look at.
    pub budget_per_day: f64,
    /// How scores are read.
    pub polarity: Polarity,
    /// Rules and decoys; those that the model was calibrated with, or the alert line is not where the budget wants it.
    pub rules: Arc<RuleSet>,
}

/// How scores are read. All but `Normal` exist to prove that the tests would notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Polarity {
    /// Higher is stranger.
    #[default]
    Normal,
    /// Raw scores change sign before calibration, and no rule counts: an engine like this must find nothing.
    Negated,
    /// Every raw score is the same: an engine like this must find nothing either.
    Frozen,
}

impl Polarity {
    fn apply(self, raw: f64) -> f64 {
        match self {
            Self::Normal => raw,
            Self::Negated => -raw,
            Self::Frozen => 0.0,
        }
    }

    /// Evidence of rules is never negative.
    fn rules(self, evidence: f64) -> f64 {
        self.apply(evidence).max(0.0)
    }
}

/// Turns events and windows into findings with one model.
#[derive(Debug, Clone)]
pub struct Engine {
    model: Arc<FittedModel>,
    polarity: Polarity,
    rules: Arc<RuleSet>,
    line: f64,
    reporter: Reporter,
}

/// A closed window with its scores.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredWindow {
    /// Actor, or `namespace/workload`.
    pub entity: String,
    /// Class of an actor; `None` for a workload.
    pub class: Option<ActorClass>,
    /// The window.
    pub window: Window,
    /// Events or samples in it.
    pub count: u64,
    /// Raw score of the detector that judges against habit.
    pub habit: f64,
    /// Raw score of the isolation forest, in (0, 1].
    pub forest: f64,
    /// Evidence of the rules that matched, in decades; 0 for a workload.
    pub rules: f64,
    /// Conformal p-value of the more telling of the two.
    pub p: f64,
    /// Combined evidence.
    pub evidence: f64,
    /// 0–100.
    pub score: u8,
}

impl Engine {
    /// An engine for `model`, which stands in the registry as `reference`.
    #[must_use]
    pub fn new(model: Arc<FittedModel>, reference: ModelRef, settings: EngineSettings) -> Self {
        let line = model.tail.alert_line(settings.budget_per_day);
        let reporter = Reporter { cluster: settings.cluster, model: reference, detectors: model.detectors };
        Self { model, polarity: settings.polarity, rules: settings.rules, line, reporter }
    }

    /// The same engine with the alert line at zero: every window is reported.
    #[must_use]
    pub fn reporting_all(mut self) -> Self {
        self.line = 0.0;
        self
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &FittedModel {
        &self.model
    }

    /// Evidence above which a window becomes a finding.
    #[must_use]
    pub fn alert_line(&self) -> f64 {
        self.line
    }

    /// How many leading `events` can be observed before a window has to close, and the watermark that closes
    /// it. `earliest_end` is the end of the earliest open window.
    ///
    /// Observing run by run is what makes findings independent of how the log is cut into batches.
    #[must_use]
    pub fn run_length(
        &self,
        state: &ShardState,
        earliest_end: Option<Timestamp>,
        events: &[AuditEvent],
    ) -> (usize, Option<Timestamp>) {
        run_length(self.model.window(), state.watermark(), earliest_end, events.iter().map(|e| e.event_time))
    }

    /// The same for metric samples.
    #[must_use]
    pub fn sample_run_length(
        &self,
        state: &ShardState,
        earliest_end: Option<Timestamp>,
        samples: &[MetricSample],
    ) -> (usize, Option<Timestamp>) {
        run_length(self.model.window(), state.sample_watermark(), earliest_end, samples.iter().map(|s| s.event_time))
    }

    /// Judges events, then learns from them. Findings appear as soon as a window's novelty and rules alone cross the
    /// alert line, or a rule matches that is always reported; the window's close completes them.
    pub fn observe(&self, state: &mut ShardState, events: &[AuditEvent]) -> (Vec<Surprise>, Vec<Finding>) {
        let model = &self.model;
        let mut observer = Observer::new(&model.novelty, model.window(), model.detectors, &self.rules);
        let mut surprises = Vec::new();
        let mut crossed = BTreeSet::new();
        let mut findings = Vec::new();
        for (index, event) in events.iter().enumerate() {
            let blindness = state.watch.see(event, &model.sight);
            findings.extend(blindness.map(|b| self.reporter.blindness(&b)));
            let Observed { surprise, open, told_more } = match observer.observe(state, index, event) {
                Seen::Scored(observed) => observed,
                Seen::Late => {
                    findings.extend(observer.judge_late(state, event).and_then(|open| self.late(&open, event)));
                    continue;
                }
                Seen::Passed => continue,
            };
            surprises.push(surprise);
            if told_more {
                open.over_line = self.reports(open, self.evidence_open(open));
            }
            if open.over_line {
                open.detected_at.get_or_insert(event.event_time);
                let start = event.event_time.window(model.window()).start;
                // The incident is settled event by event, in log order, not batch by batch.
                if open.is_unsettled() {
                    self.settle(state, start, &event.actor.name);
                }
                crossed.insert((start, event.actor.name.as_ref()));
            }
        }
        findings.extend(crossed.into_iter().filter_map(|(start, entity)| {
            let open = state.open.get(start, entity)?;
            let mut finding = self.actor_finding(entity, start, open, self.evidence_open(open), None);
            finding.explanation.counterfactual = self.counterfactual_open(entity, open);
            Some(finding)
        }));
        findings.extend(observer.collisions.iter().map(|collision| self.reporter.collision(collision)));
        state.forget_requests();
        (surprises, findings)
    }

    /// A finding about a late event by itself, when a rule matches that is always reported: its window is closed, and who
    /// delays a log must not get round the rules.
    ///
    /// It is the finding of its window in the first revision: where there is one already, nothing changes, for the event
    /// may be one that was read in time and forgotten since.
    fn late(&self, open: &OpenWindow, event: &AuditEvent) -> Option<Finding> {
        if self.polarity != Polarity::Normal {
            return None;
        }
        let (actor, start) = (&event.actor.name, event.event_time.window(self.model.window()).start);
        let mut finding = self.actor_finding(actor, start, open, self.evidence_open(open), None);
        finding
            .limits
            .push("read when its window was closed: judged by itself, by rules and training alone".to_owned());
        Some(finding)
    }

    /// Whether the partition fell silent: nothing came for three times the longest quiet time of training, and at
    /// least ten minutes. Told once for each silence.
    ///
    /// `now` is in event time: the newest event ([`ShardState::newest_event`]) plus the time for which nothing came, so
    /// that reading an old log is no silence.
    pub fn silence(&self, state: &mut ShardState, now: Timestamp) -> Option<Finding> {
        let silence = state.watch.silence(&self.model.sight, now)?;
        Some(self.reporter.silence(silence, &self.model))
    }

    /// A finding about records that were deleted before they were read.
    #[must_use]
    pub fn gap(&self, gap: &Gap<'_>) -> Finding {
        self.reporter.gap(gap)
    }

    /// Takes samples into account; tells which are in time (by index).
    pub fn observe_samples(&self, state: &mut ShardState, samples: &[MetricSample]) -> Vec<usize> {
        state.admit_samples(samples)
    }

    /// Scores the closed windows of actors.
    ///
    /// Errors: [`EngineError::Detect`] when the matrix has another schema than the model.
    pub fn close(
        &self,
        state: &mut ShardState,
        matrix: &FeatureMatrix,
    ) -> Result<(Vec<ScoredWindow>, Vec<Finding>), EngineError> {
        self.model.check_schema(&matrix.schema)?;
        let mut scored = Vec::with_capacity(matrix.rows.len());
        let mut findings = Vec::new();
        let mut forest_scores = self.forest_scores(state, matrix)?;
        for (i, row) in matrix.rows.iter().enumerate() {
            state.closed(row.window.end);
            let start = row.window.start;
            let Some(open) = state.open.get_mut(start, &row.entity) else { continue };
            let (calibration, _) = self.model.stratum(open.class);
            let class = open.class;
            let forest = forest_scores.remove(&i).unwrap_or(0.5);
            let habit = self.novelty_rareness(open);
            let strangeness = calibration.strangeness.rareness(self.polarity.apply(forest));
            let detectors = self.model.detectors;
            let evidence = detectors.closed(habit, strangeness, self.polarity.rules(open.hits.evidence()));
            scored.push(ScoredWindow {
                entity: row.entity.to_string(),
                class: Some(open.class),
                window: row.window,
                count: row.count,
                habit: open.novelty(),
                forest,
                rules: evidence.rules,
                p: detectors.rarest(habit, Some(strangeness)).p,
                evidence: evidence.total(),
                score: score(evidence.total()),
            });
            if self.reports(open, evidence) {
                open.detected_at.get_or_insert(row.window.end);
                self.settle(state, start, &row.entity);
                let x = matrix.x.select(Axis(0), &[i]);
                let by_feature = if detectors.forest {
                    self.model.forest.attributions(x.view(), class.as_str())?.by_feature.row(0).to_vec()
                } else {
                    Vec::new()
                };
                let detail = ActorWindow { schema: &matrix.schema, values: x.row(0).to_vec(), by_feature, strangeness };
                if let Some(open) = state.open.get(start, &row.entity) {
                    let mut finding = self.actor_finding(&row.entity, start, open, evidence, Some(&detail));
                    finding.explanation.counterfactual =
                        self.counterfactual_closed(&row.entity, open, &matrix.schema, &detail.values)?;
                    findings.push(finding);
                }
            }
            state.open.remove(start, &row.entity);
        }
        Ok((scored, findings))
    }

    fn evidence_open(&self, open: &OpenWindow) -> Evidence {
        self.model.detectors.open(self.novelty_rareness(open), self.polarity.rules(open.hits.evidence()))
    }

    /// Whether a window becomes a finding: by its evidence, or by a rule that no budget holds back.
    fn reports(&self, open: &OpenWindow, evidence: Evidence) -> bool {
        evidence.total() >= self.line || (self.polarity == Polarity::Normal && open.hits.always_reports())
    }

    fn rareness(&self, calibrator: &Calibrator, raw: f64) -> Rareness {
        calibrator.rareness(self.polarity.apply(raw))
    }

    fn novelty_rareness(&self, open: &OpenWindow) -> Rareness {
        self.habit_rareness(open.class, open.novelty())
    }

    /// How rare so much novelty is, for actors of a class and for all.
    fn habit_rareness(&self, class: ActorClass, nats: f64) -> Rareness {
        let (calibration, _) = self.model.stratum(class);
        self.rareness(&calibration.novelty, nats).among(self.rareness(&self.model.any.novelty, nats))
    }

    fn settle(&self, state: &mut ShardState, start: Timestamp, entity: &str) {
        let new = self.reporter.incident_id(EntityKey::Actor, entity, start);
        state.settle((start, entity), self.model.window(), new);
    }

    /// Forest scores by row index, asked stratum by stratum.
    fn forest_scores(&self, state: &ShardState, matrix: &FeatureMatrix) -> Result<BTreeMap<usize, f64>, EngineError> {
        let mut by_class: BTreeMap<ActorClass, Vec<usize>> = BTreeMap::new();
        for (i, row) in matrix.rows.iter().enumerate() {
            if let Some(open) = state.open.get(row.window.start, &row.entity) {
                by_class.entry(open.class).or_default().push(i);
            }
        }
        let mut out = BTreeMap::new();
        for (class, rows) in by_class {
            let x = matrix.x.select(Axis(0), &rows);
            let scores = self.model.forest.score(x.view(), class.as_str())?;
            out.extend(rows.into_iter().zip(scores));
        }
        Ok(out)
    }

    fn actor_finding(
        &self,
        entity: &str,
        start: Timestamp,
        open: &OpenWindow,
        evidence: Evidence,
        closed: Option<&ActorWindow<'_>>,
    ) -> Finding {
        let (calibration, stratum) = self.model.stratum(open.class);
        // What people read is how rare it is in the stratum that they read of.
        let habit = self.rareness(&calibration.novelty, open.novelty());
        let window = start.window(self.model.window());
        self.reporter.actor(entity, window, open, evidence, habit, closed, (calibration.novelty.n(), stratum))
    }
}
