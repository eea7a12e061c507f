//! Growing one tree on the bins of its sample.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::grid;
use crate::tree::{Node, STEPS_PER_EDGE, Shape, WHOLE_EDGE};

/// Draws of a column in proportion to its weight, before a guided node looks through all of them.
const WEIGHTED_DRAWS: usize = 12;

/// The bins of the rows that a tree is grown on, row by row.
pub(crate) struct Sample<'a> {
    pub(crate) bins: &'a [u8],
    /// For each bin of a row, whether its order means nothing.
    pub(crate) categorical: &'a [bool],
}

/// How a node divides its rows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rule<'a> {
    /// Any column that varies, any threshold within its range.
    Even,
    /// A column drawn in proportion to weights, which stand here summed up, and the threshold of the largest gain.
    Guided { weights: &'a [f64] },
}

/// A column, and what divides it.
struct Split {
    column: u16,
    threshold: u8,
    edge: u8,
}

impl Sample<'_> {
    fn n_columns(&self) -> usize {
        self.categorical.len()
    }

    fn bin(&self, row: u32, column: u16) -> u8 {
        self.bins[row as usize * self.n_columns() + usize::from(column)]
    }

    /// The smallest and the largest bin of `column`, unless they are the same.
    fn range(&self, rows: &[u32], column: u16) -> Option<(u8, u8)> {
        let bins = rows.iter().map(|&row| self.bin(row, column));
        let (low, high) = bins.fold((u8::MAX, 0), |(low, high), bin| (low.min(bin), high.max(bin)));
        (low < high).then_some((low, high))
    }

    /// What a bin stands for: a point of the column, in units of its grid.
    fn value(&self, bin: u8, column: u16) -> f64 {
        if self.categorical[usize::from(column)] { f64::from(bin) } else { grid::middle(bin) }
    }
}

/// Grows a tree on all rows of `sample`; there is at least one, and there are as many as `shape` says.
pub(crate) fn tree(sample: &Sample<'_>, shape: Shape, rule: Rule<'_>, rng: &mut ChaCha8Rng) -> Vec<Node> {
    let n_columns = sample.n_columns() as u16;
    let mut rows: Vec<u32> = (0..shape.n_samples).collect();
    let columns = (0..n_columns).collect();
    let mut grower = Grower {
        sample,
        rule,
        rng,
        depth_cap: shape.depth_cap(),
        columns,
        nodes: Vec::new(),
        counts: [0; 256],
        held: Vec::new(),
    };
    grower.grow(&mut rows, 0);
    grower.nodes
}

struct Grower<'a, 'r> {
    sample: &'a Sample<'a>,
    rule: Rule<'a>,
    rng: &'r mut ChaCha8Rng,
    depth_cap: usize,
    /// All columns, in any order.
    columns: Vec<u16>,
    nodes: Vec<Node>,
    /// Rows of a node in each bin; all 0 but while they are counted.
    counts: [u32; 256],
    /// The bins that rows of a node are in, ascending, and how many.
    held: Vec<(u8, u32)>,
}

impl Grower<'_, '_> {
    /// Appends the subtree over `rows`. Recursion ends at the depth cap.
    fn grow(&mut self, rows: &mut [u32], depth: usize) {
        let split = match self.rule {
            _ if depth >= self.depth_cap || rows.len() < 2 => None,
            Rule::Even => self.even_split(rows),
            Rule::Guided { weights } => self.guided_split(rows, weights),
        };
        let Some(Split { column, threshold, edge }) = split else {
            // a sample has at most 2^16 rows
            self.nodes.push(Node::Leaf { rows: rows.len() as u32 });
            return;
        };
        self.nodes.push(Node::Split { column, threshold, edge });
        let sample = self.sample;
        let (left, right) = partition(rows, |row| sample.bin(row, column) < threshold);
        self.grow(left, depth + 1);
        self.grow(right, depth + 1);
    }

    /// A column drawn evenly from those that vary over `rows`, and a threshold within its range.
    ///
    /// Constant columns are drawn and put aside: that costs a pass over the rows only for the
    /// columns drawn, and `None` means that every column was.
    fn even_split(&mut self, rows: &[u32]) -> Option<Split> {
        for remaining in (1..=self.columns.len()).rev() {
            let drawn = self.rng.random_range(0..remaining);
            self.columns.swap(drawn, remaining - 1);
            let column = self.columns[remaining - 1];
            if let Some((low, high)) = self.sample.range(rows, column) {
                let share = self.rng.random();
                let value = |bin| self.sample.value(bin, column);
                return Some(Split { column, threshold: even_threshold(low, high, value, share), edge: WHOLE_EDGE });
            }
        }
        None
    }

    /// A column that varies over `rows`, drawn by weight, and the threshold that makes both sides most uniform.
    ///
    /// Where the draws find none, the first one behind a random column is taken, and `None` means that there is none.
    fn guided_split(&mut self, rows: &[u32], weights: &[f64]) -> Option<Split> {
        let total = weights.last().copied().unwrap_or(0.0);
        let n = weights.len();
        for _ in 0..WEIGHTED_DRAWS {
            let point = self.rng.random::<f64>() * total;
            let column = weights.partition_point(|sum| *sum <= point).min(n - 1) as u16;
            if self.varies(rows, column) {
                return Some(self.best_split(rows, column));
            }
        }
        let start = self.rng.random_range(0..n);
        let column = (0..n).map(|step| ((start + step) % n) as u16).find(|column| self.varies(rows, *column))?;
        Some(self.best_split(rows, column))
    }

    /// The threshold between two bins of `column`, which [`varies`](Self::varies) was just asked about, with the largest pooled gain
    /// g = 1 - (n_l·σ_l + n_r·σ_r) / (n·σ). An edge counts 1 - g: a split that explains much of the spread
    /// sets rows apart that were strange to begin with.
    ///
    /// Source of the gain: Cortes, "Revisiting randomized choices in isolation forests", 2021 (arXiv 2110.13402).
    fn best_split(&self, rows: &[u32], column: u16) -> Split {
        let value = |bin: u8| self.sample.value(bin, column);
        let held = || self.held.iter().map(|(bin, count)| (*bin, f64::from(*count)));

        let n = rows.len() as f64;
        let mean = held().map(|(bin, count)| count * value(bin)).sum::<f64>() / n;
        let squares: f64 = held().map(|(bin, count)| count * (value(bin) - mean) * (value(bin) - mean)).sum();
        // n·σ of n values with this sum and sum of squares
        let spread = |n: f64, sum: f64, squares: f64| (n * squares - sum * sum).max(0.0).sqrt();

        let (mut left, mut left_sum, mut left_squares) = (0.0, 0.0, 0.0);
        let (mut least, mut around) = (f64::INFINITY, None);
        let mut before = None;
        for (bin, count) in held() {
            if let Some(low) = before {
                let parts = spread(left, left_sum, left_squares) + spread(n - left, -left_sum, squares - left_squares);
                if parts < least {
                    (least, around) = (parts, Some((low, bin)));
                }
            }
            let distance = value(bin) - mean;
            left += count;
            left_sum += count * distance;
            left_squares += count * distance * distance;
            before = Some(bin);
        }
        // a column that varies has two bins at least
        let (low, high) = around.unwrap_or((0, 1));
        let share = (least / spread(n, 0.0, squares)).clamp(0.0, 1.0);
        let edge = (share * STEPS_PER_EDGE).round().max(1.0) - 1.0;
        Split { column, threshold: even_threshold(low, high, value, 0.5), edge: edge as u8 }
    }
}

impl Grower<'_, '_> {
    /// Counts which bins of `column` the rows are in, and how many each holds; whether it is more than one bin.
    fn varies(&mut self, rows: &[u32], column: u16) -> bool {
        // one bit for each bin that is held, so that no others are looked at
        let mut present = [0_u64; 4];
        for &row in rows {
            let bin = usize::from(self.sample.bin(row, column));
            self.counts[bin] += 1;
            present[bin / 64] |= 1 << (bin % 64);
        }
        self.held.clear();
        for (word, mut bits) in present.into_iter().enumerate() {
            while bits > 0 {
                let bin = 64 * word + bits.trailing_zeros() as usize;
                self.held.push((bin as u8, std::mem::take(&mut self.counts[bin])));
                bits &= bits - 1;
            }
        }
        self.held.len() > 1
    }
}

/// The first bin above `low` that lies beyond the point at `share` in [0, 1) of the way to `high`: a threshold
/// that leaves neither side empty.
pub(crate) fn even_threshold(low: u8, high: u8, value: impl Fn(u8) -> f64, share: f64) -> u8 {
    let point = value(low) + share * (value(high) - value(low));
    let (mut below, mut at) = (low, high);
    while at - below > 1 {
        let between = below + (at - below) / 2;
        if value(between) > point { at = between } else { below = between }
    }
    at
}

/// Moves the rows that `goes_left` to the front and divides after them.
fn partition(rows: &mut [u32], goes_left: impl Fn(u32) -> bool) -> (&mut [u32], &mut [u32]) {
    let mut left = 0;
    for index in 0..rows.len() {
        // without a branch, which no processor could foresee: a row that goes right changes places with another such
        let row = rows[index];
        rows.swap(index, left);
        left += usize::from(goes_left(row));
    }
    rows.split_at_mut(left)
}
