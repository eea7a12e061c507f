use linfa::ParamGuard;

use crate::ForestError;

/// Most trees a forest may have. Bounds what a mistyped or hostile number can cost.
pub const MAX_TREES: usize = 10_000;

/// Most rows a tree may be grown on. Trees are at most eight levels deep, so that more rows would only fill the leaves.
pub const MAX_SUBSAMPLE_SIZE: usize = 1 << 16;

/// How a node chooses its threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SplitMode {
    /// Evenly between the smallest and the largest value of a random column.
    /// Source: Liu, Ting, Zhou, "Isolation Forest", ICDM 2008.
    Standard,
    /// A column drawn in proportion to the square root of its kurtosis, and the threshold with the largest pooled gain; an
    /// edge counts 1 - gain, and how far out a row lies in each column alone is added to its path lengths.
    ///
    /// Ranks the anomalies of public sets better, at twice the cost of fitting.
    /// Source of the gain: Cortes, "Revisiting randomized choices in isolation forests", 2021 (arXiv 2110.13402).
    #[default]
    Guided,
}

/// What becomes of a value that is NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Missing {
    /// It is an error, when fitting as when scoring.
    #[default]
    Refused,
    /// It stands for the typical value: the median of its column in the training data, or its most frequent category. What
    /// is not known makes a row neither strange nor ordinary.
    Typical,
}

/// Hyperparameters of an [isolation forest](crate::IsolationForest) that passed their check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsolationForestValidParams {
    n_trees: usize,
    subsample_size: usize,
    seed: u64,
    split_mode: SplitMode,
    missing: Missing,
    categorical: Vec<usize>,
}

impl IsolationForestValidParams {
    /// Number of trees.
    #[must_use]
    pub fn n_trees(&self) -> usize {
        self.n_trees
    }

    /// Most rows each tree is grown on.
    #[must_use]
    pub fn subsample_size(&self) -> usize {
        self.subsample_size
    }

    /// What all randomness is derived from.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How nodes choose their thresholds.
    #[must_use]
    pub fn split_mode(&self) -> SplitMode {
        self.split_mode
    }

    /// What becomes of NaN.
    #[must_use]
    pub fn missing(&self) -> Missing {
        self.missing
    }

    /// Columns whose values are categories, ascending.
    #[must_use]
    pub fn categorical(&self) -> &[usize] {
        &self.categorical
    }
}

/// Builder of the hyperparameters of an [isolation forest](crate::IsolationForest).
///
/// Calling `fit` on it checks first; [`ParamGuard::check`] does so alone. The depth of a tree is
/// no parameter: it is capped at ⌈log₂ of the rows it is grown on⌉, the average depth of a leaf, and at 8,
/// because below lie only rows that are not strange.
///
/// ```
/// use leadsman_forest::{ForestError, IsolationForest};
/// use linfa::ParamGuard;
///
/// let params = IsolationForest::params().n_trees(0).check();
/// assert!(matches!(params, Err(ForestError::NumberOfTrees { n_trees: 0 })));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsolationForestParams(IsolationForestValidParams);

impl IsolationForestParams {
    pub(crate) fn new() -> Self {
        Self(IsolationForestValidParams {
            n_trees: 200,
            subsample_size: 256,
            seed: 0,
            split_mode: SplitMode::default(),
            missing: Missing::default(),
            categorical: Vec::new(),
        })
    }

    /// Sets the number of trees; 200 unless set. From 1 to [`MAX_TREES`].
    #[must_use]
    pub fn n_trees(mut self, n_trees: usize) -> Self {
        self.0.n_trees = n_trees;
        self
    }

    /// Sets how many rows, drawn without replacement, each tree is grown on; 256 unless set. From 2
    /// to [`MAX_SUBSAMPLE_SIZE`]. Training data with fewer rows are used whole by every tree.
    #[must_use]
    pub fn subsample_size(mut self, subsample_size: usize) -> Self {
        self.0.subsample_size = subsample_size;
        self
    }

    /// Sets what all randomness is derived from; 0 unless set.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.0.seed = seed;
        self
    }

    /// Sets how nodes choose columns and thresholds; guided unless set.
    #[must_use]
    pub fn split_mode(mut self, split_mode: SplitMode) -> Self {
        self.0.split_mode = split_mode;
        self
    }

    /// Sets what becomes of NaN; refused unless set. Infinite values are always refused.
    #[must_use]
    pub fn missing(mut self, missing: Missing) -> Self {
        self.0.missing = missing;
        self
    }

    /// Sets which columns hold categories, numbers whose order means nothing: none unless set. A split then
    /// divides a random subset of the categories from the others.
    #[must_use]
    pub fn categorical(mut self, columns: impl IntoIterator<Item = usize>) -> Self {
        self.0.categorical = columns.into_iter().collect();
        self.0.categorical.sort_unstable();
        self.0.categorical.dedup();
        self
    }
}

impl Default for IsolationForestParams {
    fn default() -> Self {
        Self::new()
    }
}

impl ParamGuard for IsolationForestParams {
    type Checked = IsolationForestValidParams;
    type Error = ForestError;

    fn check_ref(&self) -> Result<&Self::Checked, Self::Error> {
        let IsolationForestValidParams { n_trees, subsample_size, .. } = self.0;
        if !(1..=MAX_TREES).contains(&n_trees) {
            Err(ForestError::NumberOfTrees { n_trees })
        } else if !(2..=MAX_SUBSAMPLE_SIZE).contains(&subsample_size) {
            Err(ForestError::SubsampleSize { subsample_size })
        } else {
            Ok(&self.0)
        }
    }

    fn check(self) -> Result<Self::Checked, Self::Error> {
        self.check_ref()?;
        Ok(self.0)
    }
}
