use crate::hyperparams::{MAX_SUBSAMPLE_SIZE, MAX_TREES};
use crate::tree::MAX_TREE_COLUMNS;

/// Most columns a forest may have.
pub const MAX_FEATURES: usize = 1 << 15;

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
    #[error("{columns} columns are too many; give at most {MAX_FEATURES}, categorical ones counting four times")]
    TooWide {
        /// Number of columns given.
        columns: usize,
    },
    /// A column that is said to be categorical does not exist.
    #[error("categorical column {column} does not exist: the data have {columns} columns, counted from 0")]
    NoSuchColumn {
        /// The column named.
        column: usize,
        /// Columns of the data.
        columns: usize,
    },
    /// Weights cannot be drawn by.
    #[error("weights must be one finite number from 0 for each row, at least one of them positive")]
    Weights,
    /// The matrix does not have the columns the forest was fitted on.
    #[error("the forest was fitted on {expected} columns and got {found}; give the columns of the fit")]
    WrongWidth {
        /// Columns of the fit.
        expected: usize,
        /// Columns given.
        found: usize,
    },
    /// A value is NaN or infinite.
    #[error(
        "the value in row {row}, column {column} is not finite; replace it, drop the row, or let missing values be typical"
    )]
    NotFinite {
        /// Row index of the first such value.
        row: usize,
        /// Column index of the first such value.
        column: usize,
    },
    /// The processor lacks what a kernel needs.
    #[error("this processor cannot run the kernel {kernel}; take the best one it has")]
    KernelUnavailable {
        /// The kernel asked for.
        kernel: crate::Kernel,
    },
    /// The bytes are not those of a forest.
    #[error("this is not a stored forest; give what `to_bytes` wrote")]
    Foreign,
    /// A stored forest has a layout this version does not know.
    #[error("forest format {version} is unknown; read it with the release that wrote it, or newer")]
    UnknownVersion {
        /// Version found.
        version: u16,
    },
    /// The bytes of a stored forest were changed or cut off.
    #[error("the stored forest is damaged: {what}; restore the file or fit again")]
    Damaged {
        /// What does not fit.
        what: &'static str,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TreeDefect {
    /// The nodes end before every split has two children.
    #[error("nodes are missing")]
    Truncated,
    /// Nodes follow after the tree is complete.
    #[error("nodes follow after its end")]
    TrailingNodes,
    /// A split lies at the depth cap.
    #[error("a split lies at depth {cap} or deeper")]
    TooDeep {
        /// Largest depth of a leaf, in edges from the root.
        cap: usize,
    },
    /// A split names a column the forest does not have.
    #[error("a node splits on column {column}, which does not exist")]
    ColumnOutOfRange {
        /// The column named.
        column: u16,
    },
    /// A split names more columns than one tree can hold.
    #[error("it splits on {found} columns, {MAX_TREE_COLUMNS} are possible")]
    TooManyColumns {
        /// Columns named.
        found: usize,
    },
    /// A split sends every row to the same side.
    #[error("a node has the threshold {threshold}, which divides nothing")]
    IdleThreshold {
        /// The threshold.
        threshold: u8,
    },
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
