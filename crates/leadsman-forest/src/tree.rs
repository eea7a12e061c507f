//! One isolation tree: its nodes as they are grown and stored, and the table that is walked.

use crate::TreeDefect;
use crate::kernel::Lookup;
use crate::path_length::average_path_length;

/// Deepest level of a leaf, in edges from the root. Below 2⁸ leaves lie only rows that are not strange.
pub(crate) const MAX_DEPTH: usize = 8;
/// Leaves of a table.
pub(crate) const LEAVES: usize = 1 << MAX_DEPTH;
/// The `edge` of a split that counts as one whole edge.
pub(crate) const WHOLE_EDGE: u8 = u8::MAX;
/// Steps of the fixed-point path lengths in one edge.
pub(crate) const STEPS_PER_EDGE: f64 = 256.0;
/// Largest path length a leaf may hold, in steps: eight of them still fit into 16 bits.
pub(crate) const MAX_PATH_STEPS: u16 = 8191;
/// Most different columns that one tree can split on.
pub(crate) const MAX_TREE_COLUMNS: usize = LEAVES - 1;

/// No bin reaches this threshold: a node that has it sends every row to the left.
const ALWAYS_LEFT: u8 = u8::MAX;

/// A node as it is grown and stored: in preorder, the left subtree directly after its split.
///
/// Children need no indexes that way, so that no bytes can spell a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    /// Rows whose bin in `column` is less than `threshold` go left, all others right. `edge` is the length of the edges
    /// to both children, in steps, less one: 255 for a whole edge.
    Split { column: u16, threshold: u8, edge: u8 },
    /// Holds `rows` of the sample.
    Leaf { rows: u32 },
}

/// What all trees of a forest share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Binned columns; each tree splits on some of them.
    pub(crate) n_columns: u32,
    /// Rows each tree was grown on, ψ in the paper.
    pub(crate) n_samples: u32,
}

impl Shape {
    /// Largest depth of a node: ⌈log₂ ψ⌉, and at most [`MAX_DEPTH`].
    pub(crate) fn depth_cap(self) -> usize {
        (self.n_samples.next_power_of_two().trailing_zeros() as usize).min(MAX_DEPTH)
    }
}

/// A perfect binary tree of [`MAX_DEPTH`] levels in heap order: node `i` has the children `2i` and `2i + 1`,
/// the root is node 1. An early leaf is a chain of nodes that send every row to the left.
///
/// All tables have 256 entries of one byte, which is what byte permutes of a processor take.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(C, align(64))]
pub(crate) struct Table {
    /// A row goes right when its bin reaches this. Entry 0 is not used.
    pub(crate) threshold: [u8; LEAVES],
    /// Index into the columns of the tree.
    pub(crate) column: [u8; LEAVES],
    /// Path length of each leaf, in steps.
    pub(crate) path: Lookup,
}

impl Table {
    /// No nodes: every row goes to the left, to a path of length 0.
    pub(crate) const EMPTY: Self = Self {
        threshold: [ALWAYS_LEFT; LEAVES],
        column: [0; LEAVES],
        path: Lookup { low: [0; LEAVES], high: [0; LEAVES] },
    };
}

/// A tree whose nodes were checked, with everything that follows from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    /// What `Table::column` counts in: ascending column numbers.
    columns: Vec<u16>,
    table: Table,
    /// D of the root: mean path length of the rows the tree was grown on, in steps.
    root_path: u16,
    /// D(parent) - D(node) for each node below the root, in steps.
    drops: [i16; 2 * LEAVES],
}

impl Tree {
    /// Links nodes given in preorder. Growing and reading both end here, so that a tree that was
    /// read has the very bits of the one that was written.
    ///
    /// `keep_columns` says that columns of the table are the columns of the forest; otherwise they
    /// count in the columns that the tree names.
    pub(crate) fn link(nodes: Vec<Node>, shape: Shape, keep_columns: bool) -> Result<Self, TreeDefect> {
        let columns = if keep_columns { Vec::new() } else { columns(&nodes) };
        if columns.len() > MAX_TREE_COLUMNS {
            return Err(TreeDefect::TooManyColumns { found: columns.len() });
        }
        let mut linker =
            Linker { rest: nodes.iter(), shape, columns: &columns, table: Table::EMPTY, drops: [0; 2 * LEAVES] };
        let root = linker.subtree(1, 0, 0)?;
        if linker.rest.next().is_some() {
            return Err(TreeDefect::TrailingNodes);
        }
        if root.rows != u64::from(shape.n_samples) {
            return Err(TreeDefect::RowCount { found: root.rows, expected: shape.n_samples });
        }
        let Linker { table, drops, .. } = linker;
        Ok(Self { nodes, columns, table, root_path: root.mean_path, drops })
    }

    /// The nodes as [`link`](Self::link) takes them.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Columns that the table counts in; empty when it counts in those of the forest.
    pub(crate) fn columns(&self) -> &[u16] {
        &self.columns
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// Path length of a leaf that lies at `depth` as node `index`, in steps.
    pub(crate) fn leaf_path(&self, index: usize, depth: usize) -> u16 {
        self.table.path.get((index << (MAX_DEPTH - depth)) - LEAVES)
    }

    /// D of the root: mean path length of the rows the tree was grown on, in steps.
    pub(crate) fn root_path(&self) -> u16 {
        self.root_path
    }

    /// Column of the forest that node `node` splits on.
    fn column(&self, node: usize) -> usize {
        let local = usize::from(self.table.column[node % LEAVES]);
        self.columns.get(local).map_or(local, |column| usize::from(*column))
    }

    /// The child of `node` to which a row goes.
    fn step(&self, node: usize, bin: u8) -> usize {
        2 * node + usize::from(bin >= self.table.threshold[node % LEAVES])
    }
}

/// Path length of one row in each of `N` trees, in steps. `bins` has one entry for each column of the forest.
///
/// The trees are walked side by side: none waits for another, so a processor does several at a time.
pub(crate) fn paths<const N: usize>(trees: &[Tree; N], bins: &[u8]) -> [u16; N] {
    let mut nodes = [1; N];
    for _ in 0..MAX_DEPTH {
        for (node, tree) in nodes.iter_mut().zip(trees) {
            *node = tree.step(*node, bins[tree.column(*node)]);
        }
    }
    std::array::from_fn(|at| trees[at].table.path.get(nodes[at] - LEAVES))
}

/// Path length of each of `N` rows in `tree`, in steps; adds D(node) - D(child), in steps, to the entry of `drops` for
/// the column each node splits on.
///
/// Rows of `bins` and `drops` have `C` entries, a power of two and no less than the columns that the table counts in.
pub(crate) fn attribute<const N: usize, const C: usize>(
    tree: &Tree,
    bins: &[[u8; C]; N],
    drops: &mut [[i32; C]; N],
) -> [u16; N] {
    let table = tree.table();
    let mut nodes = [1_usize; N];
    for _ in 0..MAX_DEPTH {
        for ((node, bins), drops) in nodes.iter_mut().zip(bins).zip(drops.iter_mut()) {
            let column = usize::from(table.column[*node % LEAVES]) % C;
            *node = tree.step(*node, bins[column]);
            drops[column] += i32::from(tree.drops[*node % (2 * LEAVES)]);
        }
    }
    nodes.map(|node| table.path.get(node - LEAVES))
}

/// The different columns that nodes split on, ascending.
fn columns(nodes: &[Node]) -> Vec<u16> {
    let split = |node: &Node| match *node {
        Node::Split { column, .. } => Some(column),
        Node::Leaf { .. } => None,
    };
    let mut columns: Vec<u16> = nodes.iter().filter_map(split).collect();
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// Fills a table while it reads nodes in preorder. Recursion ends at [`MAX_DEPTH`].
struct Linker<'a> {
    rest: std::slice::Iter<'a, Node>,
    shape: Shape,
    columns: &'a [u16],
    table: Table,
    drops: [i16; 2 * LEAVES],
}

/// What a parent must know of a child.
struct Subtree {
    rows: u64,
    mean_path: u16,
}

impl Linker<'_> {
    /// `path` is the way from the root so far, in steps.
    fn subtree(&mut self, index: usize, depth: usize, path: u16) -> Result<Subtree, TreeDefect> {
        match *self.rest.next().ok_or(TreeDefect::Truncated)? {
            Node::Leaf { rows: 0 } => Err(TreeDefect::EmptyLeaf),
            Node::Leaf { rows } => Ok(self.leaf(index, depth, path, rows)),
            Node::Split { .. } if depth >= self.shape.depth_cap() => {
                Err(TreeDefect::TooDeep { cap: self.shape.depth_cap() })
            }
            Node::Split { column, threshold, edge } => {
                self.check_split(column, threshold)?;
                self.split(index, depth, path + u16::from(edge) + 1, column, threshold)
            }
        }
    }

    fn check_split(&self, column: u16, threshold: u8) -> Result<(), TreeDefect> {
        if u32::from(column) >= self.shape.n_columns {
            return Err(TreeDefect::ColumnOutOfRange { column });
        }
        if threshold == 0 || threshold == ALWAYS_LEFT {
            return Err(TreeDefect::IdleThreshold { threshold });
        }
        Ok(())
    }

    /// `path` is the way from the root to both children.
    fn split(
        &mut self,
        index: usize,
        depth: usize,
        path: u16,
        column: u16,
        threshold: u8,
    ) -> Result<Subtree, TreeDefect> {
        // `columns` holds every column that a node names, or none, and then the forest has few
        let local = self.columns.binary_search(&column).unwrap_or(usize::from(column));
        self.table.threshold[index] = threshold;
        self.table.column[index] = local as u8;
        let left = self.subtree(2 * index, depth + 1, path)?;
        let right = self.subtree(2 * index + 1, depth + 1, path)?;
        let rows = left.rows + right.rows;
        let sum = left.rows * u64::from(left.mean_path) + right.rows * u64::from(right.mean_path);
        // rounded to the nearest; a mean is no larger than its parts
        let mean_path = ((sum + rows / 2) / rows) as u16;
        for (child, below) in [(2 * index, left.mean_path), (2 * index + 1, right.mean_path)] {
            // both are below 2^13
            self.drops[child] = mean_path.cast_signed() - below.cast_signed();
        }
        Ok(Subtree { rows, mean_path })
    }

    fn leaf(&mut self, index: usize, depth: usize, path: u16, rows: u32) -> Subtree {
        let rest = (average_path_length(rows) * STEPS_PER_EDGE).round();
        // both are below 2^13
        let path = (path + rest as u16).min(MAX_PATH_STEPS);
        let [low, high] = path.to_le_bytes();
        let below = MAX_DEPTH - depth;
        let leaves = (index << below) - LEAVES..((index + 1) << below) - LEAVES;
        self.table.path.low[leaves.clone()].fill(low);
        self.table.path.high[leaves].fill(high);
        Subtree { rows: u64::from(rows), mean_path: path }
    }
}
