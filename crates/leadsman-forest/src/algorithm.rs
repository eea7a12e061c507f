use linfa::Float;
use linfa::traits::PredictInplace;
use ndarray::{Array1, ArrayBase, ArrayView2, Data, Ix2};

use crate::encode::{self, Encoder};
use crate::kernel::{self, BLOCKS, Block, Kernel, Lanes, MAX_VECTOR_COLUMNS, ROWS, Sums, TREES_IN_CACHE};
use crate::path_length::average_path_length;
use crate::score::Scale;
use crate::tails::Tails;
use crate::tree::{self, Node, STEPS_PER_EDGE, Shape, Tree};
use crate::{ForestError, IsolationForestParams};

/// Trees that a single row is sent through side by side.
const SIDE_BY_SIDE: usize = 8;
/// Fewer rows than this are walked one by one.
const MIN_BLOCK: usize = 6;

/// A fitted isolation forest.
///
/// ## Definition
///
/// Each value becomes one of 255 bins, by a grid for each column that is fine around the median of the training data
/// and coarse far from it. Each tree is grown on the bins of ψ rows drawn without replacement: a node chooses a
/// column and a threshold as the [`SplitMode`](crate::SplitMode) says, and rows below the threshold go left. A node becomes a
/// leaf when it holds one row, when all its rows are equal, or at depth ⌈log₂ ψ⌉, at most 8.
///
/// The path length of a row in a tree is h = depth of its leaf + c(rows in the leaf), where
/// c(n) = 2·H(n-1) - 2·(n-1)/n is the average depth n rows would still have reached. It is held in steps of 1/256
/// edge. The score of a row is 2^(-E\[h\] / c(ψ)), with E\[h\] the mean over the trees.
///
/// Thresholds lie within the range of the training data. A row beyond it scores like the edge of
/// that range, however far away it is; how far is a question for another detector.
///
/// ## Complexity
///
/// For t trees and d columns, fitting costs O(t·d·ψ·log ψ) however many rows there are: only rows that are drawn are
/// looked at. Scoring one row costs O(t·log ψ).
///
/// ## Storage
///
/// [`to_bytes`](Self::to_bytes) gives a versioned form of at most 100 KiB for 100 trees and 16 columns; serde stores the
/// same bytes. Reading checks everything, and scores survive to the last bit on every platform.
///
/// Source: Liu, Ting, Zhou, "Isolation Forest", ICDM 2008.
#[derive(Debug, Clone, PartialEq)]
pub struct IsolationForest {
    shape: Shape,
    encoder: Encoder,
    /// Of a guided forest.
    tails: Option<Tails>,
    trees: Vec<Tree>,
}

impl IsolationForest {
    /// Hyperparameters to fit with: 200 trees of 256 rows, seed 0, guided splits, unless set otherwise.
    #[must_use]
    pub fn params() -> IsolationForestParams {
        IsolationForestParams::new()
    }

    /// Anomaly score of each row of `x`, in row order.
    ///
    /// Shape: `x` is (rows × columns) with the columns of the fit; the result has one entry per row.
    /// Units: none; in (0, 1), higher is stranger, 0.5 is a row of average depth. A forest fitted
    /// on a single row has nothing to compare with and gives 0.5 everywhere.
    /// Errors: `WrongWidth` when `x` has other columns than the fit; `NotFinite` when a value is
    /// infinite, or NaN where [`Missing`](crate::Missing) refuses it.
    /// Source: Liu, Ting, Zhou, "Isolation Forest", ICDM 2008, eq. 2.
    pub fn score<F: Float>(&self, x: ArrayView2<'_, F>) -> Result<Array1<f64>, ForestError> {
        self.score_by(Kernel::best(), x)
    }

    /// The same with a chosen [`Kernel`], for tests and benchmarks: the scores are those of every other.
    ///
    /// Errors: as [`score`](Self::score), and `KernelUnavailable`.
    pub fn score_by<F: Float>(&self, kernel: Kernel, x: ArrayView2<'_, F>) -> Result<Array1<f64>, ForestError> {
        if !kernel.is_available() {
            return Err(ForestError::KernelUnavailable { kernel });
        }
        self.check_width(x.ncols())?;
        let mut scores = Vec::with_capacity(x.nrows());
        let mut accepted = true;
        self.walk(kernel, x, |_, part, ok| {
            accepted &= ok;
            scores.extend_from_slice(part);
        });
        match if accepted { None } else { self.encoder.refusal(x) } {
            None => Ok(Array1::from_vec(scores)),
            Some(refusal) => Err(refusal),
        }
    }

    /// Number of columns of the fit.
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.encoder.n_features()
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

    /// A forest of trees given by their nodes; there is at least one.
    pub(crate) fn link(
        n_samples: u32,
        encoder: Encoder,
        tails: Option<Tails>,
        trees: impl Iterator<Item = Vec<Node>>,
    ) -> Result<Self, ForestError> {
        let shape = Shape { n_columns: encoder.n_columns() as u32, n_samples };
        let keep_columns = encoder.n_columns() <= MAX_VECTOR_COLUMNS;
        let link = |(tree, nodes)| {
            Tree::link(nodes, shape, keep_columns).map_err(|defect| ForestError::Malformed { tree, defect })
        };
        Ok(Self { shape, trees: trees.enumerate().map(link).collect::<Result<_, _>>()?, tails, encoder })
    }

    /// The same forest with other tails.
    pub(crate) fn with_tails(self, tails: Option<Tails>) -> Self {
        Self { tails, ..self }
    }

    pub(crate) fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    pub(crate) fn tails(&self) -> Option<&Tails> {
        self.tails.as_ref()
    }

    pub(crate) fn trees(&self) -> &[Tree] {
        &self.trees
    }

    pub(crate) fn check_width(&self, found: usize) -> Result<(), ForestError> {
        let expected = self.n_features();
        if found == expected { Ok(()) } else { Err(ForestError::WrongWidth { expected, found }) }
    }

    /// Path length of a row over the trees and tails, in steps.
    pub(crate) fn total(&self, path: u32, tail: u32) -> f64 {
        self.scale().total(path, tail)
    }

    /// Mean of that over the training data.
    pub(crate) fn mean_path(&self) -> f64 {
        let roots: u32 = self.trees.iter().map(|tree| u32::from(tree.root_path())).sum();
        f64::from(roots) + self.tails.as_ref().map_or(0.0, Tails::mean_path)
    }

    /// Path length that scores 0.5: c(ψ) in each tree, as in the paper, or the mean over the training data where splits are
    /// guided, for which no formula is known.
    fn unit(&self) -> f64 {
        // rounded to steps as path lengths are, so that a row of average depth scores 0.5 to the bit
        let average = || (average_path_length(self.shape.n_samples) * STEPS_PER_EDGE).round();
        if self.tails.is_some() { self.mean_path() } else { average() * self.trees.len() as f64 }
    }

    fn scale(&self) -> Scale {
        Scale { unit: self.unit(), weight: self.tails.as_ref().map_or(0.0, Tails::weight) }
    }

    /// Shows `each` the scores of all rows, some at a time: the index of the first one, the scores, and whether all their
    /// values can be encoded.
    fn walk<F: Float>(&self, kernel: Kernel, x: ArrayView2<'_, F>, mut each: impl FnMut(usize, &[f64], bool)) {
        let scale = self.scale();
        if x.nrows() < MIN_BLOCK {
            let mut bins = vec![0; self.encoder.n_columns()];
            for (index, row) in x.rows().into_iter().enumerate() {
                let accepted = self.encoder.encode_row(row, &mut bins);
                let tail = self.tails.as_ref().map_or(0, |tails| tails.path(&bins));
                each(index, &scale.scores(&[self.tree_path(&bins)], &[tail]), accepted);
            }
            return;
        }
        let width = kernel::padded(self.encoder.n_columns());
        let mut blocks = vec![Block::new(kernel, width, self.tails.is_some()); BLOCKS];
        let starts: Vec<usize> = (0..x.nrows()).step_by(ROWS).collect();
        for starts in starts.chunks(BLOCKS) {
            let blocks = &mut blocks[..starts.len()];
            let mut accepted = [true; BLOCKS];
            for ((from, block), accepted) in starts.iter().zip(blocks.iter_mut()).zip(&mut accepted) {
                let rows: [usize; ROWS] = std::array::from_fn(|row| from + row);
                *accepted = self.encoder.encode_block(kernel, x, &rows[..ROWS.min(x.nrows() - from)], block);
            }
            let mut paths: [Sums; BLOCKS] = [[0; ROWS]; BLOCKS];
            self.add_paths(kernel, x, starts, blocks, &mut paths[..blocks.len()]);
            for (((from, block), paths), accepted) in starts.iter().zip(blocks.iter()).zip(&paths).zip(accepted) {
                let mut tails: Sums = [0; ROWS];
                if let Some(of) = &self.tails {
                    kernel::add_entries(kernel, of.tables(), block.columns(), &mut tails);
                }
                let scores = kernel::scores(kernel, scale, paths, &tails);
                each(*from, &scores[..ROWS.min(x.nrows() - from)], accepted);
            }
        }
    }

    /// Path length of one row over the trees and tails, in steps.
    pub(crate) fn path(&self, bins: &[u8]) -> f64 {
        self.total(self.tree_path(bins), self.tails.as_ref().map_or(0, |tails| tails.path(bins)))
    }

    fn tree_path(&self, bins: &[u8]) -> u32 {
        let (groups, rest) = self.trees.as_chunks::<SIDE_BY_SIDE>();
        let grouped = groups.iter().flat_map(|trees| tree::paths(trees, bins));
        let single = rest.iter().flat_map(|tree| tree::paths(std::array::from_ref(tree), bins));
        grouped.chain(single).map(u32::from).sum()
    }

    /// Adds the path lengths of the rows of some blocks, which begin at the rows `starts` of `x`.
    fn add_paths<F: Float>(
        &self,
        kernel: Kernel,
        x: ArrayView2<'_, F>,
        starts: &[usize],
        blocks: &[Block],
        sums: &mut [Sums],
    ) {
        // The rows behind these arrive meanwhile, a few at a time: more than memory can deliver at once would have to wait.
        let calls = blocks.len() * self.trees.len().div_ceil(TREES_IN_CACHE);
        let mut ahead = encode::behind(x, starts.last().map_or(0, |start| start + ROWS), blocks.len() * ROWS, calls);
        let mut between = || kernel::prefetch(ahead.next().unwrap_or(&[]));
        if blocks.iter().all(|block| block.width() <= MAX_VECTOR_COLUMNS) {
            kernel::add_paths(kernel, &self.trees, blocks, sums, &mut between);
            return;
        }
        // A wide forest: each tree gets the columns it splits on.
        let mut own = Vec::new();
        for (block, sums) in blocks.iter().zip(sums) {
            for trees in self.trees.chunks(TREES_IN_CACHE) {
                between();
                for tree in trees {
                    own.clear();
                    own.extend(tree.columns().iter().map(|column| block.columns()[usize::from(*column)]));
                    own.resize(kernel::padded(own.len()), Lanes::ZERO);
                    kernel::add_paths_by_column(kernel, std::slice::from_ref(tree), &own, sums);
                }
            }
        }
    }
}

// === impl Predict ===

/// Anomaly score of each row, as [`IsolationForest::score`] gives it.
///
/// linfa's prediction cannot fail. Where `score` reports an error, the entry is NaN instead: that
/// of each row with a value that cannot be scored, and every entry when the columns are not those of
/// the fit. A target of another length than there are rows is replaced.
impl<F: Float, D: Data<Elem = F>> PredictInplace<ArrayBase<D, Ix2>, Array1<f64>> for IsolationForest {
    fn predict_inplace(&self, x: &ArrayBase<D, Ix2>, y: &mut Array1<f64>) {
        if y.len() != x.nrows() {
            *y = self.default_target(x);
        }
        if x.ncols() != self.n_features() {
            y.fill(f64::NAN);
            return;
        }
        self.walk(Kernel::best(), x.view(), |from, scores, accepted| {
            for (row, score) in (from..).zip(scores) {
                let usable = accepted || self.encoder.accepts_row(x.row(row));
                y[row] = if usable { *score } else { f64::NAN };
            }
        });
    }

    fn default_target(&self, x: &ArrayBase<D, Ix2>) -> Array1<f64> {
        Array1::zeros(x.nrows())
    }
}
