use crate::hyperparams::{MAX_SUBSAMPLE_SIZE, MAX_TREES};

/// Why a forest cannot be fitted, read or asked.
#[derive(Debug, thiserror::Error)]
pub enum ForestError {
    /// The number of trees is zero or too large.
    #[error("n_trees is {n_trees}; choose 1 to {MAX_TREES}")]
    NumberOfTrees {
        /// Number of trees asked for, or found in a stored forest.
        n_trees: usize,
    },
    /// The sample per tree is too small to split or too large to index.
    #[error("subsample_size is {subsample_size}; choose 2 to {MAX_SUBSAMPLE_SIZE}")]
    SubsampleSize {
        /// Rows per tree asked for, or found in a stored forest.
        subsample_size: usize,
    },
    /// There is nothing to learn from.
    #[error("{rows} rows of {columns} columns are no training data; give at least one of each")]
    NoData {
        /// Number of rows given.
        rows: usize,
        /// Number of columns given.
        columns: usize,
    },
    /// There are more columns than a node can name.
    #[error("{columns} columns are too many; give at most {}", u32::MAX)]
    TooWide {
        /// Number of columns given.
        columns: usize,
    },
    /// The matrix does not have the columns the forest was fitted on.
    #[error("the forest was fitted on {expected} columns and got {found}; give the columns of the fit")]
    WrongWidth {
        /// Columns of the fit.
        expected: usize,
        /// Columns given.
        found: usize,
    },
    /// A value is NaN or infinite.
    #[error("the value in row {row}, column {column} is not finite; replace it or drop the row")]
    NotFinite {
        /// Row index of the first such value.
        row: usize,
        /// Column index of the first such value.
        column: usize,
    },
    /// A stored forest has a layout this version does not know.
    #[error("forest format {version} is unknown; read it with the release that wrote it, or newer")]
    UnknownVersion {
        /// Version found.
        version: u16,
    },
    /// A stored tree is damaged.
    #[error("tree {tree} is damaged: {defect}; restore the file or fit again")]
    Malformed {
        /// Index of the first damaged tree.
        tree: usize,
        /// What is wrong with it.
        defect: TreeDefect,
    },
    /// linfa reported an error of its own; its traits ask for this conversion.
    #[error(transparent)]
    Linfa(#[from] linfa::Error),
}

/// What is wrong with a stored tree.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum TreeDefect {
    /// The nodes end before every split has two children.
    #[error("nodes are missing")]
    Truncated,
    /// Nodes follow after the tree is complete.
    #[error("nodes follow after its end")]
    TrailingNodes,
    /// A node lies below the depth cap.
    #[error("a node lies deeper than {cap}")]
    TooDeep {
        /// Largest depth allowed, in edges from the root.
        cap: u32,
    },
    /// A split names a column the forest does not have.
    #[error("a node splits on column {feature}, which does not exist")]
    FeatureOutOfRange {
        /// The column named.
        feature: u32,
    },
    /// A split has a threshold that is NaN or infinite.
    #[error("a threshold is not finite")]
    ThresholdNotFinite,
    /// A leaf holds no row.
    #[error("a leaf holds no row")]
    EmptyLeaf,
    /// The leaves do not hold the sample the forest says it was grown on.
    #[error("its leaves hold {found} rows instead of {expected}")]
    RowCount {
        /// Rows in all leaves.
        found: u64,
        /// Rows per tree.
        expected: u32,
    },
}
