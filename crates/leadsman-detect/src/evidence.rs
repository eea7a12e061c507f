//! From the detectors and rules to one number: combined evidence, the alert line for a budget, and the 0–100 score.

use serde::{Deserialize, Serialize};

/// Combined evidence of a window, in decades of rareness.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// From the detector that judges against habit (novelty, usage).
    pub habit: f64,
    /// From the isolation forest; `None` while the window is open, or when that detector is off.
    pub forest: Option<f64>,
    /// The stronger of the two leads, as for workloads; otherwise the forest only corroborates habit.
    pub either_leads: bool,
    /// From the rules: the most that a hit gives. It needs no calibration.
    pub rules: f64,
}

impl Evidence {
    /// E = habit + ½·min(habit, forest) + rules: the forest corroborates what habit says, by half of it at most. A window whose
    /// counts are odd but that holds nothing new is odd every day somewhere; letting it alarm alone spent half of the
    /// budget and found nothing more (docs/adr/0009). The total of a closed window is at least that of the same window
    /// while it was open.
    #[must_use]
    pub fn total(self) -> f64 {
        let (habit, forest) = self.shares();
        habit + forest + self.rules
    }

    /// What each detector gives to the total besides the rules: (habit, forest).
    #[must_use]
    pub fn shares(self) -> (f64, f64) {
        let forest = self.forest.unwrap_or(0.0);
        if self.either_leads && forest > self.habit {
            (0.5 * self.habit, forest)
        } else {
            (self.habit, 0.5 * forest.min(self.habit))
        }
    }
}

/// The 0–100 score of combined evidence: `round(100·(1 − 2^(−E/2)))`; E = 2 gives 50, E = 4 gives 75.
#[must_use]
pub fn score(evidence: f64) -> u8 {
    let s = 100.0 * (1.0 - (-evidence.max(0.0) / 2.0).exp2());
    s.round().clamp(0.0, 100.0) as u8
}

/// How combined evidence was distributed over the incidents that benign calibration windows of all strata make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvidenceTail {
    days: f64,
    /// How many totals there were.
    n: u64,
    /// Largest totals, ascending.
    largest: Vec<f64>,
}

/// Most totals kept.
const MAX_KEPT: usize = 512;
/// Totals that the tail beyond the data is fitted on.
const TAIL_COUNT: usize = 40;
/// Budgets are never served by a line below this evidence: what benign windows reach eight times a day is no incident.
const MIN_LINE: f64 = 0.1;

impl EvidenceTail {
    /// The tail of `totals` over `days` days of benign windows.
    #[must_use]
    pub fn new(mut totals: Vec<f64>, days: f64) -> Self {
        totals.retain(|t| !t.is_nan());
        totals.sort_by(f64::total_cmp);
        let n = totals.len() as u64;
        let largest = totals.split_off(totals.len() - totals.len().min(MAX_KEPT));
        Self { days: days.max(1e-6), n, largest }
    }

    /// The alert line: the evidence above which benign windows are expected `budget` times a day.
    ///
    /// Within the data it is the exact order statistic; beyond it an exponential tail over the largest
    /// totals, so that a budget of less than one in the whole calibration period can be asked for.
    #[must_use]
    pub fn alert_line(&self, budget: f64) -> f64 {
        let allowed = budget.max(1e-6) * self.days;
        let n = self.largest.len();
        let line = if allowed >= 1.0 || n < 4 {
            // Just above the largest total that is not to be let through.
            let let_through = (allowed.floor() as usize).min(n);
            let first_held = n.checked_sub(let_through + 1).and_then(|i| self.largest.get(i));
            match first_held {
                Some(total) => total.next_up(),
                // A budget for more than was kept is served down to the last total that was.
                None if self.n > n as u64 => self.largest[0],
                None => MIN_LINE,
            }
        } else {
            let count = TAIL_COUNT.min(n - 1);
            let u = self.largest[n - 1 - count];
            let beta = self.largest[n - count..].iter().map(|t| t - u).sum::<f64>() / count as f64;
            (u + beta * (count as f64 / allowed).ln()).max(self.largest[n - 1].next_up())
        };
        line.max(MIN_LINE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn score_has_its_anchors() {
        assert_eq!(score(0.0), 0);
        assert_eq!(score(2.0), 50);
        assert_eq!(score(4.0), 75);
        assert_eq!(score(f64::MAX), 100);
    }

    #[test]
    fn the_line_lets_through_what_the_budget_allows() {
        let totals: Vec<f64> = (0..1000).map(|i| 1.6 + f64::from(i) / 500.0).collect();
        let tail = EvidenceTail::new(totals.clone(), 10.0);
        for budget in [1.0, 5.0, 20.0] {
            let line = tail.alert_line(budget);
            let above = totals.iter().filter(|&&t| t >= line).count() as f64 / 10.0;
            assert!((above - budget).abs() <= 0.1, "{budget}: {above}");
        }
        assert!(tail.alert_line(0.01) > totals[999]);
    }

    proptest! {
        #[test]
        fn a_smaller_budget_never_lowers_the_line(
            totals in prop::collection::vec(0.0..8.0f64, 0..300), a in 0.001..50.0f64, b in 0.001..50.0f64,
        ) {
            let tail = EvidenceTail::new(totals, 14.0);
            prop_assert!(tail.alert_line(a.min(b)) >= tail.alert_line(a.max(b)) - 1e-9);
        }

        #[test]
        fn closing_a_window_never_lowers_its_evidence(
            habit in 0.0..7.0f64, forest in 0.0..7.0f64, rules in 0.0..3.0f64, either_leads: bool,
        ) {
            let open = Evidence { habit, forest: None, either_leads, rules };
            let closed = Evidence { forest: Some(forest), ..open };
            prop_assert!(closed.total() >= open.total());
            prop_assert!(open.total() >= rules);
        }
    }
}
