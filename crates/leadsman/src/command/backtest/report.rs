//! What a back-test found, as figures with their uncertainty.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use leadsman_domain::IncidentId;
use leadsman_sim::Style;
use serde::Serialize;

use crate::labels::Labels;
use crate::pipeline::Outcome;

/// Alert budgets tried, in false incidents a day and cluster.
pub(super) const BUDGETS: [u32; 3] = [1, 5, 10];

/// One week of one cluster under one budget.
pub(super) struct Trial<'a> {
    pub(super) style: Style,
    pub(super) budget: u32,
    pub(super) labels: &'a Labels,
    pub(super) findings: &'a Outcome,
}

/// All trials.
pub(super) struct Report {
    seeds: Vec<u64>,
    days: f64,
    hits: BTreeMap<(Style, u32), Hits>,
    techniques: BTreeMap<(String, Style, u32), Hits>,
    /// Seconds of event time from a stage's first record to its finding.
    delays: BTreeMap<(Style, u32), Vec<f64>>,
    /// Incidents that point at nothing of an attack, and the days they were counted over.
    falsehoods: BTreeMap<u32, (u64, f64)>,
}

/// Stages found of stages staged.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Hits {
    found: u32,
    of: u32,
}

impl Hits {
    fn add(&mut self, found: bool) {
        self.found += u32::from(found);
        self.of += 1;
    }

    fn recall(self) -> f64 {
        rounded(f64::from(self.found) / f64::from(self.of.max(1)))
    }

    /// The 95 % interval of the recall. Source: Wilson, JASA 22 (1927), "Probable inference".
    fn interval(self) -> [f64; 2] {
        const Z: f64 = 1.959_964;
        let n = f64::from(self.of.max(1));
        let p = f64::from(self.found) / n;
        let centre = p + Z * Z / (2.0 * n);
        let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + Z * Z / n;
        [rounded(((centre - spread) / scale).max(0.0)), rounded(((centre + spread) / scale).min(1.0))]
    }
}

/// One figure for each style and budget.
type ByStyle<T> = BTreeMap<&'static str, BTreeMap<String, T>>;

/// The report as scripts read it.
#[derive(Serialize)]
pub(super) struct Document {
    schema: &'static str,
    suite: &'static str,
    seeds: Vec<u64>,
    test_days: f64,
    /// Share of stages that a finding points at.
    recall: ByStyle<f64>,
    /// 95 % intervals of `recall`.
    recall_interval: ByStyle<[f64; 2]>,
    /// Recall of each technique.
    techniques: BTreeMap<String, ByStyle<f64>>,
    /// Median seconds of event time from a stage's first record to its finding; absent where nothing was found.
    time_to_detect_s: ByStyle<f64>,
    /// False incidents a day and cluster.
    false_incidents_per_day: BTreeMap<String, f64>,
    /// Realised over target.
    budget_ratio: BTreeMap<String, f64>,
}

impl Report {
    pub(super) fn new(seeds: Vec<u64>, days: f64) -> Self {
        Self {
            seeds,
            days,
            hits: BTreeMap::new(),
            techniques: BTreeMap::new(),
            delays: BTreeMap::new(),
            falsehoods: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, trial: &Trial<'_>) {
        let key = (trial.style, trial.budget);
        let findings = || trial.findings.findings.values();
        for (index, stage) in trial.labels.stages.iter().enumerate() {
            let first = findings().filter(|f| trial.labels.shows(index, f)).map(|f| f.detected_at).min();
            self.hits.entry(key).or_default().add(first.is_some());
            let technique = (stage.technique.clone(), trial.style, trial.budget);
            self.techniques.entry(technique).or_default().add(first.is_some());
            if let Some(at) = first {
                self.delays.entry(key).or_default().push(at.seconds_since(stage.begins).max(0.0));
            }
        }
        let mut incidents: BTreeSet<IncidentId> = findings().map(|f| f.incident_id).collect();
        for finding in findings().filter(|f| trial.labels.shows_any(f)) {
            incidents.remove(&finding.incident_id);
        }
        let (count, days) = self.falsehoods.entry(trial.budget).or_default();
        *count += incidents.len() as u64;
        *days += self.days;
    }

    /// The style with the lowest recall at `budget`.
    pub(super) fn lowest_recall(&self, budget: u32) -> Option<(Style, f64)> {
        let at_budget = self.hits.iter().filter(|((_, b), _)| *b == budget);
        at_budget.map(|((style, _), hits)| (*style, hits.recall())).min_by(|a, b| a.1.total_cmp(&b.1))
    }

    pub(super) fn document(&self) -> Document {
        let mut techniques: BTreeMap<String, ByStyle<f64>> = BTreeMap::new();
        for ((technique, style, budget), hits) in &self.techniques {
            let of_style = techniques.entry(technique.clone()).or_default().entry(style.as_str()).or_default();
            of_style.insert(budget.to_string(), hits.recall());
        }
        Document {
            schema: "leadsman.backtest/v1",
            suite: "sim",
            seeds: self.seeds.clone(),
            test_days: self.days,
            recall: by_style(&self.hits, |h| h.recall()),
            recall_interval: by_style(&self.hits, |h| h.interval()),
            techniques,
            time_to_detect_s: by_style(&self.delays, |d| rounded(median(d))),
            false_incidents_per_day: self.by_budget(|_, per_day| per_day),
            budget_ratio: self.by_budget(|budget, per_day| per_day / f64::from(budget)),
        }
    }

    fn by_budget(&self, figure: impl Fn(u32, f64) -> f64) -> BTreeMap<String, f64> {
        let each = self.falsehoods.iter();
        each.map(|(b, (count, days))| (b.to_string(), rounded(figure(*b, *count as f64 / days.max(1e-9))))).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<34}", "recall at false incidents a day")?;
        for budget in BUDGETS {
            write!(f, "{budget:>22}")?;
        }
        for style in Style::ALL {
            write!(f, "\n{:<34}", style.as_str())?;
            for budget in BUDGETS {
                let hits = self.hits.get(&(style, budget)).copied().unwrap_or_default();
                let [low, high] = hits.interval();
                write!(f, "{:>22}", format!("{:.2} ({low:.2} to {high:.2})", hits.recall()))?;
            }
        }
        write!(f, "\n{:<34}", "false incidents a day")?;
        let realised = self.by_budget(|_, per_day| per_day);
        for budget in BUDGETS {
            write!(f, "{:>22}", format!("{:.2}", realised.get(&budget.to_string()).copied().unwrap_or_default()))?;
        }
        let at_one = self.techniques.iter().filter(|((_, _, budget), _)| *budget == 1);
        for ((technique, style, _), hits) in at_one.filter(|(_, hits)| hits.found < hits.of) {
            write!(f, "\nmissed at 1 a day: {technique} {style}, {} of {}", hits.of - hits.found, hits.of)?;
        }
        Ok(())
    }
}

fn by_style<T, U>(all: &BTreeMap<(Style, u32), T>, figure: impl Fn(&T) -> U) -> ByStyle<U> {
    let mut out = ByStyle::new();
    for ((style, budget), value) in all {
        out.entry(style.as_str()).or_default().insert(budget.to_string(), figure(value));
    }
    out
}

/// Median of values that are not empty; the mean of the two in the middle when their number is even.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN);
    let lower = sorted.get((sorted.len().max(1) - 1) / 2).copied().unwrap_or(f64::NAN);
    f64::midpoint(lower, upper)
}

fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_hold_the_recall_and_narrow_with_trials() {
        let few = Hits { found: 3, of: 4 };
        let many = Hits { found: 300, of: 400 };
        for hits in [few, many] {
            let [low, high] = hits.interval();
            assert!(low < hits.recall() && hits.recall() < high);
        }
        let width = |hits: Hits| hits.interval()[1] - hits.interval()[0];
        assert!(width(many) < width(few) / 5.0);
        let [low, high] = Hits { found: 21, of: 21 }.interval();
        assert!((low - 0.8454).abs() < 1e-4 && high >= 1.0, "{low} {high}");
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-12);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-12);
    }

    #[test]
    fn a_week_without_findings_is_all_missed_and_quiet() {
        let stage = leadsman_sim::Stage {
            name: "secrets-read".to_owned(),
            technique: "T1552.007".to_owned(),
            tactic: "Credential Access".to_owned(),
            entity: "somebody".to_owned(),
            begins: leadsman_domain::Timestamp::from_micros(0),
            ends: leadsman_domain::Timestamp::from_micros(1),
            signal: leadsman_sim::Signal::Audit,
        };
        let labels = Labels::new(&[stage]);
        let mut report = Report::new(vec![1], 7.0);
        report.add(&Trial { style: Style::Noisy, budget: 1, labels: &labels, findings: &Outcome::default() });
        assert_eq!(report.lowest_recall(1), Some((Style::Noisy, 0.0)));
        let document = serde_json::to_value(report.document()).unwrap();
        assert_eq!(document["recall"]["noisy"]["1"], 0.0);
        assert_eq!(document["techniques"]["T1552.007"]["noisy"]["1"], 0.0);
        assert_eq!(document["budget_ratio"]["1"], 0.0);
        assert!(document["time_to_detect_s"].as_object().is_some_and(serde_json::Map::is_empty));
    }
}
