use linfa::DatasetBase;
use linfa::traits::{Fit, PredictInplace};
use ndarray::{Array1, Array2, ArrayBase, ArrayView1, ArrayView2, Data, Ix2};
use serde::{Deserialize, Serialize};

use crate::path_length::average_path_length;
use crate::record::ForestRecord;
use crate::tree::{Shape, Tree};
use crate::{ForestError, IsolationForestParams, IsolationForestValidParams, grow};

/// A fitted isolation forest.
///
/// ## Definition
///
/// Each tree is grown on ψ rows drawn without replacement. A node draws a column among those that
/// vary over its rows, then a threshold evenly between their smallest and largest value; rows
/// below the threshold go left. A node becomes a leaf when it holds one row, when all its rows are
/// equal, or at depth ⌈log₂ ψ⌉.
///
/// The path length of a row in a tree is h = depth of its leaf + c(rows in the leaf), where
/// c(n) = 2·H(n-1) - 2·(n-1)/n is the average depth n rows would still have reached. The score of
/// a row is 2^(-E\[h\] / c(ψ)), with E\[h\] the mean over the trees.
///
/// Thresholds lie within the range of the training data. A row beyond it scores like the edge of
/// that range, however far away it is; how far is a question for another detector.
///
/// ## Complexity
///
/// For t trees and d columns, fitting costs at most O(t·d·ψ·log ψ), after one pass over the data to
/// refuse what is not finite; scoring one row costs O(t·log ψ). A forest holds fewer than 2·t·ψ nodes.
///
/// ## Storage
///
/// The serde form carries a version. Reading it checks everything and computes the depths anew, so
/// that scores survive a round trip bit for bit, given a format that keeps every bit of an `f64`.
///
/// Source: Liu, Ting, Zhou, "Isolation Forest", ICDM 2008.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ForestRecord", into = "ForestRecord")]
pub struct IsolationForest {
    shape: Shape,
    trees: Vec<Tree>,
}

/// How much each column moved each row away from average depth.
///
/// A node of a tree has a mean depth D: the mean path length of the sample rows that pass it. On
/// the way to its leaf, a row that goes from a node to a child of smaller D became stranger, and
/// the column the node splits on is credited with D(node) - D(child). Along a path the credits add
/// up to D(root) - h, so that the shares of a row are complete.
///
/// Source: path deltas, as in Saabas, "Interpreting random forests", 2014, applied to path lengths.
#[derive(Debug, Clone, PartialEq)]
pub struct Attributions {
    /// Mean over the trees of D(root), the mean path length of the rows they were grown on, in edges.
    pub mean_root_depth: f64,
    /// E\[h\], the mean path length of each row, in edges. Shape: one entry per row.
    pub depth: Array1<f64>,
    /// Share of each column in each row, in edges; positive makes the row stranger.
    ///
    /// Shape: (rows × columns). A row sums to `mean_root_depth` - `depth` of that row, up to rounding.
    pub by_feature: Array2<f64>,
}

impl IsolationForest {
    /// Hyperparameters to fit with: 100 trees of 256 rows, seed 0, unless set otherwise.
    #[must_use]
    pub fn params() -> IsolationForestParams {
        IsolationForestParams::new()
    }

    /// Anomaly score of each row of `x`, in row order.
    ///
    /// Shape: `x` is (rows × columns) with the columns of the fit; the result has one entry per row.
    /// Units: none; in (0, 1], higher is stranger, 0.5 is a row of average depth. A forest fitted
    /// on a single row has nothing to compare with and gives 0.5 everywhere.
    /// Errors: `WrongWidth` when `x` has other columns than the fit; `NotFinite` when a value is NaN
    /// or infinite.
    /// Source: Liu, Ting, Zhou, "Isolation Forest", ICDM 2008, eq. 2.
    pub fn score(&self, x: ArrayView2<'_, f64>) -> Result<Array1<f64>, ForestError> {
        self.check(x)?;
        Ok(x.rows().into_iter().map(|row| self.score_row(row)).collect())
    }

    /// How much each column adds to the strangeness of each row of `x`.
    ///
    /// Shape: `x` is (rows × columns) with the columns of the fit.
    /// Units: edges of path length; see [`Attributions`].
    /// Errors: as [`score`](Self::score).
    pub fn attributions(&self, x: ArrayView2<'_, f64>) -> Result<Attributions, ForestError> {
        self.check(x)?;
        let n_trees = self.trees.len() as f64;
        let mut depth = Array1::zeros(x.nrows());
        let mut by_feature = Array2::zeros(x.raw_dim());
        let mut drops = vec![0.0; x.ncols()];
        for ((row, depth), mut shares) in x.rows().into_iter().zip(&mut depth).zip(by_feature.rows_mut()) {
            drops.fill(0.0);
            *depth = self.trees.iter().map(|tree| tree.attribute(row, &mut drops)).sum::<f64>() / n_trees;
            shares.iter_mut().zip(&drops).for_each(|(share, drop)| *share = drop / n_trees);
        }
        let mean_root_depth = self.trees.iter().map(Tree::root_depth).sum::<f64>() / n_trees;
        Ok(Attributions { mean_root_depth, depth, by_feature })
    }

    /// Number of columns of the fit.
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.shape.n_features as usize
    }

    /// Number of trees.
    #[must_use]
    pub fn n_trees(&self) -> usize {
        self.trees.len()
    }

    /// Rows each tree was grown on: the parameter of that name, or all rows if there were fewer.
    #[must_use]
    pub fn subsample_size(&self) -> usize {
        self.shape.n_samples as usize
    }

    /// A forest of trees that were linked within `shape`; there is at least one.
    pub(crate) fn new(shape: Shape, trees: Vec<Tree>) -> Self {
        Self { shape, trees }
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    pub(crate) fn trees(&self) -> &[Tree] {
        &self.trees
    }

    fn check(&self, x: ArrayView2<'_, f64>) -> Result<(), ForestError> {
        if x.ncols() != self.n_features() {
            return Err(ForestError::WrongWidth { expected: self.n_features(), found: x.ncols() });
        }
        check_finite(x)
    }

    fn score_row(&self, row: ArrayView1<'_, f64>) -> f64 {
        let average = average_path_length(self.shape.n_samples);
        if average <= 0.0 {
            return 0.5;
        }
        let depth = self.trees.iter().map(|tree| tree.depth(row)).sum::<f64>() / self.trees.len() as f64;
        (-depth / average).exp2()
    }
}

// === impl Fit ===

/// Fits a forest on the records; the targets are not looked at.
///
/// Shape: records are (rows × columns); at least one of each.
/// Errors: `NoData` without rows or columns; `NotFinite` when a value is NaN or infinite;
/// `TooWide` beyond `u32::MAX` columns.
impl<D: Data<Elem = f64>, T> Fit<ArrayBase<D, Ix2>, T, ForestError> for IsolationForestValidParams {
    type Object = IsolationForest;

    fn fit(&self, dataset: &DatasetBase<ArrayBase<D, Ix2>, T>) -> Result<IsolationForest, ForestError> {
        let x = dataset.records().view();
        let (rows, columns) = x.dim();
        if rows == 0 || columns == 0 {
            return Err(ForestError::NoData { rows, columns });
        }
        check_finite(x)?;
        let n_features = u32::try_from(columns).map_err(|_| ForestError::TooWide { columns })?;
        // checked parameters keep this far below `u32::MAX`
        let shape = Shape { n_features, n_samples: self.subsample_size().min(rows) as u32 };
        let grow = |tree| {
            Tree::link(&grow::tree(x, shape, self.seed(), tree as u64), shape)
                .map_err(|defect| ForestError::Malformed { tree, defect })
        };
        Ok(IsolationForest::new(shape, (0..self.n_trees()).map(grow).collect::<Result<_, _>>()?))
    }
}

// === impl Predict ===

/// Anomaly score of each row, as [`IsolationForest::score`] gives it.
///
/// linfa's prediction cannot fail. Where `score` reports an error, the entry is NaN instead: that
/// of each row with a value that is not finite, and every entry when the columns are not those of
/// the fit. A target of another length than there are rows is replaced.
impl<D: Data<Elem = f64>> PredictInplace<ArrayBase<D, Ix2>, Array1<f64>> for IsolationForest {
    fn predict_inplace(&self, x: &ArrayBase<D, Ix2>, y: &mut Array1<f64>) {
        if y.len() != x.nrows() {
            *y = self.default_target(x);
        }
        let known_width = x.ncols() == self.n_features();
        for (row, score) in x.rows().into_iter().zip(y) {
            let usable = known_width && row.iter().all(|value| value.is_finite());
            *score = if usable { self.score_row(row) } else { f64::NAN };
        }
    }

    fn default_target(&self, x: &ArrayBase<D, Ix2>) -> Array1<f64> {
        Array1::zeros(x.nrows())
    }
}

/// Finds the first value that is NaN or infinite, in row order.
fn check_finite(x: ArrayView2<'_, f64>) -> Result<(), ForestError> {
    match x.indexed_iter().find(|(_, value)| !value.is_finite()) {
        Some(((row, column), _)) => Err(ForestError::NotFinite { row, column }),
        None => Ok(()),
    }
}
