//! Growing one tree.

use std::collections::BTreeSet;

use ndarray::ArrayView2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::tree::{PreorderNode, Shape};

/// Grows tree number `tree` of the forest with this `seed`, in preorder, from finite values.
///
/// Every tree has its own stream of the generator, so that the order in which trees are grown, or
/// the threads that grow them, cannot change any of them.
pub(crate) fn tree(x: ArrayView2<'_, f64>, shape: Shape, seed: u64, tree: u64) -> Vec<PreorderNode> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(tree);
    let mut rows = sample_rows(x.nrows(), shape.n_samples as usize, &mut rng);
    let mut grower =
        Grower { x, rng, depth_cap: shape.depth_cap(), features: (0..shape.n_features).collect(), nodes: Vec::new() };
    grower.grow(&mut rows, 0);
    grower.nodes
}

/// `amount` distinct indexes below `n`, each subset equally likely.
///
/// The cost depends on `amount` alone: no pass over the `n` rows for each tree.
/// Source: Floyd's algorithm, in Bentley, Floyd, "A sample of brilliance", CACM 30(9), 1987.
pub(crate) fn sample_rows(n: usize, amount: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    if amount >= n {
        return (0..n).collect();
    }
    let mut rows = BTreeSet::new();
    for last in n - amount..n {
        if !rows.insert(rng.random_range(0..=last)) {
            rows.insert(last);
        }
    }
    rows.into_iter().collect()
}

struct Grower<'a> {
    x: ArrayView2<'a, f64>,
    rng: ChaCha8Rng,
    depth_cap: u32,
    /// All features, in any order.
    features: Vec<u32>,
    nodes: Vec<PreorderNode>,
}

impl Grower<'_> {
    /// Appends the subtree over `rows`. Recursion ends at the depth cap, which is at most 20.
    fn grow(&mut self, rows: &mut [usize], depth: u32) {
        let split = if depth < self.depth_cap && rows.len() > 1 { self.draw_split(rows) } else { None };
        let Some((feature, threshold)) = split else {
            // a sample has at most 2^20 rows
            self.nodes.push(PreorderNode::Leaf { rows: rows.len() as u32 });
            return;
        };
        self.nodes.push(PreorderNode::Split { feature, threshold });
        let (left, right) = partition(rows, |row| self.x[[row, feature as usize]] < threshold);
        self.grow(left, depth + 1);
        self.grow(right, depth + 1);
    }

    /// A feature drawn evenly from those that vary over `rows`, and a threshold within its range.
    ///
    /// Constant features are drawn and put aside: that costs a pass over the rows only for the
    /// features drawn, and `None` means that every feature was.
    fn draw_split(&mut self, rows: &[usize]) -> Option<(u32, f64)> {
        for remaining in (1..=self.features.len()).rev() {
            let drawn = self.rng.random_range(0..remaining);
            self.features.swap(drawn, remaining - 1);
            let feature = self.features[remaining - 1];
            let (low, high) = self.range(rows, feature as usize);
            if low < high {
                return Some((feature, threshold(low, high, self.rng.random())));
            }
        }
        None
    }

    fn range(&self, rows: &[usize], feature: usize) -> (f64, f64) {
        let values = rows.iter().map(|&row| self.x[[row, feature]]);
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
    }
}

/// The point at `share` in [0, 1) of the way from `low` to `high`, moved into (low, high]: as the
/// left side is strict, neither side of the split is empty.
pub(crate) fn threshold(low: f64, high: f64, share: f64) -> f64 {
    let span = high - low;
    // the span of huge values overflows; their weighted mean does not
    let point = if span.is_finite() { low + share * span } else { low * (1.0 - share) + high * share };
    point.max(low.next_up()).min(high)
}

/// Moves the rows that `goes_left` to the front and divides after them.
fn partition(rows: &mut [usize], goes_left: impl Fn(usize) -> bool) -> (&mut [usize], &mut [usize]) {
    let mut left = 0;
    for index in 0..rows.len() {
        if goes_left(rows[index]) {
            rows.swap(index, left);
            left += 1;
        }
    }
    rows.split_at_mut(left)
}
