//! What a back-test found, as figures with their uncertainty.

use std::collections::BTreeMap;
use std::fmt;

use leadsman_detect::Detectors;
use leadsman_sim::{IdentityKind, Style, Technique, Trial};
use serde::Serialize;

use super::attempt::Verdict;

/// Alert budgets tried, in false incidents a day and cluster.
pub(super) const BUDGETS: [u32; 3] = [1, 5, 10];

/// What one detector did over some clusters.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    hits: BTreeMap<(Style, u32), Hits>,
    techniques: BTreeMap<(Technique, Style, u32), Hits>,
    identities: BTreeMap<(IdentityKind, Style, u32), Hits>,
    /// Seconds of event time from the decisive request to the finding.
    delays: BTreeMap<(Style, u32), Vec<f64>>,
    /// Findings whose weightiest reasons name the decisive request.
    explained: Hits,
    /// Incidents that point at nothing, and the days they were counted over: one entry a cluster.
    quiet: BTreeMap<u32, Vec<(u64, f64)>>,
}

/// Attacks found of attacks tried.
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

    fn join(&mut self, other: Self) {
        self.found += other.found;
        self.of += other.of;
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

impl Tally {
    pub(super) fn attempt(&mut self, trial: &Trial, budget: u32, verdict: Verdict) {
        let found = verdict.delay.is_some();
        self.hits.entry((trial.style, budget)).or_default().add(found);
        self.techniques.entry((trial.technique, trial.style, budget)).or_default().add(found);
        self.identities.entry((trial.identity, trial.style, budget)).or_default().add(found);
        if let Some(delay) = verdict.delay {
            self.delays.entry((trial.style, budget)).or_default().push(delay);
            self.explained.add(verdict.explained);
        }
    }

    pub(super) fn quiet(&mut self, budget: u32, incidents: u64, days: f64) {
        self.quiet.entry(budget).or_default().push((incidents, days));
    }

    pub(super) fn join(&mut self, other: Self) {
        join(&mut self.hits, other.hits, |a, b| a.join(b));
        join(&mut self.techniques, other.techniques, |a, b| a.join(b));
        join(&mut self.identities, other.identities, |a, b| a.join(b));
        join(&mut self.delays, other.delays, |a, b| a.extend(b));
        self.explained.join(other.explained);
        join(&mut self.quiet, other.quiet, |a, b| a.extend(b));
    }

    /// The style with the lowest recall at `budget`.
    pub(super) fn lowest_recall(&self, budget: u32) -> Option<(Style, f64)> {
        let at_budget = self.hits.iter().filter(|((_, b), _)| *b == budget);
        at_budget.map(|((style, _), hits)| (*style, hits.recall())).min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// Recall over all styles at `budget`.
    fn overall(&self, budget: u32) -> Hits {
        let mut all = Hits::default();
        self.hits.iter().filter(|((_, b), _)| *b == budget).for_each(|(_, hits)| all.join(*hits));
        all
    }

    fn per_day(&self, budget: u32) -> Option<f64> {
        let clusters = self.quiet.get(&budget)?;
        let (count, days) = clusters.iter().fold((0, 0.0), |(c, d), (count, days)| (c + count, d + days));
        (days > 0.0).then(|| count as f64 / days)
    }

    fn by_budget(&self, figure: impl Fn(u32, f64) -> f64) -> BTreeMap<String, f64> {
        let each = self.quiet.keys().filter_map(|b| Some((*b, self.per_day(*b)?)));
        each.map(|(b, per_day)| (b.to_string(), rounded(figure(b, per_day)))).collect()
    }
}

fn join<K: Ord, V: Default>(into: &mut BTreeMap<K, V>, from: BTreeMap<K, V>, add: impl Fn(&mut V, V)) {
    for (key, value) in from {
        add(into.entry(key).or_default(), value);
    }
}

/// All clusters.
#[derive(Debug, Clone, Default)]
pub(super) struct Report {
    pub(super) seeds: Vec<u64>,
    pub(super) suite: &'static str,
    pub(super) detectors: Detectors,
    pub(super) full: Tally,
    pub(super) baselines: BTreeMap<&'static str, Tally>,
    /// With one detector switched, by its name: off where it is on, on where it is off.
    pub(super) ablation: BTreeMap<&'static str, Tally>,
    /// Trained on logs of which an account wrote so many percent.
    pub(super) poisoning: BTreeMap<u32, Tally>,
    /// After one day.
    pub(super) cold_start: Tally,
    /// Weeks with one kind of upheaval and no attack.
    pub(super) hard_negatives: BTreeMap<&'static str, Tally>,
}

/// One figure for each style and budget.
type ByStyle<T> = BTreeMap<&'static str, BTreeMap<String, T>>;

/// The report as scripts read it.
#[derive(Serialize)]
pub(super) struct Document<'r> {
    schema: &'static str,
    suite: &'static str,
    seeds: &'r [u64],
    detectors: String,
    /// How many attacks were tried in each style.
    attempts: BTreeMap<&'static str, u32>,
    /// Share of attacks that a finding points at.
    recall: ByStyle<f64>,
    /// 95 % intervals of `recall`.
    recall_interval: ByStyle<[f64; 2]>,
    /// Recall of each technique.
    techniques: BTreeMap<&'static str, ByStyle<f64>>,
    /// Recall by what kind of identity was stolen.
    identities: BTreeMap<&'static str, ByStyle<f64>>,
    /// Median seconds of event time from the decisive request to its finding; absent where nothing was found.
    time_to_detect_s: ByStyle<f64>,
    /// Share of found attacks of which one of the three weightiest reasons rests on a decisive request.
    explanation_hit_rate: Option<f64>,
    /// False incidents a day and cluster.
    false_incidents_per_day: BTreeMap<String, f64>,
    /// Realised over target.
    budget_ratio: BTreeMap<String, f64>,
    baselines: BTreeMap<&'static str, Part>,
    ablation: BTreeMap<&'static str, Part>,
    poisoning: BTreeMap<String, Part>,
    cold_start: Part,
    /// False incidents a day in a week with one upheaval.
    hard_negatives: BTreeMap<&'static str, BTreeMap<String, f64>>,
}

/// A detector beside the full one.
#[derive(Serialize)]
struct Part {
    /// Which detectors were on, where they are others than `detectors`.
    #[serde(skip_serializing_if = "Option::is_none")]
    detectors: Option<String>,
    recall: ByStyle<f64>,
    /// Recall over all styles, minus that of all detectors together, in points.
    points_against_all: BTreeMap<String, f64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    budget_ratio: BTreeMap<String, f64>,
}

impl Report {
    pub(super) fn document(&self) -> Document<'_> {
        let part = |tally: &Tally| Part {
            detectors: None,
            recall: by_style(&tally.hits, |h| h.recall()),
            points_against_all: BUDGETS
                .into_iter()
                .filter(|b| tally.overall(*b).of > 0)
                .map(|b| (b.to_string(), rounded(100.0 * (tally.overall(b).recall() - self.full.overall(b).recall()))))
                .collect(),
            budget_ratio: tally.by_budget(|budget, per_day| per_day / f64::from(budget)),
        };
        let attempts = self.full.hits.iter().filter(|((_, b), _)| *b == BUDGETS[0]);
        Document {
            schema: "leadsman.backtest/v2",
            suite: self.suite,
            seeds: &self.seeds,
            detectors: self.detectors.to_string(),
            attempts: attempts.map(|((style, _), hits)| (style.as_str(), hits.of)).collect(),
            recall: by_style(&self.full.hits, |h| h.recall()),
            recall_interval: by_style(&self.full.hits, |h| h.interval()),
            techniques: by_name(&self.full.techniques, Technique::as_str),
            identities: by_name(&self.full.identities, IdentityKind::as_str),
            time_to_detect_s: by_style(&self.full.delays, |d| rounded(median(d))),
            explanation_hit_rate: (self.full.explained.of > 0).then(|| self.full.explained.recall()),
            false_incidents_per_day: self.full.by_budget(|_, per_day| per_day),
            budget_ratio: self.full.by_budget(|budget, per_day| per_day / f64::from(budget)),
            baselines: self.baselines.iter().map(|(name, tally)| (*name, part(tally))).collect(),
            ablation: self.ablations().map(|(name, on, tally)| (name, Part { detectors: on, ..part(tally) })).collect(),
            poisoning: self.poisoning.iter().map(|(share, tally)| (share.to_string(), part(tally))).collect(),
            cold_start: part(&self.cold_start),
            hard_negatives: self.hard_negatives.iter().map(|(k, t)| (*k, t.by_budget(|_, per_day| per_day))).collect(),
        }
    }

    /// What one detector makes a difference to: its name, which were on, what came of it.
    fn ablations(&self) -> impl Iterator<Item = (&'static str, Option<String>, &Tally)> {
        let on = |wanted| self.detectors.each_switched().find(|(name, _)| *name == wanted);
        self.ablation.iter().map(move |(name, tally)| (*name, on(*name).map(|(_, d)| d.to_string()), tally))
    }

    /// The techniques missed at the smallest budget, the most missed first, with how often of how many.
    fn missed(&self) -> Vec<(Technique, Style, Hits)> {
        let at_one =
            self.full.techniques.iter().filter(|((_, _, budget), hits)| *budget == BUDGETS[0] && hits.found < hits.of);
        let mut missed: Vec<_> = at_one.map(|((technique, style, _), hits)| (*technique, *style, *hits)).collect();
        missed.sort_by_key(|(_, _, hits)| std::cmp::Reverse(hits.of - hits.found));
        missed
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<44}", "recall at false incidents a day")?;
        for budget in BUDGETS {
            write!(f, "{budget:>22}")?;
        }
        for style in Style::ALL {
            write!(f, "\n{:<44}", style.as_str())?;
            for budget in BUDGETS {
                let told = self.full.hits.get(&(style, budget)).map_or_else(String::new, |hits| {
                    let [low, high] = hits.interval();
                    format!("{:.2} ({low:.2} to {high:.2})", hits.recall())
                });
                write!(f, "{told:>22}")?;
            }
        }
        write!(f, "\n{:<44}", "false incidents a day")?;
        for budget in BUDGETS {
            write!(f, "{:>22}", self.full.per_day(budget).map_or_else(String::new, |n| format!("{n:.2}")))?;
        }
        let others = self.baselines.iter().map(|(name, t)| (format!("baseline {name}"), t));
        let others = others.chain(self.ablations().map(|(_, on, t)| (on.unwrap_or_default(), t)));
        let others =
            others.chain(self.poisoning.iter().map(|(share, t)| (format!("{share} % of the log poisoned"), t)));
        let others = others.chain(std::iter::once(("after one day".to_owned(), &self.cold_start)));
        for (name, tally) in others.filter(|(_, t)| !t.hits.is_empty()) {
            for style in Style::ALL {
                write!(f, "\n{:<44}", format!("{name}, {style}"))?;
                for budget in BUDGETS {
                    let hits = tally.hits.get(&(style, budget));
                    write!(f, "{:>22}", hits.map_or_else(String::new, |h| format!("{:.2}", h.recall())))?;
                }
            }
        }
        for (kind, tally) in &self.hard_negatives {
            write!(f, "\n{:<44}", format!("false incidents a day, {kind}"))?;
            for budget in BUDGETS {
                write!(f, "{:>22}", tally.per_day(budget).map_or_else(String::new, |n| format!("{n:.2}")))?;
            }
        }
        write!(
            f,
            "\n{:<44}{:>22}",
            "explained by the decisive request",
            format!("{:.2}", self.full.explained.recall())
        )?;
        for (technique, style, hits) in self.missed() {
            write!(f, "\nmissed at 1 a day: {technique} {style}, {} of {}", hits.of - hits.found, hits.of)?;
        }
        Ok(())
    }
}

fn by_name<K: Copy + Ord>(
    all: &BTreeMap<(K, Style, u32), Hits>,
    name: impl Fn(K) -> &'static str,
) -> BTreeMap<&'static str, ByStyle<f64>> {
    let mut out: BTreeMap<&'static str, ByStyle<f64>> = BTreeMap::new();
    for ((key, style, budget), hits) in all {
        let of_style = out.entry(name(*key)).or_default().entry(style.as_str()).or_default();
        of_style.insert(budget.to_string(), hits.recall());
    }
    out
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
mod tests;
