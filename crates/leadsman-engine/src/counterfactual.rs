//! The smallest set of changes that would have kept a window below the alert line.
//!
//! Greedy: the detector with more evidence is talked down first, each time by the change that lowers its raw score
//! most; then every change that turns out not to be needed is taken back. So the set is minimal by inclusion, not
//! proven to be the smallest there is. Every step asks the detectors themselves. Features are not recomputed for a habit
//! that is assumed: the row stays as it was but for the features that are set to their usual value.

use leadsman_detect::evidence::Evidence;
use leadsman_detect::novelty::KeyFamily;

/// Most changes that are tried: a noisy attack shows a dozen new things in one window.
const MAX_CHANGES: usize = 32;
/// A change has to lower a raw score by more than this.
const MIN_GAIN: f64 = 1e-9;

/// Most keys that make up a habit.
pub(crate) const MAX_HABIT_KEYS: usize = 3;

/// One change to a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Alteration {
    /// The actor was used to this: a habit and the keys that make it up.
    Known(KeyFamily, [Option<(KeyFamily, u64)>; MAX_HABIT_KEYS]),
    /// The feature was as it usually is.
    Usual(usize),
}

/// What a window is judged by, before calibration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw {
    /// Raw score against habit.
    pub(crate) habit: f64,
    /// Raw score of the forest.
    pub(crate) forest: f64,
    /// Evidence of rules.
    pub(crate) rules: f64,
}

/// A window that can be judged as if it had been different.
pub(crate) trait Altered {
    /// Why judging can fail.
    type Error;
    /// What could still be changed.
    fn candidates(&self, changes: &[Alteration]) -> Vec<Alteration>;
    /// Raw scores with these changes.
    fn raw(&self, changes: &[Alteration]) -> Result<Raw, Self::Error>;
    /// Evidence of raw scores.
    fn evidence(&self, raw: Raw) -> Evidence;
}

/// The changes that bring a window below `line`, with the evidence that is left; `None` when [`MAX_CHANGES`] do not.
pub(crate) fn smallest<A: Altered>(window: &A, line: f64) -> Result<Option<(Vec<Alteration>, f64)>, A::Error> {
    // With the line at zero everything is reported, and nothing would be below it.
    if line <= 0.0 {
        return Ok(None);
    }
    let mut changes = Vec::new();
    let mut raw = window.raw(&changes)?;
    while window.evidence(raw).total() >= line {
        if changes.len() == MAX_CHANGES {
            return Ok(None);
        }
        let evidence = window.evidence(raw);
        let mut order: [(f64, RawScore); 3] = [
            (evidence.habit, |raw| raw.habit),
            (evidence.forest.unwrap_or(0.0), |raw| raw.forest),
            (evidence.rules, |raw| raw.rules),
        ];
        order.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut best = None;
        for (_, score) in order {
            best = best_of(window, &changes, raw, score)?;
            if best.is_some() {
                break;
            }
        }
        let Some((change, lower)) = best else { return Ok(None) };
        changes.push(change);
        raw = lower;
    }
    for change in changes.clone() {
        let without: Vec<Alteration> = changes.iter().copied().filter(|c| *c != change).collect();
        if window.evidence(window.raw(&without)?).total() < line {
            changes = without;
        }
    }
    let left = window.evidence(window.raw(&changes)?).total();
    Ok(Some((changes, left)))
}

type RawScore = fn(Raw) -> f64;

type Step = Option<(Alteration, Raw)>;

/// The change that lowers one raw score most.
fn best_of<A: Altered>(window: &A, changes: &[Alteration], raw: Raw, of: RawScore) -> Result<Step, A::Error> {
    let mut best: Step = None;
    for candidate in window.candidates(changes) {
        let more: Vec<Alteration> = changes.iter().copied().chain([candidate]).collect();
        let lower = window.raw(&more)?;
        if of(lower) < best.map_or(of(raw) - MIN_GAIN, |(_, found)| of(found)) {
            best = Some((candidate, lower));
        }
    }
    Ok(best)
}
