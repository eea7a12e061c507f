//! Resource usage of a workload against its own habit: robust deviation per feature and hour of the day,
//! and an isolation forest over the deviations of all features together.

use std::collections::BTreeMap;

use leadsman_domain::{FeatureMatrix, RowKey};
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use crate::DetectError;
use crate::calibration::Calibrator;
use crate::strangeness::StratifiedForest;

/// The one stratum of metric windows.
pub const STRATUM: &str = "workload_metrics";
/// Deviations are clamped here: beyond it "more" says nothing.
const MAX_DEVIATION: f64 = 100.0;
const HOURS: usize = 24;

/// Median and spread of one feature.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Habit {
    /// Median.
    pub median: f64,
    /// Spread on the scale of a standard deviation, never too small to divide by.
    pub spread: f64,
}

/// Habits of workloads: per feature and hour of the day (UTC).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsageHabits {
    /// The metrics behind the features.
    pub metrics: Vec<String>,
    /// (hour × feature) habits by workload, row-major.
    workloads: BTreeMap<Box<str>, Vec<Habit>>,
    /// The same over all workloads, for one never seen.
    all: Vec<Habit>,
    n_features: usize,
    /// Days of history.
    pub history_days: f64,
}

/// Everything fitted over metric windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsageModel {
    /// What is usual.
    pub habits: UsageHabits,
    /// Forest over deviations.
    pub forest: StratifiedForest,
    /// Calibration of the largest deviation.
    pub deviation: Calibrator,
    /// Calibration of the forest.
    pub strangeness: Calibrator,
}

impl UsageHabits {
    /// Learns habits from training windows.
    ///
    /// Shape: `windows` is (windows × features). Errors: [`DetectError::NoData`] without rows.
    pub fn fit(windows: &FeatureMatrix, metrics: Vec<String>, history_days: f64) -> Result<Self, DetectError> {
        let n_features = windows.x.ncols();
        if windows.rows.is_empty() || n_features == 0 {
            return Err(DetectError::NoData { what: "metric windows" });
        }
        let mut rows: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (i, key) in windows.rows.iter().enumerate() {
            rows.entry(&key.entity).or_default().push(i);
        }
        let everything: Vec<usize> = (0..windows.rows.len()).collect();
        Ok(Self {
            metrics,
            workloads: rows.into_iter().map(|(name, i)| (name.into(), habits(windows, &i))).collect(),
            all: habits(windows, &everything),
            n_features,
            history_days,
        })
    }

    /// The habit of a workload for a feature at the time of a window.
    #[must_use]
    pub fn habit(&self, row: &RowKey, feature: usize) -> Option<Habit> {
        let habits = self.workloads.get(&row.entity).unwrap_or(&self.all);
        habits.get(hour(row) * self.n_features + feature).copied()
    }

    /// Whether the workload was seen in training.
    #[must_use]
    pub fn knows(&self, workload: &str) -> bool {
        self.workloads.contains_key(workload)
    }

    /// Robust deviations (value − median) / spread, in [−100, 100].
    ///
    /// Shape: as `windows.x`. Errors: [`DetectError::SchemaMismatch`] when the width is another.
    pub fn deviations(&self, windows: &FeatureMatrix) -> Result<Array2<f64>, DetectError> {
        if windows.x.ncols() != self.n_features {
            return Err(DetectError::SchemaMismatch);
        }
        let mut z = windows.x.clone();
        for ((r, c), v) in z.indexed_iter_mut() {
            if let Some(h) = self.habit(&windows.rows[r], c) {
                *v = ((*v - h.median) / h.spread).clamp(-MAX_DEVIATION, MAX_DEVIATION);
            }
        }
        Ok(z)
    }
}

/// Largest absolute deviation of each row.
#[must_use]
pub fn largest(deviations: &Array2<f64>) -> Array1<f64> {
    deviations.rows().into_iter().map(|r| r.iter().fold(0.0f64, |m, v| m.max(v.abs()))).collect()
}

fn hour(row: &RowKey) -> usize {
    usize::from(row.window.start.hour_of_week() % 24)
}

fn habits(windows: &FeatureMatrix, rows: &[usize]) -> Vec<Habit> {
    let n = windows.x.ncols();
    let whole: Vec<Habit> = (0..n).map(|c| robust(rows.iter().map(|&r| windows.x[[r, c]]).collect(), 0.0)).collect();
    let mut out = Vec::with_capacity(HOURS * n);
    for h in 0..HOURS {
        let at: Vec<usize> = rows.iter().copied().filter(|&r| hour(&windows.rows[r]) == h).collect();
        for (c, whole) in whole.iter().enumerate() {
            // An hour with few windows has no habit of its own; one hour's spread is not trusted to be tiny.
            out.push(if at.len() < 24 {
                *whole
            } else {
                robust(at.iter().map(|&r| windows.x[[r, c]]).collect(), 0.25 * whole.spread)
            });
        }
    }
    out
}

/// Median and spread. The spread is the larger of the MAD and the width of the central 90 %, both scaled to a
/// standard deviation: the MAD alone calls a job strange that runs for ten minutes of every such hour.
fn robust(mut values: Vec<f64>, floor: f64) -> Habit {
    values.sort_by(f64::total_cmp);
    let at = |q: f64| values.get(((values.len().max(1) - 1) as f64 * q).round() as usize).copied().unwrap_or(0.0);
    let median = at(0.5);
    let central = (at(0.95) - at(0.05)) / 3.29;
    let mut off: Vec<f64> = values.iter().map(|v| (v - median).abs()).collect();
    off.sort_by(f64::total_cmp);
    let mad = 1.4826 * off.get(off.len() / 2).copied().unwrap_or(0.0);
    Habit { median, spread: mad.max(central).max(floor).max(0.01 * median.abs()).max(1e-3) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leadsman_domain::{FeatureSchema, Timestamp};
    use std::time::Duration;

    fn windows(values: &[(&str, i64, f64)]) -> FeatureMatrix {
        let rows = values
            .iter()
            .map(|(e, minute, _)| RowKey {
                entity: (*e).into(),
                window: Timestamp::from_millis(minute * 60_000).window(Duration::from_secs(300)),
                count: 1,
            })
            .collect();
        let schema = FeatureSchema::new(vec!["cpu:mean".into()]);
        FeatureMatrix::new(schema, rows, values.iter().map(|v| v.2).collect()).unwrap()
    }

    #[test]
    fn each_workload_is_judged_by_its_own_hours() {
        let mut data = Vec::new();
        for day in 0..10 {
            for minute in (0..1440).step_by(5) {
                let night = minute < 60;
                let jitter = f64::from((minute / 5 + day) % 7) / 100.0;
                data.push(("ml/train", i64::from(day * 1440 + minute), if night { 5.0 } else { 1.0 } + jitter));
                data.push(("shop/cart", i64::from(day * 1440 + minute), 1.0 + jitter));
            }
        }
        let h = UsageHabits::fit(&windows(&data), vec!["cpu".into()], 10.0).unwrap();
        let test = windows(&[("ml/train", 5, 5.0), ("shop/cart", 5, 5.0), ("ml/train", 700, 5.0)]);
        let z = largest(&h.deviations(&test).unwrap());
        assert!(z[0] < 5.0, "the nightly job is its habit: {z}");
        assert!(z[1] > 20.0 && z[2] > 20.0, "elsewhere and at noon it is not: {z}");
    }
}
