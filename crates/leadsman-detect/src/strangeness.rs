//! Isolation forests over windows: one for each stratum with enough rows, one for all the rest.

use std::collections::BTreeMap;

use leadsman_forest::{Attributions, IsolationForest};
use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::{Array1, Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use crate::DetectError;

/// A stratum with fewer training windows than this shares the common forest.
const MIN_ROWS: usize = 512;
/// Trees per forest. Source: Liu et al. 2008, section 4.1: path lengths converge well before 100 trees.
const N_TREES: usize = 100;

/// Forests by stratum, and one fitted on all windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StratifiedForest {
    common: Stratum,
    strata: BTreeMap<String, Stratum>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Stratum {
    forest: IsolationForest,
    /// Median of each feature.
    typical: Vec<f64>,
}

impl StratifiedForest {
    /// Fits one forest per stratum of `strata` (one label per row of `x`) and a common one.
    ///
    /// Shape: `x` is (windows × features). Errors: [`DetectError::NoData`] without rows.
    pub fn fit(x: ArrayView2<'_, f64>, strata: &[String], seed: u64) -> Result<Self, DetectError> {
        if x.nrows() == 0 || x.nrows() != strata.len() {
            return Err(DetectError::NoData { what: "training windows" });
        }
        let mut rows: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (i, s) in strata.iter().enumerate() {
            rows.entry(s).or_default().push(i);
        }
        let mut fitted = BTreeMap::new();
        for (stratum, indices) in rows.into_iter().filter(|(_, i)| i.len() >= MIN_ROWS) {
            fitted.insert(stratum.to_owned(), fit_one(x.select(Axis(0), &indices), seed)?);
        }
        Ok(Self { common: fit_one(x.to_owned(), seed)?, strata: fitted })
    }

    /// Anomaly score of each row, in (0, 1], higher is stranger.
    ///
    /// Errors: [`DetectError::Forest`] when the width is wrong or a value is not finite.
    pub fn score(&self, x: ArrayView2<'_, f64>, stratum: &str) -> Result<Array1<f64>, DetectError> {
        Ok(self.of(stratum).forest.score(x)?)
    }

    /// Path-length attributions of each row.
    ///
    /// Errors: as [`Self::score`].
    pub fn attributions(&self, x: ArrayView2<'_, f64>, stratum: &str) -> Result<Attributions, DetectError> {
        Ok(self.of(stratum).forest.attributions(x)?)
    }

    /// Median of each feature over the windows that the stratum's forest was fitted on.
    #[must_use]
    pub fn typical(&self, stratum: &str) -> &[f64] {
        &self.of(stratum).typical
    }

    fn of(&self, stratum: &str) -> &Stratum {
        self.strata.get(stratum).unwrap_or(&self.common)
    }

    /// Width of the rows it takes.
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.common.forest.n_features()
    }
}

fn fit_one(x: Array2<f64>, seed: u64) -> Result<Stratum, DetectError> {
    let typical = x.columns().into_iter().map(|column| median(column.to_vec())).collect();
    let forest = IsolationForest::params().n_trees(N_TREES).seed(seed).fit(&DatasetBase::from(x))?;
    Ok(Stratum { forest, typical })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
