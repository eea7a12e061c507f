//! Raw scores to how often benign windows look that strange.
//!
//! A calibrator holds the scores of windows that the detector was *not* fitted on. A score becomes a
//! conformal p-value, and p times the stratum's windows per day becomes the expected number of benign
//! windows a day at least that strange. Working in recurrences per day instead of bare p gives a small
//! stratum (six people) and a large one (forty controllers) the same meaning of "rare", and makes the alert
//! budget additive over strata.
//!
//! Beyond the calibration scores the tail is taken as exponential, with the mean excess over the 98 % quantile
//! as its scale, and never more than one decade beyond 1/n, unless told otherwise: with n windows nothing much
//! rarer than that can honestly be claimed. The bound is approached and not reached, so that stranger still ranks
//! before strange.
//! Source: Bates et al., "Testing for outliers with conformal p-values", arXiv 2104.08279 (eq. 2); tail as in
//! Siffer et al., "Anomaly Detection in Streams with Extreme Value Theory", KDD 2017, with ξ = 0.

use serde::{Deserialize, Serialize};

/// Calibration scores of one detector in one stratum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibrator {
    n: u64,
    days: f64,
    /// 101 quantiles, for the body.
    quantiles: Vec<f64>,
    /// The largest scores, ascending, for the exact tail.
    tail: Vec<f64>,
    /// Most decades beyond 1/n that are claimed.
    decades: f64,
}

/// Most tail scores kept.
const MAX_TAIL: usize = 1024;
/// Quantile beyond which the tail is modelled.
const TAIL_QUANTILE: f64 = 0.98;
/// Fewer exceedances than this do not carry a tail model.
const MIN_EXCEEDANCES: usize = 8;

/// A calibrated score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rareness {
    /// Conformal p-value in (0, 1].
    pub p: f64,
    /// Expected benign windows a day in the stratum that look at least this strange.
    pub per_day: f64,
    /// Whether the score lies beyond all calibration windows.
    pub extrapolated: bool,
}

impl Rareness {
    /// The same score among windows of its stratum (`self`) and among those of all: the geometric mean of how often both
    /// see one like it a day.
    ///
    /// The stratum alone gives every kind of actor the same number of false incidents, also those that never do anything
    /// new; all windows alone forgive a workload what is ordinary for a person (docs/adr/0009).
    #[must_use]
    pub fn among(self, all: Self) -> Self {
        Self { per_day: (self.per_day * all.per_day).sqrt(), ..self }
    }

    /// Evidence in decades: 0 at ten benign recurrences a day or more, 1 at one a day, 2 at one in ten days.
    #[must_use]
    pub fn evidence(self) -> f64 {
        (1.0 - self.per_day.log10()).max(0.0)
    }
}

impl Calibrator {
    /// A calibrator of `scores` from `days` days of benign windows. NaN scores are ignored.
    #[must_use]
    pub fn new(mut scores: Vec<f64>, days: f64) -> Self {
        scores.retain(|s| !s.is_nan());
        scores.sort_by(f64::total_cmp);
        let n = scores.len();
        let at = |q: f64| scores.get(((n.max(1) - 1) as f64 * q).round() as usize).copied().unwrap_or(f64::INFINITY);
        let quantiles = (0..=100).map(|i| at(f64::from(i) / 100.0)).collect();
        let tail = scores.split_off(n - n.min(MAX_TAIL));
        Self { n: n as u64, days: days.max(1e-6), quantiles, tail, decades: 1.0 }
    }

    /// The same, claiming at most so many decades beyond 1/n.
    #[must_use]
    pub fn claiming(self, decades: f64) -> Self {
        Self { decades, ..self }
    }

    /// Benign windows behind it.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.n
    }

    /// How rare `score` is among benign windows.
    #[must_use]
    pub fn rareness(&self, score: f64) -> Rareness {
        let n = self.n as f64;
        let p = match (self.tail.first(), self.tail.last()) {
            (Some(_), Some(&max)) if score > max => self.beyond(score - max) / (n + 1.0),
            (Some(&lowest), Some(_)) if score >= lowest => {
                let above = (self.tail.len() - self.tail.partition_point(|&s| s < score)) as f64;
                (1.0 + above) / (n + 1.0)
            }
            (Some(_), Some(_)) => {
                (1.0 - self.quantiles.partition_point(|&q| q < score) as f64 / 101.0).max(1.0 / (n + 1.0))
            }
            (None, _) | (_, None) => 1.0,
        };
        let p = p.min(1.0);
        let extrapolated = self.tail.last().is_some_and(|&max| score > max);
        // Without a single window nothing can be called rare.
        let per_day = if self.n == 0 { f64::INFINITY } else { p * n / self.days };
        Rareness { p, per_day, extrapolated }
    }

    /// How much rarer than the rarest calibration window a score is that exceeds it by `excess`:
    /// 10^(−D·(1 − e^(−d/D))), where d = excess/(β·ln 10) are the decades of an exponential tail, β the mean excess over
    /// the 98 % quantile, and D the most that are claimed. Inside the data the data speaks, not a model of it: a
    /// nightly job is as rare as it is, however far it stands from the rest.
    fn beyond(&self, excess: f64) -> f64 {
        let wanted = ((self.n as f64) * (1.0 - TAIL_QUANTILE)).ceil() as usize;
        let count = wanted.min(self.tail.len().saturating_sub(1));
        let (below, exceedances) = self.tail.split_at(self.tail.len() - count);
        let Some(u) = below.last().filter(|_| count >= MIN_EXCEEDANCES) else { return 1.0 };
        let beta = exceedances.iter().map(|s| s - u).sum::<f64>() / count as f64;
        let decades = excess / (beta * std::f64::consts::LN_10);
        if beta > 0.0 { 0.1f64.powf(self.decades * (1.0 - (-decades / self.decades).exp())) } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn exponential(n: usize, seed: u64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..n).map(|_| -(1.0 - rng.random::<f64>()).ln()).collect()
    }

    /// The realised rate of one calibration set varies as widely as an order statistic does; the mean over sets
    /// must be what is stated.
    #[test]
    fn benign_windows_recur_as_often_as_stated() {
        let (days, n, sets) = (10.0, 5_000, 40);
        let fresh = exponential(100_000, 999);
        for target in [10.0, 1.0, 0.3] {
            let mut realised = 0;
            for seed in 0..sets {
                let calibrator = Calibrator::new(exponential(n, seed), days);
                realised += fresh.iter().filter(|&&s| calibrator.rareness(s).per_day <= target).count();
            }
            let fresh_days = fresh.len() as f64 / (n as f64 / days) * sets as f64;
            let ratio = realised as f64 / fresh_days / target;
            assert!((0.6..1.4).contains(&ratio), "target {target}, realised/target {ratio}");
        }
    }

    #[test]
    fn claims_at_most_one_decade_beyond_the_data() {
        let c = Calibrator::new(exponential(999, 3), 1.0);
        let far = c.rareness(1e9);
        assert!(far.extrapolated);
        assert!((far.p - 0.1 / 1000.0).abs() < 1e-12);
    }

    #[test]
    fn without_data_nothing_is_rare() {
        let c = Calibrator::new(Vec::new(), 14.0);
        assert!((c.rareness(5.0).p - 1.0).abs() < 1e-12);
        assert!(c.rareness(5.0).evidence() <= 0.0);
    }

    proptest! {
        #[test]
        fn stranger_is_never_more_common(
            scores in prop::collection::vec(-1e3..1e3f64, 1..400), a in -2e3..2e3f64, b in -2e3..2e3f64,
        ) {
            let c = Calibrator::new(scores, 7.0);
            let (low, high) = (a.min(b), a.max(b));
            // The body is kept in hundredths; the tail is exact.
            let slack = if c.rareness(low).p > 0.05 { 0.03 } else { 0.0 };
            prop_assert!(c.rareness(high).p <= c.rareness(low).p + slack);
            let p = c.rareness(a).p;
            prop_assert!(p > 0.0 && p <= 1.0);
        }
    }
}
