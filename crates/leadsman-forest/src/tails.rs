//! How far out a row lies in each column alone: a guided forest adds this to its path lengths.
//!
//! Isolation sees a row together with others; where strange rows are many, or differ in one column of many, the tails
//! of the columns say more. Each column acts as a tree of its own with one leaf for each bin, whose path
//! length is long where the column is ordinary.

use crate::encode::Encoder;
use crate::kernel::Lookup;
use crate::profile::{Histogram, tail};

/// Spread that the tails add to that of the path lengths.
pub(crate) const SHARE: f64 = 0.3;

/// The tails of all columns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tails {
    histograms: Vec<Histogram>,
    /// What one step of a tail counts in steps of a path.
    weight: f64,
    tables: Vec<Lookup>,
    /// Mean over the training data of the path length of each column, in steps of a tail.
    means: Vec<f64>,
}

impl Tails {
    /// Tails that weigh `weight`; `None` unless that is a finite number from 0.
    pub(crate) fn new(encoder: &Encoder, histograms: Vec<Histogram>, weight: f64) -> Option<Self> {
        if !weight.is_finite() || weight < 0.0 || histograms.len() != encoder.n_columns() {
            return None;
        }
        let (mut tables, mut means) = (Vec::new(), Vec::new());
        for (column, histogram) in histograms.iter().enumerate() {
            // further views of a categorical column say nothing new
            let counts = if column < encoder.n_features() { *histogram } else { [0; 256] };
            let tail = tail(&counts, encoder.views(column) > 1);
            let longest = tail.iter().copied().max().unwrap_or(0);
            let path = tail.map(|steps| longest - steps);
            let rows: f64 = counts.iter().map(|count| f64::from(*count)).sum();
            let sum: f64 = counts.iter().zip(path).map(|(count, path)| f64::from(*count) * f64::from(path)).sum();
            means.push(if rows > 0.0 { sum / rows } else { 0.0 });
            tables.push(Lookup::new(path));
        }
        Some(Self { histograms, weight, tables, means })
    }

    pub(crate) fn weighing(self, weight: f64) -> Self {
        Self { weight, ..self }
    }

    pub(crate) fn histograms(&self) -> &[Histogram] {
        &self.histograms
    }

    pub(crate) fn weight(&self) -> f64 {
        self.weight
    }

    pub(crate) fn tables(&self) -> &[Lookup] {
        &self.tables
    }

    /// Path length of a row in all columns, in steps of a tail.
    pub(crate) fn path(&self, bins: &[u8]) -> u32 {
        self.tables.iter().zip(bins).map(|(table, bin)| u32::from(table.get(usize::from(*bin)))).sum()
    }

    /// Mean over the training data of the path length in all columns, in steps of a path.
    pub(crate) fn mean_path(&self) -> f64 {
        self.weight * self.means.iter().sum::<f64>()
    }

    /// What column `column` takes from the mean path length of a row that lies in `bin`, in steps of a path.
    pub(crate) fn drop(&self, column: usize, bin: u8) -> f64 {
        self.weight * (self.means[column] - f64::from(self.tables[column].get(usize::from(bin))))
    }
}
