use linfa::ParamGuard;

use crate::ForestError;

/// Most trees a forest may have. Bounds what a mistyped or hostile number can cost; the paper uses 100.
pub const MAX_TREES: usize = 10_000;

/// Most rows a tree may be grown on. Keeps node indexes in 32 bits and trees at most 20 deep.
pub const MAX_SUBSAMPLE_SIZE: usize = 1 << 20;

/// Hyperparameters of an [isolation forest](crate::IsolationForest) that passed their check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsolationForestValidParams {
    n_trees: usize,
    subsample_size: usize,
    seed: u64,
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
}

/// Builder of the hyperparameters of an [isolation forest](crate::IsolationForest).
///
/// Calling `fit` on it checks first; [`ParamGuard::check`] does so alone. The depth of a tree is
/// no parameter: it is capped at ⌈log₂ of the rows it is grown on⌉, the average depth of a leaf,
/// because below it lie only rows that are not strange.
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
        Self(IsolationForestValidParams { n_trees: 100, subsample_size: 256, seed: 0 })
    }

    /// Sets the number of trees; 100 unless set. From 1 to [`MAX_TREES`].
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
        let IsolationForestValidParams { n_trees, subsample_size, seed: _ } = self.0;
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
