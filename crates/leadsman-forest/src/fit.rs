use linfa::traits::Fit;
use linfa::{DatasetBase, Float};
use ndarray::{Array2, ArrayBase, ArrayView2, Data, Ix2};

use crate::encode::{self, Encoder, widen};
use crate::error::MAX_FEATURES;
use crate::grow::{self, Rule};
use crate::profile::{PROFILE_ROWS, column_weights, histograms};
use crate::sample::{Sampler, generator};
use crate::tails::{SHARE, Tails};
use crate::tree::{Node, Shape};
use crate::{ForestError, IsolationForest, IsolationForestValidParams, SplitMode};

/// Rows of the training data that the grids of the columns are laid by.
const GRID_ROWS: usize = 1024;
/// Rows of the training data that the spread of the path lengths is measured on.
const SPREAD_ROWS: usize = 512;

/// Fits a forest on the records; the targets are not looked at. The weights of a dataset, if it has any, say how likely each
/// row is to be drawn: a row of weight 0 never is.
///
/// Shape: records are (rows × columns); at least one of each.
/// Errors: `NoData` without rows or columns; `NotFinite` when a value of a row that is drawn is infinite, or NaN where
/// it is refused (other rows are not looked at); `TooWide` beyond [`MAX_FEATURES`] columns; `NoSuchColumn`
/// and `Weights` for categorical columns and weights that do not fit the data.
impl<F: Float, D: Data<Elem = F>, T> Fit<ArrayBase<D, Ix2>, T, ForestError> for IsolationForestValidParams {
    type Object = IsolationForest;

    fn fit(&self, dataset: &DatasetBase<ArrayBase<D, Ix2>, T>) -> Result<IsolationForest, ForestError> {
        let x = dataset.records().view();
        let (rows, columns) = x.dim();
        if rows == 0 || columns == 0 {
            return Err(ForestError::NoData { rows, columns });
        }
        if let Some(&column) = self.categorical().iter().find(|column| **column >= columns) {
            return Err(ForestError::NoSuchColumn { column, columns });
        }
        if columns + 3 * self.categorical().len() > MAX_FEATURES {
            return Err(ForestError::TooWide { columns });
        }
        let sampler = Sampler::new(rows, dataset.weights())?;
        let n_samples = self.subsample_size().min(sampler.drawable());
        let n_profile = if self.split_mode() == SplitMode::Guided { PROFILE_ROWS } else { GRID_ROWS };
        let mut profile = sampler.draw(n_profile, &mut generator(self.seed(), usize::MAX));
        // what is made of the rows below depends on their order; a tree does not
        profile.sort_unstable();
        let encoder = self.encoder(x, &profile)?;
        let tails = match self.split_mode() {
            SplitMode::Standard => None,
            SplitMode::Guided => {
                let mut bins = vec![0; profile.len() * encoder.n_columns()];
                encoder.encode_rows(x, &profile, &mut bins)?;
                // weighed below, when the spread of the path lengths is known
                Tails::new(&encoder, histograms(&bins, encoder.n_columns()), 0.0)
            }
        };
        let trees = self.grow(x, &sampler, n_samples, &encoder, tails.as_ref())?;
        // checked parameters keep it far below `u32::MAX`
        let forest = IsolationForest::link(n_samples as u32, encoder, tails, trees.into_iter())?;
        forest.weighed(x, &profile)
    }
}

impl IsolationForestValidParams {
    /// Lays the grids by some of the rows in `profile`, which are in ascending order.
    fn encoder<F: Float>(&self, x: ArrayView2<'_, F>, profile: &[usize]) -> Result<Encoder, ForestError> {
        // every k-th row: those of a profile are in ascending order
        let step = profile.len().div_ceil(GRID_ROWS);
        let drawn: Vec<usize> = profile.iter().copied().step_by(step).collect();
        encode::prefetch_rows(x, &drawn);
        let mut sample = Array2::zeros((drawn.len(), x.ncols()));
        for (mut to, row) in sample.rows_mut().into_iter().zip(&drawn) {
            to.iter_mut().zip(x.row(*row)).for_each(|(to, value)| *to = widen(*value));
        }
        let encoder = Encoder::of_sample(&sample, self.categorical(), self.missing(), self.seed());
        match encoder.refusal(sample.view()) {
            Some(ForestError::NotFinite { row, column }) => Err(ForestError::NotFinite { row: drawn[row], column }),
            Some(error) => Err(error),
            None => Ok(encoder),
        }
    }

    fn grow<F: Float>(
        &self,
        x: ArrayView2<'_, F>,
        sampler: &Sampler,
        n_samples: usize,
        encoder: &Encoder,
        tails: Option<&Tails>,
    ) -> Result<Vec<Vec<Node>>, ForestError> {
        let n_columns = encoder.n_columns();
        let shape = Shape { n_columns: n_columns as u32, n_samples: n_samples as u32 };
        let categorical: Vec<bool> = (0..n_columns).map(|column| encoder.views(column) > 1).collect();
        let weights = tails.map(|tails| {
            let mut sum = 0.0;
            let weights = column_weights(encoder, tails.histograms()).into_iter();
            let sums = weights.map(|weight| {
                sum += weight;
                sum
            });
            sums.collect::<Vec<f64>>()
        });
        let rule = weights.as_deref().map_or(Rule::Even, |weights| Rule::Guided { weights });
        let mut bins = vec![0; n_samples * n_columns];
        let mut trees = Vec::with_capacity(self.n_trees());
        let draw = |tree| {
            let mut rng = generator(self.seed(), tree);
            let rows = sampler.draw(n_samples, &mut rng);
            encode::prefetch_rows(x, &rows);
            (rows, rng)
        };
        // Rows lie anywhere in memory: those of the next tree are on their way while this one is grown, which reads little else.
        let (mut rows, mut rng) = draw(0);
        for tree in 1..=self.n_trees() {
            encoder.encode_rows(x, &rows, &mut bins)?;
            let mut own = rng.clone();
            if tree < self.n_trees() {
                (rows, rng) = draw(tree);
            }
            let sample = grow::Sample { bins: &bins, categorical: &categorical };
            trees.push(grow::tree(&sample, shape, rule, &mut own));
        }
        Ok(trees)
    }
}

impl IsolationForest {
    /// Lets the tails of a guided forest add a fixed part to the spread of the path lengths.
    fn weighed<F: Float>(self, x: ArrayView2<'_, F>, profile: &[usize]) -> Result<Self, ForestError> {
        let Some(tails) = self.tails().cloned() else { return Ok(self) };
        let forest = self.with_tails(None);
        let step = profile.len().div_ceil(SPREAD_ROWS);
        let rows: Vec<usize> = profile.iter().copied().step_by(step).collect();
        let n_columns = forest.encoder().n_columns();
        let mut bins = vec![0; rows.len() * n_columns];
        forest.encoder().encode_rows(x, &rows, &mut bins)?;
        let rows = || bins.chunks_exact(n_columns);
        let paths = spread(rows().map(|bins| forest.path(bins)));
        let own = spread(rows().map(|bins| f64::from(tails.path(bins))));
        let weight = if own > 0.0 { SHARE * paths / own } else { 0.0 };
        Ok(forest.with_tails(Some(tails.weighing(weight))))
    }
}

/// Standard deviation. Summed up in order of size, so that the order of the rows cannot change a bit of it.
fn spread(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    (values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / n).sqrt()
}
