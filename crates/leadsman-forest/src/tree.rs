//! One isolation tree, linked from its nodes in preorder.

use ndarray::ArrayView1;
use serde::{Deserialize, Serialize};

use crate::TreeDefect;
use crate::path_length::average_path_length;

/// A node as it is grown and stored: in preorder, the left subtree directly after its split.
///
/// Children need no indexes that way, so that no bytes can spell a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum PreorderNode {
    /// Rows whose `feature` is less than `threshold` go left, all others right.
    Split { feature: u32, threshold: f64 },
    /// Holds `rows` of the sample.
    Leaf { rows: u32 },
}

/// What all trees of a forest share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) n_features: u32,
    /// Rows each tree was grown on, ψ in the paper.
    pub(crate) n_samples: u32,
}

impl Shape {
    /// Largest depth of a node: ⌈log₂ ψ⌉.
    pub(crate) fn depth_cap(self) -> u32 {
        self.n_samples.next_power_of_two().trailing_zeros()
    }
}

/// A tree whose links are sound: every child lies behind its parent and inside `nodes`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Node {
    /// The left child is the next node. `mean_depth` is D, the mean path length of the sample rows below.
    Split { feature: u32, right: u32, threshold: f64, mean_depth: f64 },
    /// `depth` is h: that of the leaf, plus the average path its rows would still have had.
    Leaf { rows: u32, depth: f64 },
}

impl Node {
    fn mean_depth(self) -> f64 {
        match self {
            Self::Split { mean_depth, .. } => mean_depth,
            Self::Leaf { depth, .. } => depth,
        }
    }
}

impl Tree {
    /// Links nodes given in preorder. Growing and reading both end here, so that a tree that was
    /// read has the very bits of the one that was written.
    pub(crate) fn link(preorder: &[PreorderNode], shape: Shape) -> Result<Self, TreeDefect> {
        let depths = depths(preorder, shape)?;
        let mut nodes = vec![Node::Leaf { rows: 0, depth: 0.0 }; preorder.len()];
        // Backwards, children come before their parent and the left one last.
        let mut subtrees: Vec<Subtree> = Vec::new();
        for (index, (node, depth)) in preorder.iter().zip(depths).enumerate().rev() {
            let (linked, rows) = match *node {
                PreorderNode::Leaf { rows } => {
                    (Node::Leaf { rows, depth: f64::from(depth) + average_path_length(rows) }, u64::from(rows))
                }
                PreorderNode::Split { feature, threshold } => {
                    let (Some(left), Some(right)) = (subtrees.pop(), subtrees.pop()) else {
                        return Err(TreeDefect::Truncated);
                    };
                    let mean_depth = left.mean_depth_with(&right);
                    (Node::Split { feature, right: right.index, threshold, mean_depth }, left.rows + right.rows)
                }
            };
            nodes[index] = linked;
            // `depths` proved that there are fewer than 2^22 nodes
            subtrees.push(Subtree { index: index as u32, rows, mean_depth: linked.mean_depth() });
        }
        let rows = subtrees.first().map_or(0, |root| root.rows);
        if rows == u64::from(shape.n_samples) {
            Ok(Self { nodes })
        } else {
            Err(TreeDefect::RowCount { found: rows, expected: shape.n_samples })
        }
    }

    /// The nodes as [`link`](Self::link) takes them.
    pub(crate) fn preorder(&self) -> impl Iterator<Item = PreorderNode> {
        self.nodes.iter().map(|node| match *node {
            Node::Split { feature, threshold, .. } => PreorderNode::Split { feature, threshold },
            Node::Leaf { rows, .. } => PreorderNode::Leaf { rows },
        })
    }

    /// Path length h of `row`, in edges. The row has as many entries as the shape has features.
    pub(crate) fn depth(&self, row: ArrayView1<'_, f64>) -> f64 {
        self.walk(row, |_, _| ())
    }

    /// D of the root: mean path length of the rows the tree was grown on, in edges.
    pub(crate) fn root_depth(&self) -> f64 {
        self.nodes[0].mean_depth()
    }

    /// Path length h of `row`; adds D(node) - D(child) to the entry of `by_feature` each node splits on.
    pub(crate) fn attribute(&self, row: ArrayView1<'_, f64>, by_feature: &mut [f64]) -> f64 {
        self.walk(row, |feature, drop| by_feature[feature] += drop)
    }

    /// Follows `row` to its leaf and shows `visit` each split: its feature, and D(node) - D(child).
    fn walk(&self, row: ArrayView1<'_, f64>, mut visit: impl FnMut(usize, f64)) -> f64 {
        let mut index = 0;
        loop {
            match self.nodes[index] {
                Node::Leaf { depth, .. } => return depth,
                Node::Split { feature, right, threshold, mean_depth } => {
                    let feature = feature as usize;
                    index = if row[feature] < threshold { index + 1 } else { right as usize };
                    visit(feature, mean_depth - self.nodes[index].mean_depth());
                }
            }
        }
    }
}

struct Subtree {
    index: u32,
    rows: u64,
    mean_depth: f64,
}

impl Subtree {
    fn mean_depth_with(&self, other: &Self) -> f64 {
        // counts are below 2^53: exact
        let (rows, other_rows) = (self.rows as f64, other.rows as f64);
        (rows * self.mean_depth + other_rows * other.mean_depth) / (rows + other_rows)
    }
}

/// Depth of each node, once the nodes are known to form one tree within `shape`.
fn depths(preorder: &[PreorderNode], shape: Shape) -> Result<Vec<u32>, TreeDefect> {
    let cap = shape.depth_cap();
    // depths of the subtrees still to come, the next one last
    let mut open = vec![0];
    let mut depths = Vec::with_capacity(preorder.len());
    for node in preorder {
        let depth = open.pop().ok_or(TreeDefect::TrailingNodes)?;
        if depth > cap {
            return Err(TreeDefect::TooDeep { cap });
        }
        match *node {
            PreorderNode::Leaf { rows: 0 } => return Err(TreeDefect::EmptyLeaf),
            PreorderNode::Leaf { .. } => {}
            PreorderNode::Split { feature, threshold } => {
                if feature >= shape.n_features {
                    return Err(TreeDefect::FeatureOutOfRange { feature });
                }
                if !threshold.is_finite() {
                    return Err(TreeDefect::ThresholdNotFinite);
                }
                open.extend([depth + 1, depth + 1]);
            }
        }
        depths.push(depth);
    }
    if open.is_empty() { Ok(depths) } else { Err(TreeDefect::Truncated) }
}
