//! From categories to bins.
//!
//! A threshold divides an order, and categories have none. So each categorical column gets several random
//! orders of its categories, and a threshold in one of them puts a random subset of the categories on each side.

use std::cmp::Reverse;

use ndarray::ArrayView1;
use rand::seq::SliceRandom;

use crate::sample::generator;

/// Orders of one column. A pair of categories stands side by side in few of them.
pub(crate) const VIEWS: usize = 4;
/// Views beyond the one that stands in the place of the column itself.
pub(crate) const EXTRA_VIEWS: usize = VIEWS - 1;
/// Most categories that have bins of their own; the rarest beyond share one.
pub(crate) const MAX_CATEGORIES: usize = 253;
/// Bin of categories that are not known. No tree has seen it, so that it lies at the edge of every order.
const UNKNOWN: u8 = 0;

/// The categories of one column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Category {
    feature: u32,
    /// Ascending, by `f64::total_cmp`.
    values: Vec<f64>,
    /// Position of each value in each order, from 1.
    positions: Vec<[u8; VIEWS]>,
    /// Index of the value that is most frequent: what a missing one is taken for.
    typical: u32,
}

impl Category {
    /// The categories of column `feature`, of which `sample` holds some rows.
    pub(crate) fn of_sample(feature: usize, sample: ArrayView1<'_, f64>, seed: u64) -> Self {
        let mut values: Vec<f64> = sample.iter().copied().filter(|value| !value.is_nan()).collect();
        values.sort_unstable_by(f64::total_cmp);
        let mut counted: Vec<(usize, f64)> =
            values.chunk_by(|a, b| a.to_bits() == b.to_bits()).map(|equal| (equal.len(), equal[0])).collect();
        // most frequent first; the sort is stable, so that ties keep the order of the values
        counted.sort_by_key(|(count, _)| Reverse(*count));
        counted.truncate(MAX_CATEGORIES);
        let most_frequent = counted.first().map(|(_, value)| *value);
        let mut values: Vec<f64> = counted.into_iter().map(|(_, value)| value).collect();
        values.sort_unstable_by(f64::total_cmp);
        let typical = most_frequent.and_then(|most| values.iter().position(|value| value.to_bits() == most.to_bits()));
        let mut positions = vec![[0; VIEWS]; values.len()];
        // streams that no tree uses
        let mut rng = generator(seed, usize::MAX - feature);
        let mut order: Vec<usize> = (0..values.len()).collect();
        (0..VIEWS).for_each(|view| {
            order.shuffle(&mut rng);
            (1..).zip(&order).for_each(|(position, value)| positions[*value][view] = position);
        });
        Self { feature: feature as u32, values, positions, typical: typical.unwrap_or(0) as u32 }
    }

    /// Stored categories; `None` when no sample leads to such.
    pub(crate) fn new(feature: u32, values: Vec<f64>, positions: Vec<[u8; VIEWS]>, typical: u32) -> Option<Self> {
        let sorted = values.is_sorted_by(|a, b| a.total_cmp(b).is_lt());
        let sound = sorted && values.len() <= MAX_CATEGORIES && values.len() == positions.len();
        sound.then_some(Self { feature, values, positions, typical })
    }

    /// The column of the matrix.
    pub(crate) fn feature(&self) -> usize {
        self.feature as usize
    }

    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }

    pub(crate) fn positions(&self) -> &[[u8; VIEWS]] {
        &self.positions
    }

    pub(crate) fn typical(&self) -> usize {
        self.typical as usize
    }

    /// The bin of `value` in each order.
    pub(crate) fn bins(&self, value: f64) -> [u8; VIEWS] {
        let index = if value.is_nan() {
            Some(self.typical as usize)
        } else {
            self.values.binary_search_by(|known| known.total_cmp(&value)).ok()
        };
        index.and_then(|index| self.positions.get(index)).copied().unwrap_or([UNKNOWN; VIEWS])
    }
}
